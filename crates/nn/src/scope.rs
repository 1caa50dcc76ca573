//! A layer's name, and running under it.

use crate::module::better_name;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use wgrad_tensor::{Tensor, scope};

/// The name that a layer has in its model, `blocks.3.attention`.
///
/// A layer holds one as a field and runs its `forward` in it: errors and profiles then say where in the model a tensor
/// was made, and on which of the user's lines. The name is known once [`Module`](crate::Module)'s methods have walked
/// the model. A clone has the same name, and may get another.
#[derive(Debug, Default)]
pub struct Scope(Mutex<Option<Arc<str>>>);

impl Clone for Scope {
    fn clone(&self) -> Self {
        Scope(Mutex::new(self.name()))
    }
}

impl Scope {
    /// The name; `None` for a model's outermost layer, and before a walk.
    pub fn name(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_name(&self, path: &str) {
        better_name(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), path);
    }

    /// Runs a layer's `forward`: what it records is ascribed to this name and to the caller's line.
    #[track_caller]
    pub fn run(&self, forward: impl FnOnce() -> Tensor) -> Tensor {
        scope::called_from(Location::caller(), || match self.name() {
            Some(name) => scope::in_scope(name, forward),
            None => forward(),
        })
    }
}
