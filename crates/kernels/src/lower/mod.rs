//! From a plan's steps to dispatches.

mod cast;
mod contract;
mod custom;
mod extreme;
mod map;
mod map_text;
mod moves;
mod reduce;
mod scatter;
mod walk;

use crate::device::Engine;
use crate::dispatch::{Dispatch, grid, submit};
use crate::journal::{Check, Verdict, device_error};
use crate::memory::{Block, GpuBuffer, Use};
use crate::params::Params;
use crate::pipelines::{Interface, Key, Source};
use std::num::NonZeroU64;
use std::sync::Arc;
use wgrad_plan::{Instruction, Operand, Plan, Program, Step, ValueId, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Problem, Result};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Meta};

/// Invocations of a workgroup in kernels where each works alone.
pub(crate) const THREADS: usize = 64;

/// Turns that an invocation's loops may take altogether. Mesa's llvmpipe stops a shader's loops after 65,535 without a
/// word, and no GPU is kept busy by invocations that long.
pub(crate) const TURNS: usize = 32_768;

/// A plan on its way to the device.
pub(crate) struct Lowering<'a> {
    pub engine: &'a Arc<Engine>,
    plan: &'a Plan,
    values: Vec<Option<Arc<GpuBuffer>>>,
    verdict: Arc<Verdict>,
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    status: Option<Block>,
    checks: Vec<Check>,
}

/// What a finished lowering leaves: the outputs, and what to look at when they are read.
type Submitted = (Vec<Arc<GpuBuffer>>, Option<Block>, Vec<Check>);

/// An operand of a kernel: the buffer and the window on it.
#[derive(Clone)]
pub(crate) struct Input {
    pub buffer: Arc<GpuBuffer>,
    pub dtype: DType,
    pub layout: Layout,
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
        inputs: &[Arc<GpuBuffer>],
        verdict: Arc<Verdict>,
    ) -> Result<Self> {
        let mut values = vec![None; plan.values.len()];
        for (&value, buffer) in plan.inputs.iter().zip(inputs) {
            let (Some(place), Some(meta)) = (values.get_mut(value), plan.values.get(value)) else { continue };
            if buffer.bytes < meta.bytes() {
                let message = format!("a buffer of {} bytes for {} {}", buffer.bytes, meta.shape, meta.dtype);
                return Err(device_error(ErrorKind::Value, "run", message));
            }
            *place = Some(buffer.clone());
        }
        Ok(Lowering {
            engine,
            plan,
            values,
            verdict,
            dispatches: Vec::new(),
            params: Vec::new(),
            status: None,
            checks: Vec::new(),
        })
    }

    /// Lowers one step.
    pub fn step(&mut self, step: &Step) -> Result<(), Problem> {
        let inputs = step.operands.iter().map(|operand| self.input(operand)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = Vec::with_capacity(step.results.len());
        for &value in &step.results {
            let meta = self.meta(value)?;
            outputs.push(self.allocate(meta.bytes())?);
        }
        match &step.work {
            Work::Map(program) => self.map(program, &inputs, &outputs, &self.metas(step)?, &step.origin.op)?,
            Work::Op(op, scalars) => self.op(step, op.compute(), scalars, &inputs, &outputs)?,
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
            (Compute::Reduce(reduction, axes), [input], [output], [_]) => self.reduce(reduction, axes, input, output),
            (Compute::Extreme(extreme, axes), [input], [value, position], _) => {
                self.extreme(extreme, axes, input, value, position)
            }
            (Compute::Matmul, [left, right], [output], [meta]) => self.matmul(left, right, output, meta),
            (Compute::Conv2d(window), [input, weight], [output], [meta]) => {
                self.conv2d(window, input, weight, output, meta)
            }
            (Compute::Conv2dInput(window), [grad, weight], [output], [meta]) => {
                self.conv2d_input(window, grad, weight, output, meta)
            }
            (Compute::Conv2dWeight(window), [grad, input], [output], [meta]) => {
                self.conv2d_weight(window, grad, input, output, meta)
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
            (other, ..) => Err(Problem::new(
                ErrorKind::Unsupported,
                format!("{other:?} of {} inputs is no step that a GPU runs", inputs.len()),
            )),
        }
    }

    /// Writes the parameters and hands everything to the device.
    pub fn submit(self) -> Result<Submitted> {
        let params = match self.params.as_slice() {
            [] => None,
            bytes => {
                let block = self.engine.memory.allocate(Use::Params, bytes.len())?;
                self.engine.queue.write_buffer(block.raw(), 0, bytes);
                Some(block)
            }
        };
        submit(self.engine, &self.dispatches, params.as_ref(), self.status.as_ref());
        let missing = || device_error(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
        let output = |&value: &ValueId| self.values.get(value).cloned().flatten().ok_or_else(missing);
        let outputs = self.plan.outputs.iter().map(output).collect::<Result<Vec<_>>>()?;
        Ok((outputs, self.status, self.checks))
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
        self.dispatches.push(Dispatch { pipeline, buffers, params, grid });
        Ok(())
    }

    /// A buffer for this run's results.
    pub fn allocate(&self, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        match self.engine.memory.allocate(Use::Data, bytes) {
            Ok(block) => Ok(Arc::new(GpuBuffer { block, bytes, verdict: self.verdict.clone() })),
            Err(error) => Err(Problem::new(error.kind(), error.message().to_owned())),
        }
    }

    /// Reserves the two status words of an index op: whether there was a bad index, and the largest one. The buffer
    /// has room for every step of the plan.
    fn check(&mut self, step: &Step, size: usize, dtype: DType) -> Result<(wgpu::Buffer, u32), Problem> {
        let slot = self.checks.len() as u32 * 2;
        let raw = match &self.status {
            Some(block) => block.raw().clone(),
            None => {
                let block = self.engine.memory.allocate(Use::Status, self.plan.steps.len() * 8);
                let block = block.map_err(|error| Problem::new(error.kind(), error.message().to_owned()))?;
                self.status.insert(block).raw().clone()
            }
        };
        self.checks.push(Check { slot, origin: step.origin.clone(), size, dtype });
        Ok((raw, slot))
    }

    /// The input itself where its window is the whole buffer in order, else a copy of the window.
    fn contiguous(&mut self, input: &Input) -> Result<Input, Problem> {
        if input.layout.is_contiguous() {
            return Ok(input.clone());
        }
        let shape = input.layout.shape.clone();
        let buffer = self.allocate(shape.count() * input.dtype.size())?;
        let copy = Program { shape: shape.clone(), code: vec![Instruction::Load(0, input.dtype)], stores: vec![0] };
        let meta = Meta::new(&shape, input.dtype);
        self.map(&copy, std::slice::from_ref(input), std::slice::from_ref(&buffer), &[meta], "copy")?;
        Ok(Input { buffer, dtype: input.dtype, layout: Layout::contiguous(&shape) })
    }

    fn input(&self, operand: &Operand) -> Result<Input, Problem> {
        let buffer = self.values.get(operand.value).cloned().flatten().ok_or_else(|| {
            Problem::new(ErrorKind::Value, format!("value {} of the plan is used before it is there", operand.value))
        })?;
        Ok(Input { buffer, dtype: operand.dtype, layout: operand.layout.clone() })
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
