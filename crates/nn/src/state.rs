//! Loading values into a model, and moving it between devices.

use crate::{Buffer, Param};
use std::collections::{HashMap, HashSet};
use std::fmt;
use wgrad_tensor::error::{Error, ErrorKind, Result};
use wgrad_tensor::op::Meta;
use wgrad_tensor::{Device, Tensor, eval_all};

/// A value whose shape or dtype is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The parameter's or buffer's name.
    pub name: String,
    /// What the model has.
    pub expected: Meta,
    /// What was given.
    pub found: Meta,
}

/// All that keeps a state from fitting a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadError {
    /// Names of the model that the state lacks.
    pub missing: Vec<String>,
    /// Names of the state that the model lacks.
    pub unexpected: Vec<String>,
    /// Values of another shape, whatever their dtype.
    pub wrong_shape: Vec<Mismatch>,
    /// Values of the right shape and another dtype.
    pub wrong_dtype: Vec<Mismatch>,
}

impl LoadError {
    fn is_empty(&self) -> bool {
        *self == LoadError::default()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state does not fit the model")?;
        let names = [("missing", &self.missing), ("unexpected", &self.unexpected)];
        for (what, name) in names.iter().flat_map(|(what, names)| names.iter().map(move |name| (what, name))) {
            write!(f, "\n  {what}: {name}")?;
        }
        for Mismatch { name, expected, found } in &self.wrong_shape {
            write!(f, "\n  wrong shape: {name} is {} in the model, {} in the state", expected.shape, found.shape)?;
        }
        for Mismatch { name, expected, found } in &self.wrong_dtype {
            write!(f, "\n  wrong dtype: {name} is {} in the model, {} in the state", expected.dtype, found.dtype)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// A parameter or buffer of a model.
#[derive(Clone)]
pub(crate) enum Cell {
    Param(Param),
    Buffer(Buffer),
}

impl Cell {
    /// The value, without a gradient.
    pub fn value(&self) -> Tensor {
        match self {
            Cell::Param(param) => param.tensor().detach(),
            Cell::Buffer(buffer) => buffer.tensor(),
        }
    }

    /// Tied cells share it.
    pub fn id(&self) -> u64 {
        match self {
            Cell::Param(param) => param.id(),
            Cell::Buffer(buffer) => buffer.id(),
        }
    }

    fn meta(&self) -> Result<&Meta> {
        match self {
            Cell::Param(param) => param.meta(),
            Cell::Buffer(buffer) => buffer.meta(),
        }
    }

    fn device(&self) -> Device {
        match self {
            Cell::Param(param) => param.device(),
            Cell::Buffer(buffer) => buffer.device(),
        }
    }

    fn replace(&self, tensor: Tensor) {
        match self {
            Cell::Param(param) => param.replace(tensor),
            Cell::Buffer(buffer) => buffer.replace(tensor),
        }
    }
}

/// Puts a state's values into the cells of those names: all of them, or none.
#[track_caller]
pub(crate) fn load(cells: &[(String, Cell)], state: &[(String, Tensor)]) -> Result<()> {
    let by_name: HashMap<&str, &Tensor> = state.iter().map(|(name, tensor)| (&name[..], tensor)).collect();
    let given: HashSet<u64> =
        cells.iter().filter(|(name, _)| by_name.contains_key(&name[..])).map(|(_, cell)| cell.id()).collect();
    let known: HashSet<&str> = cells.iter().map(|(name, _)| &name[..]).collect();

    let mut wrong = LoadError::default();
    let mut fitting = Vec::new();
    for (name, cell) in cells {
        let Some(tensor) = by_name.get(&name[..]) else {
            if !given.contains(&cell.id()) {
                wrong.missing.push(name.clone());
            }
            continue;
        };
        let (expected, found) = (cell.meta()?, tensor.meta()?);
        if expected == found {
            fitting.push((cell, *tensor));
            continue;
        }
        let mismatch = Mismatch { name: name.clone(), expected: expected.clone(), found: found.clone() };
        match expected.shape == found.shape {
            true => wrong.wrong_dtype.push(mismatch),
            false => wrong.wrong_shape.push(mismatch),
        }
    }
    wrong.unexpected = state.iter().map(|(name, _)| name).filter(|name| !known.contains(&name[..])).cloned().collect();
    if !wrong.is_empty() {
        return Err(Error::caused_by(ErrorKind::Value, "load_state", wrong.to_string(), wrong));
    }

    // A value that cannot be computed has to show before the first cell changes.
    eval_all(fitting.iter().map(|(_, tensor)| *tensor))?;
    let moved = fitting.iter().map(|(cell, tensor)| on_device(tensor, &cell.device()));
    let moved = moved.collect::<Result<Vec<Tensor>>>()?;
    for ((cell, _), tensor) in fitting.iter().zip(moved) {
        cell.replace(tensor);
    }
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
fn on_device(tensor: &Tensor, device: &Device) -> Result<Tensor> {
    tensor.to_device(device)
}

/// In a browser nothing may wait for a read, so values have to be there already.
#[cfg(target_arch = "wasm32")]
#[track_caller]
fn on_device(tensor: &Tensor, device: &Device) -> Result<Tensor> {
    match tensor.device() == device {
        true => Ok(tensor.clone()),
        false => Err(Error::new(ErrorKind::Device, "load_state", "a value is elsewhere; move it with to_device_async")),
    }
}

/// Moves all cells to a device, or none.
pub(crate) async fn move_to(cells: Vec<(String, Cell)>, device: Device) -> Result<()> {
    let mut moved = Vec::with_capacity(cells.len());
    for (_, cell) in &cells {
        moved.push(cell.value().to_device_async(&device).await?);
    }
    for ((_, cell), tensor) in cells.iter().zip(moved) {
        cell.replace(tensor);
    }
    Ok(())
}
