//! Every op with sample inputs and its meaning in plain f64 loops: what the tests walk.
//!
//! An op listed here is checked on every device, in value and gradient, with no edit to a test.

mod array;
mod composites;
mod indexing;
mod products;
mod reductions;
mod rows;
mod views;

pub use array::{Array, Kind, Spec};

use crate::tensor::Tensor;

/// How far an op can be differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Not at all: no float goes in, or none comes out.
    None,
    /// Once; its gradient is constant almost everywhere or has no second order that differences can see.
    First,
    /// Twice.
    Second,
}

/// What an op computes from tensors.
pub type Run = Box<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>;
/// The same in plain f64 loops.
pub type Reference = Box<dyn Fn(&[Array]) -> Array + Send + Sync>;

/// One op on sample inputs.
pub struct Sample {
    /// The op's name.
    pub op: &'static str,
    /// What the inputs look like.
    pub inputs: Vec<Spec>,
    /// The op.
    pub run: Run,
    /// What it should give.
    pub reference: Reference,
    /// How far it can be differentiated.
    pub order: Order,
    /// Error allowed in f32, relative to the largest magnitude of the result and its inputs.
    pub tolerance: f64,
}

impl Sample {
    fn new(
        op: &'static str,
        inputs: Vec<Spec>,
        run: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
        reference: impl Fn(&[Array]) -> Array + Send + Sync + 'static,
    ) -> Sample {
        Sample { op, inputs, run: Box::new(run), reference: Box::new(reference), order: Order::Second, tolerance: 2e-6 }
    }

    fn order(mut self, order: Order) -> Sample {
        self.order = order;
        self
    }

    fn tolerance(mut self, tolerance: f64) -> Sample {
        self.tolerance = tolerance;
        self
    }

    /// Elements of all inputs together.
    pub fn size(&self) -> usize {
        self.inputs.iter().map(|input| input.shape.iter().product::<usize>()).sum()
    }
}

/// All samples.
pub fn samples() -> Vec<Sample> {
    let mut all = rows::samples();
    all.extend(views::samples());
    all.extend(reductions::samples());
    all.extend(products::samples());
    all.extend(indexing::samples());
    all.extend(composites::samples());
    all
}
