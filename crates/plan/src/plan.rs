//! The plan: what to compute, in which order, from which values into which.

use crate::kept::Kept;
use crate::padding::{Padding, moved};
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, OpRef, Reduction};
use wgrad_tensor::shape::Shape;

/// The number of a value: an index into [`Plan::values`].
pub type ValueId = usize;

/// Which numbers of [`Given::scalars`] a step takes.
pub type ScalarRange = Range<usize>;

/// A list of steps over numbered values. It holds nothing that changes from one training step to the next: buffers and
/// numbers are [`Given`] to each run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Shape and dtype of every value; each is one contiguous buffer.
    pub values: Vec<Meta>,
    /// The values that are given, in the order of a run's inputs.
    pub inputs: Vec<ValueId>,
    /// The values asked for.
    pub outputs: Vec<ValueId>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The bytes that each value's buffer is to have, see [`Plan::capacity`].
    pub capacities: Vec<usize>,
    /// Points at which a step needs what was written since the last such point.
    pub barriers: usize,
    /// What a backend made of all this, which does not change once it has run.
    pub kept: Kept,
}

impl Plan {
    /// The bytes that a value's buffer is to have where that is more than its own: so that values which are not needed
    /// at the same time find the same buffers free.
    pub fn capacity(&self, value: ValueId) -> usize {
        self.capacities.get(value).copied().unwrap_or(0)
    }

    /// Counts [`Plan::barriers`].
    pub(crate) fn count_barriers(&self) -> usize {
        let mut written_at = vec![0; self.values.len()];
        let mut barriers = 0;
        for step in &self.steps {
            if step.operands.iter().any(|operand| written_at[operand.value] == barriers + 1) {
                barriers += 1;
            }
            step.results.iter().for_each(|&value| written_at[value] = barriers + 1);
        }
        barriers
    }
}

/// What a run of a plan starts from, besides its inputs.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The numbers that operations were called with.
    pub scalars: &'a [Scalar],
    /// Which line of the user's a step comes from; asked only where something went wrong or is looked at.
    pub origin: &'a (dyn Fn(&Step) -> Origin + Sync),
    /// Wants to know how long each step took. Where it is there, a backend may wait for each.
    pub watch: Option<&'a Watch<'a>>,
}

/// Is told each step with the time that it took.
pub type Watch<'a> = dyn Fn(&Step, Duration) + Sync + 'a;

impl Given<'_> {
    /// The numbers in a range.
    pub fn scalars(&self, range: &ScalarRange) -> &[Scalar] {
        self.scalars.get(range.clone()).unwrap_or_default()
    }
}

/// One kernel.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it computes.
    pub work: Work,
    /// What it reads.
    pub operands: Vec<Operand>,
    /// What it writes: one value for each store of the program, or for each output of the op.
    pub results: Vec<ValueId>,
    /// Values that nothing needs after this step.
    pub frees: Vec<ValueId>,
    /// For each result, the operand whose memory it may take over where nobody else holds that; none where this is empty.
    pub in_place: Vec<Option<usize>>,
    /// The recorded calls that it computes, as numbers that [`Given::origin`] understands, in the order of recording.
    pub calls: Vec<usize>,
}

/// A window on a value.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The value.
    pub value: ValueId,
    /// Its dtype.
    pub dtype: DType,
    /// The window, but for `starts`. In a program its shape is the program's.
    pub layout: Layout,
    /// Starts of slices: each adds the number at this place of [`Given::scalars`] times these elements to the offset.
    pub starts: Vec<(usize, isize)>,
    /// Where the window reaches beyond the value, which only that of a program does.
    pub padding: Padding,
}

impl Operand {
    /// The window as this run's numbers make it.
    pub fn window(&self, given: &Given<'_>) -> Layout {
        moved(&self.layout, &self.starts, given)
    }

    /// Everything that says which element is seen where: the window, and the bounds of its padding.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout> {
        std::iter::once(&self.layout).chain(self.padding.bounds.iter().map(|bound| &bound.layout))
    }
}

/// What a step computes.
#[derive(Clone, Debug)]
pub enum Work {
    /// Elementwise work, and reductions over rows.
    Program(Program),
    /// One op that is not elementwise.
    Op {
        /// The op. Operands of a matrix product or a convolution that have another dtype than its result are cast to
        /// that on the way in.
        op: OpRef,
        /// The numbers it was called with.
        scalars: ScalarRange,
        /// For a matrix product or a convolution: what becomes of each element of its result, which only the program
        /// then sees, as [`Instruction::Product`]. Its index space is the places of that result in order, the axes
        /// perhaps cut otherwise. Its loads number the step's operands, which come after those of the op; it has no rows.
        then: Option<Program>,
    },
}

/// Straight-line code over an index space: instruction `i` defines register `i`.
///
/// Without rows, a register has an element for every place. With rows, a register has either that, or one element for
/// every row: what [`Instruction::Reduce`] and [`Instruction::Pick`] give, loads and generated numbers whose windows do
/// not move along the row, constants, and all that
/// [`Instruction::Map`] computes from such registers alone. Where both meet, the row's
/// element is repeated.
#[derive(Clone, Debug)]
pub struct Program {
    /// The index space: the shape of every operand's window.
    pub shape: Shape,
    /// How many of its last axes make a row; 0 where there are no rows.
    pub row_axes: usize,
    /// The instructions, in order.
    pub code: Vec<Instruction>,
    /// The registers that go into the step's results, contiguous: all places in order, or one element for each row.
    pub stores: Vec<usize>,
}

/// One register's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// The element of the step's operand with this number.
    Load(usize, DType),
    /// An elementwise step.
    Map {
        /// What it does: a row of the table, `where`, a cast, or a constant.
        map: Map,
        /// The registers it takes.
        args: Vec<usize>,
        /// The dtype it gives.
        dtype: DType,
        /// The numbers it was called with.
        scalars: ScalarRange,
    },
    /// Numbers made from their position alone.
    Generate {
        /// `Map::Arange` or `Map::Random`.
        map: Map,
        /// A window over the positions.
        layout: Layout,
        /// The dtype it gives.
        dtype: DType,
        /// The numbers it was called with.
        scalars: ScalarRange,
    },
    /// The elements of a register, combined over each row.
    Reduce(Reduction, usize),
    /// `Pick([x, index])`: the element of `x` at the place in the row that `index`, u32 or i32 with one element for each
    /// row, says. An index outside the row is an error of the step.
    Pick([usize; 2]),
    /// The element of each row, at each place of it.
    Spread(usize),
    /// In the program after an op: the element that the op gives here.
    Product(DType),
}

impl Program {
    /// Places in the index space.
    pub fn count(&self) -> usize {
        self.shape.count()
    }

    /// Places in a row; 1 where there are no rows.
    pub fn row_length(&self) -> usize {
        self.shape[self.shape.len() - self.row_axes..].iter().product()
    }

    /// Rows; places, where there are none.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - self.row_axes].iter().product()
    }

    /// In the program after an op: the dtype that the op computes in.
    pub fn product(&self) -> Option<DType> {
        self.code.iter().find_map(|instruction| match *instruction {
            Instruction::Product(dtype) => Some(dtype),
            _ => None,
        })
    }

    /// The dtype of every register.
    pub fn dtypes(&self) -> Vec<DType> {
        let mut dtypes: Vec<DType> = Vec::with_capacity(self.code.len());
        for instruction in &self.code {
            dtypes.push(match *instruction {
                Instruction::Load(_, dtype)
                | Instruction::Map { dtype, .. }
                | Instruction::Generate { dtype, .. }
                | Instruction::Product(dtype) => dtype,
                Instruction::Reduce(_, x) | Instruction::Pick([x, _]) | Instruction::Spread(x) => dtypes[x],
            });
        }
        dtypes
    }

    /// Which registers have one element for each row rather than one for each place. Without rows: none.
    pub fn per_row(&self, operands: &[Operand]) -> Vec<bool> {
        let mut per_row = Vec::with_capacity(self.code.len());
        for instruction in &self.code {
            per_row.push(self.gives_rows(instruction, operands, &per_row));
        }
        per_row
    }

    /// Whether an instruction gives one element for each row, where it is known of those before it.
    pub(crate) fn gives_rows(&self, instruction: &Instruction, operands: &[Operand], before: &[bool]) -> bool {
        self.row_axes > 0
            && match instruction {
                Instruction::Load(operand, _) => operands[*operand].layouts().all(|layout| self.is_still(layout)),
                Instruction::Generate { layout, .. } => self.is_still(layout),
                Instruction::Map { args, .. } => args.iter().all(|&arg| before[arg]),
                Instruction::Reduce(..) | Instruction::Pick(..) => true,
                Instruction::Product(_) | Instruction::Spread(_) => false,
            }
    }

    /// Whether a window does not move along a row.
    fn is_still(&self, layout: &Layout) -> bool {
        let rank = self.shape.len();
        (rank - self.row_axes..rank).all(|axis| self.shape[axis] == 1 || layout.strides[axis] == 0)
    }
}

impl Instruction {
    /// The registers it takes.
    pub fn args(&self) -> &[usize] {
        match self {
            Instruction::Map { args, .. } => args,
            Instruction::Reduce(_, x) | Instruction::Spread(x) => std::slice::from_ref(x),
            Instruction::Pick(args) => args,
            Instruction::Load(..) | Instruction::Generate { .. } | Instruction::Product(_) => &[],
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
