//! What training changes.

use crate::module::better_name;
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_tensor::error::{Error, ErrorKind, Problem, Result};
use wgrad_tensor::op::Meta;
use wgrad_tensor::scope::{Origin, with_origin};
use wgrad_tensor::{Device, Tensor};

/// A parameter: a shared cell that holds a tensor which wants a gradient.
///
/// Clones are the same parameter (tied weights, one [`id`](Param::id)). Its tensor is replaced, never written to: a
/// tensor taken from it earlier keeps its values. PyTorch: `nn.Parameter`.
///
/// ```
/// # use wgrad_nn::Param;
/// # use wgrad_tensor::{DType, Device, Tensor};
/// # fn example(device: &Device) -> wgrad_tensor::Result<()> {
/// let weight = Param::new(Tensor::zeros([2, 3], DType::F32, device));
/// assert!(weight.tensor().is_tracked());
/// weight.set(weight.tensor() + 1.0)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Param(Arc<Shared>);

struct Shared {
    id: u64,
    /// Known even where the value has failed since, so that a new value can be checked against it.
    meta: Result<Meta>,
    state: Mutex<State>,
}

struct State {
    /// The leaf; or a value that has no history, of which one is made when somebody asks.
    tensor: Tensor,
    is_leaf: bool,
    set_by: &'static Location<'static>,
    frozen: bool,
    name: Option<Arc<str>>,
}

impl State {
    /// What the graph sees. An optimizer's results are there by the time that one asks: so they are no part of its graph.
    fn leaf(&mut self) -> Tensor {
        if !self.is_leaf {
            let origin = Origin { location: self.set_by, scope: None };
            let value = &self.tensor;
            self.tensor = with_origin(origin, || if self.frozen { value.detach() } else { value.requires_grad() });
            self.is_leaf = true;
        }
        self.tensor.clone()
    }
}

/// A number for a new parameter or buffer.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Param {
    /// A parameter that starts as `tensor`, whose history it does not keep. The device is asked for the value at once, so
    /// that the first training step is like all others; a failure to compute it is there to be read with the value.
    #[track_caller]
    pub fn new(tensor: Tensor) -> Param {
        let _ = tensor.eval();
        let set_by = Location::caller();
        let state = State { tensor: tensor.requires_grad(), is_leaf: true, set_by, frozen: false, name: None };
        Param(Arc::new(Shared { id: next_id(), meta: tensor.meta().cloned(), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current value: a leaf that gradients are asked for, the same one until the next change; untracked while frozen.
    pub fn tensor(&self) -> Tensor {
        self.state().leaf()
    }

    /// Replaces the value with that of `tensor`, whose history is not kept.
    ///
    /// # Errors
    /// Another shape, dtype or device, and a `tensor` that has failed; the value is then as before.
    #[track_caller]
    pub fn set(&self, tensor: Tensor) -> Result<()> {
        let (expected, found) = (self.meta()?, tensor.meta()?);
        let problem = if expected != found {
            let kind = if expected.shape == found.shape { ErrorKind::DType } else { ErrorKind::Shape };
            Problem::new(kind, format!("the parameter is {} {}", expected.shape, expected.dtype))
        } else if tensor.device() != &self.device() {
            Problem::new(ErrorKind::Device, format!("the parameter is on {}", self.device()))
        } else {
            self.replace(tensor);
            return Ok(());
        };
        let op = Cow::Borrowed("Param::set");
        Err(Error::at(problem, op, vec![found.clone()], Some(Location::caller()), self.name()))
    }

    /// [`set`](Param::set) without its checks: to move to another device.
    #[track_caller]
    pub(crate) fn replace(&self, tensor: Tensor) {
        let has_history = tensor.is_tracked();
        let mut state = self.state();
        let before = std::mem::replace(&mut state.tensor, tensor);
        (state.is_leaf, state.set_by) = (false, Location::caller());
        if has_history {
            state.leaf();
        }
        drop(state);
        drop(before);
    }

    /// Shape and dtype, which stay; else why it has none.
    pub fn meta(&self) -> Result<&Meta> {
        self.0.meta.as_ref().map_err(Error::clone)
    }

    /// The device of the current value.
    pub fn device(&self) -> Device {
        self.state().tensor.device().clone()
    }

    /// What tells parameters apart: clones share it.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name in the model, `conv1.weight`, once [`Module`](crate::Module)'s methods have walked it.
    pub fn name(&self) -> Option<Arc<str>> {
        self.state().name.clone()
    }

    pub(crate) fn set_name(&self, path: &str) {
        better_name(&mut self.state().name, path);
    }

    /// Stops (or resumes) wanting a gradient, from the next [`tensor`](Param::tensor) on. PyTorch: `requires_grad_`.
    #[track_caller]
    pub fn freeze(&self, frozen: bool) {
        let mut state = self.state();
        if state.frozen != frozen {
            state.frozen = frozen;
            (state.is_leaf, state.set_by) = (false, Location::caller());
        }
    }

    /// Whether it wants no gradient.
    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let name = state.name.as_deref().unwrap_or("?");
        write!(f, "Param {name} {:?}{}", state.tensor, if state.frozen { ", frozen" } else { "" })
    }
}
