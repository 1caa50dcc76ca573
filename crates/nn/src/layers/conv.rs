//! Convolution of images.

use super::Pair;
use crate::{Layer, Module, Param, Scope, init};
use wgrad_tensor::op::Window2d;
use wgrad_tensor::{Device, Tensor};

/// A two-dimensional convolution: `[n, in, h, w]` to `[n, out, oh, ow]`, where
/// `oh = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1`. PyTorch: `nn.Conv2d`.
///
/// Stride 1, no padding, dilation 1 and one group unless said otherwise. Weight and bias start as
/// U(-1/sqrt(f), 1/sqrt(f)) with `f = in / groups * kernel rows * kernel columns`.
///
/// ```
/// # use wgrad_nn::{Conv2d, Layer};
/// # use wgrad_tensor::{DType, Device, Tensor};
/// # let device = Device::new(wgrad_plan::Planned::new(wgrad_cpu::Cpu::new()));
/// let layer = Conv2d::new(3, 16, 3, &device).stride(2).padding(1).without_bias();
/// let images = Tensor::ones([8, 3, 32, 32], DType::F32, &device);
/// assert_eq!(&layer.forward(&images).shape()[..], [8, 16, 16, 16]);
/// ```
#[derive(Clone, Debug, Module)]
pub struct Conv2d {
    /// `[out, in / groups, kernel rows, kernel columns]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    /// Stride, padding, dilation and groups.
    #[module(skip)]
    pub window: Window2d,
    /// Its name in the model.
    pub scope: Scope,
}

impl Conv2d {
    /// A convolution of `inputs` channels to `outputs`, with a kernel of `3` or `[3, 5]`.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel: impl Pair, device: &Device) -> Conv2d {
        Conv2d::grouped(inputs, outputs, kernel, 1, device)
    }

    /// A convolution in `groups` blocks of channels that do not see each other; with as many groups as channels it is
    /// a depthwise one. PyTorch: `groups=`.
    #[track_caller]
    pub fn grouped(inputs: usize, outputs: usize, kernel: impl Pair, groups: usize, device: &Device) -> Conv2d {
        let [rows, columns] = kernel.pair();
        // Groups that do not divide the channels are refused where the convolution is recorded.
        let per_group = inputs.checked_div(groups).unwrap_or(inputs);
        let fan_in = per_group * rows * columns;
        Conv2d {
            weight: Param::new(init::by_fan_in([outputs, per_group, rows, columns], fan_in, device)),
            bias: Some(Param::new(init::by_fan_in(outputs, fan_in, device))),
            window: Window2d { groups, ..Window2d::default() },
            scope: Scope::default(),
        }
    }

    /// Steps between windows.
    pub fn stride(mut self, stride: impl Pair) -> Conv2d {
        self.window.stride = stride.pair();
        self
    }

    /// Zeros around the input, on each side.
    pub fn padding(mut self, padding: impl Pair) -> Conv2d {
        self.window.padding = padding.pair();
        self
    }

    /// Steps between the elements of a window.
    pub fn dilation(mut self, dilation: impl Pair) -> Conv2d {
        self.window.dilation = dilation.pair();
        self
    }

    /// The same without a bias: where a batch norm follows, it would be lost. PyTorch: `bias=False`.
    pub fn without_bias(self) -> Conv2d {
        Conv2d { bias: None, ..self }
    }
}

impl Layer for Conv2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| {
            let output = input.conv2d(&self.weight.tensor(), self.window);
            match &self.bias {
                Some(bias) => output + bias.tensor().reshape([-1, 1, 1]),
                None => output,
            }
        })
    }
}
