//! The two networks.

use wgrad::prelude::*;

/// Which network to train.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// Two linear layers, 784 - 512 - 10
    Mlp,
    /// Two convolutions and two linear layers
    Cnn,
}

#[derive(Module)]
struct Mlp {
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}

#[derive(Module)]
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}

/// A network that maps `[batch, 1, 28, 28]` to `[batch, 10]`.
pub fn network(architecture: Architecture, device: &Device) -> Box<dyn Layer> {
    match architecture {
        Architecture::Mlp => Box::new(Mlp::new(device)),
        Architecture::Cnn => Box::new(Cnn::new(device)),
    }
}

impl Mlp {
    fn new(device: &Device) -> Mlp {
        Mlp { fc1: Linear::new(784, 512, device), dropout: Dropout::new(0.4), fc2: Linear::new(512, 10, device) }
    }
}

impl Layer for Mlp {
    fn forward(&self, images: &Tensor) -> Tensor {
        let x = images.flatten(1..); // [batch, 784]
        let x = self.fc1.forward(&x).relu();
        self.fc2.forward(&self.dropout.forward(&x))
    }
}

impl Cnn {
    fn new(device: &Device) -> Cnn {
        Cnn {
            conv1: Conv2d::new(1, 16, 3, device).padding(1),
            conv2: Conv2d::new(16, 32, 3, device).padding(1),
            fc1: Linear::new(1568, 128, device),
            dropout: Dropout::new(0.25),
            fc2: Linear::new(128, 10, device),
        }
    }
}

impl Layer for Cnn {
    fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.conv1.forward(images).relu().max_pool2d(2); // [batch, 16, 14, 14]
        let x = self.conv2.forward(&x).relu().max_pool2d(2); // [batch, 32, 7, 7]
        let x = self.fc1.forward(&x.flatten(1..)).relu();
        self.fc2.forward(&self.dropout.forward(&x))
    }
}
