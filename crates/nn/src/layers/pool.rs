//! Pooling of images.

use super::Pair;
use crate::{Layer, Module, Scope};
use wgrad_tensor::Tensor;
use wgrad_tensor::ops::pool::Pool2d;

/// The largest of each window: `[.., h, w]` to `[.., oh, ow]`, where `oh = (h + 2 padding - size) / stride + 1`.
/// PyTorch: `nn.MaxPool2d`.
#[derive(Clone, Debug, Module)]
pub struct MaxPool2d {
    /// Size, stride and padding.
    #[module(skip)]
    pub pool: Pool2d,
    /// Its name in the model.
    pub scope: Scope,
}

/// The mean of each window, padding included: `[.., h, w]` to `[.., oh, ow]`, where
/// `oh = (h + 2 padding - size) / stride + 1`. PyTorch: `nn.AvgPool2d`.
#[derive(Clone, Debug, Module)]
pub struct AvgPool2d {
    /// Size, stride and padding.
    #[module(skip)]
    pub pool: Pool2d,
    /// Its name in the model.
    pub scope: Scope,
}

impl MaxPool2d {
    /// Windows of `2` or `[2, 3]` that move by their own size.
    pub fn new(size: impl Pair) -> MaxPool2d {
        MaxPool2d { pool: side_by_side(size.pair()), scope: Scope::default() }
    }

    /// Steps between windows.
    pub fn stride(mut self, stride: impl Pair) -> MaxPool2d {
        self.pool.stride = stride.pair();
        self
    }

    /// Elements added on each side, which are never the largest.
    pub fn padding(mut self, padding: impl Pair) -> MaxPool2d {
        self.pool.padding = padding.pair();
        self
    }
}

impl AvgPool2d {
    /// Windows of `2` or `[2, 3]` that move by their own size.
    pub fn new(size: impl Pair) -> AvgPool2d {
        AvgPool2d { pool: side_by_side(size.pair()), scope: Scope::default() }
    }

    /// Steps between windows.
    pub fn stride(mut self, stride: impl Pair) -> AvgPool2d {
        self.pool.stride = stride.pair();
        self
    }

    /// Zeros added on each side, which count.
    pub fn padding(mut self, padding: impl Pair) -> AvgPool2d {
        self.pool.padding = padding.pair();
        self
    }
}

fn side_by_side(size: [usize; 2]) -> Pool2d {
    Pool2d { size, stride: size, padding: [0, 0] }
}

impl Layer for MaxPool2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| input.max_pool2d(self.pool))
    }
}

impl Layer for AvgPool2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| input.avg_pool2d(self.pool))
    }
}
