//! One run of a plan: memory for it, and its kernels on their way to the device.

use crate::device::Engine;
use crate::dispatch::{Ready, submit};
use crate::groups::Bound;
use crate::journal::{Check, Verdict, device_error, lock, problem};
use crate::lowered::LoweredPlan;
use crate::memory::{Block, GpuBuffer, Use};
use crate::sequence::{Call, INPUTS, Output, PARAMS, Sequence};
use crate::stats::count;
use crate::status::StatusWords;
use crate::timing::submit_timed;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use wgrad_plan::{Given, Plan};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Result};

/// What a run bound, by which the next sees what it binds otherwise.
#[derive(Default)]
pub(crate) struct Last {
    /// The numbers of all blocks by their homes; 0 where there is none.
    numbers: Vec<u64>,
    /// Each kernel's bind group, and when those were made.
    pub groups: Vec<usize>,
    epoch: u64,
}

/// A run in the making.
struct Run<'a> {
    engine: &'a Engine,
    /// The inputs, then what the run took.
    memory: Vec<Option<Held>>,
    params: Option<Block>,
    status: Option<StatusWords>,
}

/// A block of memory.
enum Held {
    /// A tensor's, which others may hold as well.
    Tensor(Arc<GpuBuffer>),
    /// The run's own.
    Own(Block),
}

impl Held {
    fn block(&self) -> &Block {
        match self {
            Held::Tensor(tensor) => &tensor.block,
            Held::Own(block) => block,
        }
    }
}

/// What a run leaves once it is submitted: the outputs, what to look at when they are read, and where somebody wants to
/// know, what each step took.
pub(crate) struct Submitted {
    pub outputs: Vec<Arc<GpuBuffer>>,
    pub status: Option<StatusWords>,
    pub checks: Vec<Check>,
    pub times: Vec<Duration>,
}

/// Runs a plan's kernels.
pub(crate) fn run(
    engine: &Engine,
    plan: &Plan,
    lowered: &mut LoweredPlan,
    given: &Given<'_>,
    inputs: Vec<Arc<GpuBuffer>>,
    verdict: &Arc<Verdict>,
) -> Result<Submitted> {
    let LoweredPlan { sequence, last, .. } = lowered;
    for (buffer, meta) in inputs.iter().zip(plan.inputs.iter().filter_map(|&value| plan.values.get(value))) {
        if buffer.bytes < meta.bytes() {
            let message = format!("a buffer of {} bytes for {} {}", buffer.bytes, meta.shape, meta.dtype);
            return Err(device_error(ErrorKind::Value, "run", message));
        }
    }
    let status = match sequence.checks.len() {
        0 => None,
        checks => Some(engine.status.take(&engine.memory, 2 * checks)?),
    };
    let mut memory = Vec::with_capacity(inputs.len() + sequence.blocks.len());
    memory.extend(inputs.into_iter().map(|input| Some(Held::Tensor(input))));
    last.numbers.resize(INPUTS + memory.len() + sequence.blocks.len(), 0);
    for &(bytes, step) in &sequence.blocks {
        let before = last.numbers[INPUTS + memory.len()];
        let block = engine.memory.allocate_again(Use::Data, bytes, before);
        let at = |problem| (given.origin)(&plan.steps[step]).error(problem);
        memory.push(Some(Held::Own(block.map_err(problem).map_err(at)?)));
    }
    let words = sequence.params.words(given, status.as_ref().map_or(0, StatusWords::first))?;
    let params = match &*words {
        [] => None,
        words => {
            let block = engine.memory.allocate_again(Use::Params, words.len(), last.numbers[PARAMS])?;
            engine.queue.write_buffer(block.raw(), 0, words);
            count(&engine.counters.parameter_blocks);
            Some(block)
        }
    };
    let mut run = Run { engine, memory, params, status };
    let times = run.submit(sequence, last, given, plan.steps.len())?;
    let outputs = sequence.outputs.iter().map(|output| run.output(output, verdict)).collect::<Result<Vec<_>>>()?;
    let check = |(number, &(step, size, dtype)): (usize, &(usize, usize, DType))| Check {
        slot: 2 * number,
        origin: (given.origin)(&plan.steps[step]),
        size,
        dtype,
    };
    let checks = sequence.checks.iter().enumerate().map(check).collect();
    Ok(Submitted { outputs, status: run.status, checks, times })
}

impl Run<'_> {
    /// Hands all kernels to the device.
    fn submit(&self, sequence: &Sequence, last: &mut Last, given: &Given<'_>, steps: usize) -> Result<Vec<Duration>> {
        let dispatches = self.bind(sequence, last)?;
        self.engine.counters.kernels.fetch_add(dispatches.len() as u64, Relaxed);
        match given.watch {
            None => {
                submit(self.engine, &dispatches, self.status.as_ref());
                Ok(Vec::new())
            }
            Some(_) => submit_timed(self.engine, &dispatches, self.status.as_ref(), steps),
        }
    }

    /// All kernels with what they bind. The groups of the last run serve again where that is the same.
    fn bind<'s>(&self, sequence: &'s Sequence, last: &mut Last) -> Result<Vec<Ready<'s>>> {
        let bound = self.bound();
        let mut groups = lock(&self.engine.memory.groups);
        groups.make_room();
        let all_anew = last.epoch != groups.epoch() || last.groups.len() != sequence.calls.len();
        let is_other = |(home, bound): (usize, &(u64, _))| last.numbers.get(home) != Some(&bound.0);
        let others: Vec<bool> = bound.iter().enumerate().map(is_other).collect();
        last.groups.resize(sequence.calls.len(), 0);
        let mut dispatches = Vec::with_capacity(sequence.calls.len());
        for (call, group) in sequence.calls.iter().zip(&mut last.groups) {
            if all_anew || call.homes.iter().any(|&home| others[home]) {
                *group = groups.number_of(&self.engine.device, &self.engine.counters, what(call, &bound)?);
            }
            let (offset, group) = (call.params.map(|(offset, _)| offset), groups.get(*group));
            dispatches.push(Ready { step: call.step, pipeline: &call.pipeline, group, offset, grid: call.grid });
        }
        last.epoch = groups.epoch();
        last.numbers.clear();
        last.numbers.extend(bound.iter().map(|(number, _)| number));
        Ok(dispatches)
    }

    /// All that kernels bind by its home, with the numbers of the blocks.
    fn bound(&self) -> Vec<(u64, Option<&wgpu::Buffer>)> {
        let first = [self.status.as_ref().map(StatusWords::block), self.params.as_ref()];
        let blocks = first.into_iter().chain(self.memory.iter().map(|held| held.as_ref().map(Held::block)));
        blocks.map(|block| (block.map_or(0, Block::number), block.map(Block::raw))).collect()
    }

    /// An output, taken from here.
    fn output(&mut self, output: &Output, verdict: &Arc<Verdict>) -> Result<Arc<GpuBuffer>> {
        let held = self.memory.get_mut(output.home - INPUTS).and_then(Option::take);
        let tensor = match held {
            Some(Held::Tensor(tensor)) if !output.is_new => Some(tensor),
            Some(Held::Tensor(tensor)) => Arc::into_inner(tensor).map(|tensor| output.of(tensor.block, verdict)),
            Some(Held::Own(block)) => Some(output.of(block, verdict)),
            None => None,
        };
        let needed =
            || device_error(ErrorKind::Value, "run", "an input of the plan was written over while it is needed");
        let tensor = tensor.ok_or_else(needed)?;
        self.memory[output.home - INPUTS] = Some(Held::Tensor(tensor.clone()));
        Ok(tensor)
    }
}

impl Output {
    fn of(&self, block: Block, verdict: &Arc<Verdict>) -> Arc<GpuBuffer> {
        Arc::new(GpuBuffer { block, bytes: self.bytes, verdict: verdict.clone() })
    }
}

/// What a kernel binds.
fn what(call: &Call, bound: &[(u64, Option<&wgpu::Buffer>)]) -> Result<Bound> {
    let buffer = |&home: &usize| {
        let missing = || device_error(ErrorKind::Value, "run", "a kernel binds what the run does not have");
        bound.get(home).and_then(|(_, buffer)| *buffer).cloned().ok_or_else(missing)
    };
    let mut buffers = call.homes.iter().map(buffer).collect::<Result<Vec<_>>>()?;
    let params = call.params.and_then(|(_, size)| Some((buffers.pop()?, size)));
    Ok(Bound { layout: call.pipeline.layout.clone(), buffers, params })
}
