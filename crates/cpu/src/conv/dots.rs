//! The gradient for the weight: for every filter and tap, the sum over all windows of result times input.

use super::geometry::Geometry;
use super::lanes::Lanes;
use super::planes::{Grid, Lines, SLACK};
use crate::buffer::Pool;
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use std::ops::Range;
use std::sync::Arc;
use wgrad_tensor::error::Problem;

/// Bytes of planes that are worked on at once, so that they stay in the second cache.
const BAND: usize = 2 << 20;
/// Bytes of all images that are summed over at once: each tile's sums end in slow additions across a vector.
const IMAGES: usize = 4 << 20;

/// Bytes of lines that stay in the first cache while all taps go by.
const LINES: usize = 24 << 10;
/// Filters that are multiplied at once.
const ROWS: usize = 4;

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
    let band = (BAND / per_row).min(LINES / (ROWS * grid.width() * size_of::<T>())).clamp(1, rows);
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
                    let image = &image[some.start * columns..];
                    Lines { image, pitch: columns, step: 1, columns: 0..columns }.copy(grid.width(), line);
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
            arch().dispatch(band);
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
    fn with_simd<S: Simd>(self, simd: S) {
        let (filters, taps) = (self.out.len() / self.offsets.len(), self.offsets.len());
        let wide = S::REGISTER_COUNT >= 32;
        let mut sums = vec![T::of(0.0); ROWS * taps * T::lanes::<S>()];
        let mut filter = 0;
        while filter < filters {
            let rows = if filters - filter >= ROWS { ROWS } else { 1 };
            sums.fill(T::of(0.0));
            let pass = (LINES / (rows * self.span * size_of::<T>())).max(1);
            for first in (0..self.images).step_by(pass) {
                let images = first..(first + pass).min(self.images);
                let (mut tap, mut rest) = (0, T::vectors_mut::<S>(&mut sums));
                while tap < taps {
                    let place = Place { images: images.clone(), filter, tap };
                    let done = match (rows, taps - tap) {
                        (ROWS, 6..) if wide => self.tile::<S, ROWS, 6>(simd, place, rest),
                        (ROWS, 3..) if wide => self.tile::<S, ROWS, 3>(simd, place, rest),
                        (ROWS, 2..) => self.tile::<S, ROWS, 2>(simd, place, rest),
                        (ROWS, _) => self.tile::<S, ROWS, 1>(simd, place, rest),
                        (_, 6..) => self.tile::<S, 1, 6>(simd, place, rest),
                        (_, 3..) => self.tile::<S, 1, 3>(simd, place, rest),
                        _ => self.tile::<S, 1, 1>(simd, place, rest),
                    };
                    (tap, rest) = (tap + done, &mut rest[done * rows..]);
                }
            }
            // The sums stand tap by tap, with the filters side by side.
            for (tap, sums) in T::vectors::<S>(&sums).chunks_exact(rows).take(taps).enumerate() {
                for (i, &sum) in sums.iter().enumerate() {
                    self.out[(filter + i) * taps + tap] += T::sum(simd, sum);
                }
            }
            filter += rows;
        }
    }
}

/// Where a tile stands.
struct Place {
    images: Range<usize>,
    filter: usize,
    tap: usize,
}

impl<T: Lanes> Band<'_, T> {
    /// Adds the products of `R` filters at `C` taps to their sums; gives how many taps that is.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&self, simd: S, place: Place, all: &mut [T::Vector<S>]) -> usize {
        // Loops of known counts, for the sums to stay in registers.
        let all = &mut all[..C * R];
        let mut sums = [[T::splat(simd, T::of(0.0)); R]; C];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = all[i * R + j];
            }
        }
        let (planes, lines) = (self.planes.len() / self.images, self.lines.len() / self.images);
        let vectors = self.used.div_ceil(T::lanes::<S>());
        let empty = T::vectors::<S>(&[]);
        for image in place.images {
            let source = &self.planes[image * planes..(image + 1) * planes];
            let mut x = [empty; C];
            for (x, &offset) in x.iter_mut().zip(&self.offsets[place.tap..place.tap + C]) {
                *x = &T::vectors::<S>(&source[offset..])[..vectors];
            }
            let source = &self.lines[image * lines..(image + 1) * lines];
            let mut g = [empty; R];
            for (i, g) in g.iter_mut().enumerate() {
                *g = &T::vectors::<S>(&source[(place.filter + i) * self.span..])[..vectors];
            }
            for at in 0..vectors {
                let mut filters = [T::splat(simd, T::of(0.0)); R];
                for (filter, g) in filters.iter_mut().zip(&g) {
                    *filter = g[at];
                }
                for (sums, x) in sums.iter_mut().zip(&x) {
                    let x = x[at];
                    for (sum, &filter) in sums.iter_mut().zip(&filters) {
                        *sum = T::mul_add(simd, filter, x, *sum);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                all[i * R + j] = sum;
            }
        }
        C
    }
}
