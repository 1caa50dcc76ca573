//! From what a step computes to the kernel that does it.

use crate::buffer::{Buffer, Pool};
use crate::view::View;
use crate::{conv, custom, fold, index, matmul, movement, program, reduce};
use bytemuck::Pod;
use std::sync::Arc;
use wgrad_plan::{Instruction, Operand, Padding, Program, ScalarRange, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Map, Meta};
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
        matches!(compute, Compute::Matmul(_) | Compute::Conv2d(_) | Compute::Conv2dInput(_) | Compute::Conv2dWeight(_))
    };
    if job.then.is_some() && !contracts(op.compute()) {
        return Err(Problem::new(ErrorKind::Value, "is no op that a program may follow"));
    }
    if contracts(op.compute()) {
        return contract(op.compute(), job);
    }
    match op.compute() {
        Compute::Extreme(kind, axes) => reduce::extreme(kind, axes, job),
        Compute::Fold(windows) => fold::fold(windows, job),
        Compute::Gather(axis) => index::gather(axis, job),
        Compute::ScatterAdd(axis) => index::scatter_add(axis, job),
        Compute::Cat(axis) => movement::cat(axis, job),
        Compute::Custom(custom) => custom::run(custom, scalars, job),
        _ => Err(Problem::new(ErrorKind::Value, "is no step of its own")),
    }
}

/// Runs a matrix product or a convolution, with operands in the dtype that it computes in.
fn contract(compute: Compute<'_>, job: &mut Job<'_>) -> Result<(), Problem> {
    let product = job.then.and_then(Program::product).or(job.metas.first().map(|meta| meta.dtype));
    let dtype = product.ok_or_else(incomplete)?;
    let cast = |view: &View<'_>| (view.dtype != dtype).then(|| as_dtype(view, dtype, job.pool)).transpose();
    let cast: Vec<Option<(Buffer, Layout)>> =
        job.inputs.views.iter().take(2).map(cast).collect::<Result<_, Problem>>()?;
    let mut views: Vec<View<'_>> = Vec::with_capacity(job.inputs.views.len());
    for (i, view) in job.inputs.views.iter().enumerate() {
        views.push(match cast.get(i) {
            Some(Some((buffer, layout))) => View::new(buffer, layout, dtype)?,
            _ => *view,
        });
    }
    let mut results: Vec<&mut [u8]> = job.results.iter_mut().map(|result| &mut **result).collect();
    let inputs = Inputs { operands: job.inputs.operands, views: &views, numbers: job.inputs.numbers };
    let (metas, shape, then, pool) = (job.metas, job.shape, job.then, job.pool);
    let mut job = Job { inputs, metas, shape, results: &mut results, then, pool };
    match compute {
        Compute::Matmul(_) => matmul::matmul(&mut job),
        Compute::Conv2d(window) => conv::forward(window, &mut job),
        Compute::Conv2dInput(window) => conv::input_gradient(window, &mut job),
        Compute::Conv2dWeight(window) => conv::weight_gradient(window, &mut job),
        _ => Err(incomplete()),
    }
}

/// The elements that a window sees, each once and cast, and the same window on them.
fn as_dtype(view: &View<'_>, dtype: DType, pool: &Arc<Pool>) -> Result<(Buffer, Layout), Problem> {
    let Layout { shape, strides, offset } = view.layout;
    let once: Shape =
        shape.iter().zip(strides).map(|(&size, &stride)| if stride == 0 { size.min(1) } else { size }).collect();
    let layout = Layout::contiguous(&once).expanded(shape);
    let window = Layout { shape: once.clone(), strides: strides.clone(), offset: *offset };
    let operand = Operand {
        value: 0,
        dtype: view.dtype,
        layout: window.clone(),
        starts: Vec::new(),
        padding: Padding::default(),
    };
    let code = vec![
        Instruction::Load(0, view.dtype),
        Instruction::Map { map: Map::Cast, args: vec![0], dtype, scalars: 0..0 },
    ];
    let program = Program { shape: once.clone(), row_axes: 0, code, stores: vec![1] };
    let mut buffer = pool.take(once.count() * dtype.size())?;
    let inputs = Inputs { operands: &[operand], views: &[view.through(&window)?], numbers: &[] };
    program::run(&program, inputs, &mut [&mut buffer], pool)?;
    Ok((buffer, layout))
}
