//! Tensors, the recorded graph, and every operation of wgrad, one place each.
//!
//! A [`Tensor`] is a handle on a node of a graph that grows as the program runs ([`node`]); reading a value is where
//! work happens. What can be computed stands in [`ops`] and in the [elementwise table](mod@elementwise); a [`Device`]
//! computes it.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]

pub mod cache;
pub mod device;
pub mod dtype;
pub mod elementwise;
pub mod error;
pub mod ids;
pub mod kernel;
pub mod layout;
pub mod node;
pub mod op;
pub mod ops;
mod print;
pub mod random;
pub mod real;
#[cfg(feature = "registry")]
pub mod registry;
pub mod row;
pub mod scope;
pub mod shape;
mod tensor;

pub use device::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use ops::arguments::{Axes, Sizes};
pub use scope::no_grad;
pub use shape::Shape;
pub use tensor::{Tensor, eval_all, explain};
