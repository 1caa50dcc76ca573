//! What devices have done and hold, counted.

use super::{Runtime, lock};
use std::sync::{Arc, LazyLock, Mutex};

/// What a device has done since it was opened, and the memory that it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Plans made: evaluations of a structure that was not known yet.
    pub plans: u64,
    /// Plans carried out.
    pub evaluations: u64,
    /// Kernels started.
    pub kernels: u64,
    /// Points at which a kernel needs what one before it in the same evaluation wrote, so that all before it must be done.
    pub barriers: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Bind groups made: what a GPU's kernel reads and writes. Those that were bound before are found again.
    pub bind_groups: u64,
    /// Command buffers handed to a GPU.
    pub submits: u64,
    /// Tensors copied from the host to the device.
    pub uploads: u64,
    /// Blocks of kernels' parameters copied from the host to the device: at most one for each evaluation.
    pub parameter_blocks: u64,
    /// Copies from the device to the host, of a tensor or of what tells whether all went well.
    pub reads: u64,
    /// Buffers that were asked of the system because none waited for reuse.
    pub allocations: u64,
    /// Buffers held now, in use or waiting for reuse.
    pub buffers: u64,
    /// Bytes of these buffers.
    pub bytes: u64,
    /// Bytes of those that wait for reuse.
    pub free_bytes: u64,
    /// The most bytes that were in use at once, since the last [`Device::reset_peak_memory`](super::Device::reset_peak_memory).
    pub peak_bytes: u64,
}

impl Stats {
    /// What was done alone.
    fn without_memory(self) -> Stats {
        Stats { buffers: 0, bytes: 0, free_bytes: 0, peak_bytes: 0, ..self }
    }

    /// Both together. The peaks are added as well: they need not have been at the same time.
    #[must_use]
    pub fn and(self, other: Stats) -> Stats {
        Stats {
            plans: self.plans + other.plans,
            evaluations: self.evaluations + other.evaluations,
            kernels: self.kernels + other.kernels,
            barriers: self.barriers + other.barriers,
            pipelines: self.pipelines + other.pipelines,
            bind_groups: self.bind_groups + other.bind_groups,
            submits: self.submits + other.submits,
            uploads: self.uploads + other.uploads,
            parameter_blocks: self.parameter_blocks + other.parameter_blocks,
            reads: self.reads + other.reads,
            allocations: self.allocations + other.allocations,
            buffers: self.buffers + other.buffers,
            bytes: self.bytes + other.bytes,
            free_bytes: self.free_bytes + other.free_bytes,
            peak_bytes: self.peak_bytes + other.peak_bytes,
        }
    }
}

/// What all devices together have done since the program began, and the memory that those still open hold.
/// [`Device::stats`](super::Device::stats) tells of one.
///
/// ```
/// # use wgrad_tensor::device::stats;
/// let before = stats();
/// // A training step.
/// assert_eq!(stats().pipelines, before.pipelines, "the step compiled something");
/// ```
pub fn stats() -> Stats {
    let all = lock(&ALL);
    all.open.iter().map(|runtime| runtime.stats()).fold(all.done, Stats::and)
}

/// The devices that are open, and what others did.
static ALL: LazyLock<Mutex<All>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct All {
    open: Vec<Arc<dyn Runtime>>,
    done: Stats,
}

/// Counts a device from here on.
pub(super) fn opened(runtime: &Arc<dyn Runtime>) {
    lock(&ALL).open.push(runtime.clone());
}

/// Keeps of a device only what it did.
pub(super) fn closed(runtime: &Arc<dyn Runtime>) {
    let mut all = lock(&ALL);
    all.open.retain(|open| !Arc::ptr_eq(open, runtime));
    all.done = all.done.and(runtime.stats().without_memory());
}
