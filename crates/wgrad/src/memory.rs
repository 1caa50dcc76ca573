//! What holds the memory of a device.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use wgrad_autograd::Gradients;
use wgrad_nn::Module;
use wgrad_optim::{Optimizer, Rule};
use wgrad_tensor::{Device, Tensor};

/// The memory of a device by what holds it, in bytes. PyTorch: `torch.cuda.memory_summary`.
///
/// ```
/// use wgrad::prelude::*;
///
/// # fn main() -> wgrad::Result<()> {
/// let device = device::cpu();
/// let model = Linear::new(64, 32, &device);
/// let mut optimizer = AdamW::new(model.parameters(), 1e-3);
/// let loss = model.forward(&Tensor::ones([8, 64], DType::F32, &device)).square().mean(..);
/// optimizer.step(loss.backward()?)?;
/// let report = wgrad::MemoryReport::new(&device).model(&model).optimizer(&optimizer);
/// assert_eq!(report.parameters, 4 * (64 * 32 + 32));
/// assert_eq!(report.optimizer, 2 * report.parameters);
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryReport {
    /// Parameters of the models that were named, and their buffers.
    pub parameters: u64,
    /// Gradients that were named.
    pub gradients: u64,
    /// What the optimizers that were named keep for each parameter.
    pub optimizer: u64,
    /// All else in use: activations, batches, and whatever tensors the program holds.
    pub activations: u64,
    /// What waits to be used again; see [`Device::release_free_memory`].
    pub free: u64,
    /// The most that was in use at once, since the device was opened or [`Device::reset_peak_memory`].
    pub peak: u64,
    device: Device,
    /// The buffers that were counted, by their addresses.
    counted: HashSet<usize>,
}

impl MemoryReport {
    /// All memory of a device, as activations until it is said what else it is.
    pub fn new(device: &Device) -> MemoryReport {
        let stats = device.stats();
        MemoryReport {
            parameters: 0,
            gradients: 0,
            optimizer: 0,
            activations: stats.bytes.saturating_sub(stats.free_bytes),
            free: stats.free_bytes,
            peak: stats.peak_bytes,
            device: device.clone(),
            counted: HashSet::new(),
        }
    }

    /// Names the parameters and buffers of a model.
    #[must_use]
    pub fn model(mut self, model: &impl Module) -> MemoryReport {
        let state = model.state();
        self.parameters += self.count(state.iter().map(|(_, tensor)| tensor));
        self
    }

    /// Names gradients that are held.
    #[must_use]
    pub fn gradients(mut self, gradients: &Gradients) -> MemoryReport {
        self.gradients += self.count(gradients.tensors());
        self
    }

    /// Names what an optimizer keeps.
    #[must_use]
    pub fn optimizer<R: Rule>(mut self, optimizer: &Optimizer<R>) -> MemoryReport {
        self.optimizer += self.count(optimizer.kept());
        self
    }

    /// The bytes of tensors whose values are there and that were not counted yet.
    fn count<'a>(&mut self, tensors: impl IntoIterator<Item = &'a Tensor>) -> u64 {
        let mut bytes = 0;
        for tensor in tensors.into_iter().filter(|tensor| *tensor.device() == self.device) {
            if let Ok(Some(buffer)) = tensor.edge().buffer()
                && self.counted.insert(Arc::as_ptr(&buffer).cast::<()>().addr())
            {
                bytes += buffer.bytes() as u64;
            }
        }
        self.activations = self.activations.saturating_sub(bytes);
        bytes
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_use = self.parameters + self.gradients + self.optimizer + self.activations;
        let lines = [
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("activations and others", self.activations),
            ("in use", in_use),
            ("free, to be used again", self.free),
            ("most in use so far", self.peak),
        ];
        write!(f, "memory of {}", self.device)?;
        lines.iter().try_for_each(|(what, bytes)| write!(f, "\n  {what:<24}{:>12.3} MB", *bytes as f64 / 1e6))
    }
}
