//! Which devices there are, and how to get one.

use std::sync::{Mutex, OnceLock, PoisonError};
use wgrad_cpu::Cpu;
use wgrad_plan::Planned;
use wgrad_tensor::{Error, ErrorKind, Result};

pub use wgrad_tensor::Device;
pub use wgrad_tensor::device::Description;

/// The CPU, with all its threads. Every call gives the same device.
pub fn cpu() -> Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(|| Device::new(Planned::new(Cpu::new()))).clone()
}

/// A CPU device of its own with so many threads: its random numbers and its tensors are apart from [`cpu`]'s.
pub fn cpu_with_threads(threads: usize) -> Device {
    Device::new(Planned::new(Cpu::with_threads(threads)))
}
