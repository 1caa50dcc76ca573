//! What all optimizers share: parameters, their options, and the step.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::Arc;
use wgrad_autograd::Gradients;
use wgrad_nn::Param;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Meta;
use wgrad_tensor::scope::{called_from, in_scope, no_grad};
use wgrad_tensor::{Error, ErrorKind, Result, Tensor, eval_all};

/// The formula of an optimizer: how one parameter changes in one step.
///
/// ```
/// use wgrad_optim::{Optimizer, Rule, Step};
/// use wgrad_tensor::Tensor;
///
/// /// Sign descent: every element moves by the learning rate.
/// struct Sign;
///
/// impl Rule for Sign {
///     fn kept(&self) -> &'static [&'static str] {
///         &[]
///     }
///     fn update(&self, step: Step, param: &Tensor, gradient: &Tensor, _kept: &mut [Tensor]) -> Tensor {
///         param - gradient.sign() * step.lr
///     }
/// }
///
/// # fn example(model: impl wgrad_nn::Module) {
/// let optimizer = Optimizer::with_rule(Sign, model.parameters(), 1e-3);
/// # }
/// ```
pub trait Rule {
    /// The names of the tensors that it keeps for each parameter from step to step. They start as zeros.
    fn kept(&self) -> &'static [&'static str];

    /// The parameter's next value. `kept` are the tensors of those names, to be replaced by their next values.
    fn update(&self, step: Step, param: &Tensor, gradient: &Tensor, kept: &mut [Tensor]) -> Tensor;
}

/// The numbers of one parameter's step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Which step of this parameter it is, from 1.
    pub count: u32,
}

/// Parameters, and the [`Rule`] that changes them by their gradients.
#[derive(Debug)]
pub struct Optimizer<R> {
    pub(crate) rule: R,
    pub(crate) slots: Vec<Slot>,
    lr: f64,
    weight_decay: f64,
}

/// A parameter, its own options, and what is kept for it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub param: Param,
    lr_factor: f64,
    decay_factor: f64,
    /// As many as the rule keeps; none before the first step.
    pub kept: Vec<Tensor>,
    pub count: u32,
}

/// What a step makes of a parameter.
struct Update {
    slot: usize,
    value: Tensor,
    kept: Vec<Tensor>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer of `parameters` by a rule. One that occurs twice (tied weights) counts once.
    pub fn with_rule(rule: R, parameters: Vec<Param>, lr: f64) -> Self {
        let mut seen = HashSet::new();
        let distinct = parameters.into_iter().filter(|param| seen.insert(param.id()));
        let slot = |param| Slot { param, lr_factor: 1.0, decay_factor: 1.0, kept: Vec::new(), count: 0 };
        Optimizer { rule, slots: distinct.map(slot).collect(), lr, weight_decay: 0.0 }
    }

    /// Sets the weight decay of all parameters.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Multiplies the weight decay of those parameters that `choose` picks by name, shape and dtype.
    #[must_use]
    pub fn decay_factor(mut self, factor: f64, choose: impl Fn(&str, &Meta) -> bool) -> Self {
        self.chosen(choose).for_each(|slot| slot.decay_factor = factor);
        self
    }

    /// Multiplies the learning rate of those parameters that `choose` picks by name, shape and dtype.
    ///
    /// ```
    /// # use wgrad_optim::AdamW;
    /// # fn example(model: impl wgrad_nn::Module) {
    /// AdamW::new(model.parameters(), 1e-3).lr_factor(0.1, |name, _| name.starts_with("backbone."));
    /// # }
    /// ```
    #[must_use]
    pub fn lr_factor(mut self, factor: f64, choose: impl Fn(&str, &Meta) -> bool) -> Self {
        self.chosen(choose).for_each(|slot| slot.lr_factor = factor);
        self
    }

    /// Takes weight decay from those parameters that `choose` picks by name, shape and dtype.
    #[must_use]
    pub fn no_decay(self, choose: impl Fn(&str, &Meta) -> bool) -> Self {
        self.decay_factor(0.0, choose)
    }

    /// Takes weight decay from biases and the scales of norms: all parameters of fewer than two axes.
    #[must_use]
    pub fn decay_matrices_only(self) -> Self {
        self.no_decay(|_, meta| meta.shape.len() < 2)
    }

    fn chosen(&mut self, choose: impl Fn(&str, &Meta) -> bool) -> impl Iterator<Item = &mut Slot> {
        let names = self.names();
        self.slots.iter_mut().zip(names).filter_map(move |(slot, name)| {
            let chosen = slot.param.meta().is_ok_and(|meta| choose(&name, meta));
            chosen.then_some(slot)
        })
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Sets the learning rate, from a [`Schedule`](crate::Schedule) for example.
    pub fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// How many steps have been taken.
    pub fn steps(&self) -> usize {
        self.slots.iter().map(|slot| slot.count as usize).max().unwrap_or(0)
    }

    /// What the rule keeps, for all parameters that were stepped.
    pub fn kept(&self) -> impl Iterator<Item = &Tensor> {
        self.slots.iter().flat_map(|slot| &slot.kept)
    }

    /// The parameters' names, each once: by position where they have none or share one.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let mut seen = HashSet::with_capacity(self.slots.len());
        let names = (0..self.slots.len()).map(|position| match self.name(position) {
            name if seen.insert(name.clone()) => name,
            name => format!("{name}#{position}").into(),
        });
        names.collect()
    }

    /// A parameter's name, or its position.
    fn name(&self, position: usize) -> Arc<str> {
        self.slots[position].param.name().unwrap_or_else(|| format!("#{position}").into())
    }

    /// Changes every parameter that is not frozen by its gradient: `optimizer.step(loss.backward()?)?`. The device is
    /// asked for the new values at once, and not waited for.
    ///
    /// # Errors
    /// [`ErrorKind::NoGradient`] for a parameter that is not frozen and that the loss does not depend on; a gradient
    /// that has failed; and a learning rate that is no number. Nothing has changed then. What goes wrong while computing
    /// comes at once from the CPU, from a GPU with the next read; the parameters then carry that error.
    #[track_caller]
    pub fn step(&mut self, gradients: Gradients) -> Result<()> {
        let caller = Location::caller();
        let updates = called_from(caller, || no_grad(|| self.updates(&gradients, caller)))?;
        // Memory that nobody holds any more can be used for the new values.
        drop(gradients);
        let mut changed = Vec::new();
        for Update { slot, value, kept } in updates {
            let slot = &mut self.slots[slot];
            changed.push(value.clone());
            slot.param.set(value)?;
            slot.kept = kept;
            slot.count += 1;
            changed.extend_from_slice(&slot.kept);
        }
        eval_all(&changed)
    }

    /// What the step makes of each parameter, recorded and checked.
    fn updates(&self, gradients: &Gradients, caller: &'static Location<'static>) -> Result<Vec<Update>> {
        let current: Vec<Option<Tensor>> =
            self.slots.iter().map(|slot| (!slot.param.is_frozen()).then(|| slot.param.tensor())).collect();
        self.check(gradients, &current)
            .map_err(|fault| Error::at(fault, "step".into(), Vec::new(), Some(caller), None))?;
        let first = |(slot, value): (&Slot, &Option<Tensor>)| match (value, &slot.kept[..]) {
            (Some(value), []) => self.rule.kept().iter().map(|_| value.zeros_like()).collect(),
            _ => Vec::new(),
        };
        let first: Vec<Vec<Tensor>> = self.slots.iter().zip(&current).map(first).collect();
        // Values from the start: the first step is then planned like all others.
        eval_all(first.iter().flatten())?;
        let mut updates = Vec::with_capacity(self.slots.len());
        for (index, (value, first)) in current.into_iter().zip(first).enumerate() {
            let Some(value) = value else { continue };
            let slot = &self.slots[index];
            let step = Step {
                lr: self.lr * slot.lr_factor,
                weight_decay: self.weight_decay * slot.decay_factor,
                count: slot.count + 1,
            };
            let gradient = gradients.get(&value)?;
            let mut kept = if slot.kept.is_empty() { first } else { slot.kept.clone() };
            let name = self.name(index);
            let value = in_scope(name.clone(), || self.rule.update(step, &value, &gradient, &mut kept));
            for next in std::iter::once(&value).chain(&kept) {
                same_meta(next, slot.param.meta()?, &name)?;
            }
            updates.push(Update { slot: index, value, kept });
        }
        Ok(updates)
    }

    fn check(&self, gradients: &Gradients, current: &[Option<Tensor>]) -> Result<(), Problem> {
        let numbers = [("learning rate", self.lr), ("weight decay", self.weight_decay)];
        if let Some((what, number)) = numbers.into_iter().find(|(_, number)| !number.is_finite()) {
            return Err(Problem::new(ErrorKind::Value, format!("the {what} is {number}")));
        }
        if self.slots.is_empty() {
            return Err(Problem::new(ErrorKind::Value, "the optimizer has no parameters"));
        }
        let without = |(position, tensor): (usize, &Option<Tensor>)| {
            let lacks = tensor.as_ref().is_some_and(|tensor| !gradients.contains(tensor));
            lacks.then(|| self.name(position))
        };
        let missing: Vec<Arc<str>> = current.iter().enumerate().filter_map(without).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "no gradient for {}: the loss does not depend on it, or its value was replaced since; freeze what is not \
             to be trained",
            missing.join(", ")
        );
        Err(Problem::new(ErrorKind::NoGradient, message))
    }
}

/// A rule's result is of the parameter's shape and dtype: one that broadcast must not replace it.
fn same_meta(next: &Tensor, expected: &Meta, name: &str) -> Result<()> {
    let found = next.meta()?;
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "the update of {name}, {} {}, came out as {} {}",
        expected.shape, expected.dtype, found.shape, found.dtype
    );
    Err(Error::new(ErrorKind::Shape, "step", message))
}
