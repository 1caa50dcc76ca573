//! How long each step of a run takes, for profiles. A run that is timed is waited for.

use crate::device::Engine;
use crate::dispatch::{Ready, start};
use crate::journal::device_error;
use crate::memory::Use;
use crate::readback::Signal;
use crate::stats::count;
use crate::status::StatusWords;
use std::time::{Duration, Instant};
use wgpu::{CommandEncoderDescriptor, ComputePassDescriptor, ComputePassTimestampWrites, Features};
use wgrad_tensor::error::{ErrorKind, Result};

/// Passes in one command buffer. Their queries fill whole multiples of the alignment that resolving them asks for.
const PASSES: usize = 64;
/// Bytes of the two times of a pass, its start and its end.
const PAIR: usize = 2 * wgpu::QUERY_SIZE as usize;

/// Submits a run's dispatches in order and gives what each of `steps` steps took: by the device's own clock where it has
/// one, else by the host's, each step alone.
pub(crate) fn submit_timed(
    engine: &Engine,
    dispatches: &[Ready<'_>],
    status: Option<&StatusWords>,
    steps: usize,
) -> Result<Vec<Duration>> {
    if cfg!(target_arch = "wasm32") {
        let message = "kernels cannot be timed in a browser, which does not let a run wait";
        return Err(device_error(ErrorKind::Unsupported, "profile", message));
    }
    if let Some(status) = status {
        let mut encoder = engine.device.create_command_encoder(&CommandEncoderDescriptor::default());
        status.clear(&mut encoder);
        submit(engine, encoder);
    }
    let passes: Vec<&[Ready<'_>]> = dispatches.chunk_by(|a, b| a.step == b.step).collect();
    // A CPU that plays the GPU has no clock of its own.
    let has_clock = engine.device.features().contains(Features::TIMESTAMP_QUERY) && !engine.software;
    let taken = match has_clock {
        true => by_device_clock(engine, &passes)?,
        false => by_host_clock(engine, &passes)?,
    };
    let mut times = vec![Duration::ZERO; steps];
    for (pass, taken) in passes.iter().zip(taken) {
        if let Some(time) = pass.first().and_then(|dispatch| times.get_mut(dispatch.step)) {
            *time += taken;
        }
    }
    Ok(times)
}

/// A pass for each step, which notes the device's time where it starts and where it ends.
fn by_device_clock(engine: &Engine, passes: &[&[Ready<'_>]]) -> Result<Vec<Duration>> {
    if passes.is_empty() {
        return Ok(Vec::new());
    }
    let queries = engine.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: None,
        ty: wgpu::QueryType::Timestamp,
        count: 2 * PASSES as u32,
    });
    let bytes = passes.len() * PAIR;
    let resolved = engine.memory.allocate(Use::Queries, bytes)?;
    let staging = engine.memory.allocate(Use::Staging, bytes)?;
    for (number, chunk) in passes.chunks(PASSES).enumerate() {
        let mut encoder = engine.device.create_command_encoder(&CommandEncoderDescriptor::default());
        for (query, dispatches) in (0..).step_by(2).zip(chunk) {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(query),
                    end_of_pass_write_index: Some(query + 1),
                }),
            });
            start(&mut pass, dispatches);
        }
        let at = (number * PASSES * PAIR) as u64;
        encoder.resolve_query_set(&queries, 0..2 * chunk.len() as u32, resolved.raw(), at);
        let size = (chunk.len() * PAIR) as u64;
        encoder.copy_buffer_to_buffer(resolved.raw(), at, staging.raw(), at, Some(size));
        submit(engine, encoder);
    }
    let mapped = Signal::default();
    let signal = mapped.clone();
    staging.raw().map_async(wgpu::MapMode::Read, 0..bytes as u64, move |result| signal.set(result.is_ok()));
    if let Err(error) = wait(engine) {
        staging.raw().unmap();
        return Err(error);
    }
    let unreadable = || device_error(ErrorKind::DeviceLost, "profile", "the device gave no times back");
    if mapped.answer() != Some(true) {
        return Err(engine.journal.take_fault().unwrap_or_else(unreadable));
    }
    let period = f64::from(engine.queue.get_timestamp_period());
    let times = staging.raw().get_mapped_range(0..bytes as u64).ok().map(|view| {
        let ticks: Vec<u64> =
            view.chunks_exact(8).filter_map(|tick| Some(u64::from_le_bytes(tick.try_into().ok()?))).collect();
        let time = |pair: &[u64]| Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64);
        ticks.chunks_exact(2).map(time).collect()
    });
    staging.raw().unmap();
    times.ok_or_else(unreadable)
}

/// Each step alone, from its submission until the device has nothing left to do.
fn by_host_clock(engine: &Engine, passes: &[&[Ready<'_>]]) -> Result<Vec<Duration>> {
    // Pending uploads go along with the next submission, and earlier work is not this run's.
    engine.queue.submit([]);
    wait(engine)?;
    let time = |dispatches: &&[Ready<'_>]| {
        let begin = Instant::now();
        let mut encoder = engine.device.create_command_encoder(&CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        start(&mut pass, dispatches);
        drop(pass);
        submit(engine, encoder);
        wait(engine)?;
        Ok(begin.elapsed())
    };
    passes.iter().map(time).collect()
}

fn submit(engine: &Engine, encoder: wgpu::CommandEncoder) {
    engine.queue.submit([encoder.finish()]);
    count(&engine.counters.submits);
}

fn wait(engine: &Engine) -> Result<()> {
    match engine.device.poll(wgpu::PollType::wait_indefinitely()) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(device_error(ErrorKind::DeviceLost, "profile", format!("waiting for the device failed: {error}")))
        }
    }
}
