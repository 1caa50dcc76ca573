//! A layer's name, and running under it.

use crate::module::better_name;
use crate::param::next_id;
use crate::summary;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_tensor::{Tensor, scope};

/// The name that a layer has in its model, `blocks.3.attention`.
///
/// A layer holds one as a field and runs its `forward` in it: errors and profiles then say where in the model a tensor
/// was made, and on which of the user's lines. The name is known once [`Module`](crate::Module)'s methods have walked
/// the model. A clone has the same name, and may get another.
#[derive(Debug)]
pub struct Scope {
    id: u64,
    name: Mutex<Option<Arc<str>>>,
}

impl Default for Scope {
    fn default() -> Self {
        Scope { id: next_id(), name: Mutex::new(None) }
    }
}

impl Clone for Scope {
    fn clone(&self) -> Self {
        Scope { id: next_id(), name: Mutex::new(self.name()) }
    }
}

impl Scope {
    /// The name; `None` for a model's outermost layer, and before a walk.
    pub fn name(&self) -> Option<Arc<str>> {
        self.lock().clone()
    }

    pub(crate) fn set_name(&self, path: &str) {
        better_name(&mut self.lock(), path);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells scopes apart.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Runs a layer's `forward`: what it records is ascribed to this name and to the caller's line.
    #[track_caller]
    pub fn run(&self, forward: impl FnOnce() -> Tensor) -> Tensor {
        let output = scope::called_from(Location::caller(), || match self.name() {
            Some(name) => scope::in_scope(name, forward),
            None => forward(),
        });
        summary::note(self.id, &output);
        output
    }
}
