//! The backend: runs the steps of a plan in order.

use crate::buffer::{self, Pool};
use crate::step::{self, Job};
use crate::threads::{TASK, Threads};
use crate::view::View;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use wgrad_plan::{Backend, Plan, Step, ValueId};
use wgrad_tensor::Result;
use wgrad_tensor::device::{BoxFuture, Buffer, Description};
use wgrad_tensor::error::{Error, ErrorKind, Problem};
use wgrad_tensor::op::Meta;

/// The processor, with its threads and vector instructions.
pub struct Cpu {
    description: Description,
    threads: Threads,
    pool: Arc<Pool>,
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
    /// All threads that this process may use.
    pub fn new() -> Self {
        Cpu::with_threads(std::thread::available_parallelism().map_or(1, usize::from))
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
        Cpu { description, threads, pool: Arc::default() }
    }

    fn steps(&self, plan: &Plan, inputs: &[Buffer]) -> Result<Vec<Buffer>> {
        let mut values: Vec<Option<Arc<buffer::Buffer>>> = Vec::new();
        values.resize_with(plan.values.len(), || None);
        if inputs.len() != plan.inputs.len() {
            return Err(Error::new(ErrorKind::Value, "run", "needs one buffer for each input of the plan"));
        }
        for (&id, input) in plan.inputs.iter().zip(inputs) {
            let wanted = plan.values.get(id).and_then(bytes);
            let buffer = ours(input).filter(|buffer| wanted.is_some_and(|bytes| bytes <= buffer.len()));
            let buffer = buffer.ok_or_else(|| {
                Error::new(ErrorKind::Device, "run", "was given an input that is not a buffer of this device")
            })?;
            values[id] = Some(buffer);
        }
        for step in &plan.steps {
            self.step(plan, step, &mut values).map_err(|problem| step.origin.error(problem))?;
            for &id in &step.frees {
                if let Some(value) = values.get_mut(id) {
                    *value = None;
                }
            }
        }
        let output = |&id: &ValueId| {
            let buffer = values.get(id).cloned().flatten().ok_or_else(|| {
                Error::new(ErrorKind::Value, "run", "has a plan that does not compute one of its outputs")
            })?;
            Ok(buffer as Buffer)
        };
        plan.outputs.iter().map(output).collect()
    }

    fn step(&self, plan: &Plan, step: &Step, values: &mut [Option<Arc<buffer::Buffer>>]) -> Result<(), Problem> {
        let missing = || Problem::new(ErrorKind::Value, "needs a value that no step before it computes");
        let mut owned = Vec::with_capacity(step.results.len());
        let mut metas = Vec::with_capacity(step.results.len());
        for &id in &step.results {
            let meta = plan.values.get(id).ok_or_else(missing)?;
            owned.push(self.pool.take(bytes(meta).unwrap_or(usize::MAX))?);
            metas.push(meta);
        }
        let view = |operand: &'_ wgrad_plan::Operand| {
            let buffer = values.get(operand.value).and_then(Option::as_ref).ok_or_else(missing)?;
            Ok((buffer.clone(), operand.dtype))
        };
        let buffers = step.operands.iter().map(view).collect::<Result<Vec<_>, Problem>>()?;
        let views = buffers.iter().zip(&step.operands);
        let views = views.map(|((buffer, dtype), operand)| View::new(buffer, &operand.layout, *dtype));
        let operands = views.collect::<Result<Vec<_>, Problem>>()?;
        let mut results: Vec<&mut [u8]> = owned.iter_mut().map(|buffer| &mut **buffer).collect();
        step::run(
            &step.work,
            &mut Job { operands: &operands, metas: &metas, results: &mut results, pool: &self.pool },
        )?;
        for (&id, buffer) in step.results.iter().zip(owned) {
            values[id] = Some(Arc::new(buffer));
        }
        Ok(())
    }
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
fn ours(buffer: &Buffer) -> Option<Arc<buffer::Buffer>> {
    let any: Arc<dyn Any + Send + Sync> = buffer.clone();
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
        Ok(Arc::new(buffer))
    }

    fn run(&self, plan: &Plan, inputs: &[Buffer]) -> Result<Vec<Buffer>> {
        if is_large(plan) { self.threads.run(|| self.steps(plan, inputs)) } else { self.steps(plan, inputs) }
    }

    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        let read = match ours(buffer) {
            Some(buffer) => Ok(buffer[..bytes.min(buffer.len())].to_vec()),
            None => Err(Error::new(ErrorKind::Device, "read", "was given a buffer of another device")),
        };
        Box::pin(std::future::ready(read))
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
