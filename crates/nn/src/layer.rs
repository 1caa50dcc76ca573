//! Modules that map one tensor to one tensor.

use crate::{Module, Summary, summary};
use wgrad_tensor::Tensor;

/// A module with a `forward` from one tensor to one tensor: what a [`Sequential`](crate::Sequential) is made of.
///
/// A model of your own needs it only to be put into one. `forward` never fails and never panics: an input that does not
/// fit, or that has failed before, gives a failed tensor, whose error shows where its values are asked for.
pub trait Layer: Module + Send + Sync {
    /// The layer's output for `input`.
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor;

    /// A table of the layers inside, with output shapes for an `input` like this one. Nothing is computed for it.
    ///
    /// `println!("{}", model.summary(&input))`
    fn summary(&self, input: &Tensor) -> Summary
    where
        Self: Sized,
    {
        summary(self, || self.forward(input))
    }
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        (**self).forward(input)
    }
}

impl<L: Layer + ?Sized> Layer for std::sync::Arc<L> {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        (**self).forward(input)
    }
}
