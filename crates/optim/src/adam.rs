//! Adam, with its two kinds of weight decay.

use crate::optimizer::{Optimizer, Rule, Step};
use crate::sgd::decayed;
use std::borrow::Cow;
use wgrad_nn::Param;
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::{Argument, Compute, Meta, Metas, Op, OpRef, Part, Parts};
use wgrad_tensor::ops::table;
use wgrad_tensor::{ErrorKind, Tensor, elementwise};

// A training step records each of these for every parameter: fewer calls than with the operations that they consist of.
elementwise! {
    /// The running mean `x`, so far as `weight` says on the way to the square of `z`.
    algebraic LERP_SQUARE: lerp_square(x, z, weight) -> y { x + weight * (z * z - x) } "x + z * (y * y - x)"
    /// `x` over what is a little more than the root of `z`.
    algebraic OVER_ROOT: over_root(x, z, eps) -> y { x / (z.sqrt() + eps) } "x / (sqrt(y) + z)"
    /// `x` less a multiple of `z`.
    algebraic LESS: less(x, z, factor) -> y { x - z * factor } "x - y * z"
}

/// What a step makes of a parameter and its two running means, given these and the gradient; and as numbers how far each
/// mean goes, what is added to the root, how far the parameter goes and, where it decays, what remains of it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AdamStep {
    decays: bool,
}

impl AdamStep {
    /// The op, of which there is one for all calls.
    fn op(decays: bool) -> OpRef {
        OpRef::Static(if decays { &AdamStep { decays: true } } else { &AdamStep { decays: false } })
    }
}

impl Op for AdamStep {
    fn name(&self) -> Cow<'static, str> {
        "adam_step".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        match inputs {
            [param, rest @ ..]
                if rest.len() == 3 && rest.iter().all(|meta| meta == param) && param.dtype.is_float() =>
            {
                Ok(Metas::from_elem(Meta::clone(param), 3))
            }
            _ => Err(Problem::new(ErrorKind::Shape, "takes floats of one shape and dtype")),
        }
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    fn parts(&self) -> Parts {
        let [param, mean, square, gradient] = [0, 1, 2, 3].map(Argument::Input);
        let [to_gradient, to_square, eps, factor, remains] = [0, 1, 2, 3, 4].map(Argument::Number);
        let mut steps = vec![
            Part::Row(&table::LERP, vec![mean, gradient, to_gradient]),
            Part::Row(&LERP_SQUARE, vec![square, gradient, to_square]),
            Part::Row(&OVER_ROOT, vec![Argument::Part(0), Argument::Part(1), eps]),
        ];
        let mut from = param;
        if self.decays {
            steps.push(Part::Row(&table::MUL, vec![param, remains]));
            from = Argument::Part(3);
        }
        steps.push(Part::Row(&LESS, vec![from, Argument::Part(2), factor]));
        Parts { outputs: vec![steps.len() - 1, 0, 1], steps }
    }
}

/// Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015). PyTorch: `torch.optim.Adam`.
///
/// ```text
/// g = gradient + weight_decay * param
/// m = m + (1 - beta1) * (g - m)
/// v = v + (1 - beta2) * (g^2 - v)
/// param = param - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// ```
/// # use wgrad_optim::Adam;
/// # fn example(model: impl wgrad_nn::Module) {
/// let mut optimizer = Adam::new(model.parameters(), 1e-3).betas(0.9, 0.98).eps(1e-9);
/// # }
/// ```
pub type Adam = Optimizer<AdamRule<false>>;

/// Adam with weight decay apart from the gradient (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019):
/// first `param = param * (1 - lr * weight_decay)`, then the step of [`Adam`] without decay.
/// PyTorch: `torch.optim.AdamW`, also in its default weight decay of 0.01.
///
/// ```
/// # use wgrad_optim::AdamW;
/// # fn example(model: impl wgrad_nn::Module) {
/// let mut optimizer = AdamW::new(model.parameters(), 1e-3).weight_decay(0.1).decay_matrices_only();
/// # }
/// ```
pub type AdamW = Optimizer<AdamRule<true>>;

/// The formula of [`Adam`] and, with `DECOUPLED` weight decay, of [`AdamW`].
#[derive(Clone, Debug)]
pub struct AdamRule<const DECOUPLED: bool> {
    betas: (f64, f64),
    eps: f64,
}

impl<const DECOUPLED: bool> Optimizer<AdamRule<DECOUPLED>> {
    /// With betas of 0.9 and 0.999, eps of 1e-8, and PyTorch's weight decay: 0.01 where it is decoupled, else 0.
    pub fn new(parameters: Vec<Param>, lr: f64) -> Self {
        let rule = AdamRule { betas: (0.9, 0.999), eps: 1e-8 };
        Optimizer::with_rule(rule, parameters, lr).weight_decay(if DECOUPLED { 0.01 } else { 0.0 })
    }

    /// How much of the running means of the gradient and of its square carries over into the next step.
    #[must_use]
    pub fn betas(mut self, gradient: f64, square: f64) -> Self {
        self.rule.betas = (gradient, square);
        self
    }

    /// What is added to the divisor, so that it is never zero.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.rule.eps = eps;
        self
    }
}

impl<const DECOUPLED: bool> Rule for AdamRule<DECOUPLED> {
    fn kept(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, step: Step, param: &Tensor, gradient: &Tensor, kept: &mut [Tensor]) -> Tensor {
        let [mean, square] = kept else { return param.clone() };
        let (beta1, beta2) = self.betas;
        let gradient = if DECOUPLED { gradient } else { &decayed(gradient, param, step.weight_decay) };
        let corrected = |beta: f64| 1.0 - beta.powi(step.count.try_into().unwrap_or(i32::MAX));
        // The fraction times the root of the square's correction: one step less.
        let root = corrected(beta2).sqrt();
        let decays = DECOUPLED && step.weight_decay != 0.0;
        let factor = step.lr * root / corrected(beta1);
        let remains = decays.then_some(1.0 - step.lr * step.weight_decay);
        let numbers = [1.0 - beta1, 1.0 - beta2, self.eps * root, factor].into_iter().chain(remains);
        let numbers = numbers.map(Scalar::Float).collect();
        let inputs = [param, &*mean, &*square, gradient];
        let [next, next_mean, next_square] = Tensor::apply_all(AdamStep::op(decays), &inputs, numbers, param.device());
        (*mean, *square) = (next_mean, next_square);
        next
    }
}
