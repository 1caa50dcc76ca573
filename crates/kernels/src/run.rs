//! One run of a plan: buffers for its values, and its kernels on their way to the device.

use crate::device::Engine;
use crate::dispatch::{Dispatch, submit};
use crate::journal::{Check, Verdict, device_error};
use crate::lowered::{Lowered, LoweredPlan, Place};
use crate::memory::{GpuBuffer, Use};
use crate::stats::count;
use crate::status::StatusWords;
use crate::timing::submit_timed;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use wgrad_plan::{Given, Plan, Step, ValueId};
use wgrad_tensor::error::{ErrorKind, Problem, Result};

/// A run in the making.
pub(crate) struct Run<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    given: &'a Given<'a>,
    values: Vec<Option<Arc<GpuBuffer>>>,
    verdict: Arc<Verdict>,
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    status: Option<StatusWords>,
    checks: Vec<Check>,
}

/// What a run leaves once it is submitted: the outputs, what to look at when they are read, and where somebody wants to
/// know, what each step took.
pub(crate) struct Submitted {
    pub outputs: Vec<Arc<GpuBuffer>>,
    pub status: Option<StatusWords>,
    pub checks: Vec<Check>,
    pub times: Vec<Duration>,
}

impl<'a> Run<'a> {
    /// Starts with the plan's inputs, and status words for all checks.
    pub fn new(
        engine: &'a Engine,
        (plan, lowered): (&'a Plan, &LoweredPlan),
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
        let checks: usize = lowered.steps.iter().map(|step| step.checks.len()).sum();
        let status = match checks {
            0 => None,
            _ => Some(engine.status.take(&engine.memory, 2 * checks)?),
        };
        let (dispatches, params, checks) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Run { engine, plan, given, values, verdict, dispatches, params, status, checks })
    }

    /// Adds the kernels of the plan's `number`-th step, which write to new buffers.
    pub fn step(&mut self, number: usize, step: &Step, lowered: &Lowered) -> Result<(), Problem> {
        for &value in &step.results {
            let bytes = self.plan.values.get(value).map_or(0, |meta| meta.bytes());
            let buffer = self.allocate(self.plan.capacity(value).max(bytes), bytes)?;
            if let Some(place) = self.values.get_mut(value) {
                *place = Some(buffer);
            }
        }
        let scratch = lowered.scratch.iter().map(|&bytes| self.allocate(bytes, bytes));
        let scratch = scratch.collect::<Result<Vec<_>, _>>()?;
        let slot = self.status.as_ref().map_or(0, StatusWords::first) + 2 * self.checks.len();
        for &(size, dtype) in &lowered.checks {
            let slot = 2 * self.checks.len();
            self.checks.push(Check { slot, origin: (self.given.origin)(step), size, dtype });
        }
        for kernel in &lowered.kernels {
            let places = kernel.places.iter().map(|&place| self.buffer(place, &scratch));
            let buffers = places.collect::<Result<Vec<_>, _>>()?;
            let params = NonZeroU64::new(kernel.params.bytes() as u64).map(|size| {
                let alignment = self.engine.limits.min_uniform_buffer_offset_alignment as usize;
                self.params.resize(self.params.len().next_multiple_of(alignment), 0);
                (self.params.len() as u32, size)
            });
            kernel.params.write(self.given, slot, &mut self.params)?;
            let pipeline = kernel.pipeline.clone();
            self.dispatches.push(Dispatch { step: number, pipeline, buffers, params, grid: kernel.grid });
        }
        for &value in &step.frees {
            if let Some(place) = self.values.get_mut(value) {
                *place = None;
            }
        }
        Ok(())
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

    /// A buffer for so many bytes, in memory of this capacity.
    fn allocate(&self, capacity: usize, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        match self.engine.memory.allocate(Use::Data, capacity) {
            Ok(block) => Ok(Arc::new(GpuBuffer { block, bytes, verdict: self.verdict.clone() })),
            Err(error) => Err(Problem::new(error.kind(), error.message().to_owned())),
        }
    }

    fn buffer(&self, place: Place, scratch: &[Arc<GpuBuffer>]) -> Result<wgpu::Buffer, Problem> {
        let found = match place {
            Place::Value(value) => self.values.get(value).and_then(Option::as_ref).map(|buffer| buffer.raw()),
            Place::Scratch(number) => scratch.get(number).map(|buffer| buffer.raw()),
            Place::Status => self.status.as_ref().map(StatusWords::raw),
        };
        let early = || Problem::new(ErrorKind::Value, format!("{place:?} of the plan is used before it is there"));
        found.cloned().ok_or_else(early)
    }
}
