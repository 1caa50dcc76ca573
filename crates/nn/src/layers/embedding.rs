//! Learned vectors for whole numbers.

use crate::{Layer, Module, Param, Scope};
use wgrad_tensor::{DType, Device, Tensor};

/// One row of the weight for each index: `[..]` (u32 or i32) to `[.., size]`. PyTorch: `nn.Embedding`.
///
/// The weight starts as N(0, 1). An index beyond it is an error where the output is read.
#[derive(Clone, Debug, Module)]
pub struct Embedding {
    /// `[count, size]`.
    pub weight: Param,
    /// Its name in the model.
    pub scope: Scope,
}

impl Embedding {
    /// `count` vectors of `size` numbers.
    #[track_caller]
    pub fn new(count: usize, size: usize, device: &Device) -> Embedding {
        let weight = Param::new(Tensor::normal([count, size], 0.0, 1.0, DType::F32, device));
        Embedding { weight, scope: Scope::default() }
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| match input.meta() {
            Ok(_) => self.weight.tensor().embedding(input),
            Err(_) => input.clone(),
        })
    }
}
