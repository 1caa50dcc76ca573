//! What a device has done so far, while it is counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wgrad_tensor::device::Stats;

/// [`Stats`] in the making.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub kernels: AtomicU64,
    pub pipelines: AtomicU64,
    pub bind_groups: AtomicU64,
    pub submits: AtomicU64,
    pub uploads: AtomicU64,
    pub parameter_blocks: AtomicU64,
    pub reads: AtomicU64,
    pub allocations: AtomicU64,
    pub buffers: AtomicU64,
    pub bytes: AtomicU64,
    pub free_bytes: AtomicU64,
    pub peak_bytes: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> Stats {
        Stats {
            kernels: self.kernels.load(Relaxed),
            pipelines: self.pipelines.load(Relaxed),
            bind_groups: self.bind_groups.load(Relaxed),
            submits: self.submits.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            parameter_blocks: self.parameter_blocks.load(Relaxed),
            reads: self.reads.load(Relaxed),
            allocations: self.allocations.load(Relaxed),
            buffers: self.buffers.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            free_bytes: self.free_bytes.load(Relaxed),
            peak_bytes: self.peak_bytes.load(Relaxed),
            ..Stats::default()
        }
    }

    fn in_use(&self) -> u64 {
        self.bytes.load(Relaxed).saturating_sub(self.free_bytes.load(Relaxed))
    }

    /// Notes the bytes in use, where they are more than ever.
    pub fn note_peak(&self) {
        self.peak_bytes.fetch_max(self.in_use(), Relaxed);
    }

    /// Starts anew to look for the most bytes in use.
    pub fn reset_peak(&self) {
        self.peak_bytes.store(self.in_use(), Relaxed);
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
