//! A linear map.

use crate::{Layer, Module, Param, Scope, init};
use wgrad_tensor::{Device, Tensor};

/// `y = x W^T + b` over the last axis: `[.., in]` to `[.., out]`. PyTorch: `nn.Linear`.
///
/// Weight and bias start as U(-1/sqrt(in), 1/sqrt(in)).
///
/// ```
/// # use wgrad_nn::{Layer, Linear};
/// # use wgrad_tensor::{DType, Device, Tensor};
/// # let device = Device::new(wgrad_plan::Planned::new(wgrad_cpu::Cpu::new()));
/// let layer = Linear::new(4, 2, &device);
/// let x = Tensor::ones([8, 4], DType::F32, &device);
/// assert_eq!(&layer.forward(&x).shape()[..], [8, 2]);
/// ```
#[derive(Clone, Debug, Module)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    /// Its name in the model.
    pub scope: Scope,
}

impl Linear {
    /// A map from `inputs` numbers to `outputs`.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Linear {
        Linear {
            weight: Param::new(init::by_fan_in([outputs, inputs], inputs, device)),
            bias: Some(Param::new(init::by_fan_in(outputs, inputs, device))),
            scope: Scope::default(),
        }
    }

    /// The same without a bias. PyTorch: `bias=False`.
    pub fn without_bias(self) -> Linear {
        Linear { bias: None, ..self }
    }
}

impl Layer for Linear {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| input.linear(&self.weight.tensor(), self.bias.as_ref().map(Param::tensor).as_ref()))
    }
}
