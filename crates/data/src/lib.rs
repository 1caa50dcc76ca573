//! Datasets and loaders of wgrad.
//!
//! A [`Dataset`] gives items by index; a [`DataLoader`] serves it in shuffled batches, made by a [`Collate`], on a
//! background thread if asked to. Any type can be a dataset, and any closure can make batches.
//!
//! [`Mnist`] reads the real thing, and [`SyntheticDigits`] draws digits where there is none.
//!
//! Features: `gzip` reads gzipped files; `download` fetches MNIST where it is not on the disk.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic"))]

mod collate;
mod dataset;
mod digit;
mod loader;
mod mnist;
mod prefetch;
mod rng;
mod synthetic;

pub use collate::Collate;
pub use dataset::{Dataset, InMemory, Map, Part, Subset};
pub use digit::{Batch, BatchDigits, Digit, PIXELS, SIDE, half_blocks};
pub use loader::{DataLoader, Epoch};
pub use mnist::{FindMnist, Mnist, Source};
pub use synthetic::SyntheticDigits;
