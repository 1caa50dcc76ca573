//! Models to files and back.

use crate::file::{self, Metadata, error};
use crate::header::problem;
use std::panic::Location;
use std::path::Path;
use wgrad_nn::Module;
use wgrad_tensor::{ErrorKind, Result};

/// Saving and loading the parameters and buffers of any [`Module`].
pub trait SaveLoad: Module {
    /// Writes all parameters and buffers to a safetensors file, by name: all of them, or nothing (see [`save`](crate::save)).
    ///
    /// # Errors
    /// What went wrong on the way to a parameter, and what the file system has against it.
    #[track_caller]
    fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        file::save(path, &self.state(), &Metadata::new())
    }

    /// Gives all parameters and buffers the values of a safetensors file.
    ///
    /// Every name, shape and dtype of the file is held against the model's first; on an error nothing has changed. For
    /// a file that holds only a part, [`load`](crate::load) it and set what is wanted.
    ///
    /// # Errors
    /// [`ErrorKind::File`] where the file is not whole or is another model's: it lists every difference.
    #[track_caller]
    fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, caller) = (path.as_ref(), Location::caller());
        let origin = path.display().to_string();
        let Some((_, first)) = self.state().into_iter().next() else {
            return Err(error("load", &origin, problem("the model has no parameters to load into"), caller));
        };
        let file = file::load(path, first.device())?;
        self.load_state(&file.tensors).map_err(|mismatch| match mismatch.kind() {
            ErrorKind::Value => {
                let fault = problem(mismatch.message().to_string());
                error("load", &origin, fault, caller)
            }
            _ => mismatch,
        })
    }
}

impl<M: Module + ?Sized> SaveLoad for M {}
