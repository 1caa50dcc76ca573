//! Layers one after the other, and functions as layers.

use crate::{Layer, Module, Scope, Visitor};
use std::fmt;
use wgrad_tensor::Tensor;

/// Layers one after the other, named "0", "1", .. PyTorch: `nn.Sequential`.
///
/// ```
/// # use wgrad_nn::{Activation, Function, Layer, Linear, Module, Sequential};
/// # use wgrad_tensor::{DType, Device, Tensor};
/// # let device = Device::new(wgrad_plan::Planned::new(wgrad_cpu::Cpu::new()));
/// let model = Sequential::new()
///     .then(Linear::new(4, 8, &device))
///     .then(Activation::Relu)
///     .then(Function::new("double", |x| x * 2.0))
///     .then(Linear::new(8, 2, &device));
/// let x = Tensor::ones([3, 4], DType::F32, &device);
/// assert_eq!(&model.forward(&x).shape()[..], [3, 2]);
/// assert_eq!(model.named_parameters()[2].0, "3.weight");
/// ```
#[derive(Default)]
pub struct Sequential {
    steps: Vec<Step>,
    scope: Scope,
}

/// A layer that runs under its index, whether or not it keeps a name of its own.
struct Step {
    layer: Box<dyn Layer>,
    scope: Scope,
}

impl Sequential {
    /// No layers yet: its output is its input.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// The same with one more layer at the end.
    pub fn then(mut self, layer: impl Layer + 'static) -> Sequential {
        self.push(layer);
        self
    }

    /// Adds a layer at the end.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.steps.push(Step { layer: Box::new(layer), scope: Scope::default() });
    }

    /// The layers in order.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &dyn Layer> {
        self.steps.iter().map(|step| &*step.layer)
    }
}

impl Module for Step {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.layer.visit(visitor);
        visitor.field("scope", &self.scope);
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.kind("Sequential");
        visitor.field("scope", &self.scope);
        self.steps.visit(visitor);
    }
}

impl Layer for Sequential {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| {
            let mut x = input.clone();
            for step in &self.steps {
                x = step.scope.run(|| step.layer.forward(&x));
            }
            x
        })
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential of {} layers", self.steps.len())
    }
}

/// A function as a layer: `Function::new("square", |x| x * x)`.
#[derive(Clone, Copy, Debug)]
pub struct Function<F> {
    name: &'static str,
    function: F,
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Function<F> {
    /// A layer that calls `function`; summaries show `name`.
    pub fn new(name: &'static str, function: F) -> Function<F> {
        Function { name, function }
    }
}

impl<F> Module for Function<F> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.kind(self.name);
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Layer for Function<F> {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        (self.function)(input)
    }
}
