//! One run of a plan: buffers for its values, and its kernels on their way to the device.

use crate::device::Engine;
use crate::dispatch::{Dispatch, Ready, submit};
use crate::journal::{Check, Verdict, device_error};
use crate::lowered::{Lowered, Place};
use crate::memory::{GpuBuffer, Use};
use crate::params::Blocks;
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
    params: Blocks,
    status: Option<StatusWords>,
    checks: Vec<Check>,
    /// How many buffers were taken so far, and the numbers of those and of the ones that the last run took from there on.
    taken: usize,
    took: &'a mut Vec<u64>,
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
        (plan, steps): (&'a Plan, &[Lowered]),
        given: &'a Given<'a>,
        inputs: Vec<Arc<GpuBuffer>>,
        verdict: Arc<Verdict>,
        took: &'a mut Vec<u64>,
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
        let checks: usize = steps.iter().map(|step| step.checks.len()).sum();
        let status = match checks {
            0 => None,
            _ => Some(engine.status.take(&engine.memory, 2 * checks)?),
        };
        let alignment = engine.limits.min_uniform_buffer_offset_alignment as usize;
        let (dispatches, params, checks) = (Vec::new(), Blocks::new(alignment), Vec::new());
        Ok(Run { engine, plan, given, values, verdict, dispatches, params, status, checks, taken: 0, took })
    }

    /// Adds the kernels of the plan's `number`-th step, which write to new buffers or over what they read.
    pub fn step(&mut self, number: usize, step: &Step, lowered: &Lowered) -> Result<(), Problem> {
        for (result, &value) in step.results.iter().enumerate() {
            let bytes = self.plan.values.get(value).map_or(0, |meta| meta.bytes());
            let buffer = match lowered.taken.get(result).copied().flatten() {
                Some(operand) => self.take_over(step.operands[operand].value, bytes)?,
                None => self.allocate(self.plan.capacity(value).max(bytes), bytes)?,
            };
            if let Some(place) = self.values.get_mut(value) {
                *place = Some(buffer);
            }
        }
        let scratch =
            lowered.scratch.iter().map(|&bytes| self.allocate(bytes, bytes)).collect::<Result<Vec<_>, _>>()?;
        let slot = self.status.as_ref().map_or(0, StatusWords::first) + 2 * self.checks.len();
        for &(size, dtype) in &lowered.checks {
            let slot = 2 * self.checks.len();
            self.checks.push(Check { slot, origin: (self.given.origin)(step), size, dtype });
        }
        for kernel in &lowered.kernels {
            let places = kernel.places.iter().map(|&place| self.buffer(place, &scratch));
            let buffers = places.collect::<Result<Vec<_>, _>>()?;
            let params = match NonZeroU64::new(kernel.params.bytes() as u64) {
                Some(size) => Some((self.params.add(&kernel.params, self.given, slot)?, size)),
                None => None,
            };
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
        let params = match self.params.bytes() {
            [] => None,
            bytes => {
                let block = self.engine.memory.allocate(Use::Params, bytes.len())?;
                self.engine.queue.write_buffer(block.raw(), 0, bytes);
                count(&self.engine.counters.parameter_blocks);
                Some(block)
            }
        };
        let (params, status) = (params.as_ref(), self.status.as_ref());
        let dispatches: Vec<Ready> =
            self.dispatches.into_iter().map(|dispatch| dispatch.bind(self.engine, params)).collect();
        let times = match self.given.watch {
            None => {
                submit(self.engine, &dispatches, status);
                Vec::new()
            }
            Some(_) => submit_timed(self.engine, &dispatches, status, self.plan.steps.len())?,
        };
        self.engine.counters.kernels.fetch_add(dispatches.len() as u64, Relaxed);
        let missing = || device_error(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
        let output = |&value: &ValueId| self.values.get(value).cloned().flatten().ok_or_else(missing);
        let outputs = self.plan.outputs.iter().map(output).collect::<Result<Vec<_>>>()?;
        Ok(Submitted { outputs, status: self.status, checks: self.checks, times })
    }

    /// A buffer for so many bytes, in memory of this capacity.
    fn allocate(&mut self, capacity: usize, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        if self.took.len() == self.taken {
            self.took.push(0);
        }
        self.taken += 1;
        match self.engine.memory.allocate_again(Use::Data, capacity, &mut self.took[self.taken - 1]) {
            Ok(block) => Ok(Arc::new(GpuBuffer { block, bytes, verdict: self.verdict.clone() })),
            Err(error) => Err(Problem::new(error.kind(), error.message().to_owned())),
        }
    }

    /// The buffer of a value that nothing else needs any more.
    fn take_over(&mut self, value: ValueId, bytes: usize) -> Result<Arc<GpuBuffer>, Problem> {
        let held = self.values.get_mut(value).and_then(Option::take).and_then(Arc::into_inner);
        let needed =
            || Problem::new(ErrorKind::Value, format!("v{value} of the plan is written over while it is needed"));
        let GpuBuffer { block, .. } = held.ok_or_else(needed)?;
        Ok(Arc::new(GpuBuffer { block, bytes, verdict: self.verdict.clone() }))
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
