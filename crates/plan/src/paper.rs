//! A device on paper: it plans for a description and computes nothing.

use crate::backend::Backend;
use crate::plan::{Given, Plan};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Storage};
use wgrad_tensor::{Error, ErrorKind, Result};

/// A backend that plans for a device that need not be there, and notes what it would do. Values cannot be read.
#[derive(Debug)]
pub struct Paper {
    description: Description,
    notes: Arc<Notes>,
}

/// What a [`Paper`] device would have done.
#[derive(Debug, Default)]
pub struct Notes {
    runs: Mutex<Vec<Run>>,
    held: Arc<AtomicUsize>,
}

/// One run of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its steps: each is a kernel, and perhaps a second stage.
    pub kernels: usize,
    /// The most bytes that were alive at once, with everything that tensors held meanwhile.
    pub peak_bytes: usize,
}

/// Bytes that nobody wrote.
#[derive(Debug)]
struct Unwritten {
    bytes: usize,
    held: Arc<AtomicUsize>,
}

impl Storage for Unwritten {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Paper {
    /// A device that answers to a description.
    pub fn new(description: Description) -> Paper {
        Paper { description, notes: Arc::default() }
    }

    /// A GPU of which only the most buffers that a kernel binds is known; in a browser that may be 8.
    pub fn gpu(max_bindings: u32) -> Paper {
        Paper::new(Description {
            name: "a GPU on paper".to_owned(),
            backend: "paper".to_owned(),
            kind: "virtual gpu".to_owned(),
            driver: String::new(),
            f64: false,
            f16: false,
            subgroups: false,
            max_buffer: u64::from(u32::MAX),
            max_bindings,
        })
    }

    /// What it would have done, from now on as well.
    pub fn notes(&self) -> Arc<Notes> {
        self.notes.clone()
    }
}

impl Notes {
    /// The runs since the last call.
    pub fn take(&self) -> Vec<Run> {
        std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bytes that tensors hold now.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn buffer(&self, bytes: usize) -> Arc<Unwritten> {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Unwritten { bytes, held: self.held.clone() })
    }
}

/// Whether nobody else holds a buffer.
fn is_alone(buffer: &mut Buffer) -> bool {
    Arc::get_mut(buffer).is_some()
}

impl Backend for Paper {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        Ok(self.notes.buffer(bytes.len()))
    }

    fn run(&self, plan: &Plan, inputs: Vec<Buffer>, _given: &Given<'_>) -> Result<Vec<Buffer>> {
        let mut values: Vec<Option<Buffer>> = vec![None; plan.values.len()];
        for (&value, buffer) in plan.inputs.iter().zip(inputs) {
            values[value] = Some(buffer);
        }
        let mut peak_bytes = self.notes.held_bytes();
        for step in &plan.steps {
            for (number, &result) in step.results.iter().enumerate() {
                let over = step.in_place.get(number).copied().flatten();
                let over = over.and_then(|operand| values[step.operands[operand].value].take_if(is_alone));
                values[result] = over.or_else(|| Some(self.notes.buffer(plan.capacity(result))));
            }
            peak_bytes = peak_bytes.max(self.notes.held_bytes());
            step.frees.iter().for_each(|&value| values[value] = None);
        }
        let run = Run { kernels: plan.steps.len(), peak_bytes };
        self.notes.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        let missing = || Error::new(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
        plan.outputs.iter().map(|&value| values[value].clone().ok_or_else(missing)).collect()
    }

    fn read(&self, _buffer: &Buffer, _bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        let error = Error::new(ErrorKind::Unsupported, "read", "a device on paper computes no values");
        Box::pin(std::future::ready(Err(error)))
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
