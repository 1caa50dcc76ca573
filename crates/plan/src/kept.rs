//! What a backend keeps with a plan for the plan's next run.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Room for one thing that a backend made of a plan. A copy of the plan starts without it.
#[derive(Default)]
pub struct Kept(Mutex<Option<Box<dyn Any + Send>>>);

impl Kept {
    /// Takes out what was left here, where it is a `T`.
    pub fn take<T: Send + 'static>(&self) -> Option<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.and_then(|kept| kept.downcast().ok()).map(|kept| *kept)
    }

    /// Leaves something for the next run.
    pub fn leave<T: Send + 'static>(&self, kept: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(kept));
    }
}

impl Clone for Kept {
    fn clone(&self) -> Kept {
        Kept::default()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
