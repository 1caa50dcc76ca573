//! The backend: runs the steps of a plan in order.

use crate::buffer::{self, Pool};
use crate::step::{self, Inputs, Job};
use crate::threads::{TASK, Threads};
use crate::view::View;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wgrad_plan::{Backend, Given, Operand, Padding, Plan, Step, ValueId, Work};
use wgrad_tensor::Result;
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Stats};
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::{Error, ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Meta;

/// The processor, with its threads and vector instructions.
pub struct Cpu {
    description: Description,
    threads: Threads,
    pool: Arc<Pool>,
    kernels: AtomicU64,
    uploads: AtomicU64,
    reads: AtomicU64,
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description.name)
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu::new()
    }
}

impl Cpu {
    /// All threads that this process may use, or as many as `RAYON_NUM_THREADS` says in the environment.
    pub fn new() -> Self {
        let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        Cpu::with_threads(asked.filter(|&threads| threads > 0).unwrap_or_else(all))
    }

    /// `count` threads. Results do not depend on it.
    pub fn with_threads(count: usize) -> Self {
        let threads = Threads::new(count);
        let description = Description {
            name: match threads.count() {
                1 => "CPU (1 thread)".to_string(),
                count => format!("CPU ({count} threads)"),
            },
            backend: "cpu".to_string(),
            kind: "cpu".to_string(),
            driver: String::new(),
            f64: true,
            f16: false,
            subgroups: false,
            max_buffer: isize::MAX as u64,
            max_bindings: u32::MAX,
        };
        let count = AtomicU64::default;
        Cpu { description, threads, pool: Arc::default(), kernels: count(), uploads: count(), reads: count() }
    }

    fn steps(
        &self,
        plan: &Plan,
        inputs: Vec<Buffer>,
        numbers: &[Scalar],
        windows: &[Vec<(Layout, Padding)>],
        mut times: Option<&mut Vec<Duration>>,
    ) -> Result<Vec<Buffer>, Failure> {
        let mut values: Vec<Option<Arc<buffer::Buffer>>> = Vec::new();
        values.resize_with(plan.values.len(), || None);
        if inputs.len() != plan.inputs.len() {
            return Err(Failure::Run(ErrorKind::Value, "needs one buffer for each input of the plan"));
        }
        for (&id, input) in plan.inputs.iter().zip(inputs) {
            let wanted = plan.values.get(id).and_then(bytes);
            let buffer = ours(input).filter(|buffer| wanted.is_some_and(|bytes| bytes <= buffer.len()));
            let buffer = buffer
                .ok_or(Failure::Run(ErrorKind::Device, "was given an input that is not a buffer of this device"))?;
            values[id] = Some(buffer);
        }
        for (i, (step, windows)) in plan.steps.iter().zip(windows).enumerate() {
            let start = times.is_some().then(Instant::now);
            self.step(plan, step, numbers, windows, &mut values).map_err(|problem| Failure::Step(i, problem))?;
            self.kernels.fetch_add(1, Relaxed);
            if let (Some(times), Some(start)) = (&mut times, start) {
                times.push(start.elapsed());
            }
            for &id in &step.frees {
                if let Some(value) = values.get_mut(id) {
                    *value = None;
                }
            }
        }
        let output = |&id: &ValueId| {
            let buffer = values
                .get(id)
                .cloned()
                .flatten()
                .ok_or(Failure::Run(ErrorKind::Value, "has a plan that does not compute one of its outputs"))?;
            Ok(buffer as Buffer)
        };
        plan.outputs.iter().map(output).collect()
    }

    fn step(
        &self,
        plan: &Plan,
        step: &Step,
        numbers: &[Scalar],
        windows: &[(Layout, Padding)],
        values: &mut [Option<Arc<buffer::Buffer>>],
    ) -> Result<(), Problem> {
        let missing = || Problem::new(ErrorKind::Value, "needs a value that no step before it computes");
        let mut owned = Vec::with_capacity(step.results.len());
        let mut metas = Vec::with_capacity(step.results.len());
        // The results that take the place of operands.
        let mut in_result: Vec<Option<usize>> = vec![None; step.operands.len()];
        for (number, &id) in step.results.iter().enumerate() {
            let meta = plan.values.get(id).ok_or_else(missing)?;
            let size = bytes(meta).unwrap_or(usize::MAX);
            let over = step
                .in_place
                .get(number)
                .copied()
                .flatten()
                .and_then(|operand| Some((operand, take_alone(values, step.operands.get(operand)?.value, size)?)));
            owned.push(match over {
                Some((operand, buffer)) => {
                    in_result[operand] = Some(number);
                    buffer
                }
                None => self.pool.take_from(plan.capacity(id), size)?,
            });
            metas.push(meta);
        }
        let buffer = |(operand, in_result): (&Operand, &Option<usize>)| match in_result {
            Some(_) => Ok(None),
            None => values.get(operand.value).cloned().flatten().ok_or_else(missing).map(Some),
        };
        let buffers = step.operands.iter().zip(&in_result).map(buffer).collect::<Result<Vec<_>, Problem>>()?;
        let view = |number: usize| match (&buffers[number], in_result[number], step.operands[number].dtype) {
            (None, Some(result), dtype) => Ok(View::of_result(result, &windows[number].0, dtype)),
            (Some(buffer), _, dtype) => View::padded(buffer, &windows[number].0, dtype, &windows[number].1),
            (None, None, _) => Err(missing()),
        };
        let views = (0..buffers.len()).map(view).collect::<Result<Vec<_>, Problem>>()?;
        let mut results: Vec<&mut [u8]> = owned.iter_mut().map(|buffer| &mut **buffer).collect();
        // A program that follows an op writes the results; the op's own shape is its own to say.
        let (then, whole) = match &step.work {
            Work::Op { op, then: Some(then), .. } => {
                let dtype = then.product().ok_or_else(missing)?;
                let given: Vec<_> = views.iter().take(2).map(|view| Meta::new(&view.layout.shape, dtype)).collect();
                (Some(then), op.infer(&given.iter().collect::<Vec<_>>())?.into_iter().next())
            }
            _ => (None, None),
        };
        let shape = whole.as_ref().or(metas.first().copied()).map(|meta| &meta.shape);
        let inputs = Inputs { operands: &step.operands, views: &views, numbers };
        let mut job = Job { inputs, metas: &metas, shape, results: &mut results, then, pool: &self.pool };
        step::run(&step.work, &mut job)?;
        for (&id, buffer) in step.results.iter().zip(owned) {
            values[id] = Some(Arc::new(buffer));
        }
        Ok(())
    }
}

/// A value's buffer, where it has this size and nobody else holds it.
fn take_alone(values: &mut [Option<Arc<buffer::Buffer>>], id: ValueId, bytes: usize) -> Option<buffer::Buffer> {
    let alone = |buffer: &mut Arc<buffer::Buffer>| buffer.len() == bytes && Arc::get_mut(buffer).is_some();
    Arc::into_inner(values.get_mut(id)?.take_if(alone)?)
}

/// What went wrong, before it is known which line of the user's that comes from.
enum Failure {
    /// In the run as a whole.
    Run(ErrorKind, &'static str),
    /// In the step with this number.
    Step(usize, Problem),
}

/// The bytes of a value, where that is a number.
fn bytes(meta: &Meta) -> Option<usize> {
    meta.shape.checked_count()?.checked_mul(meta.dtype.size())
}

/// Whether some step has enough to do for several threads.
fn is_large(plan: &Plan) -> bool {
    plan.values.iter().any(|meta| meta.shape.checked_count().is_none_or(|count| count >= TASK))
}

/// The buffer as one of this backend's.
fn ours(buffer: Buffer) -> Option<Arc<buffer::Buffer>> {
    let any: Arc<dyn Any + Send + Sync> = buffer;
    any.downcast().ok()
}

impl Backend for Cpu {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        let mut buffer =
            self.pool.take(bytes.len()).map_err(|problem| Error::new(problem.kind, "upload", problem.message))?;
        buffer.copy_from_slice(bytes);
        self.uploads.fetch_add(1, Relaxed);
        Ok(Arc::new(buffer))
    }

    fn run(&self, plan: &Plan, inputs: Vec<Buffer>, given: &Given<'_>) -> Result<Vec<Buffer>> {
        let Given { scalars, origin, watch } = *given;
        let window = |operand: &Operand| (operand.window(given), operand.padding.at(given));
        let windows = |step: &Step| step.operands.iter().map(window).collect();
        let windows: Vec<Vec<(Layout, Padding)>> = plan.steps.iter().map(windows).collect();
        let mut times = watch.map(|_| Vec::with_capacity(plan.steps.len()));
        let noted = times.as_mut();
        // `origin` and `watch` stay on this thread.
        let steps = || self.steps(plan, inputs, scalars, &windows, noted);
        // Matrix products take threads by themselves.
        let only_programs = plan.steps.iter().all(|step| matches!(step.work, Work::Program(_)));
        let outputs = match is_large(plan) {
            true if only_programs => self.threads.run_here(steps),
            true => self.threads.run(steps),
            false => steps(),
        };
        if let (Some(watch), Some(times)) = (watch, times) {
            plan.steps.iter().zip(times).for_each(|(step, time)| watch(step, time));
        }
        outputs.map_err(|failure| match failure {
            Failure::Run(kind, message) => Error::new(kind, "run", message),
            Failure::Step(i, problem) => origin(&plan.steps[i]).error(problem),
        })
    }

    fn stats(&self) -> Stats {
        Stats {
            kernels: self.kernels.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            reads: self.reads.load(Relaxed),
            ..self.pool.stats()
        }
    }

    fn release_free_memory(&self) {
        self.pool.release();
    }

    fn reset_peak_memory(&self) {
        self.pool.reset_peak();
    }

    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        self.reads.fetch_add(1, Relaxed);
        let read = match ours(buffer.clone()) {
            Some(buffer) => Ok(buffer[..bytes.min(buffer.len())].to_vec()),
            None => Err(Error::new(ErrorKind::Device, "read", "was given a buffer of another device")),
        };
        Box::pin(std::future::ready(read))
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
