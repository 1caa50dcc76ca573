//! Reverse-mode differentiation of wgrad's recorded graph, to any order.
//!
//! Each op's gradient rule stands with the op and is written in ordinary tensor operations; this crate holds the walk
//! that applies them. [`Backward::backward`] is for training: it consumes the graph. [`grad`] is for mathematics: its
//! results can be differentiated again.

mod check;
mod checkpoint;
mod walk;

pub use check::{gradcheck, gradcheck_second_order};
pub use checkpoint::checkpoint;
pub use walk::{Backward, Gradients, grad, value_and_grad};
