//! The layers, one file each.

mod activation;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod flatten;
mod layer_norm;
mod linear;
mod pool;
mod sequential;

pub use activation::Activation;
pub use batch_norm::BatchNorm2d;
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use pool::{AvgPool2d, MaxPool2d};
pub use sequential::{Function, Sequential};

use crate::Param;
use wgrad_tensor::Tensor;

/// Rows and columns: `3` for both, or `[3, 5]`.
pub trait Pair {
    /// Rows, then columns.
    fn pair(self) -> [usize; 2];
}

impl Pair for usize {
    fn pair(self) -> [usize; 2] {
        [self, self]
    }
}

impl Pair for [usize; 2] {
    fn pair(self) -> [usize; 2] {
        self
    }
}

impl Pair for (usize, usize) {
    fn pair(self) -> [usize; 2] {
        [self.0, self.1]
    }
}

/// `x * weight + bias`, where there are any; `shaped` lays them out along the axes of `x`.
#[track_caller]
fn affine(x: Tensor, weight: &Option<Param>, bias: &Option<Param>, shaped: impl Fn(Tensor) -> Tensor) -> Tensor {
    let scaled = match weight {
        Some(weight) => x * shaped(weight.tensor()),
        None => x,
    };
    match bias {
        Some(bias) => scaled + shaped(bias.tensor()),
        None => scaled,
    }
}
