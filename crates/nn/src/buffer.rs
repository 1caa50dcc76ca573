//! What a model remembers besides its parameters.

use crate::param::next_id;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_tensor::error::{Error, ErrorKind, Problem, Result};
use wgrad_tensor::op::Meta;
use wgrad_tensor::{Device, Tensor};

/// A shared cell that holds a tensor without a gradient: batch-norm statistics. It is saved with the model.
///
/// Clones are the same buffer. PyTorch: `register_buffer`.
#[derive(Clone)]
pub struct Buffer(Arc<Shared>);

struct Shared {
    id: u64,
    /// Known even where the value has failed since, so that a new value can be checked against it.
    meta: Result<Meta>,
    value: Mutex<Tensor>,
}

impl Buffer {
    /// A buffer that starts as `tensor`, whose history it does not keep.
    #[track_caller]
    pub fn new(tensor: Tensor) -> Buffer {
        Buffer(Arc::new(Shared { id: next_id(), meta: tensor.meta().cloned(), value: Mutex::new(tensor.detach()) }))
    }

    fn value(&self) -> MutexGuard<'_, Tensor> {
        self.0.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current value.
    pub fn tensor(&self) -> Tensor {
        self.value().clone()
    }

    /// Replaces the value with that of `tensor`, whose history is not kept. A tensor of another shape or dtype makes it
    /// a failed one.
    #[track_caller]
    pub fn set(&self, tensor: Tensor) {
        self.update(|_| tensor);
    }

    /// Replaces the value with `next(value)`.
    ///
    /// A value that nobody has asked for yet is computed first: the next one is mostly made from it, and a thousand
    /// training steps that nobody reads would otherwise pile up a thousand recorded forward passes. What goes wrong
    /// there is carried on: the new value then is a failed tensor.
    #[track_caller]
    pub fn update(&self, next: impl FnOnce(&Tensor) -> Tensor) {
        let value = self.tensor();
        let settled = match value.edge().buffer() {
            Ok(None) => value.eval(),
            Ok(Some(_)) => Ok(()),
            // It failed before: a next value that is made from it fails by itself, any other may take its place.
            Err(_) => Ok(()),
        };
        let next = match settled {
            Ok(()) => self.checked(next(&value)),
            Err(error) => Err(error),
        };
        let next = match next {
            Ok(next) => next.detach(),
            Err(error) => Tensor::from_error(error, value.device()),
        };
        self.replace(next);
    }

    #[track_caller]
    fn checked(&self, tensor: Tensor) -> Result<Tensor> {
        let (expected, found) = (self.meta()?, tensor.meta()?);
        if expected == found {
            return Ok(tensor);
        }
        let kind = if expected.shape == found.shape { ErrorKind::DType } else { ErrorKind::Shape };
        let problem = Problem::new(kind, format!("the buffer is {} {}", expected.shape, expected.dtype));
        let origin = std::panic::Location::caller();
        Err(Error::at(problem, "Buffer::set".into(), vec![found.clone()], Some(origin), None))
    }

    /// [`set`](Buffer::set) as it is, without a look at the value before: to load and to move to another device.
    #[track_caller]
    pub(crate) fn replace(&self, tensor: Tensor) {
        let before = std::mem::replace(&mut *self.value(), tensor.detach());
        drop(before);
    }

    /// Shape and dtype, which stay; else why it has none.
    pub fn meta(&self) -> Result<&Meta> {
        self.0.meta.as_ref().map_err(Error::clone)
    }

    /// The device of the current value.
    pub fn device(&self) -> Device {
        self.value().device().clone()
    }

    /// What tells buffers apart: clones share it.
    pub fn id(&self) -> u64 {
        self.0.id
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer {:?}", self.value())
    }
}
