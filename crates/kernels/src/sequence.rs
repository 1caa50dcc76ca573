//! A plan's kernels in order, with all that stays the same from run to run: which block of memory each of them binds, and
//! where its parameters lie.

use crate::journal::{device_error, problem};
use crate::lowered::{Lowered, Place};
use crate::memory::Memory;
use crate::params::Blocks;
use crate::pipelines::Pipeline;
use std::num::NonZeroU64;
use std::sync::Arc;
use wgrad_plan::{Need, Plan, Step, ValueId, take_turns};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem, Result};

/// Something that kernels bind: the run's status words, its parameters, or a block of memory, first those of the plan's
/// inputs and then those that a run takes.
pub(crate) type Home = usize;
/// The status words.
pub(crate) const STATUS: Home = 0;
/// The parameters.
pub(crate) const PARAMS: Home = 1;
/// The first input.
pub(crate) const INPUTS: Home = 2;

/// One kernel.
pub(crate) struct Call {
    /// The number of the plan's step that it belongs to.
    pub step: usize,
    pub pipeline: Arc<Pipeline>,
    /// Inputs, then outputs, then the parameters, if it has any.
    pub homes: Vec<Home>,
    /// Where its parameters lie among the run's, and how many bytes.
    pub params: Option<(u32, NonZeroU64)>,
    pub grid: [u32; 3],
}

/// An output of the plan.
pub(crate) struct Output {
    pub home: Home,
    pub bytes: usize,
    /// Whether the run wrote it, and no output before it is the same.
    pub is_new: bool,
}

/// What matters of an input's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    pub size: u64,
    /// Whether others hold it as well: then it is not written over.
    pub is_held: bool,
}

/// All kernels.
pub(crate) struct Sequence {
    pub calls: Vec<Call>,
    /// The bytes of each block that a run takes, and the step that first writes to it.
    pub blocks: Vec<(usize, usize)>,
    pub outputs: Vec<Output>,
    pub params: Blocks,
    /// For each check of indices: its step, the size that they are within, and their dtype.
    pub checks: Vec<(usize, usize, DType)>,
}

/// A sequence in the making.
pub(crate) struct Builder<'a> {
    memory: &'a Memory,
    plan: &'a Plan,
    lent: &'a [Lent],
    /// Where each value is by now.
    homes: Vec<Option<Home>>,
    /// What the kernels write, which has a home of its own until all are known, and the inputs that nothing needs any more.
    needs: Vec<Need>,
    left: Vec<(Home, Need)>,
    sequence: Sequence,
}

impl<'a> Builder<'a> {
    /// Starts with the plan's inputs, and parameters at multiples of `alignment`.
    pub fn new(memory: &'a Memory, plan: &'a Plan, lent: &'a [Lent], alignment: usize) -> Self {
        let mut homes = vec![None; plan.values.len()];
        for (home, &value) in (INPUTS..).zip(&plan.inputs) {
            if let Some(place) = homes.get_mut(value) {
                *place = Some(home);
            }
        }
        let params = Blocks::new(alignment);
        let (calls, blocks, outputs, checks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let sequence = Sequence { calls, blocks, outputs, params, checks };
        Builder { memory, plan, lent, homes, needs: Vec::new(), left: Vec::new(), sequence }
    }

    /// Adds the kernels of the plan's `number`-th step, which write to blocks of their own or over what they read.
    pub fn step(&mut self, number: usize, step: &Step, lowered: &Lowered) -> Result<(), Problem> {
        for (result, &value) in step.results.iter().enumerate() {
            let home = match lowered.taken.get(result).copied().flatten() {
                Some(operand) => self.leave(step.operands[operand].value),
                None => Some(self.take(bytes(self.plan, value), number)?),
            };
            if let Some(place) = self.homes.get_mut(value) {
                *place = home;
            }
        }
        let scratch = lowered.scratch.iter().map(|&bytes| self.take(bytes, number)).collect::<Result<Vec<_>, _>>()?;
        let first_check = self.sequence.checks.len();
        self.sequence.checks.extend(lowered.checks.iter().map(|&(size, dtype)| (number, size, dtype)));
        for kernel in &lowered.kernels {
            let homes = kernel.places.iter().map(|&place| self.home(place, &scratch));
            let mut homes = homes.collect::<Result<Vec<_>, _>>()?;
            let params = match NonZeroU64::new(kernel.params.bytes() as u64) {
                None => None,
                Some(size) => {
                    homes.push(PARAMS);
                    Some((self.sequence.params.add(&kernel.params, first_check), size))
                }
            };
            let pipeline = kernel.pipeline.clone();
            self.sequence.calls.push(Call { step: number, pipeline, homes, params, grid: kernel.grid });
        }
        scratch.into_iter().for_each(|home| self.give(home, number));
        for &value in &step.frees {
            if let Some(home) = self.leave(value) {
                self.give(home, number);
            }
        }
        Ok(())
    }

    /// All kernels, in as few blocks as serve all in turns, and where the plan's outputs are then.
    pub fn finish(mut self) -> Result<Sequence> {
        let homes = self.share();
        let mut sequence = self.sequence;
        sequence.calls.iter_mut().flat_map(|call| &mut call.homes).for_each(|home| *home = homes[*home]);
        let mut is_known = vec![false; homes.len()];
        for &value in &self.plan.outputs {
            let missing = || device_error(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
            let home = homes[self.homes.get(value).copied().flatten().ok_or_else(missing)?];
            let is_input = self.plan.inputs.get(home - INPUTS) == Some(&value);
            let is_new = !std::mem::replace(&mut is_known[home], true) && !is_input;
            sequence.outputs.push(Output { home, bytes: bytes(self.plan, value), is_new });
        }
        Ok(sequence)
    }

    /// Chooses the blocks: for each home so far, where it is in them. What leaves the run takes no more than it fills: it
    /// may be held for long.
    fn share(&mut self) -> Vec<Home> {
        let first = INPUTS + self.lent.len();
        let written = self.needs.len();
        for home in self.plan.outputs.iter().filter_map(|&value| self.homes.get(value).copied().flatten()) {
            if let Some(need) = home.checked_sub(first).and_then(|number| self.needs.get_mut(number)) {
                need.most = need.bytes;
            }
        }
        let (left, needs): (Vec<Home>, Vec<Need>) = std::mem::take(&mut self.left).into_iter().unzip();
        self.needs.extend(needs);
        let (sizes, places) = take_turns(&self.needs);
        let mut found: Vec<Option<Home>> = vec![None; sizes.len()];
        for (&home, &place) in left.iter().zip(&places[written..]) {
            found[place] = Some(home);
        }
        // In the order in which they are first written.
        let blocks = &mut self.sequence.blocks;
        let taken = self.needs.iter().zip(&places).take(written).map(|(need, &place)| {
            *found[place].get_or_insert_with(|| {
                blocks.push((sizes[place], *need.steps.start()));
                first + blocks.len() - 1
            })
        });
        (0..first).chain(taken).collect()
    }

    fn home(&self, place: Place, scratch: &[Home]) -> Result<Home, Problem> {
        let found = match place {
            Place::Value(value) => self.homes.get(value).copied().flatten(),
            Place::Scratch(number) => scratch.get(number).copied(),
            Place::Status => Some(STATUS),
        };
        found.ok_or_else(|| Problem::new(ErrorKind::Value, format!("{place:?} of the plan is used before it is there")))
    }

    /// A home for so many bytes that the kernels of a step write.
    fn take(&mut self, bytes: usize, step: usize) -> Result<Home, Problem> {
        let bytes = self.memory.size_class(bytes as u64).map_err(problem)? as usize;
        self.needs.push(Need { bytes, steps: step..=self.plan.steps.len(), most: usize::MAX });
        Ok(INPUTS + self.lent.len() + self.needs.len() - 1)
    }

    /// The home of a value that nothing needs any more.
    fn leave(&mut self, value: ValueId) -> Option<Home> {
        self.homes.get_mut(value).and_then(Option::take)
    }

    /// Lets others have a home after a step, unless it is somebody else's too.
    fn give(&mut self, home: Home, step: usize) {
        match self.lent.get(home - INPUTS) {
            Some(lent) if lent.is_held => {}
            Some(lent) => {
                let need = Need { bytes: lent.size as usize, steps: 0..=step, most: 0 };
                self.left.push((home, need));
            }
            None => {
                let need = &mut self.needs[home - INPUTS - self.lent.len()];
                need.steps = *need.steps.start()..=step;
            }
        }
    }
}

fn bytes(plan: &Plan, value: ValueId) -> usize {
    plan.values.get(value).map_or(0, |meta| meta.bytes())
}
