//! The works in Burn, on its CPU backend or on its wgpu backend: `peer-burn [cpu|vulkan]`, as the features allow.
#![recursion_limit = "256"]

mod gpt;
mod mnist;
#[path = "../../protocol.rs"]
mod protocol;

use burn::module::Param;
use burn::nn::Linear;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::layer_norm;
use protocol::*;

const WORKS: &[Named<Device>] = &[
    ("chain", chain),
    ("softmax", softmax_rows),
    ("layer_norm", layer_norm_rows),
    ("sum", sum),
    ("matmul", matmul),
    ("gradient", gradient),
    ("mnist_cnn", mnist::training),
    ("gpt", gpt::training),
    ("tiny_adds", tiny_adds),
];

fn main() -> Outcome<()> {
    let (device, name) = match std::env::args().nth(1).as_deref() {
        #[cfg(feature = "cpu")]
        None | Some("cpu") => (Device::flex(), "flex"),
        #[cfg(feature = "vulkan")]
        Some("vulkan") => (Device::wgpu(Default::default()), "wgpu"),
        _ => return Err("this build has no such device".into()),
    };
    serve(&format!("Burn 0.22.1 {name}"), &device, WORKS)
}

fn tensor<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(name, shape.iter().product()), shape), device)
}

fn whole_numbers<const D: usize>(name: &str, shape: [usize; D], limit: usize, device: &Device) -> Tensor<D, Int> {
    let values: Vec<i32> = indices(name, shape.iter().product(), limit).into_iter().map(|i| i as i32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f32>> {
    Ok(tensor.into_data().try_to_vec()?)
}

/// Work whose result is a tensor.
fn evaluating<const D: usize>(device: &Device, mut compute: impl FnMut() -> Tensor<D> + 'static) -> Outcome<Work> {
    let device = device.clone();
    Ok(Box::new(move |show| {
        let result = compute();
        if show {
            return values(result);
        }
        device.sync()?;
        Ok(Vec::new())
    }))
}

fn chain(device: &Device) -> Outcome<Work> {
    let x = tensor("chain.x", [4 << 20], device);
    evaluating(device, move || {
        let inner = x.clone() * x.clone() * x.clone() * 0.044715 + x.clone();
        ((inner * 0.797_884_6).tanh() + 1.0) * x.clone() * 0.5 + x.clone()
    })
}

fn softmax_rows(device: &Device) -> Outcome<Work> {
    let x = tensor("softmax.x", [4096, 1024], device);
    evaluating(device, move || softmax(x.clone(), 1))
}

fn layer_norm_rows(device: &Device) -> Outcome<Work> {
    let x = tensor("layer_norm.x", [4096, 768], device);
    let weight = tensor("layer_norm.weight", [768], device);
    let bias = tensor("layer_norm.bias", [768], device);
    evaluating(device, move || layer_norm(x.clone(), weight.clone(), Some(bias.clone()), 1e-5))
}

fn sum(device: &Device) -> Outcome<Work> {
    let x = tensor("sum.x", [16 << 20], device) + 1.0;
    device.sync()?;
    Ok(Box::new(move |_| values(x.clone().sum())))
}

fn matmul(device: &Device) -> Outcome<Work> {
    let a = tensor("matmul.a", [1024, 1024], device);
    let b = tensor("matmul.b", [1024, 1024], device);
    evaluating(device, move || a.clone().matmul(b.clone()))
}

fn gradient(device: &Device) -> Outcome<Work> {
    let device = device.clone().autodiff();
    let a = tensor("gradient.a", [256, 256], &device).require_grad();
    let b = tensor("gradient.b", [256, 256], &device).require_grad();
    Ok(Box::new(move |_| {
        let gradients = relu(a.clone().matmul(b.clone())).sum().backward();
        let of = |x: &Tensor<2>| values(x.grad(&gradients).ok_or("there is no gradient")?);
        let mut both = of(&a)?;
        both.extend(of(&b)?);
        Ok(both)
    }))
}

/// The parameter called `name`.
fn parameter<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_data(TensorData::new(initial(name, &shape), shape), device)
}

/// A linear layer, whose weight Burn keeps as `[in, out]`.
fn linear(name: &str, inputs: usize, outputs: usize, device: &Device) -> Linear {
    let weight = initial(&format!("{name}.weight"), &[outputs, inputs]);
    let transposed: Vec<f32> = (0..inputs * outputs).map(|i| weight[i % outputs * inputs + i / outputs]).collect();
    Linear {
        weight: Param::from_data(TensorData::new(transposed, [inputs, outputs]), device),
        bias: Some(parameter(&format!("{name}.bias"), [outputs], device)),
    }
}

/// A training step: `loss` gives the loss of a model.
fn training<M: Module + Clone + 'static>(
    model: M,
    mut optimizer: ModuleOptimizer,
    device: &Device,
    loss: impl Fn(&M) -> Tensor<1> + 'static,
) -> Outcome<Work> {
    let device = device.clone();
    let mut model = Some(model);
    Ok(Box::new(move |_| {
        let now = model.take().ok_or("an earlier step has failed")?;
        let loss = loss(&now);
        let gradients = GradientsParams::from_grads(loss.backward(), &now);
        model = Some(optimizer.step(LEARNING_RATE, now, gradients));
        device.sync()?;
        values(loss)
    }))
}

fn tiny_adds(device: &Device) -> Outcome<Work> {
    let step: Tensor<1> = Tensor::from_data(TINY, device);
    Ok(Box::new(move |_| {
        let mut x = step.zeros_like();
        let mut numbers = Vec::new();
        for _ in 0..TINY_ADDS {
            x = x + step.clone();
            numbers = values(x.clone())?;
        }
        Ok(numbers)
    }))
}
