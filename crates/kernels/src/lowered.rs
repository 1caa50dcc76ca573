//! Plans as kernels over places, which their next run finds again.

use crate::device::Engine;
use crate::lower::{Lowering, combines};
use crate::memory::GpuBuffer;
use crate::params::Params;
use crate::pipelines::Pipeline;
use crate::run::Last;
use crate::sequence::{Builder, Lent, Sequence};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{available_parallelism, scope};
use wgrad_plan::{Given, Operand, Plan, Step, ValueId, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{Problem, Result};
use wgrad_tensor::op::Compute;

/// What a kernel reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A value of the plan.
    Value(ValueId),
    /// What only this step needs: a number in [`Lowered::scratch`].
    Scratch(usize),
    /// The run's status words.
    Status,
}

/// One kernel of a step.
pub(crate) struct Kernel {
    pub pipeline: Arc<Pipeline>,
    /// Inputs, then outputs.
    pub places: Vec<Place>,
    pub params: Params,
    pub grid: [u32; 3],
}

/// A step as kernels.
#[derive(Default)]
pub(crate) struct Lowered {
    pub kernels: Vec<Kernel>,
    /// The bytes of each piece of memory that only this step needs.
    pub scratch: Vec<usize>,
    /// For each check of indices: the size that they are within, and their dtype.
    pub checks: Vec<(usize, DType)>,
    /// For each result the operand whose place it takes, if it takes one's.
    pub taken: Vec<Option<usize>>,
    /// Where the run's numbers put the windows. Other places may take other kernels.
    starts: Vec<Scalar>,
}

/// A whole plan. It belongs to one device.
pub(crate) struct LoweredPlan {
    engine: Weak<Engine>,
    steps: Vec<Lowered>,
    /// The steps that may need other kernels in another run.
    loose: Vec<usize>,
    /// The memory of the last run's inputs.
    lent: Vec<Lent>,
    pub sequence: Sequence,
    /// What the last run bound.
    pub last: Last,
}

impl LoweredPlan {
    /// The plan's kernels: those that its last run left, as far as they fit. What others hold is not written over.
    pub fn new(engine: &Arc<Engine>, plan: &Plan, given: &Given<'_>, inputs: &[Arc<GpuBuffer>]) -> Result<LoweredPlan> {
        let lent = inputs.iter().map(|input| Lent { size: input.raw().size(), is_held: Arc::strong_count(input) > 1 });
        let lent: Vec<Lent> = lent.collect();
        let left = plan.kept.take::<LoweredPlan>();
        let left = left.filter(|left| std::ptr::eq(left.engine.as_ptr(), Arc::as_ptr(engine)));
        let (left, mut last) = match left {
            Some(left) if left.lent == lent && left.fits(plan, given) => return Ok(left),
            Some(left) => (left.steps, left.last),
            None => Default::default(),
        };
        last.groups.clear();
        let mut held = vec![false; plan.values.len()];
        for (&value, lent) in plan.inputs.iter().zip(&lent) {
            if let Some(held) = held.get_mut(value) {
                *held = lent.is_held;
            }
        }
        let mut left = left.into_iter();
        let fits =
            |lowered: &Lowered, step| lowered.fits(step, given) && lowered.taken.iter().copied().eq(taken(step, &held));
        let fitting = plan.steps.iter().map(|step| left.next().filter(|lowered| fits(lowered, step)));
        let mut steps: Vec<Option<Lowered>> = fitting.collect();
        let missing: Vec<usize> = (0..steps.len()).filter(|&step| steps[step].is_none()).collect();
        let made = each(missing.len(), |number| Lowered::new(engine, plan, given, &plan.steps[missing[number]], &held));
        let at = |number: usize| move |problem| (given.origin)(&plan.steps[number]).error(problem);
        for (number, lowered) in missing.into_iter().zip(made) {
            steps[number] = Some(lowered.map_err(at(number))?);
        }
        let steps: Vec<Lowered> = steps.into_iter().flatten().collect();
        let alignment = engine.limits.min_uniform_buffer_offset_alignment as usize;
        let mut builder = Builder::new(&engine.memory, plan, &lent, alignment);
        for (number, (step, lowered)) in plan.steps.iter().zip(&steps).enumerate() {
            builder.step(number, step, lowered).map_err(at(number))?;
        }
        let sequence = builder.finish()?;
        let is_loose = |&number: &usize| is_foreign(&plan.steps[number]) || !steps[number].starts.is_empty();
        let loose = (0..steps.len()).filter(is_loose).collect();
        Ok(LoweredPlan { engine: Arc::downgrade(engine), steps, loose, lent, sequence, last })
    }

    fn fits(&self, plan: &Plan, given: &Given<'_>) -> bool {
        self.loose.iter().all(|&number| self.steps[number].fits(&plan.steps[number], given))
    }
}

/// What `make` makes of each number below `count`, on all processors at once: drivers take long to compile.
fn each<T: Send + Sync>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = if cfg!(target_arch = "wasm32") { 1 } else { available_parallelism().map_or(1, usize::from) };
    if threads.min(count) < 2 {
        return (0..count).map(make).collect();
    }
    let made: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = made.get(number) else { break };
            place.get_or_init(|| make(number));
        }
    };
    scope(|scope| (0..threads.min(count)).for_each(|_| drop(scope.spawn(work))));
    made.into_iter().filter_map(OnceLock::into_inner).collect()
}

impl Lowered {
    fn new(engine: &Engine, plan: &Plan, given: &Given<'_>, step: &Step, held: &[bool]) -> Result<Lowered, Problem> {
        let taken: Vec<Option<usize>> = taken(step, held).collect();
        let lowered = Lowering::new(engine, plan, given).step(step, &taken)?;
        Ok(Lowered { taken, starts: starts(step, given).collect(), ..lowered })
    }

    /// Whether a run with these numbers may use it. An op from outside is asked for its kernel each time.
    fn fits(&self, step: &Step, given: &Given<'_>) -> bool {
        !is_foreign(step) && (self.starts.is_empty() || self.starts.iter().copied().eq(starts(step, given)))
    }
}

/// Whether a step is an op from outside.
fn is_foreign(step: &Step) -> bool {
    matches!(&step.work, Work::Op { op, .. } if matches!(op.compute(), Compute::Custom(_)))
}

/// For each result of a step, the operand whose place it takes: where the plan says so, somebody else may still hold that.
/// Most other kernels than elementwise ones read elements after others have written.
fn taken(step: &Step, held: &[bool]) -> impl Iterator<Item = Option<usize>> {
    let works_in_place = match &step.work {
        Work::Program(program) => !combines(program),
        Work::Op { op, then, .. } => then.is_none() && matches!(op.compute(), Compute::ScatterAdd(_)),
    };
    let may = move |&number: &usize| works_in_place && held.get(step.operands[number].value) == Some(&false);
    step.in_place.iter().map(move |taken| taken.filter(&may))
}

/// The numbers of a run that put a step's windows where they are.
fn starts<'a>(step: &'a Step, given: &'a Given<'_>) -> impl Iterator<Item = Scalar> + 'a {
    let bounds = |operand: &'a Operand| operand.padding.bounds.iter().flat_map(|bound| &bound.starts);
    let starts = step.operands.iter().flat_map(move |operand| operand.starts.iter().chain(bounds(operand)));
    starts.filter_map(|(scalar, _)| given.scalars.get(*scalar).copied())
}
