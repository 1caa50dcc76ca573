//! Rows of weights slid over planes: the convolution itself, and the gradient for its input.

use super::lanes::Lanes;
use super::planes::Grid;
use crate::buffer::Pool;
use crate::simd::arch;
use crate::threads;
use pulp::{Simd, WithSimd};
use std::ops::Range;
use std::sync::Arc;
use wgrad_tensor::error::Problem;

/// Bytes of planes that are worked on at once, so that they stay in the second cache.
const BAND: usize = 512 << 10;
/// Bytes of weights that are multiplied with all positions before the next ones.
const WEIGHTS: usize = 512 << 10;
/// Bytes of planes that one tile sees before the next one sees them.
const SEEN: usize = 24 << 10;

/// Weights of one group on one grid, in the order in which they are multiplied: row tile by row tile, in it tap by tap,
/// with the tile's rows side by side.
#[derive(Debug)]
pub struct Packed<T> {
    elements: Vec<T>,
    taps: usize,
    tile: usize,
}

impl<T: Lanes> Packed<T> {
    /// Packs `rows` rows of `channels` channels; `weight` tells where the kernel of a row and a channel lies.
    pub fn new(
        weights: &[T],
        grid: &Grid,
        rows: usize,
        channels: usize,
        weight: impl Fn(usize, usize) -> usize + Sync + Send,
    ) -> Self {
        let tile = tile_rows();
        let taps = channels * grid.taps.len();
        let mut elements = vec![T::of(0.0); rows.next_multiple_of(tile) * taps];
        threads::chunks(&mut elements, tile * taps, |i, out| {
            let rows = i * tile..(i * tile + tile).min(rows);
            let wide = rows.len().next_power_of_two();
            for (channel, out) in out.chunks_exact_mut(wide * grid.taps.len()).enumerate().take(channels) {
                for (column, row) in rows.clone().enumerate() {
                    let kernel = &weights[weight(row, channel)..];
                    for (out, tap) in out.chunks_exact_mut(wide).zip(&grid.taps) {
                        out[column] = kernel[tap.place];
                    }
                }
            }
        });
        Packed { elements, taps, tile }
    }

    /// The weights of the tile that starts with row `first` and ends with the `left` rows that are left, from a tap on.
    fn from(&self, first: usize, left: usize, tap: usize) -> &[T] {
        let wide = left.min(self.tile).next_power_of_two();
        self.elements.get(first * self.taps + tap * wide..).unwrap_or_default()
    }
}

/// Rows of weights that are multiplied at once: as many as there are vector registers for.
fn tile_rows() -> usize {
    struct Rows;
    impl WithSimd for Rows {
        type Output = usize;
        fn with_simd<S: Simd>(self, _simd: S) -> usize {
            if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
        }
    }
    arch().dispatch(Rows)
}

/// One image's work: some result rows of one group.
#[derive(Debug)]
pub struct Image<'a, T> {
    /// The source channels.
    pub source: &'a [T],
    /// How many.
    pub channels: usize,
    /// The number of the first result row.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
    /// Their images.
    pub out: &'a mut [T],
    /// Rows and columns of a result image.
    pub target: [usize; 2],
}

/// Computes the results of one image on all grids.
pub fn correlate<T: Lanes>(
    image: &mut Image<'_, T>,
    grids: &[(Grid, Packed<T>)],
    pool: &Arc<Pool>,
) -> Result<(), Problem> {
    if grids.iter().any(|(grid, _)| grid.taps.is_empty()) || image.channels == 0 {
        image.out.fill(T::of(0.0));
    }
    for (grid, packed) in grids.iter().filter(|(grid, _)| !grid.taps.is_empty() && !grid.windows.contains(&0)) {
        let per_row = grid.memory(image.channels, 1) * size_of::<T>();
        let band = (BAND / per_row).clamp(1, grid.windows[0]);
        let mut planes = pool.take(grid.memory(image.channels, band) * size_of::<T>())?;
        let planes: &mut [T] = bytemuck::try_cast_slice_mut(&mut planes).unwrap_or_default();
        for start in (0..grid.windows[0]).step_by(band) {
            let rows = start..(start + band).min(grid.windows[0]);
            grid.fill(image.source, image.channels, rows.clone(), planes);
            arch().dispatch(Band { image, grid, packed, rows, planes });
        }
    }
    Ok(())
}

/// Some rows of windows of one grid, whose planes are laid out.
struct Band<'a, 'i, T> {
    image: &'a mut Image<'i, T>,
    grid: &'a Grid,
    packed: &'a Packed<T>,
    rows: Range<usize>,
    planes: &'a [T],
}

impl<T: Lanes> WithSimd for Band<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = if S::REGISTER_COUNT >= 32 { 8 } else { 4 };
        let offsets = self.grid.offsets(self.image.channels, self.rows.len());
        let span = self.grid.span(self.rows.len()).next_multiple_of(T::lanes::<S>());
        let seen = self.grid.seen(3 * T::lanes::<S>()) * size_of::<T>();
        let depth = (SEEN / seen).clamp(1, self.image.channels) * self.grid.taps.len();
        // A block of weights stays in the second cache while all positions go by.
        let block = (WEIGHTS / (rows * offsets.len() * size_of::<T>())).max(1) * rows;
        let mut results = vec![T::of(0.0); block.min(self.image.rows.next_multiple_of(rows)) * span];
        for start in (0..self.image.rows).step_by(block) {
            let end = (start + block).min(self.image.rows);
            let mut at = 0;
            while at < span {
                let mut done = 0;
                // What some channels show at these positions stays in the first cache while all rows go by.
                for (i, offsets) in offsets.chunks(depth).enumerate() {
                    for first in (start..end).step_by(rows) {
                        let tile = Tile {
                            planes: &self.planes[at..],
                            offsets,
                            weights: self.packed.from(self.image.first + first, end - first, i * depth),
                            results: &mut results[(first - start) * span + at..],
                            span,
                            left: span - at,
                            more: i > 0,
                        };
                        done = match end - first {
                            5.. if rows == 8 => tile.rows::<S, 8>(simd),
                            3.. => tile.rows::<S, 4>(simd),
                            2 => tile.rows::<S, 2>(simd),
                            _ => tile.rows::<S, 1>(simd),
                        };
                    }
                }
                at += done.max(1);
            }
            for row in start..end {
                self.emit(row, &results[(row - start) * span..(row - start + 1) * span]);
            }
        }
    }
}

impl<T: Lanes> Band<'_, '_, T> {
    /// Copies a row's results to its image.
    #[inline(always)]
    fn emit(&mut self, row: usize, results: &[T]) {
        let (grid, [h, w]) = (self.grid, self.image.target);
        let columns = grid.windows[1];
        let image = &mut self.image.out[row * h * w..(row + 1) * h * w];
        let top = grid.target[0].start + self.rows.start * grid.target_step[0];
        if grid.target_step == [1, 1] && columns == w {
            return dense(results, grid.width(), columns, &mut image[top * w..(top + self.rows.len()) * w]);
        }
        for (i, results) in results.chunks(grid.width()).enumerate().take(self.rows.len()) {
            let start = (top + i * grid.target_step[0]) * w;
            let line = image[start..start + w][grid.target[1].clone()].iter_mut().step_by(grid.target_step[1]);
            line.zip(&results[..columns]).for_each(|(out, &x)| *out = x);
        }
    }
}

/// Copies the first `columns` of rows of `width` elements. Whole vectors are copied where what they write too much is
/// overwritten by the next row.
#[inline(always)]
fn dense<T: Lanes>(from: &[T], width: usize, columns: usize, to: &mut [T]) {
    const CHUNK: usize = 16;
    let chunks = columns.div_ceil(CHUNK) * CHUNK;
    for row in 0..to.len() / columns {
        let (source, target) = (row * width, row * columns);
        if target + chunks <= to.len() && source + chunks <= from.len() {
            for i in (0..chunks).step_by(CHUNK) {
                to[target + i..target + i + CHUNK].copy_from_slice(&from[source + i..source + i + CHUNK]);
            }
        } else {
            to[target..target + columns].copy_from_slice(&from[source..source + columns]);
        }
    }
}

/// A few rows of weights at a few vectors of positions.
struct Tile<'a, T> {
    planes: &'a [T],
    offsets: &'a [usize],
    weights: &'a [T],
    results: &'a mut [T],
    span: usize,
    left: usize,
    more: bool,
}

impl<T: Lanes> Tile<'_, T> {
    /// `R` rows; gives at how many positions.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(self, simd: S) -> usize {
        match self.left / T::lanes::<S>() {
            1 => self.run::<S, R, 1>(simd),
            2 => self.run::<S, R, 2>(simd),
            _ => self.run::<S, R, 3>(simd),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S) -> usize {
        let count = V * T::lanes::<S>();
        let zero = T::splat(simd, T::of(0.0));
        let mut sums = [[zero; V]; R];
        if self.more {
            for (i, sums) in sums.iter_mut().enumerate() {
                let results = T::vectors::<S>(&self.results[i * self.span..i * self.span + count]);
                for (sum, &result) in sums.iter_mut().zip(results) {
                    *sum = result;
                }
            }
        }
        for (&offset, weights) in self.offsets.iter().zip(self.weights.chunks_exact(R)) {
            let mut x = [zero; V];
            for (x, &position) in x.iter_mut().zip(T::vectors::<S>(&self.planes[offset..offset + count])) {
                *x = position;
            }
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                let weight = T::splat(simd, weight);
                for (sum, &x) in sums.iter_mut().zip(&x) {
                    *sum = T::mul_add(simd, weight, x, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let results = &mut self.results[i * self.span..i * self.span + count];
            for (result, sum) in T::vectors_mut::<S>(results).iter_mut().zip(sums) {
                *result = sum;
            }
        }
        count
    }
}
