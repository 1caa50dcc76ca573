//! Datasets and loaders of wgrad.
//!
//! A [`Dataset`] gives items by index; a [`DataLoader`] serves it in shuffled batches, made by a [`Collate`], on a
//! background thread if asked to. Any type can be a dataset, and any closure can make batches.
//!

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic"))]

mod collate;
mod dataset;
mod digit;
mod loader;
mod prefetch;
mod rng;
mod synthetic;

pub use collate::Collate;
pub use dataset::{Dataset, InMemory, Map, Part, Subset};
pub use digit::{Batch, BatchDigits, Digit, PIXELS, SIDE, half_blocks};
pub use loader::{DataLoader, Epoch};
pub use synthetic::SyntheticDigits;
