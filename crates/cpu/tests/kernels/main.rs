//! Every kernel against plain `f64` code, on hand-made plans with fresh random inputs, for one and for four threads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod backend;
mod chains;
mod conv;
mod epilogue;
mod harness;
mod map;
mod matmul;
mod movement;
mod padded;
mod reduce;
mod rows;
