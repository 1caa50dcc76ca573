//! What the tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use wgrad_cpu::Cpu;
use wgrad_nn::Param;
use wgrad_plan::Planned;
use wgrad_tensor::{DType, Device, Error, Tensor};

/// A CPU with a fixed seed.
pub fn device() -> Device {
    let device = Device::new(Planned::new(Cpu::new()));
    device.manual_seed(7);
    device
}

/// Standard normal numbers.
pub fn random(shape: &[usize], device: &Device) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, DType::F32, device)
}

/// The values in double precision.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// The parameter's values in double precision.
pub fn parameter(param: &Param) -> Vec<f64> {
    values(&param.tensor())
}

/// A tensor that has failed, and its error's text.
pub fn failed(device: &Device) -> (Tensor, String) {
    let tensor = Tensor::zeros([2, 3], DType::F32, device).reshape([7]);
    let message = error(&tensor).to_string();
    (tensor, message)
}

pub fn error(tensor: &Tensor) -> Error {
    tensor.meta().unwrap_err()
}

#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "element {at} is {a}, not {b}");
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The variance, divided by the count less `correction`.
pub fn variance(values: &[f64], correction: f64) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - correction)
}
