//! What a device has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the device was opened; `buffers` and `bytes` are what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Plans run.
    pub plans_run: u64,
    /// Kernels started.
    pub dispatches: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Command buffers handed to the device.
    pub submits: u64,
    /// Copies from host to device.
    pub uploads: u64,
    /// Copies from device to host.
    pub reads: u64,
    /// Buffers allocated, in use or waiting for it.
    pub buffers: u64,
    /// Bytes of these buffers.
    pub bytes: u64,
}

/// [`Stats`] while they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub plans_run: AtomicU64,
    pub dispatches: AtomicU64,
    pub pipelines: AtomicU64,
    pub submits: AtomicU64,
    pub uploads: AtomicU64,
    pub reads: AtomicU64,
    pub buffers: AtomicU64,
    pub bytes: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> Stats {
        Stats {
            plans_run: self.plans_run.load(Relaxed),
            dispatches: self.dispatches.load(Relaxed),
            pipelines: self.pipelines.load(Relaxed),
            submits: self.submits.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            reads: self.reads.load(Relaxed),
            buffers: self.buffers.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
