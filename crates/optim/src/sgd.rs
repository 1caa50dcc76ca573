//! Stochastic gradient descent.

use crate::optimizer::{Optimizer, Rule, Step};
use wgrad_nn::Param;
use wgrad_tensor::Tensor;

/// Stochastic gradient descent, with momentum if wanted. PyTorch: `torch.optim.SGD` without dampening.
///
/// ```text
/// g = gradient + weight_decay * param
/// m = momentum * m + g
/// param = param - lr * (nesterov ? g + momentum * m : m)
/// ```
///
/// ```
/// # use wgrad_optim::Sgd;
/// # fn example(model: impl wgrad_nn::Module) {
/// let mut optimizer = Sgd::new(model.parameters(), 0.1).momentum(0.9).nesterov(true).weight_decay(5e-4);
/// # }
/// ```
pub type Sgd = Optimizer<SgdRule>;

/// The formula of [`Sgd`].
#[derive(Clone, Debug, Default)]
pub struct SgdRule {
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent: no momentum, no weight decay.
    pub fn new(parameters: Vec<Param>, lr: f64) -> Self {
        Optimizer::with_rule(SgdRule::default(), parameters, lr)
    }

    /// How much of the last step carries over into the next. It is to be set before the first step.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// Looks ahead along the momentum (Nesterov).
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.rule.nesterov = nesterov;
        self
    }
}

impl Rule for SgdRule {
    fn kept(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn update(&self, step: Step, param: &Tensor, gradient: &Tensor, kept: &mut [Tensor]) -> Tensor {
        let gradient = decayed(gradient, param, step.weight_decay);
        let direction = match kept {
            [velocity] => {
                *velocity = &*velocity * self.momentum + &gradient;
                if self.nesterov { gradient + &*velocity * self.momentum } else { velocity.clone() }
            }
            _ => gradient,
        };
        param - direction * step.lr
    }
}

/// The gradient with that of a penalty of `weight_decay / 2` times the squared parameter.
pub(crate) fn decayed(gradient: &Tensor, param: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 { gradient.clone() } else { gradient + param * weight_decay }
}
