//! Gradients against finite differences.

use crate::walk::{grad, is_checkable};
use wgrad_tensor::{Device, Error, ErrorKind, Result, Tensor};

/// The step of the central difference.
const STEP: f64 = 1e-5;

/// Checks the gradient of `f` at `inputs` (f64) against central finite differences, with `f` in the middle of a graph:
/// its inputs are computed from others, and its output goes through a non-linear function. Elements may differ by
/// `tolerance * (1 + |expected|)`. PyTorch: `torch.autograd.gradcheck`.
///
/// # Errors
/// The first element that differs, with both numbers; inputs that are not f64; what `f` itself fails with.
#[cfg(not(target_arch = "wasm32"))]
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Tensor], tolerance: f64) -> Result<()> {
    let values = inputs.iter().map(Tensor::to_vec::<f64>).collect::<Result<Vec<_>>>()?;
    if let Some(input) = inputs.iter().find(|input| !is_checkable(input)) {
        return Err(Error::new(ErrorKind::DType, "gradcheck", format!("takes f64, not {input:?}")));
    }
    let scalar = |leaves: &[Tensor]| {
        let middle: Vec<Tensor> = leaves.iter().map(|leaf| leaf * 2.0 - leaf).collect();
        project(&f(&middle))
    };
    let leaves: Vec<Tensor> = inputs.iter().map(Tensor::requires_grad).collect();
    let gradients = grad(&scalar(&leaves), &leaves.iter().collect::<Vec<_>>())?;
    for (which, gradient) in gradients.iter().enumerate() {
        let found = gradient.to_vec::<f64>()?;
        for (element, found) in found.into_iter().enumerate() {
            let at = |step: f64| -> Result<f64> {
                let moved = shifted(inputs, &values, which, element, step)?;
                scalar(&moved).item::<f64>()
            };
            let expected = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            let error = (found - expected).abs();
            // A comparison with NaN is false, so that a NaN is a difference.
            let close = error <= tolerance * (1.0 + expected.abs());
            if !close {
                let message = format!(
                    "input {which}, element {element}: the gradient is {}, the difference quotient {expected}",
                    found
                );
                return Err(Error::new(ErrorKind::Value, "gradcheck", message));
            }
        }
    }
    Ok(())
}

/// Checks the gradient of the gradient of `f`, as [`gradcheck`] does the first.
///
/// # Errors
/// As [`gradcheck`].
#[cfg(not(target_arch = "wasm32"))]
pub fn gradcheck_second_order(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Tensor], tolerance: f64) -> Result<()> {
    let device = match inputs.first() {
        Some(input) => input.device().clone(),
        None => return Ok(()),
    };
    let first_order = |points: &[Tensor]| {
        let points: Vec<Tensor> =
            points.iter().map(|point| if point.is_tracked() { point.clone() } else { point.requires_grad() }).collect();
        match grad(&project(&f(&points)), &points.iter().collect::<Vec<_>>()) {
            // A gradient that is constant depends on nothing; times zero, the points keep it differentiable.
            Ok(gradients) => gradients
                .iter()
                .zip(&points)
                .map(|(gradient, point)| project(gradient) + (point * 0.0).sum(..))
                .reduce(|sum, part| sum + part)
                .unwrap_or_else(|| Tensor::zeros([0usize; 0], wgrad_tensor::DType::F64, &device)),
            Err(error) => Tensor::from_error(error, &device),
        }
    };
    gradcheck(first_order, inputs, tolerance)
}

/// A scalar that every element sways by another amount, and not linearly.
fn project(y: &Tensor) -> Tensor {
    let Ok(shape) = y.try_shape() else { return y.clone() };
    let index = Tensor::arange(shape.count(), wgrad_tensor::DType::F64, y.device()).reshape(&shape);
    let weight = (index * 0.7 + 0.3).cos();
    ((y * 0.5).sin() * &weight + y * weight).sum(..)
}

/// The inputs with one element moved.
fn shifted(inputs: &[Tensor], values: &[Vec<f64>], which: usize, element: usize, step: f64) -> Result<Vec<Tensor>> {
    let moved = |i: usize, input: &Tensor| -> Result<Tensor> {
        let mut elements = values[i].clone();
        if i == which {
            elements[element] += step;
        }
        let device: &Device = input.device();
        Ok(Tensor::from_slice(&elements, input.try_shape()?, device))
    };
    inputs.iter().enumerate().map(|(i, input)| moved(i, input)).collect()
}
