//! Gradients through layers.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::device;
use wgrad_autograd::{Backward, gradcheck};
use wgrad_nn::{
    Activation, BatchNorm2d, Buffer, Conv2d, Dropout, Embedding, Flatten, Layer, LayerNorm, Linear, MaxPool2d, Module,
    Param, Scope, Sequential,
};
use wgrad_tensor::{DType, Device, Tensor};

fn doubles(shape: &[usize], device: &Device) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, DType::F64, device)
}

#[test]
fn every_parameter_of_a_network_gets_a_gradient_of_its_shape() {
    let device = device();
    let model = Sequential::new()
        .then(Embedding::new(10, 32, &device))
        .then(LayerNorm::new(32, &device))
        .then(wgrad_nn::Function::new("image", |x| x.unflatten(1, [2, 4, 4])))
        .then(Conv2d::new(2, 4, 3, &device).padding(1))
        .then(BatchNorm2d::new(4, &device))
        .then(Activation::Gelu)
        .then(MaxPool2d::new(2))
        .then(Flatten::new())
        .then(Dropout::new(0.1))
        .then(Linear::new(16, 3, &device));
    let (ids, labels) = (Tensor::new([1u32, 5, 9], &device), Tensor::new([0u32, 2, 1], &device));
    let gradients = model.forward(&ids).cross_entropy(&labels).backward().unwrap();
    for (name, param) in model.named_parameters() {
        let gradient = gradients.get(&param.tensor()).unwrap();
        assert_eq!(gradient.meta().unwrap(), param.meta().unwrap(), "{name}");
        assert!(common::values(&gradient).iter().any(|g| *g != 0.0), "{name}");
    }
    assert_eq!(gradients.len(), model.parameters().len());
}

#[test]
fn frozen_parameters_get_none() {
    let device = device();
    let model = Sequential::new().then(Linear::new(2, 2, &device)).then(Linear::new(2, 1, &device));
    let params = model.parameters();
    params[0].freeze(true);
    let gradients = model.forward(&common::random(&[4, 2], &device)).sum(..).backward().unwrap();
    assert!(!gradients.contains(&params[0].tensor()) && gradients.contains(&params[1].tensor()));
    assert_eq!(gradients.len(), 3);
}

#[test]
fn norms_agree_with_finite_differences() {
    let device = device();
    let x = doubles(&[2, 3, 2, 2], &device);
    let param = || Some(Param::new(doubles(&[3], &device)));
    let batch = BatchNorm2d {
        weight: param(),
        bias: param(),
        running_mean: Buffer::new(doubles(&[3], &device)),
        running_var: Buffer::new(doubles(&[3], &device).square()),
        ..BatchNorm2d::new(3, &device)
    };
    gradcheck(|x| batch.forward(&x[0]), std::slice::from_ref(&x), 1e-5).unwrap();
    batch.eval();
    gradcheck(|x| batch.forward(&x[0]), std::slice::from_ref(&x), 1e-5).unwrap();

    let weight = || Some(Param::new(doubles(&[2, 2], &device)));
    let layer = LayerNorm { weight: weight(), bias: weight(), ..LayerNorm::new([2, 2], &device) };
    gradcheck(|x| layer.forward(&x[0]), std::slice::from_ref(&x), 1e-5).unwrap();

    let map = Linear { weight: Param::new(doubles(&[3, 2], &device)), bias: None, scope: Scope::default() };
    gradcheck(|x| map.forward(&x[0]), std::slice::from_ref(&x), 1e-5).unwrap();
}
