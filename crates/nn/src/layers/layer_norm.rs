//! Normalising each example by itself.

use super::affine;
use crate::fail::refuse;
use crate::{Layer, Module, Param, Scope};
use wgrad_tensor::ops::arguments::Axes;
use wgrad_tensor::{DType, Device, ErrorKind, Shape, Tensor};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias`, with mean and (biased) variance over the last axes, whose sizes
/// are `shape`. PyTorch: `nn.LayerNorm`.
#[derive(Clone, Debug, Module)]
pub struct LayerNorm {
    /// Of `shape`, starts as ones.
    pub weight: Option<Param>,
    /// Of `shape`, starts as zeros.
    pub bias: Option<Param>,
    /// The sizes of the axes that are normalised together.
    #[module(skip)]
    pub shape: Shape,
    /// What keeps the root from zero: 1e-5.
    pub eps: f64,
    /// Its name in the model.
    pub scope: Scope,
}

impl LayerNorm {
    /// Normalises over the last axis, of size `shape`, or over the last axes of these sizes.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>, device: &Device) -> LayerNorm {
        let shape = shape.into();
        LayerNorm {
            weight: Some(Param::new(Tensor::ones(&shape, DType::F32, device))),
            bias: Some(Param::new(Tensor::zeros(&shape, DType::F32, device))),
            shape,
            eps: 1e-5,
            scope: Scope::default(),
        }
    }

    /// The same without a bias. PyTorch: `bias=False`.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }

    /// The same without weight and bias. PyTorch: `elementwise_affine=False`.
    pub fn without_affine(self) -> LayerNorm {
        LayerNorm { weight: None, bias: None, ..self }
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| {
            let Ok(shape) = input.try_shape() else { return input.clone() };
            if !shape.ends_with(&self.shape) {
                let message = format!("normalises over last axes of {}", self.shape);
                return refuse("layer_norm", ErrorKind::Shape, message, input, &[]);
            }
            let axes = Axes::From((shape.len() - self.shape.len()) as isize);
            affine(input.standardize(axes, self.eps), &self.weight, &self.bias, |tensor| tensor)
        })
    }
}
