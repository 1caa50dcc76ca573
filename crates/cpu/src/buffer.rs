//! Memory: aligned bytes, and a pool that keeps freed ones, because the first touch of fresh pages is slow.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_tensor::device::{Stats, Storage};
use wgrad_tensor::error::{ErrorKind, Problem};

/// Every buffer starts at a cache line, which also suits every dtype and vector.
const ALIGNMENT: usize = 64;
/// Larger capacities come in coarser steps.
const LARGE: usize = 64 << 10;
/// The most bytes that wait in a pool, as long as no more than that were in use at once.
const KEPT: usize = 1 << 30;

/// Bytes that start at a cache line.
pub struct Bytes {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: `Bytes` owns its memory alone and hands it out by the borrow rules of `&self` and `&mut self`.
unsafe impl Send for Bytes {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Zeros, or `None` where the memory cannot be had.
    fn zeroed(len: usize, capacity: usize) -> Option<Self> {
        if capacity == 0 {
            return Some(Bytes::default());
        }
        let layout = Layout::from_size_align(capacity, ALIGNMENT).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Bytes { start, len, capacity })
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes { start: NonNull::<Line>::dangling().cast(), len: 0, capacity: 0 }
    }
}

/// Something aligned as [`Bytes`] are.
#[repr(align(64))]
struct Line;

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: the memory came from `alloc_zeroed` with this very layout, which was valid then.
            unsafe { dealloc(self.start.as_ptr(), Layout::from_size_align_unchecked(self.capacity, ALIGNMENT)) };
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `capacity >= len` initialised bytes that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and `&mut self` makes the access the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Asks for bytes that are needed soon: into the second cache, where they displace nothing that is needed now.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(ALIGNMENT) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every processor of this kind has the instruction, and it touches nothing but caches.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// All memory of a device: what is in use, counted, and what waits to be used again.
#[derive(Default)]
pub struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    free: BTreeMap<usize, Vec<Bytes>>,
    free_bytes: usize,
    /// Buffers and bytes in use or free.
    buffers: u64,
    bytes: usize,
    /// The most bytes that were in use: since somebody wanted to know anew, and ever.
    peak: usize,
    most: usize,
    allocations: u64,
}

impl State {
    fn note_peak(&mut self) {
        self.peak = self.peak.max(self.bytes - self.free_bytes);
        self.most = self.most.max(self.peak);
    }

    /// Gives what waits back to the system.
    fn release(&mut self) {
        self.buffers -= self.free.values().map(|waiting| waiting.len() as u64).sum::<u64>();
        self.bytes -= std::mem::take(&mut self.free_bytes);
        self.free.clear();
    }
}

impl Pool {
    /// `len` bytes with anything in them.
    pub fn take(self: &Arc<Self>, len: usize) -> Result<Buffer, Problem> {
        self.take_from(len, len)
    }

    /// `len` bytes with anything in them, from memory of this capacity or more.
    pub fn take_from(self: &Arc<Self>, capacity: usize, len: usize) -> Result<Buffer, Problem> {
        let capacity = rounded(capacity.max(len)).ok_or_else(|| refused(len))?;
        if let Some(mut bytes) = self.reuse(capacity) {
            bytes.len = len;
            return Ok(Buffer { bytes, pool: self.clone() });
        }
        let bytes = Bytes::zeroed(len, capacity).or_else(|| {
            self.release();
            Bytes::zeroed(len, capacity)
        });
        let bytes = bytes.ok_or_else(|| refused(len))?;
        if capacity > 0 {
            let mut state = self.state();
            state.allocations += 1;
            state.buffers += 1;
            state.bytes += capacity;
            state.note_peak();
        }
        Ok(Buffer { bytes, pool: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reuse(&self, capacity: usize) -> Option<Bytes> {
        let mut state = self.state();
        let bytes = state.free.get_mut(&capacity)?.pop()?;
        state.free_bytes -= capacity;
        state.note_peak();
        Some(bytes)
    }

    fn give(&self, bytes: Bytes) {
        if bytes.capacity == 0 {
            return;
        }
        let mut state = self.state();
        let kept = KEPT.max(state.most);
        if bytes.capacity > kept {
            state.buffers -= 1;
            state.bytes -= bytes.capacity;
            return;
        }
        if state.free_bytes + bytes.capacity > kept {
            // What waits here is mostly of sizes that nothing asks for any more.
            state.release();
        }
        state.free_bytes += bytes.capacity;
        state.free.entry(bytes.capacity).or_default().push(bytes);
    }

    /// Gives what waits for reuse back to the system.
    pub fn release(&self) {
        self.state().release();
    }

    /// Starts anew to look for the most bytes in use.
    pub fn reset_peak(&self) {
        let mut state = self.state();
        state.peak = 0;
        state.note_peak();
    }

    /// What is held, and how often the system was asked for more.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            allocations: state.allocations,
            buffers: state.buffers,
            bytes: state.bytes as u64,
            free_bytes: state.free_bytes as u64,
            peak_bytes: state.peak as u64,
            ..Stats::default()
        }
    }
}

/// The capacity for `len` bytes: large ones come in steps of a 32nd of a power of two, so that near sizes share.
fn rounded(len: usize) -> Option<usize> {
    let step = if len < LARGE { ALIGNMENT } else { len.checked_next_power_of_two()? / 64 };
    len.checked_next_multiple_of(step).filter(|&capacity| capacity <= isize::MAX as usize)
}

fn refused(len: usize) -> Problem {
    Problem::new(ErrorKind::OutOfMemory, format!("cannot have {len} bytes of memory"))
}

/// A buffer of a pool, which takes it back in the end.
pub struct Buffer {
    bytes: Bytes,
    pool: Arc<Pool>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.bytes));
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in host memory", self.len())
    }
}

impl Storage for Buffer {
    fn bytes(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_used_again() -> Result<(), Problem> {
        let pool = Arc::new(Pool::default());
        let mut first = pool.take(1 << 20)?;
        assert!(first.as_ptr().addr().is_multiple_of(ALIGNMENT) && first.iter().all(|&byte| byte == 0));
        first[0] = 7;
        let address = first.as_ptr();
        drop(first);
        let second = pool.take((1 << 20) - 5)?;
        assert_eq!((second.as_ptr(), second.len(), second[0]), (address, (1 << 20) - 5, 7));
        assert_eq!(pool.take(0)?.len(), 0);
        Ok(())
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        let pool = Arc::new(Pool::default());
        for len in [usize::MAX, isize::MAX as usize, isize::MAX as usize / 2] {
            assert!(matches!(pool.take(len), Err(problem) if problem.kind == ErrorKind::OutOfMemory));
        }
    }

    #[test]
    fn a_full_pool_forgets() -> Result<(), Problem> {
        let pool = Arc::new(Pool::default());
        for i in 0..40 {
            drop((pool.take((40 + i) << 20)?, pool.take(64 << 20)?));
        }
        let stats = pool.stats();
        assert!(stats.free_bytes <= KEPT as u64 && stats.free_bytes == stats.bytes, "{stats:?}");
        pool.release();
        pool.reset_peak();
        assert_eq!(pool.stats(), Stats { allocations: stats.allocations, ..Stats::default() });
        Ok(())
    }
}
