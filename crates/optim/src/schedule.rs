//! Learning rates as functions of the step.

use std::f64::consts::PI;

/// A learning rate for every step, counted from 0. Any `Fn(usize) -> f64` is one.
///
/// ```
/// use wgrad_optim::{Cosine, Schedule};
///
/// let schedule = Cosine { lr: 0.1, min: 0.0, steps: 100 }.warm_up(10, 0.1);
/// assert_eq!(schedule.lr(0), 0.1 * 0.1);
/// assert_eq!(schedule.lr(10), 0.1);
/// assert_eq!(schedule.lr(110), 0.0);
///
/// let inverse_root = |step: usize| 0.1 / ((step + 1) as f64).sqrt();
/// assert_eq!(inverse_root.lr(3), 0.05);
/// ```
pub trait Schedule {
    /// The learning rate of this step.
    fn lr(&self, step: usize) -> f64;

    /// Before this schedule, `steps` steps that rise linearly from `from` times its first learning rate to all of it.
    /// PyTorch: `SequentialLR` of `LinearLR(start_factor=from, total_iters=steps)` and this one, with milestone `steps`.
    fn warm_up(self, steps: usize, from: f64) -> WarmUp<Self>
    where
        Self: Sized,
    {
        WarmUp { steps, from, then: self }
    }
}

impl<F: Fn(usize) -> f64> Schedule for F {
    fn lr(&self, step: usize) -> f64 {
        self(step)
    }
}

/// The same learning rate in every step. PyTorch: `ConstantLR(factor=1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// The learning rate.
    pub lr: f64,
}

impl Schedule for Constant {
    fn lr(&self, _step: usize) -> f64 {
        self.lr
    }
}

/// `lr * factor^(step / every)`, rounded down. PyTorch: `StepLR`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDecay {
    /// The first learning rate.
    pub lr: f64,
    /// What it is multiplied by at a time.
    pub factor: f64,
    /// How many steps pass from one time to the next; never, where it is 0.
    pub every: usize,
}

impl Schedule for StepDecay {
    fn lr(&self, step: usize) -> f64 {
        let times = step.checked_div(self.every).unwrap_or(0);
        self.lr * self.factor.powi(times.try_into().unwrap_or(i32::MAX))
    }
}

/// Half a cosine from `lr` down to `min` over `steps` steps: `min + (lr - min) * (1 + cos(pi * step / steps)) / 2`.
/// PyTorch: `CosineAnnealingLR`, which rises again after that; this one stays at `min`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// The first learning rate.
    pub lr: f64,
    /// The last one.
    pub min: f64,
    /// How many steps it takes to get there.
    pub steps: usize,
}

impl Schedule for Cosine {
    fn lr(&self, step: usize) -> f64 {
        if step >= self.steps {
            return self.min;
        }
        self.min + (self.lr - self.min) * (1.0 + (PI * step as f64 / self.steps as f64).cos()) / 2.0
    }
}

/// Another schedule after a linear rise; made by [`Schedule::warm_up`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp<S> {
    steps: usize,
    from: f64,
    then: S,
}

impl<S: Schedule> Schedule for WarmUp<S> {
    fn lr(&self, step: usize) -> f64 {
        match step.checked_sub(self.steps) {
            Some(step) => self.then.lr(step),
            None => self.then.lr(0) * (self.from + (1.0 - self.from) * step as f64 / self.steps as f64),
        }
    }
}
