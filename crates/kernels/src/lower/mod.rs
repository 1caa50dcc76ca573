//! From a plan's steps to dispatches.

mod cast;
mod code;
mod contract;
mod custom;
mod extreme;
mod finish;
mod levels;
mod map;
mod map_text;
mod moves;
mod part;
mod row_text;
mod rows;
mod scatter;
mod walk;

use crate::device::Engine;
use crate::dispatch::{Dispatch, grid, submit};
use crate::journal::{Check, Verdict, device_error};
use crate::memory::{GpuBuffer, Use};
use crate::params::Params;
use crate::pipelines::{Interface, Key, Source};
use crate::stats::count;
use crate::status::StatusWords;
use crate::timing::submit_timed;
use finish::Finish;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use wgrad_plan::{Given, Instruction, Operand, Plan, Program, Step, ValueId, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Problem, Result};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Meta};
use wgrad_tensor::shape::Shape;

/// Invocations of a workgroup in kernels where each works alone.
pub(crate) const THREADS: usize = 64;

/// Turns that an invocation's loops may take altogether. Mesa's llvmpipe stops a shader's loops after 65,535 without a
/// word, and no GPU is kept busy by invocations that long.
pub(crate) const TURNS: usize = 32_768;

/// A plan on its way to the device.
pub(crate) struct Lowering<'a> {
    pub engine: &'a Arc<Engine>,
    plan: &'a Plan,
    given: &'a Given<'a>,
    values: Vec<Option<Arc<GpuBuffer>>>,
    verdict: Arc<Verdict>,
    /// The number of the step that is being lowered.
    current: usize,
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    status: Option<StatusWords>,
    checks: Vec<Check>,
}

/// What a finished lowering leaves: the outputs, what to look at when they are read, and where somebody wants to know,
/// what each step took.
pub(crate) struct Submitted {
    pub outputs: Vec<Arc<GpuBuffer>>,
    pub status: Option<StatusWords>,
    pub checks: Vec<Check>,
    pub times: Vec<Duration>,
}

/// An operand of a kernel: the buffer and the window on it.
#[derive(Clone)]
pub(crate) struct Input {
    pub buffer: Arc<GpuBuffer>,
    pub dtype: DType,
    pub layout: Layout,
    /// Whether a dtype narrower than a word has a word for each element here.
    pub wide: bool,
}

/// One kernel to start.
pub(crate) struct Launch<'b> {
    pub key: Key,
    pub inputs: Vec<&'b wgpu::Buffer>,
    pub outputs: Vec<&'b wgpu::Buffer>,
    pub params: Params,
    /// How many workgroups.
    pub groups: usize,
}

impl<'a> Lowering<'a> {
    pub fn new(
        engine: &'a Arc<Engine>,
        plan: &'a Plan,
        given: &'a Given<'a>,
        inputs: Vec<Arc<GpuBuffer>>,
        verdict: Arc<Verdict>,
    ) -> Result<Self> {
        let mut values = vec![None; plan.values.len()];
        for (&value, buffer) in plan.inputs.iter().zip(inputs) {
            let (Some(place), Some(meta)) = (values.get_mut(value), plan.values.get(value)) else { continue };
            if buffer.bytes < meta.bytes() {
                let message = format!("a buffer of {} bytes for {} {}", buffer.bytes, meta.shape, meta.dtype);
                return Err(device_error(ErrorKind::Value, "run", message));
            }
            *place = Some(buffer);
        }
        Ok(Lowering {
            engine,
            plan,
            given,
            values,
            verdict,
            current: 0,
            dispatches: Vec::new(),
            params: Vec::new(),
            status: None,
            checks: Vec::new(),
        })
    }

    /// Lowers one step, the plan's `number`-th.
    pub fn step(&mut self, number: usize, step: &Step) -> Result<(), Problem> {
        self.current = number;
        let inputs = step.operands.iter().map(|operand| self.input(operand)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = Vec::with_capacity(step.results.len());
        for &value in &step.results {
            let meta = self.meta(value)?;
            outputs.push(self.allocate_from(self.plan.capacity(value), meta.bytes())?);
        }
        match &step.work {
            Work::Program(program) if combines(program) => self.rows(step, program, &inputs, &outputs)?,
            Work::Program(program) => self.map(program, &inputs, &outputs)?,
            Work::Op { op, scalars, then } => {
                let scalars = self.given.scalars(scalars);
                match then {
                    None => self.op(step, op.compute(), scalars, &inputs, &outputs)?,
                    Some(then) => {
                        let metas: Vec<Meta> =
                            inputs.iter().take(2).map(|input| Meta::new(&input.layout.shape, input.dtype)).collect();
                        let whole = op.infer(&metas)?.into_iter().next();
                        let shape = whole.ok_or_else(|| unfit(&op.compute(), inputs.len()))?.shape;
                        let then = numbered_after(then, 2);
                        self.op_then(step, op.compute(), (&then, shape), &inputs, &outputs)?;
                    }
                }
            }
        }
        for (&value, buffer) in step.results.iter().zip(outputs) {
            if let Some(place) = self.values.get_mut(value) {
                *place = Some(buffer);
            }
        }
        for &value in &step.frees {
            if let Some(place) = self.values.get_mut(value) {
                *place = None;
            }
        }
        Ok(())
    }

    fn op(
        &mut self,
        step: &Step,
        compute: Compute<'_>,
        scalars: &[Scalar],
        inputs: &[Input],
        outputs: &[Arc<GpuBuffer>],
    ) -> Result<(), Problem> {
        let metas = self.metas(step)?;
        let inputs = match compute {
            _ if compute.takes_windows() => inputs.to_vec(),
            _ => inputs.iter().map(|input| self.contiguous(input)).collect::<Result<_, _>>()?,
        };
        match (compute, inputs.as_slice(), outputs, metas.as_slice()) {
            (Compute::Extreme(extreme, axes), [input], [value, position], _) => {
                self.extreme(extreme, axes, input, value, position)
            }
            (Compute::Matmul | Compute::Conv2d(_) | Compute::Conv2dInput(_) | Compute::Conv2dWeight(_), ..) => {
                let [meta] = metas.as_slice() else { return Err(unfit(&compute, inputs.len())) };
                let code = vec![Instruction::Product(meta.dtype)];
                let then = Program { shape: meta.shape.clone(), row_axes: 0, code, stores: vec![0] };
                self.op_then(step, compute, (&then, meta.shape.clone()), &inputs, outputs)
            }
            (Compute::Pad(before), [input], [output], [meta]) => {
                let value = scalars.first().copied().unwrap_or(Scalar::Int(0));
                self.pad(before, value, input, output, meta)
            }
            (Compute::Fold(windows), [input], [output], [meta]) => self.fold(windows, input, output, meta),
            (Compute::Gather(axis), [source, index], [output], [meta]) => {
                self.gather(step, axis, source, index, output, meta)
            }
            (Compute::ScatterAdd(axis), [base, index, source], [output], [meta]) => {
                self.scatter_add(step, axis, [base, index, source], output, meta)
            }
            (Compute::Cat(axis), inputs, [output], [meta]) => self.cat(axis, inputs, output, meta),
            (Compute::Custom(custom), inputs, outputs, metas) => self.custom(custom, scalars, inputs, outputs, metas),
            (other, ..) => Err(unfit(&other, inputs.len())),
        }
    }

    /// A matrix product or a convolution of the first two inputs, and what becomes of each element of its result.
    fn op_then(
        &mut self,
        step: &Step,
        compute: Compute<'_>,
        (then, shape): (&Program, Shape),
        inputs: &[Input],
        outputs: &[Arc<GpuBuffer>],
    ) -> Result<(), Problem> {
        let Some(([first, second], others)) = inputs.split_first_chunk() else {
            return Err(unfit(&compute, inputs.len()));
        };
        let finish = Finish { step, program: then, shape, inputs: others, outputs };
        if let Compute::Matmul = compute {
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

    /// Writes the parameters and hands everything to the device.
    pub fn submit(self) -> Result<Submitted> {
        let params = match self.params.as_slice() {
            [] => None,
            bytes => {
                let block = self.engine.memory.allocate(Use::Params, bytes.len())?;
                self.engine.queue.write_buffer(block.raw(), 0, bytes);
                count(&self.engine.counters.parameter_blocks);
                Some(block)
            }
        };
        let (params, status) = (params.as_ref(), self.status.as_ref());
        let times = match self.given.watch {
            None => {
                submit(self.engine, &self.dispatches, params, status);
                Vec::new()
            }
            Some(_) => submit_timed(self.engine, &self.dispatches, params, status, self.plan.steps.len())?,
        };
        self.engine.counters.kernels.fetch_add(self.dispatches.len() as u64, Relaxed);
        let missing = || device_error(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
        let output = |&value: &ValueId| self.values.get(value).cloned().flatten().ok_or_else(missing);
        let outputs = self.plan.outputs.iter().map(output).collect::<Result<Vec<_>>>()?;
        Ok(Submitted { outputs, status: self.status, checks: self.checks, times })
    }

    /// Adds a dispatch. The text is made only where its pipeline is not there yet.
    pub fn launch(
        &mut self,
        launch: Launch<'_>,
        source: impl FnOnce() -> Result<Source, Problem>,
    ) -> Result<(), Problem> {
        if launch.groups == 0 {
            return Ok(());
        }
        let grid = grid(launch.groups, self.engine.limits.max_compute_workgroups_per_dimension)?;
        self.launch_grid(launch, grid, source)
    }

    fn launch_grid(
        &mut self,
        launch: Launch<'_>,
        grid: [u32; 3],
        source: impl FnOnce() -> Result<Source, Problem>,
    ) -> Result<(), Problem> {
        let bytes = launch.params.bytes().ok_or_else(|| {
            Problem::new(ErrorKind::Unsupported, "a size or stride is beyond what a GPU kernel counts")
        })?;
        let bound = launch.inputs.len() + launch.outputs.len();
        if bound > self.engine.limits.max_storage_buffers_per_shader_stage as usize {
            return Err(Problem::new(
                ErrorKind::Unsupported,
                format!("needs {bound} buffers at once, more than {} binds", self.engine.description.name),
            ));
        }
        let params = NonZeroU64::new(bytes.len() as u64).map(|size| {
            let offset =
                self.params.len().next_multiple_of(self.engine.limits.min_uniform_buffer_offset_alignment as usize);
            self.params.resize(offset, 0);
            self.params.extend_from_slice(&bytes);
            (offset as u32, size)
        });
        let interface =
            Interface { inputs: launch.inputs.len(), outputs: launch.outputs.len(), params: params.is_some() };
        let pipeline = self.engine.pipelines.get(launch.key, interface, source)?;
        let buffers = launch.inputs.into_iter().chain(launch.outputs).cloned().collect();
        self.dispatches.push(Dispatch { step: self.current, pipeline, buffers, params, grid });
        Ok(())
    }

    /// A buffer for this run's results.
    pub fn allocate(&self, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        self.allocate_from(bytes, bytes)
    }

    /// A buffer for so many bytes, of this capacity or more.
    fn allocate_from(&self, capacity: usize, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        match self.engine.memory.allocate(Use::Data, capacity.max(bytes)) {
            Ok(block) => Ok(Arc::new(GpuBuffer { block, bytes, verdict: self.verdict.clone() })),
            Err(error) => Err(Problem::new(error.kind(), error.message().to_owned())),
        }
    }

    /// Reserves the two status words of an index op or a pick: whether there was a bad index, and the largest one. The
    /// first check takes words for all of the plan's.
    fn check(&mut self, step: &Step, size: usize, dtype: DType) -> Result<(wgpu::Buffer, u32), Problem> {
        let slot = 2 * self.checks.len();
        let words = match &self.status {
            Some(words) => words,
            None => {
                let checks: usize = self.plan.steps.iter().map(checks).sum();
                let words = self.engine.status.take(&self.engine.memory, 2 * checks);
                let words = words.map_err(|error| Problem::new(error.kind(), error.message().to_owned()))?;
                self.status.insert(words)
            }
        };
        let place = (words.raw().clone(), (words.first() + slot) as u32);
        self.checks.push(Check { slot, origin: (self.given.origin)(step), size, dtype });
        Ok(place)
    }

    /// The input itself where its window is the whole buffer in order, else a copy of the window.
    fn contiguous(&mut self, input: &Input) -> Result<Input, Problem> {
        if input.layout.is_contiguous() {
            return Ok(input.clone());
        }
        let shape = input.layout.shape.clone();
        let buffer = self.allocate(shape.count() * input.dtype.size())?;
        let code = vec![Instruction::Load(0, input.dtype)];
        let copy = Program { shape: shape.clone(), row_axes: 0, code, stores: vec![0] };
        self.map(&copy, std::slice::from_ref(input), std::slice::from_ref(&buffer))?;
        Ok(Input { buffer, dtype: input.dtype, layout: Layout::contiguous(&shape), wide: false })
    }

    fn input(&self, operand: &Operand) -> Result<Input, Problem> {
        let buffer = self.values.get(operand.value).cloned().flatten().ok_or_else(|| {
            Problem::new(ErrorKind::Value, format!("value {} of the plan is used before it is there", operand.value))
        })?;
        Ok(Input { buffer, dtype: operand.dtype, layout: operand.window(self.given), wide: false })
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
fn combines(program: &Program) -> bool {
    let combines = |instruction: &Instruction| matches!(instruction, Instruction::Reduce(..) | Instruction::Pick(_));
    program.row_axes > 0 || program.code.iter().any(combines)
}

/// How many checks a step may need.
fn checks(step: &Step) -> usize {
    match &step.work {
        Work::Program(program) => {
            program.code.iter().filter(|instruction| matches!(instruction, Instruction::Pick(_))).count()
        }
        Work::Op { .. } => 1,
    }
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
