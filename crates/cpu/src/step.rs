//! From what a step computes to the kernel that does it.

use crate::buffer::Pool;
use crate::view::View;
use crate::{conv, custom, fold, index, matmul, movement, program, reduce};
use bytemuck::Pod;
use std::sync::Arc;
use wgrad_plan::{Operand, Program, ScalarRange, Work};
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::{Compute, Meta};
use wgrad_tensor::shape::Shape;

/// What a step reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The operands, as the plan has them.
    pub operands: &'a [Operand],
    /// Their elements, through this run's windows.
    pub views: &'a [View<'a>],
    /// The numbers that this run was given.
    pub numbers: &'a [Scalar],
}

impl<'a> Inputs<'a> {
    /// The numbers of one call.
    pub fn scalars(&self, range: &ScalarRange) -> &'a [Scalar] {
        self.numbers.get(range.clone()).unwrap_or_default()
    }
}

/// What a kernel is given.
pub struct Job<'a> {
    /// What it reads.
    pub inputs: Inputs<'a>,
    /// Shape and dtype of what it writes.
    pub metas: &'a [&'a Meta],
    /// The shape of what the op gives; a program may follow it.
    pub shape: Option<&'a Shape>,
    /// The contiguous bytes that it writes, with anything in them before.
    pub results: &'a mut [&'a mut [u8]],
    /// What becomes of each element of an op's result.
    pub then: Option<&'a Program>,
    /// Memory for its own use.
    pub pool: &'a Arc<Pool>,
}

impl<'a> Job<'a> {
    /// Operand `i`.
    pub fn operand(&self, i: usize) -> Result<View<'a>, Problem> {
        self.inputs.views.get(i).copied().ok_or_else(incomplete)
    }

    /// The shape of what an op gives.
    pub fn shape(&self) -> Result<&'a Shape, Problem> {
        self.shape.ok_or_else(incomplete)
    }

    /// The elements of result `i`.
    pub fn result<T: Pod>(&mut self, i: usize) -> Result<&mut [T], Problem> {
        bytemuck::try_cast_slice_mut(self.results.get_mut(i).ok_or_else(incomplete)?).map_err(|_| incomplete())
    }

    /// The elements of two results.
    pub fn two_results<A: Pod, B: Pod>(&mut self) -> Result<(&mut [A], &mut [B]), Problem> {
        let [first, second] = &mut *self.results else { return Err(incomplete()) };
        match (bytemuck::try_cast_slice_mut(first), bytemuck::try_cast_slice_mut(second)) {
            (Ok(first), Ok(second)) => Ok((first, second)),
            _ => Err(incomplete()),
        }
    }
}

fn incomplete() -> Problem {
    Problem::new(ErrorKind::Value, "has other operands or results than it needs")
}

/// Runs a step's work.
pub fn run(work: &Work, job: &mut Job<'_>) -> Result<(), Problem> {
    let (op, scalars) = match work {
        Work::Program(program) => return program::run(program, job.inputs, job.results, job.pool),
        Work::Op { op, scalars, .. } => (op, job.inputs.scalars(scalars)),
    };
    let own = if job.then.is_some() { 2 } else { job.inputs.views.len() };
    if job.inputs.views.iter().take(own).any(|view| view.padding.is_some()) {
        return Err(Problem::new(ErrorKind::Value, "needs an input without padding"));
    }
    let contracts = |compute| {
        matches!(compute, Compute::Matmul | Compute::Conv2d(_) | Compute::Conv2dInput(_) | Compute::Conv2dWeight(_))
    };
    if job.then.is_some() && !contracts(op.compute()) {
        return Err(Problem::new(ErrorKind::Value, "is no op that a program may follow"));
    }
    match op.compute() {
        Compute::Extreme(kind, axes) => reduce::extreme(kind, axes, job),
        Compute::Matmul => matmul::matmul(job),
        Compute::Conv2d(window) => conv::forward(window, job),
        Compute::Conv2dInput(window) => conv::input_gradient(window, job),
        Compute::Conv2dWeight(window) => conv::weight_gradient(window, job),
        Compute::Fold(windows) => fold::fold(windows, job),
        Compute::Gather(axis) => index::gather(axis, job),
        Compute::ScatterAdd(axis) => index::scatter_add(axis, job),
        Compute::Cat(axis) => movement::cat(axis, job),
        Compute::Custom(custom) => custom::run(custom, scalars, job),
        Compute::Source | Compute::View | Compute::Pad(_) | Compute::Map(_) | Compute::Reduce(..) => {
            Err(Problem::new(ErrorKind::Value, "is no step of its own"))
        }
    }
}
