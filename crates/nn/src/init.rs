//! Initialisers: how a parameter starts. Each is PyTorch's of the same name in `torch.nn.init`.
//!
//! A weight is `[out, in, kernel..]`: one output sees `in * kernel` numbers (its fan-in), one input reaches
//! `out * kernel` (its fan-out).

use crate::fail::refuse;
use wgrad_tensor::{DType, Device, ErrorKind, Scalar, Shape, Tensor};

/// `value` everywhere. PyTorch: `constant_`, `zeros_`, `ones_`.
#[track_caller]
pub fn constant(shape: impl Into<Shape>, value: impl Into<Scalar>, dtype: DType, device: &Device) -> Tensor {
    Tensor::full(shape, value, dtype, device)
}

/// U(`low`, `high`). PyTorch: `uniform_`.
#[track_caller]
pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, dtype: DType, device: &Device) -> Tensor {
    Tensor::uniform(shape, low, high, dtype, device)
}

/// N(`mean`, `std`^2). PyTorch: `normal_`.
#[track_caller]
pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, dtype: DType, device: &Device) -> Tensor {
    Tensor::normal(shape, mean, std, dtype, device)
}

/// U(-b, b) with `b = gain sqrt(3 / fan_in)`: keeps the variance of signals on the way forward. PyTorch:
/// `kaiming_uniform_`; `gain` is sqrt(2) before ReLU, 1 before nothing.
#[track_caller]
pub fn kaiming_uniform(shape: impl Into<Shape>, gain: f64, dtype: DType, device: &Device) -> Tensor {
    let shape = shape.into();
    match fans(&shape) {
        Some((fan_in, _)) => symmetric(shape, gain * (3.0 / fan_in).sqrt(), dtype, device),
        None => no_fans("kaiming_uniform", shape, dtype, device),
    }
}

/// N(0, s^2) with `s = gain / sqrt(fan_in)`. PyTorch: `kaiming_normal_`.
#[track_caller]
pub fn kaiming_normal(shape: impl Into<Shape>, gain: f64, dtype: DType, device: &Device) -> Tensor {
    let shape = shape.into();
    match fans(&shape) {
        Some((fan_in, _)) => normal(shape, 0.0, gain / fan_in.sqrt(), dtype, device),
        None => no_fans("kaiming_normal", shape, dtype, device),
    }
}

/// U(-b, b) with `b = gain sqrt(6 / (fan_in + fan_out))`: a compromise between forward and backward. PyTorch:
/// `xavier_uniform_`.
#[track_caller]
pub fn xavier_uniform(shape: impl Into<Shape>, gain: f64, dtype: DType, device: &Device) -> Tensor {
    let shape = shape.into();
    match fans(&shape) {
        Some((fan_in, fan_out)) => symmetric(shape, gain * (6.0 / (fan_in + fan_out)).sqrt(), dtype, device),
        None => no_fans("xavier_uniform", shape, dtype, device),
    }
}

/// N(0, s^2) with `s = gain sqrt(2 / (fan_in + fan_out))`. PyTorch: `xavier_normal_`.
#[track_caller]
pub fn xavier_normal(shape: impl Into<Shape>, gain: f64, dtype: DType, device: &Device) -> Tensor {
    let shape = shape.into();
    match fans(&shape) {
        Some((fan_in, fan_out)) => normal(shape, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt(), dtype, device),
        None => no_fans("xavier_normal", shape, dtype, device),
    }
}

/// U(-b, b) with `b = 1 / sqrt(fan_in)`: how PyTorch's `Linear` and `Conv2d` start, weight and bias alike.
#[track_caller]
pub(crate) fn by_fan_in(shape: impl Into<Shape>, fan_in: usize, device: &Device) -> Tensor {
    symmetric(shape, 1.0 / (fan_in.max(1) as f64).sqrt(), DType::F32, device)
}

#[track_caller]
fn symmetric(shape: impl Into<Shape>, bound: f64, dtype: DType, device: &Device) -> Tensor {
    Tensor::uniform(shape, -bound, bound, dtype, device)
}

/// Fan-in and fan-out, at least 1 each so that empty weights stay finite.
fn fans(shape: &Shape) -> Option<(f64, f64)> {
    let [out, input, kernel @ ..] = &shape[..] else { return None };
    let kernel = kernel.iter().map(|&size| size as f64).product::<f64>();
    Some(((*input as f64 * kernel).max(1.0), (*out as f64 * kernel).max(1.0)))
}

#[track_caller]
fn no_fans(name: &'static str, shape: Shape, dtype: DType, device: &Device) -> Tensor {
    let weight = Tensor::zeros(shape, dtype, device);
    refuse(name, ErrorKind::Shape, "needs at least two axes, [out, in, ..]", &weight, &[])
}
