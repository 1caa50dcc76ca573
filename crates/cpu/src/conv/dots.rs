//! The gradient for the weight: for every filter and tap, the sum over all windows of result times input.

use super::geometry::Geometry;
use super::lanes::Lanes;
use super::planes::{Grid, Lines, SLACK};
use crate::buffer::Pool;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::Arc;
use wgrad_tensor::error::Problem;

/// Bytes of planes that are worked on at once, so that they stay in the second cache.
const BAND: usize = 512 << 10;
/// Bytes of all images that are summed over at once: each tile's sums end in slow additions across a vector.
const IMAGES: usize = 4 << 20;

/// Some filters' part of the gradient, over some images.
#[derive(Debug)]
pub struct Part<'a, T> {
    /// The sizes.
    pub geometry: &'a Geometry,
    /// The windows over the input.
    pub grid: &'a Grid,
    /// The result's gradients, all images.
    pub results: &'a [T],
    /// The inputs, all images.
    pub inputs: &'a [T],
    /// The images to sum over.
    pub images: Range<usize>,
    /// The group.
    pub group: usize,
    /// The filters of the group.
    pub filters: Range<usize>,
    /// Their gradient.
    pub out: &'a mut [T],
}

/// Computes a part.
pub fn dots<T: Lanes>(part: &mut Part<'_, T>, pool: &Arc<Pool>) -> Result<(), Problem> {
    part.out.fill(T::of(0.0));
    let (geometry, grid) = (part.geometry, part.grid);
    let [rows, columns] = geometry.output;
    let filters = part.filters.len();
    let per_row = (grid.memory(geometry.channels, 1) + filters * grid.width()) * size_of::<T>();
    let band = (BAND / per_row).clamp(1, rows);
    let span = (band * grid.width() + 1).next_multiple_of(64);
    let (planes, lines) = (grid.memory(geometry.channels, band), filters * span);
    let bytes = (planes + lines) * size_of::<T>();
    let fit = (IMAGES / bytes).clamp(1, part.images.len().max(1));
    let mut memory = pool.take(fit * bytes)?;
    let memory: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
    let (all_planes, all_lines) = memory.split_at_mut(fit * planes);
    // What lies after the planes is multiplied by zero, which NaN would survive.
    all_planes.chunks_exact_mut(planes).for_each(|image| image[planes - SLACK..].fill(T::of(0.0)));
    for start in (0..rows).step_by(band) {
        let some = start..(start + band).min(rows);
        for first in part.images.clone().step_by(fit) {
            let images = first..(first + fit).min(part.images.end);
            for (i, image) in images.clone().enumerate() {
                let at = image * geometry.window.groups + part.group;
                let input = &part.inputs[at * geometry.image()..(at + 1) * geometry.image()];
                grid.fill(input, geometry.channels, some.clone(), &mut all_planes[i * planes..(i + 1) * planes]);
                let result = &part.results[at * geometry.result()..(at + 1) * geometry.result()];
                let result = &result[part.filters.start * geometry.positions()..];
                let lines = all_lines[i * lines..(i + 1) * lines].chunks_exact_mut(span);
                for (line, image) in lines.zip(result.chunks_exact(rows * columns)) {
                    let (line, rest) = line.split_at_mut(some.len() * grid.width());
                    rest.fill(T::of(0.0));
                    let lines = Lines { image, size: columns, width: grid.width(), columns: 0..columns };
                    (0..some.len()).for_each(|row| lines.copy((some.start + row) * columns, 1, row, line));
                }
            }
            let offsets = grid.offsets(geometry.channels, some.len());
            let count = images.len();
            let band = Band {
                planes: &all_planes[..count * planes],
                lines: &all_lines[..count * lines],
                images: count,
                offsets: &offsets,
                span,
                used: grid.span(some.len()),
                out: part.out,
            };
            Arch::new().dispatch(band);
        }
    }
    Ok(())
}

/// Some images' planes, and the lines of each filter: what flows back, at the windows' flat positions, zero between.
struct Band<'a, T> {
    planes: &'a [T],
    lines: &'a [T],
    images: usize,
    offsets: &'a [usize],
    span: usize,
    used: usize,
    out: &'a mut [T],
}

impl<T: Lanes> WithSimd for Band<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (filters, taps) = (self.out.len() / self.offsets.len(), self.offsets.len());
        let wide = S::REGISTER_COUNT >= 32;
        let mut filter = 0;
        while filter < filters {
            let rows = if filters - filter >= 4 { 4 } else { 1 };
            let mut tap = 0;
            while tap < taps {
                tap += match (rows, taps - tap) {
                    (4, 6..) if wide => self.tile::<S, 4, 6>(simd, filter, tap),
                    (4, 3..) if wide => self.tile::<S, 4, 3>(simd, filter, tap),
                    (4, 2..) => self.tile::<S, 4, 2>(simd, filter, tap),
                    (4, _) => self.tile::<S, 4, 1>(simd, filter, tap),
                    (_, 6..) => self.tile::<S, 1, 6>(simd, filter, tap),
                    (_, 3..) => self.tile::<S, 1, 3>(simd, filter, tap),
                    _ => self.tile::<S, 1, 1>(simd, filter, tap),
                };
            }
            filter += rows;
        }
    }
}

impl<T: Lanes> Band<'_, T> {
    /// Adds the sums of `R` filters at `C` taps; gives how many taps that is.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, filter: usize, tap: usize) -> usize {
        let lanes = T::lanes::<S>();
        let zero = T::splat(simd, T::of(0.0));
        let mut sums = [[zero; C]; R];
        let (planes, lines) = (self.planes.len() / self.images, self.lines.len() / self.images);
        let vectors = self.used.div_ceil(lanes);
        let empty = T::vectors::<S>(&[]);
        for image in 0..self.images {
            let all = &self.planes[image * planes..(image + 1) * planes];
            let mut x = [empty; C];
            for (x, &offset) in x.iter_mut().zip(&self.offsets[tap..tap + C]) {
                *x = &T::vectors::<S>(&all[offset..])[..vectors];
            }
            let all = &self.lines[image * lines..(image + 1) * lines];
            let mut g = [empty; R];
            for (i, g) in g.iter_mut().enumerate() {
                *g = &T::vectors::<S>(&all[(filter + i) * self.span..])[..vectors];
            }
            for at in 0..vectors {
                let mut taps = [zero; C];
                for (tap, x) in taps.iter_mut().zip(&x) {
                    *tap = x[at];
                }
                for (sums, g) in sums.iter_mut().zip(&g) {
                    let g = g[at];
                    for (sum, &tap) in sums.iter_mut().zip(&taps) {
                        *sum = T::mul_add(simd, g, tap, *sum);
                    }
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let start = (filter + i) * self.offsets.len() + tap;
            for (out, sum) in self.out[start..start + C].iter_mut().zip(sums) {
                *out += T::sum(simd, sum);
            }
        }
        C
    }
}
