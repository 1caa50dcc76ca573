//! Our numbers against PyTorch's, which `make_fixtures.py` wrote: values and gradients of operations, layers and losses,
//! and the paths that optimizers take. On every device.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "fixtures/case.rs"]
mod case;
mod common;
#[path = "fixtures/layers.rs"]
mod layers;
#[path = "fixtures/operations.rs"]
mod operations;
#[path = "fixtures/training.rs"]
mod training;
