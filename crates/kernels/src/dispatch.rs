//! Work as the device takes it: a flat list of dispatches, submitted in chunks.

use crate::device::Engine;
use crate::pipelines::Pipeline;
use crate::stats::count;
use crate::status::StatusWords;
use std::sync::Arc;
use wgrad_tensor::error::{ErrorKind, Problem};

/// Dispatches in the first command buffer, so that the device soon has something to do; each further one has twice as
/// many, since they are costly.
const FIRST: usize = 48;

/// One kernel, ready to start.
pub(crate) struct Ready<'a> {
    /// The number of the plan's step that it belongs to.
    pub step: usize,
    pub pipeline: &'a Arc<Pipeline>,
    pub group: wgpu::BindGroup,
    /// Where its parameters lie.
    pub offset: Option<u32>,
    pub grid: [u32; 3],
}

/// A grid of at least `groups` workgroups, laid over x and y where x alone does not hold them. Kernels count
/// `y * groups.x + x` and leave the rest out.
pub(crate) fn grid(groups: usize, limit: u32) -> Result<[u32; 3], Problem> {
    let too_many =
        || Problem::new(ErrorKind::Unsupported, format!("{groups} workgroups are more than the device starts"));
    let rows = groups.div_ceil(limit as usize);
    let x = u32::try_from(groups.div_ceil(rows.max(1))).map_err(|_| too_many())?;
    let y = u32::try_from(rows).ok().filter(|&rows| rows <= limit).ok_or_else(too_many)?;
    Ok([x, y, 1])
}

/// Submits a run's dispatches in order. The status words are cleared first.
pub(crate) fn submit(engine: &Engine, dispatches: &[Ready<'_>], status: Option<&StatusWords>) {
    let (mut status, mut rest, mut size) = (status, dispatches, FIRST);
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        (rest, size) = (later, 2 * size);
        let mut encoder = engine.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(status) = status.take() {
            status.clear(&mut encoder);
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        start(&mut pass, chunk);
        drop(pass);
        engine.queue.submit([encoder.finish()]);
        count(&engine.counters.submits);
    }
}

/// Puts dispatches into a pass.
pub(crate) fn start(pass: &mut wgpu::ComputePass<'_>, dispatches: &[Ready<'_>]) {
    let mut set: Option<&Arc<Pipeline>> = None;
    for dispatch in dispatches {
        if !set.is_some_and(|set| Arc::ptr_eq(set, dispatch.pipeline)) {
            pass.set_pipeline(&dispatch.pipeline.raw);
            set = Some(dispatch.pipeline);
        }
        pass.set_bind_group(0, &dispatch.group, dispatch.offset.as_slice());
        let [x, y, z] = dispatch.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_hold_all_workgroups_within_the_limit() {
        for groups in [1, 65_535, 65_536, 70_001, 5_000_000] {
            let [x, y, z] = grid(groups, 65_535).unwrap();
            assert!(x <= 65_535 && y <= 65_535 && z == 1);
            let started = x as usize * y as usize;
            assert!(started >= groups && started < groups + y as usize, "{groups}: {x} x {y}");
        }
        assert!(grid(usize::MAX, 65_535).is_err());
    }
}
