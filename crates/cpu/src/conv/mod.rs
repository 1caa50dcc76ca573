//! Convolution and its two gradients.

mod geometry;
mod unroll;

use crate::gemm::{Float, Matrix, Sizes, gemm};
use crate::map::unsupported;
use crate::step::Job;
use crate::threads;
use geometry::{Geometry, shape};
use unroll::{roll, unroll};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Window2d;

/// Partial sums of the weight's gradient.
const PARTS: usize = 16;

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

fn forward_as<T: Float>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (input, weight) = (job.operand(0)?.contiguous::<T>()?, job.operand(1)?.contiguous::<T>()?);
    let pool = job.pool;
    let (m, n, k) = (geometry.filters, geometry.positions(), geometry.taps());
    let out = job.result::<T>(0)?;
    if out.is_empty() {
        return Ok(());
    }
    let groups = geometry.window.groups;
    let tasks: Vec<_> = out.chunks_mut(geometry.result()).enumerate().collect();
    threads::try_for_each(tasks, |(i, out)| {
        let mut memory = pool.take(n * k * size_of::<T>())?;
        let columns: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
        unroll(geometry, &input[i * geometry.image()..], columns);
        let weight = &weight[i % groups * geometry.weight()..];
        gemm(Sizes { m, n, k }, out, Matrix::rows(weight, k), Matrix::rows(columns, n), false, false);
        Ok(())
    })
}

fn input_gradient_as<T: Float>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (result, weight) = (job.operand(0)?.contiguous::<T>()?, job.operand(1)?.contiguous::<T>()?);
    let pool = job.pool;
    let (m, n, k) = (geometry.taps(), geometry.positions(), geometry.filters);
    let out = job.result::<T>(0)?;
    if out.is_empty() {
        return Ok(());
    }
    let groups = geometry.window.groups;
    let tasks: Vec<_> = out.chunks_mut(geometry.image()).enumerate().collect();
    threads::try_for_each(tasks, |(i, out)| {
        let mut memory = pool.take(m * n * size_of::<T>())?;
        let columns: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
        let weight = Matrix::rows(&weight[i % groups * geometry.weight()..], m).transposed();
        let result = Matrix::rows(&result[i * geometry.result()..], n);
        gemm(Sizes { m, n, k }, columns, weight, result, false, false);
        roll(geometry, columns, out);
        Ok(())
    })
}

fn weight_gradient_as<T: Float>(geometry: &Geometry, job: &mut Job<'_>) -> Result<(), Problem> {
    let (result, input) = (job.operand(0)?.contiguous::<T>()?, job.operand(1)?.contiguous::<T>()?);
    let pool = job.pool;
    let (m, n, k) = (geometry.filters, geometry.taps(), geometry.positions());
    let out = job.result::<T>(0)?;
    if out.is_empty() {
        return Ok(());
    }
    let (batch, groups) = (geometry.batch, geometry.window.groups);
    let images = batch.div_ceil(PARTS).max(1);
    let parts = batch.div_ceil(images).max(1);
    let mut partial = pool.take(parts * size_of_val(out))?;
    let partial: &mut [T] = bytemuck::try_cast_slice_mut(&mut partial).unwrap_or_default();
    partial.fill(T::of(0.0));
    let tasks: Vec<_> = partial.chunks_mut(geometry.weight()).enumerate().collect();
    threads::try_for_each(tasks, |(i, out)| {
        let mut memory = pool.take(n * k * size_of::<T>())?;
        let columns: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
        let (part, group) = (i / groups, i % groups);
        for image in part * images..((part + 1) * images).min(batch) {
            let image = image * groups + group;
            unroll(geometry, &input[image * geometry.image()..], columns);
            let result = Matrix::rows(&result[image * geometry.result()..], k);
            gemm(Sizes { m, n, k }, out, result, Matrix::rows(columns, k).transposed(), true, false);
        }
        Ok(())
    })?;
    let (first, rest) = partial.split_at(out.len());
    out.copy_from_slice(first);
    for part in rest.chunks(out.len()) {
        out.iter_mut().zip(part).for_each(|(out, &x)| *out += x);
    }
    Ok(())
}
