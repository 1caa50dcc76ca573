//! The plan: what to compute, in which order, from which values into which.

use std::panic::Location;
use std::sync::Arc;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, OpRef};
use wgrad_tensor::shape::Shape;

/// The number of a value: an index into [`Plan::values`].
pub type ValueId = usize;

/// A list of steps over numbered values.
#[derive(Debug, Default)]
pub struct Plan {
    /// Shape and dtype of every value; each is one contiguous buffer.
    pub values: Vec<Meta>,
    /// The values that are given, in the order of the buffers given to [`crate::Backend::run`].
    pub inputs: Vec<ValueId>,
    /// The values asked for.
    pub outputs: Vec<ValueId>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One kernel.
#[derive(Debug)]
pub struct Step {
    /// What it computes.
    pub work: Work,
    /// What it reads.
    pub operands: Vec<Operand>,
    /// What it writes, one value per output.
    pub results: Vec<ValueId>,
    /// Values that nothing needs after this step.
    pub frees: Vec<ValueId>,
    /// Which line of the user's it came from.
    pub origin: Origin,
}

/// A window on a value.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The value.
    pub value: ValueId,
    /// Its dtype.
    pub dtype: DType,
    /// The window. For [`Work::Map`] its shape is the program's.
    pub layout: Layout,
}

/// What a step computes.
#[derive(Debug)]
pub enum Work {
    /// Elementwise work over one index space.
    Map(Program),
    /// One op that is not elementwise, with the node's scalars.
    Op(OpRef, Vec<Scalar>),
}

/// Straight-line elementwise code: instruction `i` defines register `i`.
#[derive(Debug)]
pub struct Program {
    /// The index space: the shape of every operand's window and of every result.
    pub shape: Shape,
    /// The instructions, in order.
    pub code: Vec<Instruction>,
    /// The register that goes into each of the step's results.
    pub stores: Vec<usize>,
}

/// One register's definition.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// The element of the step's operand with this number.
    Load(usize, DType),
    /// An elementwise step.
    Map {
        /// What it does.
        map: Map,
        /// The registers it takes.
        args: Vec<usize>,
        /// The dtype it gives.
        dtype: DType,
        /// The node's scalars.
        scalars: Vec<Scalar>,
    },
}

impl Instruction {
    /// The register's dtype.
    pub fn dtype(&self) -> DType {
        match self {
            Instruction::Load(_, dtype) | Instruction::Map { dtype, .. } => *dtype,
        }
    }
}

/// Where a step comes from, for errors, labels and profiles.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The op's name.
    pub op: std::borrow::Cow<'static, str>,
    /// Shapes and dtypes it was given.
    pub inputs: Vec<Meta>,
    /// The caller's file and line.
    pub location: &'static Location<'static>,
    /// The layer it was called in.
    pub scope: Option<Arc<str>>,
}

impl Origin {
    /// An error of this step.
    pub fn error(&self, problem: wgrad_tensor::error::Problem) -> wgrad_tensor::Error {
        wgrad_tensor::Error::at(problem, self.op.clone(), self.inputs.clone(), Some(self.location), self.scope.clone())
    }
}
