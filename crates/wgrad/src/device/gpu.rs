//! GPUs. An adapter is opened once: every later call gives the same device.

use super::{Device, cpu};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use wgrad_kernels::{Gpu, Tuning};
use wgrad_plan::Planned;
use wgrad_tensor::Result;

#[cfg(not(target_arch = "wasm32"))]
pub use wgrad_kernels::adapters;
pub use wgrad_kernels::{Adapter, Choice, adapters_async};

/// The devices opened so far, by adapter.
fn opened() -> &'static Mutex<HashMap<usize, Device>> {
    static OPENED: OnceLock<Mutex<HashMap<usize, Device>>> = OnceLock::new();
    OPENED.get_or_init(Default::default)
}

/// A GPU by choice.
///
/// # Errors
/// [`NoAdapter`](wgrad_tensor::ErrorKind::NoAdapter) where none answers to the choice; what the driver fails with.
#[cfg(not(target_arch = "wasm32"))]
pub fn gpu(choice: &Choice) -> Result<Device> {
    pollster::block_on(gpu_async(choice))
}

/// A GPU by choice.
///
/// # Errors
/// [`NoAdapter`](wgrad_tensor::ErrorKind::NoAdapter) where none answers to the choice; what the driver fails with.
pub async fn gpu_async(choice: &Choice) -> Result<Device> {
    let adapter = choice.find_async().await?;
    let known = opened().lock().unwrap_or_else(PoisonError::into_inner).get(&adapter.index).cloned();
    if let Some(device) = known {
        return Ok(device);
    }
    let device = Device::new(Planned::new(Gpu::open_async(&Choice::Index(adapter.index), Tuning::Auto).await?));
    let mut opened = opened().lock().unwrap_or_else(PoisonError::into_inner);
    Ok(opened.entry(adapter.index).or_insert(device).clone())
}

/// A GPU if there is one, else the CPU. An adapter that only imitates one in software is passed over: the CPU is faster.
/// The environment variable `WGRAD_ADAPTER` chooses among GPUs, software ones included.
///
/// # Errors
/// What the driver of a GPU that is there fails with.
#[cfg(not(target_arch = "wasm32"))]
pub fn best() -> Result<Device> {
    pollster::block_on(best_async())
}

/// A GPU if there is one, else the CPU; see [`best`].
///
/// # Errors
/// What the driver of a GPU that is there fails with.
pub async fn best_async() -> Result<Device> {
    let asked_for = std::env::var_os("WGRAD_ADAPTER").is_some();
    match Choice::Best.find_async().await {
        Ok(adapter) if asked_for || adapter.kind != "software gpu" => gpu_async(&Choice::Index(adapter.index)).await,
        Err(error) if asked_for => Err(error),
        _ => Ok(cpu()),
    }
}

/// The device called `name`: "auto" is [`best`], "cpu" is [`cpu`](super::cpu()), "gpu" is the best adapter, software ones
/// included; else an adapter's number, kind, backend or a part of its name.
///
/// # Errors
/// [`NoAdapter`](wgrad_tensor::ErrorKind::NoAdapter) where none answers to the name.
#[cfg(not(target_arch = "wasm32"))]
pub fn named(name: &str) -> Result<Device> {
    match name.to_lowercase().as_str() {
        "auto" => best(),
        "cpu" => Ok(cpu()),
        "gpu" => gpu(&Choice::Best),
        other => {
            let Ok(choice) = other.parse::<Choice>();
            gpu(&choice)
        }
    }
}

/// Every device that opens: the CPU, then each adapter.
#[cfg(not(target_arch = "wasm32"))]
pub fn all() -> Vec<Device> {
    let gpus = adapters().into_iter().filter_map(|adapter| gpu(&Choice::Index(adapter.index)).ok());
    std::iter::once(cpu()).chain(gpus).collect()
}
