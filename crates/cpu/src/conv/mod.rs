//! Convolution and its two gradients.

mod correlate;
mod dots;
mod geometry;
mod lanes;
mod planes;

use crate::program::{self, even, unsupported};
use crate::step::Job;
use crate::threads;
use correlate::{Image, Packed, correlate};
use dots::{Part, dots};
use geometry::{Geometry, shape};
use lanes::Lanes;
use planes::Grid;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Window2d;

/// Tasks that one convolution is cut into where the batch is small.
const TASKS: usize = 16;
/// The least result rows of a task: each task lays out the planes anew.
const ROWS: usize = 32;
/// Elements of the weight's gradient in all partial sums together.
const PARTIAL: usize = 4 << 20;

/// `[n, c, h, w]` with `[o, c / groups, kh, kw]` gives `[n, o, oh, ow]`.
pub fn forward(window: &Window2d, job: &mut Job<'_>) -> Result<(), Problem> {
    let geometry = Geometry::new(shape(&job.operand(0)?), shape(&job.operand(1)?), job.shape()?, window)?;
    match job.operand(0)?.dtype {
        DType::F32 => forward_as::<f32>(&geometry, job),
        DType::F64 => forward_as::<f64>(&geometry, job),
        dtype => Err(unsupported("conv2d", dtype)),
    }
}

/// `[n, o, oh, ow]` with the weight gives `[n, c, h, w]`.
pub fn input_gradient(window: &Window2d, job: &mut Job<'_>) -> Result<(), Problem> {
    let geometry = Geometry::new(job.shape()?, shape(&job.operand(1)?), shape(&job.operand(0)?), window)?;
    match job.operand(0)?.dtype {
        DType::F32 => input_gradient_as::<f32>(&geometry, job),
        DType::F64 => input_gradient_as::<f64>(&geometry, job),
        dtype => Err(unsupported("conv2d", dtype)),
    }
}

/// `[n, o, oh, ow]` with the input gives `[o, c / groups, kh, kw]`.
pub fn weight_gradient(window: &Window2d, job: &mut Job<'_>) -> Result<(), Problem> {
    let geometry = Geometry::new(shape(&job.operand(1)?), job.shape()?, shape(&job.operand(0)?), window)?;
    match job.operand(0)?.dtype {
        DType::F32 => weight_gradient_as::<f32>(&geometry, job),
        DType::F64 => weight_gradient_as::<f64>(&geometry, job),
        dtype => Err(unsupported("conv2d", dtype)),
    }
}

fn forward_as<T: Lanes>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (taps, place) = (geometry.taps(), geometry.kernel[0] * geometry.kernel[1]);
    let way = Way {
        source: geometry.image(),
        channels: geometry.channels,
        rows: geometry.filters,
        weight: |row, channel| row * taps + channel * place,
        target: geometry.output,
    };
    slide::<T>(geometry, &way, &[Grid::of_input(geometry)], job)
}

fn input_gradient_as<T: Lanes>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (taps, place) = (geometry.taps(), geometry.kernel[0] * geometry.kernel[1]);
    let way = Way {
        source: geometry.result(),
        channels: geometry.filters,
        rows: geometry.channels,
        weight: |row, channel| channel * taps + row * place,
        target: geometry.input,
    };
    slide::<T>(geometry, &way, &Grid::of_result(geometry), job)
}

/// Which way weights are slid.
struct Way<F> {
    /// Elements of one group's source image.
    source: usize,
    /// Channels of it.
    channels: usize,
    /// Channels of one group's result image.
    rows: usize,
    /// Where the kernel for a result channel and a source channel lies.
    weight: F,
    /// Rows and columns of a result channel.
    target: [usize; 2],
}

fn slide<T: Lanes>(
    geometry: &Geometry,
    way: &Way<impl Fn(usize, usize) -> usize + Sync + Send>,
    grids: &[Grid],
    job: &mut Job<'_>,
) -> Result<(), Problem> {
    let (source, weights) = (job.operand(0)?.contiguous::<T>()?, job.operand(1)?.contiguous::<T>()?);
    let (pool, groups, plane) = (job.pool, geometry.window.groups, way.target[0] * way.target[1]);
    if job.shape()?.count() == 0 {
        return Ok(());
    }
    let pack = |group: usize| -> Vec<(Grid, Packed<T>)> {
        let weights = &weights[group * geometry.weight()..(group + 1) * geometry.weight()];
        let pack = |grid: &Grid| Packed::new(weights, grid, way.rows, way.channels, &way.weight);
        grids.iter().map(|grid| (grid.clone(), pack(grid))).collect()
    };
    let packed: Vec<_> = (0..groups).map(pack).collect();
    let pieces = TASKS.div_ceil(geometry.batch * groups);
    let per_task = way.rows.div_ceil(pieces).next_multiple_of(ROWS);
    let lengths = even(way.rows * plane, per_task * plane).repeat(geometry.batch * groups);
    threads::try_for_each(program::pieces::<T>(job, &lengths)?, |piece| {
        let (i, first) = (piece.range.start / (way.rows * plane), piece.range.start / plane % way.rows);
        let source = &source[i * way.source..(i + 1) * way.source];
        let rows = piece.range.len() / plane;
        piece.fill(|out: &mut [T]| {
            let mut image = Image { source, channels: way.channels, first, rows, out, target: way.target };
            correlate(&mut image, &packed[i % groups], pool)
        })
    })
}

fn weight_gradient_as<T: Lanes>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (results, inputs) = (job.operand(0)?.contiguous::<T>()?, job.operand(1)?.contiguous::<T>()?);
    let pool = job.pool;
    let total = job.shape()?.count();
    if total == 0 {
        return Ok(());
    }
    let (batch, groups, grid) = (geometry.batch, geometry.window.groups, Grid::of_input(geometry));
    // Each part's sums end in slow additions across a vector: a part is worth them from some thousand windows on.
    let images = batch.div_ceil(TASKS).max(2048 / geometry.positions()).max(batch * total / PARTIAL).max(1);
    let parts = batch.div_ceil(images).max(1);
    let pieces = TASKS.div_ceil(parts * groups);
    let per_task = geometry.filters.div_ceil(pieces).next_multiple_of(ROWS).min(geometry.filters);
    let mut memory = pool.take(parts * total * size_of::<T>())?;
    let partial: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
    let mut tasks = Vec::new();
    for (i, out) in partial.chunks_mut(geometry.weight()).enumerate() {
        for (j, out) in out.chunks_mut(per_task * geometry.taps()).enumerate() {
            tasks.push((i, j * per_task, out));
        }
    }
    threads::try_for_each(tasks, |(i, first, out)| {
        let part = i / groups;
        let mut part = Part {
            geometry,
            grid: &grid,
            results,
            inputs,
            images: part * images..((part + 1) * images).min(batch),
            group: i % groups,
            filters: first..first + out.len() / geometry.taps(),
            out,
        };
        dots(&mut part, pool)
    })?;
    let partial = &*partial;
    program::pieces::<T>(job, &[total])?.into_iter().try_for_each(|piece| {
        piece.fill(|out: &mut [T]| {
            let (first, rest) = partial.split_at(total);
            out.copy_from_slice(first);
            for part in rest.chunks(total) {
                out.iter_mut().zip(part).for_each(|(out, &x)| *out += x);
            }
            Ok(())
        })
    })
}
