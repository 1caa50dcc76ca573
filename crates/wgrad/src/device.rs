//! Which devices there are, and how to get one.

use std::sync::OnceLock;
use wgrad_cpu::Cpu;
use wgrad_plan::Planned;

pub use wgrad_tensor::Device;
pub use wgrad_tensor::device::{Description, Stats};

#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
pub use gpu::*;

/// The CPU, with all its threads or as many as `RAYON_NUM_THREADS` says in the environment. Every call gives the same
/// device.
pub fn cpu() -> Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(|| Device::new(Planned::new(Cpu::new()))).clone()
}

/// A CPU device of its own with so many threads: its random numbers and its tensors are apart from [`cpu`]'s.
pub fn cpu_with_threads(threads: usize) -> Device {
    Device::new(Planned::new(Cpu::with_threads(threads)))
}

/// The CPU: this build knows no GPU, since the feature `gpu` is off.
#[cfg(not(feature = "gpu"))]
pub fn best() -> wgrad_tensor::Result<Device> {
    Ok(cpu())
}

/// The CPU alone: this build knows no GPU, since the feature `gpu` is off.
#[cfg(not(feature = "gpu"))]
pub fn all() -> Vec<Device> {
    vec![cpu()]
}

/// The device called "auto" or "cpu".
///
/// # Errors
/// Any other name: this build knows no GPU, since the feature `gpu` is off.
#[cfg(not(feature = "gpu"))]
pub fn named(name: &str) -> wgrad_tensor::Result<Device> {
    match name {
        "auto" | "cpu" => Ok(cpu()),
        _ => Err(wgrad_tensor::Error::new(
            wgrad_tensor::ErrorKind::NoAdapter,
            "device",
            format!("there is no device {name:?}: this build has the feature `gpu` off"),
        )),
    }
}
