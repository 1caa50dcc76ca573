//! Every operation, one place each.
//!
//! Elementwise primitives are rows of [`table`]. Other primitives stand with their shape rule and gradient in the file
//! of their family. Composites are ordinary functions of tensors: nothing to register, nothing to differentiate; the few
//! that are called again and again are one call of several steps ([`Compute::Parts`](crate::op::Compute::Parts)).

pub mod activation;
pub mod arguments;
pub mod conv;
pub mod create;
pub mod index;
pub mod join;
pub mod loss;
pub mod matmul;
pub mod operators;
pub mod pool;
pub mod reduce;
pub mod select;
pub mod softmax;
pub mod standardize;
pub mod table;
pub mod view;
pub mod window;
