//! Buffers of the device, reused as soon as nothing holds them.

use crate::groups::Groups;
use crate::journal::{Journal, Verdict, device_error, lock};
use crate::stats::{Counters, count};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use wgpu::{BufferUsages, ErrorFilter};
use wgrad_tensor::device::Storage;
use wgrad_tensor::error::{Error, ErrorKind, Result};
use wgrad_tensor::ids::IdMap;

/// What a buffer is for. Buffers never change between these: parameters are written ahead of all work that is not yet
/// submitted, so they must not lie where such work still reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Data,
    Params,
    Status,
    Staging,
    Queries,
}

impl Use {
    fn usages(self) -> BufferUsages {
        match self {
            Use::Data | Use::Status => BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            Use::Params => BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            Use::Staging => BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            Use::Queries => BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
        }
    }
}

/// All buffers of a device.
pub(crate) struct Memory {
    device: wgpu::Device,
    journal: Arc<Journal>,
    counters: Arc<Counters>,
    limit: u64,
    /// By purpose and size, each by its number.
    free: Mutex<IdMap<(Use, u64), BTreeMap<u64, wgpu::Buffer>>>,
    next: AtomicU64,
    /// What binds the buffers.
    pub groups: Mutex<Groups>,
}

impl Memory {
    pub fn new(device: wgpu::Device, journal: Arc<Journal>, counters: Arc<Counters>, limit: u64) -> Arc<Self> {
        Arc::new(Memory {
            device,
            journal,
            counters,
            limit,
            free: Mutex::default(),
            next: AtomicU64::new(1),
            groups: Mutex::default(),
        })
    }

    /// A buffer of at least `bytes` bytes. What it holds is left from before.
    pub fn allocate(self: &Arc<Self>, purpose: Use, bytes: usize) -> Result<Block> {
        self.allocate_again(purpose, bytes, 0)
    }

    /// The same, and the one with the number `before` where that is free, so that a plan which runs again and again binds
    /// the same. No buffer has the number 0.
    pub fn allocate_again(self: &Arc<Self>, purpose: Use, bytes: usize, before: u64) -> Result<Block> {
        let size = self.size_class(bytes as u64)?;
        let reused = lock(&self.free)
            .get_mut(&(purpose, size))
            .and_then(|free| free.remove_entry(&before).or_else(|| free.pop_first()));
        let (number, raw) = match reused {
            Some(found) => {
                self.counters.free_bytes.fetch_sub(size, Relaxed);
                found
            }
            None => self.create(purpose, size).or_else(|_| {
                // What waits for reuse in other sizes may be what is missing.
                self.release_free();
                self.create(purpose, size)
            })?,
        };
        self.counters.note_peak();
        Ok(Block { number, raw, purpose, memory: self.clone() })
    }

    /// Large sizes are rounded up by a 32nd at most, so that near ones share. All are multiples of 16 bytes: kernels read
    /// and write whole words, and whole groups of four. More than a buffer of this device may have is refused.
    pub fn size_class(&self, bytes: u64) -> Result<u64> {
        let step = (bytes.next_power_of_two() / 64).max(256);
        let class = bytes.max(1).next_multiple_of(step);
        let exact = bytes.next_multiple_of(16);
        match (class <= self.limit, exact <= self.limit) {
            (true, _) => Ok(class),
            (_, true) => Ok(exact),
            _ => Err(device_error(
                ErrorKind::OutOfMemory,
                "allocate",
                format!("{bytes} bytes asked for in one buffer; this adapter gives {} at most", self.limit),
            )),
        }
    }

    fn create(&self, purpose: Use, size: u64) -> Result<(u64, wgpu::Buffer)> {
        if let Some(error) = self.journal.lost() {
            return Err(error);
        }
        let refused = move |error: &wgpu::Error| -> Error {
            device_error(ErrorKind::OutOfMemory, "allocate", format!("no buffer of {size} bytes: {error}"))
        };
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: purpose.usages(),
            mapped_at_creation: false,
        });
        let memory = self.journal.settle(memory.pop(), refused);
        let validation = self.journal.settle(validation.pop(), refused);
        if let Some(error) = memory.or(validation) {
            return Err(error);
        }
        count(&self.counters.allocations);
        count(&self.counters.buffers);
        self.counters.bytes.fetch_add(size, Relaxed);
        Ok((self.next.fetch_add(1, Relaxed), raw))
    }

    /// Gives back to the driver what waits for reuse.
    pub fn release_free(&self) {
        lock(&self.groups).clear();
        let free = std::mem::take(&mut *lock(&self.free));
        for buffer in free.values().flat_map(BTreeMap::values) {
            self.counters.buffers.fetch_sub(1, Relaxed);
            self.counters.bytes.fetch_sub(buffer.size(), Relaxed);
            self.counters.free_bytes.fetch_sub(buffer.size(), Relaxed);
        }
        drop(free);
        #[cfg(not(target_arch = "wasm32"))]
        if self.device.poll(wgpu::PollType::wait_indefinitely()).is_err() {
            // Nothing could be freed by waiting; the next allocation says so.
        }
    }
}

/// A buffer on loan; dropping it makes it free for work submitted later.
pub(crate) struct Block {
    number: u64,
    raw: wgpu::Buffer,
    purpose: Use,
    memory: Arc<Memory>,
}

impl Block {
    pub fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// No other buffer of the device has this number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let key = (self.purpose, self.raw.size());
        self.memory.counters.free_bytes.fetch_add(key.1, Relaxed);
        lock(&self.memory.free).entry(key).or_default().insert(self.number, self.raw.clone());
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} block of {} bytes", self.purpose, self.raw.size())
    }
}

/// One tensor's data.
#[derive(Debug)]
pub(crate) struct GpuBuffer {
    pub block: Block,
    pub bytes: usize,
    /// The verdict on the run that wrote it.
    pub verdict: Arc<Verdict>,
}

impl GpuBuffer {
    pub fn raw(&self) -> &wgpu::Buffer {
        self.block.raw()
    }
}

impl Storage for GpuBuffer {
    fn bytes(&self) -> usize {
        self.bytes
    }
}
