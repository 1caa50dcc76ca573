//! From a plan's steps to dispatches.

mod cast;
mod code;
mod contract;
mod custom;
mod extreme;
mod finish;
mod form;
mod levels;
mod map;
mod map_text;
mod moves;
mod part;
mod row_text;
mod row_windows;
mod rows;
mod scatter;
mod walk;

use crate::device::Engine;
use crate::dispatch::grid;
use crate::journal::problem;
use crate::lowered::{Kernel, Lowered, Place};
use crate::params::Params;
use crate::pipelines::{Interface, Key, Source};
use finish::Finish;
use wgrad_plan::{Given, Instruction, Operand, Padding, Plan, Program, ScalarRange, Step, ValueId, Work};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Meta};
use wgrad_tensor::shape::Shape;

/// Invocations of a workgroup in kernels where each works alone.
pub(crate) const THREADS: usize = 64;

/// Turns that an invocation's loops may take altogether. Mesa's llvmpipe stops a shader's loops after 65,535 without a
/// word, and no GPU is kept busy by invocations that long.
pub(crate) const TURNS: usize = 32_768;

/// A step on its way to kernels. Of the run's numbers it sees where windows start, and what ops from outside are asked
/// with; all others reach the kernels as parameters.
pub(crate) struct Lowering<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    given: &'a Given<'a>,
    lowered: Lowered,
}

/// An operand of a kernel: where it is, and the window on it.
#[derive(Clone)]
pub(crate) struct Input {
    pub place: Place,
    pub dtype: DType,
    pub layout: Layout,
    /// Whether a dtype narrower than a word has a word for each element here.
    pub wide: bool,
    /// Where the window reaches beyond what is there.
    pub padding: Padding,
}

impl Input {
    /// All of so many elements at a place, in order.
    pub fn whole(place: Place, dtype: DType, layout: Layout) -> Input {
        Input { place, dtype, layout, wide: false, padding: Padding::default() }
    }

    /// The window, and the bounds of its padding.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout> {
        std::iter::once(&self.layout).chain(self.padding.bounds.iter().map(|bound| &bound.layout))
    }

    /// The same elements seen in another way.
    pub fn seen(&self, by: &dyn Fn(&Layout) -> Layout) -> Input {
        let mut seen = Input { layout: by(&self.layout), ..self.clone() };
        seen.padding.bounds.iter_mut().for_each(|bound| bound.layout = by(&bound.layout));
        seen
    }
}

/// One kernel to start.
pub(crate) struct Launch {
    pub key: Key,
    pub inputs: Vec<Place>,
    pub outputs: Vec<Place>,
    pub params: Params,
    /// How many workgroups.
    pub groups: usize,
}

impl<'a> Lowering<'a> {
    pub fn new(engine: &'a Engine, plan: &'a Plan, given: &'a Given<'a>) -> Self {
        Lowering { engine, plan, given, lowered: Lowered::default() }
    }

    /// Lowers one step, whose results take the place of operands: `taken` says for each result which one.
    pub fn step(mut self, step: &Step, taken: &[Option<usize>]) -> Result<Lowered, Problem> {
        let inputs: Vec<Input> = step.operands.iter().map(|operand| self.input(operand)).collect();
        let outputs: Vec<Place> = step.results.iter().map(|&value| Place::Value(value)).collect();
        // Of what is too large, that is said first.
        for &value in &step.results {
            self.engine.memory.size_class(self.meta(value)?.bytes() as u64).map_err(problem)?;
        }
        let own = match &step.work {
            Work::Program(_) => 0,
            Work::Op { then: Some(_), .. } => 2,
            Work::Op { .. } => inputs.len(),
        };
        if inputs.iter().take(own).any(|input| !input.padding.is_none()) {
            return Err(Problem::new(ErrorKind::Value, "needs an input without padding"));
        }
        match &step.work {
            Work::Program(program) if combines(program) => self.rows(program, &inputs, &outputs)?,
            Work::Program(program) => self.map_over(program, &inputs, &outputs, taken)?,
            Work::Op { op, scalars, then } => match then {
                None => self.op(step, op.compute(), scalars, &inputs, &outputs, taken)?,
                Some(then) => {
                    let dtype = then.product().ok_or_else(|| unfit(&op.compute(), inputs.len()))?;
                    let metas: Vec<Meta> =
                        inputs.iter().take(2).map(|input| Meta::new(&input.layout.shape, dtype)).collect();
                    let whole = op.infer(&metas.iter().collect::<Vec<_>>())?.into_iter().next();
                    let shape = whole.ok_or_else(|| unfit(&op.compute(), inputs.len()))?.shape;
                    let then = numbered_after(then, 2);
                    self.op_then(op.compute(), (&then, shape), &inputs, &outputs)?;
                }
            },
        }
        Ok(self.lowered)
    }

    fn op(
        &mut self,
        step: &Step,
        compute: Compute<'_>,
        scalars: &ScalarRange,
        inputs: &[Input],
        outputs: &[Place],
        taken: &[Option<usize>],
    ) -> Result<(), Problem> {
        let metas = self.metas(step)?;
        let inputs = match compute {
            _ if compute.takes_windows() => inputs.to_vec(),
            _ => inputs.iter().map(|input| self.contiguous(input)).collect::<Result<_, _>>()?,
        };
        match (compute, inputs.as_slice(), outputs, metas.as_slice()) {
            (Compute::Extreme(extreme, axes), [input], &[value, position], _) => {
                self.extreme(extreme, axes, input, value, position)
            }
            (Compute::Matmul(_) | Compute::Conv2d(_) | Compute::Conv2dInput(_) | Compute::Conv2dWeight(_), ..) => {
                let [meta] = metas.as_slice() else { return Err(unfit(&compute, inputs.len())) };
                let code = vec![Instruction::Product(meta.dtype)];
                let then = Program { shape: meta.shape.clone(), row_axes: 0, code, stores: vec![0] };
                self.op_then(compute, (&then, meta.shape.clone()), &inputs, outputs)
            }
            (Compute::Fold(windows), [input], &[output], [meta]) => self.fold(windows, input, output, meta),
            (Compute::Gather(axis), [source, index], &[output], [meta]) => {
                self.gather(axis, source, index, output, meta)
            }
            (Compute::ScatterAdd(axis), [base, index, source], &[output], [meta]) => {
                let base = Some(base).filter(|_| taken.iter().all(Option::is_none));
                self.scatter_add(axis, [index, source], base, output, meta)
            }
            (Compute::Cat(axis), inputs, &[output], [meta]) => self.cat(axis, inputs, output, meta),
            (Compute::Custom(custom), inputs, outputs, metas) => {
                self.custom(custom, self.given.scalars(scalars), inputs, outputs, metas)
            }
            (other, ..) => Err(unfit(&other, inputs.len())),
        }
    }

    /// A matrix product or a convolution of the first two inputs, and what becomes of each element of its result.
    fn op_then(
        &mut self,
        compute: Compute<'_>,
        (then, shape): (&Program, Shape),
        inputs: &[Input],
        outputs: &[Place],
    ) -> Result<(), Problem> {
        let Some(([first, second], others)) = inputs.split_first_chunk() else {
            return Err(unfit(&compute, inputs.len()));
        };
        let finish = Finish { program: then, shape, inputs: others, outputs };
        if let Compute::Matmul(_) = compute {
            return self.matmul(first, second, &finish);
        }
        let (first, second) = (self.contiguous(first)?, self.contiguous(second)?);
        match compute {
            Compute::Conv2d(window) => self.conv2d(window, &first, &second, &finish),
            Compute::Conv2dInput(window) => self.conv2d_input(window, &first, &second, &finish),
            Compute::Conv2dWeight(window) => self.conv2d_weight(window, &first, &second, &finish),
            other => Err(unfit(&other, inputs.len())),
        }
    }

    /// Adds a kernel. Its text is made only where its pipeline is not there yet.
    pub fn launch(&mut self, launch: Launch, source: impl FnOnce() -> Result<Source, Problem>) -> Result<(), Problem> {
        if launch.groups == 0 {
            return Ok(());
        }
        let grid = grid(launch.groups, self.engine.limits.max_compute_workgroups_per_dimension)?;
        self.launch_grid(launch, grid, source)
    }

    fn launch_grid(
        &mut self,
        launch: Launch,
        grid: [u32; 3],
        source: impl FnOnce() -> Result<Source, Problem>,
    ) -> Result<(), Problem> {
        if !launch.params.fit() {
            let message = "a size or stride is beyond what a GPU kernel counts";
            return Err(Problem::new(ErrorKind::Unsupported, message));
        }
        let bound = launch.inputs.len() + launch.outputs.len();
        if bound > self.engine.limits.max_storage_buffers_per_shader_stage as usize {
            return Err(Problem::new(
                ErrorKind::Unsupported,
                format!("needs {bound} buffers at once, more than {} binds", self.engine.description.name),
            ));
        }
        let (inputs, outputs) = (launch.inputs.len(), launch.outputs.len());
        let interface = Interface { inputs, outputs, params: !launch.params.is_empty() };
        let pipeline = self.engine.pipelines.get(launch.key, interface, source)?;
        let places = launch.inputs.into_iter().chain(launch.outputs).collect();
        self.lowered.kernels.push(Kernel { pipeline, places, params: launch.params, grid });
        Ok(())
    }

    /// Memory that only this step needs.
    fn scratch(&mut self, bytes: usize) -> Place {
        self.lowered.scratch.push(bytes);
        Place::Scratch(self.lowered.scratch.len() - 1)
    }

    /// Reserves the two status words of an index op or a pick: whether there was a bad index, and the largest one.
    fn check(&mut self, size: usize, dtype: DType) -> usize {
        self.lowered.checks.push((size, dtype));
        self.lowered.checks.len() - 1
    }

    /// The input itself where its window is the whole buffer in order, else a copy of the window.
    fn contiguous(&mut self, input: &Input) -> Result<Input, Problem> {
        if input.layout.is_contiguous() && input.padding.is_none() {
            return Ok(input.clone());
        }
        let place = self.scratch(input.layout.shape.count() * input.dtype.size());
        self.copy(input, place)?;
        Ok(Input::whole(place, input.dtype, Layout::contiguous(&input.layout.shape)))
    }

    /// Copies an input's elements in order.
    fn copy(&mut self, input: &Input, to: Place) -> Result<(), Problem> {
        let code = vec![Instruction::Load(0, input.dtype)];
        let copy = Program { shape: input.layout.shape.clone(), row_axes: 0, code, stores: vec![0] };
        self.map(&copy, std::slice::from_ref(input), &[to])
    }

    fn input(&self, operand: &Operand) -> Input {
        let place = Place::Value(operand.value);
        let padding = operand.padding.at(self.given);
        Input { padding, ..Input::whole(place, operand.dtype, operand.window(self.given)) }
    }

    fn meta(&self, value: ValueId) -> Result<&'a Meta, Problem> {
        let unknown = || Problem::new(ErrorKind::Value, format!("the plan has no value {value}"));
        self.plan.values.get(value).ok_or_else(unknown)
    }

    fn metas(&self, step: &Step) -> Result<Vec<Meta>, Problem> {
        step.results.iter().map(|&value| self.meta(value).cloned()).collect()
    }

    /// Refuses what this adapter cannot compute with.
    fn needs(&self, dtype: DType) -> Result<(), Problem> {
        if dtype != DType::F64 || self.engine.description.f64 {
            return Ok(());
        }
        let name = &self.engine.description.name;
        Err(Problem::new(ErrorKind::Unsupported, format!("{name} does not compute in f64; use f32, or the CPU")))
    }

    /// Refuses dtypes that kernels do no arithmetic in, and gives the name of those that they do.
    fn number(&self, dtype: DType) -> Result<&'static str, Problem> {
        self.needs(dtype)?;
        match dtype {
            DType::F32 | DType::F64 | DType::I32 | DType::U32 => Ok(dtype.name()),
            _ => Err(Problem::new(ErrorKind::Unsupported, format!("has no GPU kernel for {dtype}; cast to f32 first"))),
        }
    }
}

/// Whether a program has rows; a reduction over no axes has rows of one place.
pub(crate) fn combines(program: &Program) -> bool {
    let combines = |instruction: &Instruction| matches!(instruction, Instruction::Reduce(..) | Instruction::Pick(_));
    program.row_axes > 0 || program.code.iter().any(combines)
}

/// A program that numbers its loads without the first operands, which are the op's.
fn numbered_after(program: &Program, first: usize) -> Program {
    let mut program = program.clone();
    for instruction in &mut program.code {
        if let Instruction::Load(operand, _) = instruction {
            *operand = operand.saturating_sub(first);
        }
    }
    program
}

fn unfit(compute: &Compute<'_>, inputs: usize) -> Problem {
    Problem::new(ErrorKind::Unsupported, format!("{compute:?} of {inputs} inputs is no step that a GPU runs"))
}
