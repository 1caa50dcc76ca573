//! Every kernel against plain `f64` code, on hand-made plans with fresh random inputs, for one and for three threads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod backend;
mod conv;
mod harness;
mod map;
mod matmul;
mod movement;
mod reduce;
