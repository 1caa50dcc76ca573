//! Keeping gradients within bounds.

use std::borrow::Cow;
use wgrad_autograd::Gradients;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::{Argument, Compute, Meta, Metas, Op, Part, Parts};
use wgrad_tensor::ops::table;
use wgrad_tensor::scope::{called_from, no_grad};
use wgrad_tensor::{DType, Error, ErrorKind, Result, Shape, Tensor};

/// The gradients, scaled down together where the norm over all of them is above `max_norm`, and that norm before.
/// Nothing is read: the decision is made on the device. PyTorch: `clip_grad_norm_`.
///
/// ```text
/// norm = sqrt(sum of the squares of all elements)
/// gradient = gradient * min(1, max_norm / (norm + 1e-6))
/// ```
///
/// # Errors
/// There are no gradients, or they are on more than one device.
#[track_caller]
pub fn clip_grad_norm(gradients: &Gradients, max_norm: f64) -> Result<(Gradients, Tensor)> {
    called_from(std::panic::Location::caller(), || no_grad(|| clip(gradients, max_norm)))
}

fn clip(gradients: &Gradients, max_norm: f64) -> Result<(Gradients, Tensor)> {
    let tensors = gradients.tensors();
    let double = tensors.iter().all(|gradient| matches!(gradient.try_dtype(), Ok(DType::F64)));
    let wide = if double { DType::F64 } else { DType::F32 };
    let wide: Vec<Tensor> = tensors.iter().map(|gradient| gradient.cast(wide)).collect();
    let Some(first) = wide.first() else {
        return Err(Error::new(ErrorKind::NoGradient, "clip_grad_norm", "there are no gradients"));
    };
    let inputs: Vec<&Tensor> = wide.iter().collect();
    let total = Tensor::apply(SumOfSquares(inputs.len()), &inputs, Vec::new(), first.device());
    let norm = total.sqrt();
    norm.meta()?;
    let scale = (max_norm / (&norm + 1e-6)).minimum(1.0);
    let clipped = gradients.map(|gradient| match gradient.try_dtype() {
        Ok(dtype) => gradient * scale.cast(dtype),
        Err(_) => gradient.clone(),
    });
    Ok((clipped, norm))
}

/// The squares of all elements of so many tensors, summed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SumOfSquares(usize);

impl Op for SumOfSquares {
    fn name(&self) -> Cow<'static, str> {
        "sum_of_squares".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        match inputs {
            [first, rest @ ..] if rest.iter().all(|meta| meta.dtype == first.dtype) => {
                Ok(Metas::from_iter([Meta::new(Shape::default(), first.dtype)]))
            }
            _ => Err(Problem::new(ErrorKind::DType, "takes tensors of one dtype")),
        }
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    fn parts(&self) -> Parts {
        let mut parts = Vec::new();
        let mut total = None;
        for input in (0..self.0).map(Argument::Input) {
            parts.push(Part::Row(&table::MUL, vec![input, input]));
            parts.push(Part::Sum(Argument::Part(parts.len() - 1)));
            let sum = Argument::Part(parts.len() - 1);
            if let Some(total) = total {
                parts.push(Part::Row(&table::ADD, vec![total, sum]));
            }
            total = Some(Argument::Part(parts.len() - 1));
        }
        parts.into()
    }
}
