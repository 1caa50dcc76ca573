//! Keeping gradients within bounds.

use wgrad_autograd::Gradients;
use wgrad_tensor::scope::{called_from, no_grad};
use wgrad_tensor::{DType, Error, ErrorKind, Result, Tensor};

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
    let squares = tensors.iter().map(|gradient| gradient.cast(wide).square().sum(..));
    let Some(total) = squares.reduce(|total, square| total + square) else {
        return Err(Error::new(ErrorKind::NoGradient, "clip_grad_norm", "there are no gradients"));
    };
    let norm = total.sqrt();
    norm.meta()?;
    let scale = (max_norm / (&norm + 1e-6)).minimum(1.0);
    let clipped = gradients.map(|gradient| match gradient.try_dtype() {
        Ok(dtype) => gradient * scale.cast(dtype),
        Err(_) => gradient.clone(),
    });
    Ok((clipped, norm))
}
