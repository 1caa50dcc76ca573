//! Copies from device to host, with everything that went wrong meanwhile.

use crate::device::Engine;
use crate::journal::{OpenRun, device_error, lock};
use crate::memory::{Block, GpuBuffer, Use};
use crate::stats::count;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use wgrad_tensor::error::{ErrorKind, Result};

/// A copy on its way: the data, and the status words of every run whose verdict is open.
pub(crate) struct Staged {
    staging: Block,
    source: Option<Arc<GpuBuffer>>,
    bytes: usize,
    runs: Vec<(Arc<OpenRun>, Range<usize>)>,
    mapped: Signal,
}

impl Staged {
    /// Starts the copy; it holds what the buffer holds at this point of the device's work.
    pub fn new(engine: &Engine, source: Option<&Arc<GpuBuffer>>, bytes: usize) -> Result<Staged> {
        if let Some(error) = engine.journal.lost().or_else(|| source.and_then(|source| source.verdict.error())) {
            return Err(error);
        }
        if let Some(source) = source.filter(|source| bytes > source.bytes) {
            let message = format!("{bytes} bytes asked of a buffer of {}", source.bytes);
            return Err(device_error(ErrorKind::Value, "read", message));
        }
        let _order = lock(&engine.order);
        let mut total = bytes.next_multiple_of(8);
        let mut runs = Vec::new();
        for run in engine.journal.open_runs() {
            let words = run.checks.len() * 8;
            runs.push((run, total..total + words));
            total += words;
        }
        // An empty range cannot be mapped.
        total = total.max(8);
        let staging = engine.memory.allocate(Use::Staging, total)?;
        let mut encoder = engine.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut copy = |from: &wgpu::Buffer, start: u64, range: Range<usize>| {
            if !range.is_empty() {
                encoder.copy_buffer_to_buffer(from, start, staging.raw(), range.start as u64, Some(range.len() as u64));
            }
        };
        if let Some(source) = source {
            copy(source.raw(), 0, 0..bytes.next_multiple_of(4));
        }
        for (run, range) in &runs {
            if let Some(status) = &run.status {
                copy(status.raw(), status.start(), range.clone());
            }
        }
        engine.queue.submit([encoder.finish()]);
        count(&engine.counters.submits);
        count(&engine.counters.reads);
        let mapped = Signal::default();
        let signal = mapped.clone();
        staging.raw().map_async(wgpu::MapMode::Read, 0..total as u64, move |result| signal.set(result.is_ok()));
        Ok(Staged { staging, source: source.cloned(), bytes, runs, mapped })
    }
}

impl Drop for Staged {
    /// A mapped or half-mapped buffer must not be reused.
    fn drop(&mut self) {
        self.staging.raw().unmap();
    }
}

/// Waits for the copy, settles what it tells of earlier runs, and gives the data.
pub(crate) async fn read(engine: &Engine, staged: Staged) -> Result<Vec<u8>> {
    #[cfg(not(target_arch = "wasm32"))]
    if let Err(error) = engine.device.poll(wgpu::PollType::wait_indefinitely()) {
        return Err(device_error(ErrorKind::DeviceLost, "read", format!("waiting for the device failed: {error}")));
    }
    engine.pipelines.save();
    let mapped = staged.mapped.clone().await;
    engine.journal.settle_rest().await;
    conclude(engine, &staged, mapped)
}

/// Settles what a copy that has arrived tells of earlier runs, and gives the data.
fn conclude(engine: &Engine, staged: &Staged, mapped: bool) -> Result<Vec<u8>> {
    if let Some(error) = engine.journal.lost() {
        return Err(error);
    }
    let fault = engine.journal.take_fault();
    let end = staged.runs.last().map_or(staged.bytes.next_multiple_of(8), |(_, range)| range.end);
    let view = (mapped && end > 0).then(|| staged.staging.raw().get_mapped_range(0..end as u64).ok()).flatten();
    let bytes: &[u8] = view.as_deref().unwrap_or_default();
    if bytes.len() < end {
        let unreadable = || device_error(ErrorKind::DeviceLost, "read", "the device gave no data back");
        return Err(fault.unwrap_or_else(unreadable));
    }
    let runs: Vec<_> = staged
        .runs
        .iter()
        .map(|(run, range)| (run.clone(), words(bytes.get(range.clone()).unwrap_or_default())))
        .collect();
    let found = engine.journal.close(&runs, fault.as_ref()).or_else(|| engine.journal.take_unread());
    let data = bytes.get(..staged.bytes).unwrap_or_default().to_vec();
    drop(view);
    let spoiled = staged.source.as_ref().and_then(|source| source.verdict.error());
    match fault.or(found).or(spoiled) {
        Some(error) => Err(error),
        None => Ok(data),
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

/// Runs whose verdict may stay open before someone looks, though nobody reads.
const PATIENCE: usize = 64;

/// Looks after runs that nobody reads from: now and then their status words are fetched, without waiting, so that they
/// do not pile up. What is found is the error of the next read.
pub(crate) fn look_after(engine: &Engine) {
    let mut watch = lock(&engine.watch);
    if watch.is_none() && engine.journal.open_runs().len() > PATIENCE {
        *watch = Staged::new(engine, None, 0).ok();
    }
    #[cfg(not(target_arch = "wasm32"))]
    if watch.is_some() && engine.device.poll(wgpu::PollType::Poll).is_err() {
        return;
    }
    if let Some(mapped) = watch.as_ref().and_then(|staged| staged.mapped.answer())
        && let Some(Err(error)) = watch.take().map(|staged| conclude(engine, &staged, mapped))
    {
        engine.journal.tell_next_read(error);
    }
}

/// One answer that a callback gives and a future takes.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Mutex<(Option<bool>, Option<Waker>)>>);

impl Signal {
    /// The answer, where it is there.
    pub fn answer(&self) -> Option<bool> {
        lock(&self.0).0
    }

    pub fn set(&self, answer: bool) {
        let mut state = lock(&self.0);
        state.0 = Some(answer);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Signal {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = lock(&self.0);
        match state.0 {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
