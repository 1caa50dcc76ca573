//! Many axes as one.

use crate::{Layer, Module, Scope};
use wgrad_tensor::Tensor;

/// The axes from `first` on as one: `[n, c, h, w]` to `[n, c h w]`. PyTorch: `nn.Flatten`.
#[derive(Clone, Debug, Module)]
pub struct Flatten {
    /// The first axis that is flattened: 1, which keeps the batch.
    pub first: isize,
    /// Its name in the model.
    pub scope: Scope,
}

impl Default for Flatten {
    fn default() -> Self {
        Flatten { first: 1, scope: Scope::default() }
    }
}

impl Flatten {
    /// Flattens all axes but the batch's.
    pub fn new() -> Flatten {
        Flatten::default()
    }
}

impl Layer for Flatten {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| input.flatten(self.first..))
    }
}
