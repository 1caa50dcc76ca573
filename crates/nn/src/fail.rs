//! How a layer refuses what it is given.

use std::borrow::Cow;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::{Compute, Meta, Metas, Op};
use wgrad_tensor::{Result, Tensor};

/// An op that takes no input at all.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Refusal {
    name: &'static str,
    kind: ErrorKind,
    message: Cow<'static, str>,
}

impl Op for Refusal {
    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Metas, Problem> {
        Err(Problem::new(self.kind, self.message.clone()))
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Source
    }
}

/// A failed tensor that says what layer `name` has against `input`, at the user's line; an input that has failed
/// before gives its own error.
#[track_caller]
pub(crate) fn refuse(
    name: &'static str,
    kind: ErrorKind,
    message: impl Into<Cow<'static, str>>,
    input: &Tensor,
    others: &[&Tensor],
) -> Tensor {
    let inputs: Vec<&Tensor> = std::iter::once(input).chain(others.iter().copied()).collect();
    Tensor::apply(Refusal { name, kind, message: message.into() }, &inputs, Vec::new(), input.device())
}
