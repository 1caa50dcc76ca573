//! Activation functions as layers.

use crate::{Layer, Module, Visitor};
use wgrad_tensor::Tensor;

/// An activation function as a layer, to stand in a [`Sequential`](crate::Sequential); elsewhere call the tensor's
/// method of the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`. PyTorch: `nn.ReLU`.
    Relu,
    /// `x` above 0, the slope times `x` below. PyTorch: `nn.LeakyReLU`.
    LeakyRelu(f64),
    /// `x` above 0, `alpha (e^x - 1)` below. PyTorch: `nn.ELU`.
    Elu(f64),
    /// `x Phi(x)`, exact. PyTorch: `nn.GELU`.
    Gelu,
    /// GELU by its tanh approximation. PyTorch: `nn.GELU(approximate="tanh")`.
    GeluTanh,
    /// `x sigmoid(x)`. PyTorch: `nn.SiLU`.
    Silu,
    /// `x tanh(softplus(x))`. PyTorch: `nn.Mish`.
    Mish,
    /// `log(1 + e^x)`. PyTorch: `nn.Softplus`.
    Softplus,
    /// `1 / (1 + e^-x)`. PyTorch: `nn.Sigmoid`.
    Sigmoid,
    /// The hyperbolic tangent. PyTorch: `nn.Tanh`.
    Tanh,
    /// `e^x / sum e^x` along an axis. PyTorch: `nn.Softmax`.
    Softmax(isize),
    /// `x - log sum e^x` along an axis. PyTorch: `nn.LogSoftmax`.
    LogSoftmax(isize),
}

impl Activation {
    fn name(self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::LeakyRelu(_) => "LeakyRelu",
            Activation::Elu(_) => "Elu",
            Activation::Gelu => "Gelu",
            Activation::GeluTanh => "GeluTanh",
            Activation::Silu => "Silu",
            Activation::Mish => "Mish",
            Activation::Softplus => "Softplus",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::Softmax(_) => "Softmax",
            Activation::LogSoftmax(_) => "LogSoftmax",
        }
    }
}

impl Module for Activation {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.kind(self.name());
    }
}

impl Layer for Activation {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        match *self {
            Activation::Relu => input.relu(),
            Activation::LeakyRelu(slope) => input.leaky_relu(slope),
            Activation::Elu(alpha) => input.elu(alpha),
            Activation::Gelu => input.gelu(),
            Activation::GeluTanh => input.gelu_tanh(),
            Activation::Silu => input.silu(),
            Activation::Mish => input.mish(),
            Activation::Softplus => input.softplus(),
            Activation::Sigmoid => input.sigmoid(),
            Activation::Tanh => input.tanh(),
            Activation::Softmax(axis) => input.softmax(axis),
            Activation::LogSoftmax(axis) => input.log_softmax(axis),
        }
    }
}
