//! What an operation is: one value that knows its name, its shape rule, what computes it, and its gradient.

use crate::dtype::{DType, Scalar};
use crate::elementwise::Elementwise;
use crate::error::{ErrorKind, Problem, Result};
use crate::kernel::Custom;
use crate::layout::Layout;
use crate::row::RowOp;
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Shape and dtype of one tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// The sizes of its axes.
    pub shape: Shape,
    /// The kind of number it holds.
    pub dtype: DType,
}

impl Meta {
    /// A shape with its dtype.
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> Self {
        Meta { shape: shape.into(), dtype }
    }

    /// Bytes of the contiguous tensor.
    pub fn bytes(&self) -> usize {
        self.shape.count() * self.dtype.size()
    }
}

/// What an op's gradient rule reads besides the incoming gradient; it is kept until the walk back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reads {
    /// It reads the op's inputs.
    pub inputs: bool,
    /// It reads the op's outputs.
    pub outputs: bool,
}

impl Reads {
    /// Reads nothing but the incoming gradient.
    pub const NOTHING: Reads = Reads { inputs: false, outputs: false };
    /// Reads inputs.
    pub const INPUTS: Reads = Reads { inputs: true, outputs: false };
    /// Reads outputs.
    pub const OUTPUTS: Reads = Reads { inputs: false, outputs: true };
    /// Reads both.
    pub const BOTH: Reads = Reads { inputs: true, outputs: true };
}

/// One call of an op, as its gradient rule sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// What the op was given.
    pub inputs: &'a [Tensor],
    /// The numbers that it was called with.
    pub scalars: &'a [Scalar],
    /// What it gave.
    pub outputs: &'a [Tensor],
    /// The gradient of the loss for each output; `None` where the loss does not depend on it. At least one is there.
    pub grads: &'a [Option<Tensor>],
}

/// One optional gradient per input.
pub type Gradients = SmallVec<[Option<Tensor>; 2]>;

/// Shape and dtype of every output.
pub type Metas = SmallVec<[Meta; 1]>;

/// An operation: plain data. Attributes are what changes the plan (axes, sizes); changing numbers are a node's scalars.
pub trait Op: Any + Debug + Send + Sync + Key {
    /// The name, as PyTorch spells it where it has the op.
    fn name(&self) -> Cow<'static, str>;

    /// Shape and dtype of every output, or what is wrong with the inputs.
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem>;

    /// What computes it.
    fn compute(&self) -> Compute<'_>;

    /// For [`Compute::View`]: the window on `input` that is the output, or `None` where the data must be copied first
    /// (the planner then makes `input` contiguous and asks again).
    fn view(&self, _input: &Layout, _scalars: &[Scalar], _output: &Shape) -> Option<Layout> {
        None
    }

    /// For [`Compute::Parts`]: what it consists of.
    fn parts(&self) -> Parts {
        Parts::default()
    }

    /// What [`Op::gradient`] reads.
    fn reads(&self) -> Reads {
        Reads::BOTH
    }

    /// The gradient for each input, written with ordinary tensor operations, so that gradients of gradients come for free.
    fn gradient(&self, _call: &Call<'_>) -> Result<Gradients, Problem> {
        Err(Problem::new(ErrorKind::NotDifferentiable, "has no gradient"))
    }
}

/// Equality and hash of ops behind `dyn Op`; every `Op` that is `Hash + Eq` has it.
pub trait Key {
    /// Whether `other` is the same op with the same attributes.
    fn same(&self, other: &dyn Op) -> bool;
    /// Feeds type and attributes to a hasher.
    fn feed(&self, state: &mut dyn Hasher);
}

impl<T: Op + Hash + Eq> Key for T {
    fn same(&self, other: &dyn Op) -> bool {
        (other as &dyn Any).downcast_ref::<T>() == Some(self)
    }
    fn feed(&self, mut state: &mut dyn Hasher) {
        std::any::TypeId::of::<T>().hash(&mut state);
        self.hash(&mut state);
    }
}

/// A handle on an op.
#[derive(Clone, Debug)]
pub enum OpRef {
    /// A row of a table.
    Row(RowOp),
    /// A value that is always there.
    Static(&'static dyn Op),
    /// A value with attributes.
    Shared(Arc<dyn Op>),
}

impl<T: Op> From<T> for OpRef {
    fn from(op: T) -> OpRef {
        OpRef::Shared(Arc::new(op))
    }
}

impl Deref for OpRef {
    type Target = dyn Op;
    fn deref(&self) -> &dyn Op {
        match self {
            OpRef::Row(row) => row,
            OpRef::Static(op) => *op,
            OpRef::Shared(op) => &**op,
        }
    }
}

/// What computes an op: the closed list that every backend carries out, and the door for ops from outside.
#[derive(Clone, Copy, Debug)]
pub enum Compute<'a> {
    /// Nothing: its data was given.
    Source,
    /// Nothing: another window on the same data, see [`Op::view`].
    View,
    /// One element from one element of each input; inputs broadcast to the output's shape.
    Map(Map),
    /// A fold of the listed axes, which go or stay with size 1. Float sums accumulate pairwise or wider.
    Reduce(Reduction, &'a [usize]),
    /// Largest or smallest over the listed axes (kept with size 1): outputs are the value, and the `u32` position in
    /// row-major order over those axes, the first where several are equal. A NaN wins.
    Extreme(Extreme, &'a [usize]),
    /// Matrix products over the last two axes: `[.., m, k] x [.., k, n]`; leading axes are equal. The planner sees to
    /// what [`Product`] says, so that a backend gets its operands and its result in just these shapes.
    Matmul(Product),
    /// Cross-correlation: `[n, c, h, w]` with `[o, c / groups, kh, kw]` gives `[n, o, oh, ow]`.
    Conv2d(&'a Window2d),
    /// Its gradient for the input: `[n, o, oh, ow]` with the weight gives the output's shape `[n, c, h, w]`.
    Conv2dInput(&'a Window2d),
    /// Its gradient for the weight: `[n, o, oh, ow]` with the input gives the output's shape `[o, c / groups, kh, kw]`.
    Conv2dWeight(&'a Window2d),
    /// Nothing: a window that reaches beyond the input, which lies at `before`, and shows the node's scalar 0 there.
    Pad(&'a [usize]),
    /// Sums windows back: the last axis of the input (window positions) is added into `axis`; see [`Windows`].
    Fold(&'a Windows),
    /// `out[.., i, ..] = input[.., index[.., i, ..], ..]` along the axis; inputs: source, index (u32 or i32).
    /// Along other axes the index is no larger than the source.
    Gather(usize),
    /// `out = base; out[.., index[.., i, ..], ..] += source[.., i, ..]` in ascending `i`; inputs: base, index, source.
    ScatterAdd(usize),
    /// The inputs one after the other along the axis.
    Cat(usize),
    /// Several steps that are recorded as one: what [`Op::parts`] lists. No backend sees it.
    Parts,
    /// An op from outside.
    Custom(&'a dyn Custom),
}

impl Compute<'_> {
    /// Whether inputs may be any strided window; otherwise the planner makes them contiguous first.
    pub fn takes_windows(&self) -> bool {
        matches!(
            self,
            Compute::Map(_) | Compute::Reduce(..) | Compute::Extreme(..) | Compute::Matmul(_) | Compute::Gather(_)
        )
    }
}

/// What an op of [`Compute::Parts`] consists of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Its steps, each after those that it takes.
    pub steps: Vec<Part>,
    /// The steps that give its outputs.
    pub outputs: Vec<usize>,
}

impl From<Vec<Part>> for Parts {
    /// Steps of which the last gives the one output.
    fn from(steps: Vec<Part>) -> Parts {
        Parts { outputs: steps.len().checked_sub(1).into_iter().collect(), steps }
    }
}

/// One step of an op that consists of several. Each gives one value.
#[derive(Clone, Debug)]
pub enum Part {
    /// A row of the table, of as many arguments as it takes. One of them at least is a tensor.
    Row(&'static Elementwise, Vec<Argument>),
    /// A fold of the listed axes, which stay with size 1.
    Fold(Reduction, Vec<usize>, Argument),
    /// The sum of all elements.
    Sum(Argument),
}

/// What a [`Part`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The op's input with this number.
    Input(usize),
    /// The call's number with this number, in the dtype of the tensors that it meets.
    Number(usize),
    /// What the part with this number gives.
    Part(usize),
}

/// One elementwise step. The output's dtype stands with the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// A row of the table: all inputs of one dtype.
    Row(&'static Elementwise),
    /// Inputs: bool, then two of the output's dtype.
    Where,
    /// One input of any dtype.
    Cast,
    /// No input: the node's scalar 0 everywhere.
    Constant,
    /// No input: scalar 0 + scalar 1 * the row-major index.
    Arange,
    /// No input: Philox4x32-10 with the seed in scalar 0 and the stream in scalar 1, see [`crate::random`].
    Random(Random),
}

/// What a random number looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Random {
    /// 32 random bits, as u32.
    Bits,
    /// A float in [0, 1).
    Uniform,
    /// A float from the standard normal distribution.
    Normal,
}

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum; 0 of nothing.
    Sum,
    /// The product; 1 of nothing.
    Prod,
    /// The largest; NaN if there is one.
    Max,
    /// The smallest; NaN if there is one.
    Min,
}

/// Which end to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extreme {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// How the two inputs of a matrix product become what is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Product {
    /// Which of them have their last two axes exchanged.
    pub turned: [bool; 2],
    /// Whether all axes but the last count as one axis of rows, before anything is exchanged.
    pub flat: bool,
}

/// How a 2-D window moves: order is rows, columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window2d {
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Zeros around the input, on each side.
    pub padding: [usize; 2],
    /// Steps between the elements of a window.
    pub dilation: [usize; 2],
    /// Blocks of channels that do not see each other.
    pub groups: usize,
}

/// Windows along one axis: window `o` holds positions `o * step + k * dilation` for `k < size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// The axis that windows move along.
    pub axis: usize,
    /// Elements of a window.
    pub size: usize,
    /// Steps between windows.
    pub step: usize,
    /// Steps between the elements of a window.
    pub dilation: usize,
}
