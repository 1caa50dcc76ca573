//! Random zeros.

use crate::fail::refuse;
use crate::{Layer, Mode, Module, Scope};
use wgrad_tensor::{ErrorKind, Tensor};

/// In training, each number becomes 0 with probability `p`, and the others are scaled by `1 / (1 - p)`, which keeps the
/// mean. In evaluation everything passes. PyTorch: `nn.Dropout`.
///
/// Which numbers follows from the device's seed and differs from call to call.
#[derive(Clone, Debug, Module)]
pub struct Dropout {
    /// The probability of a zero.
    pub p: f64,
    /// Training or evaluating.
    pub mode: Mode,
    /// Its name in the model.
    pub scope: Scope,
}

impl Dropout {
    /// Zeros with probability `p`, of 0 to 1.
    pub fn new(p: f64) -> Dropout {
        Dropout { p, mode: Mode::default(), scope: Scope::default() }
    }
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| {
            let Ok(shape) = input.try_shape() else { return input.clone() };
            let kept = 1.0 - self.p;
            if !(0.0..=1.0).contains(&self.p) {
                let message = format!("the probability {} is not in 0 to 1", self.p);
                refuse("dropout", ErrorKind::Value, message, input, &[])
            } else if !self.mode.is_training() || self.p == 0.0 {
                input.clone()
            } else if kept == 0.0 {
                input * 0.0
            } else {
                Tensor::bernoulli(shape, kept, input.device()).where_(input * (1.0 / kept), 0.0)
            }
        })
    }
}
