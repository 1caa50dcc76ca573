//! A training step of the CNN.

use crate::protocol::*;
use crate::{linear, parameter, tensor, training as train, whole_numbers};
use burn::nn::Linear;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::optim::AdamConfig;
use burn::prelude::*;
use burn::tensor::activation::relu;

#[derive(Module, Debug)]
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    fn new(device: &Device) -> Cnn {
        Cnn {
            conv1: conv("conv1", 1, 16, device),
            conv2: conv("conv2", 16, 32, device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            fc1: linear("fc1", 1568, 128, device),
            fc2: linear("fc2", 128, 10, device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(images)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        self.fc2.forward(relu(self.fc1.forward(x.flatten(1, 3))))
    }
}

fn conv(name: &str, inputs: usize, outputs: usize, device: &Device) -> Conv2d {
    let mut conv =
        Conv2dConfig::new([inputs, outputs], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device);
    conv.weight = parameter(&format!("{name}.weight"), [outputs, inputs, 3, 3], device);
    conv.bias = Some(parameter(&format!("{name}.bias"), [outputs], device));
    conv
}

pub fn training(device: &Device) -> Outcome<Work> {
    let device = device.clone().autodiff();
    let images = tensor("mnist_cnn.images", [MNIST_BATCH, 1, 28, 28], &device);
    let labels = whole_numbers("mnist_cnn.labels", [MNIST_BATCH], 10, &device);
    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    let optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    train(Cnn::new(&device), optimizer, &device, move |model| {
        cross_entropy.forward(model.forward(images.clone()), labels.clone())
    })
}
