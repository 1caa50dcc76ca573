//! A runtime over any backend: collects what must be computed, plans it, runs it, and stores the results.

use crate::backend::Backend;
use crate::collect::collect;
use crate::planner::plan;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use wgrad_tensor::Result;
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Runtime};
use wgrad_tensor::node::Edge;

/// Makes a [`Backend`] a [`Runtime`]: `Device::new(Planned::new(Cpu::new()))`.
pub struct Planned<B> {
    backend: B,
    evaluating: Mutex<()>,
}

impl<B: Backend> Planned<B> {
    /// A runtime over `backend`.
    pub fn new(backend: B) -> Self {
        Planned { backend, evaluating: Mutex::new(()) }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

impl<B: Backend> fmt::Debug for Planned<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Planned({:?})", self.backend)
    }
}

impl<B: Backend> Runtime for Planned<B> {
    fn describe(&self) -> &Description {
        self.backend.describe()
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        self.backend.upload(bytes)
    }

    fn evaluate(&self, roots: &[Edge]) -> Result<()> {
        let _one_at_a_time = self.evaluating.lock().unwrap_or_else(PoisonError::into_inner);
        let collected = collect(roots)?;
        if collected.wanted.is_empty() {
            return Ok(());
        }
        let planned = plan(&collected);
        match self.backend.run(&planned.plan, &planned.inputs) {
            Ok(buffers) => {
                for (edge, buffer) in planned.outputs.iter().zip(buffers) {
                    edge.node().fulfil(edge.output(), buffer);
                }
                Ok(())
            }
            Err(error) => {
                for edge in &planned.outputs {
                    edge.node().fail(error.clone());
                }
                Err(error)
            }
        }
    }

    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        self.backend.read(buffer, bytes)
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        self.backend.sync()
    }
}
