//! Making a window contiguous: whole runs where the data lies so, and tiles where it is transposed.

use crate::program::{collect_rows, collect_run};
use crate::threads::{self, TASK};
use crate::view::{View, Walk};
use bytemuck::Pod;

/// Rows and columns of a tile: a cache line's worth of `f32` each way.
const TILE: usize = 16;

/// Copies what `view` sees into `out`, in row-major order.
pub fn copy(view: &View<'_>, out: &mut [u8]) {
    match view.dtype.size() {
        1 => copy_as::<u8>(view, out),
        2 => copy_as::<u16>(view, out),
        4 => copy_as::<u32>(view, out),
        _ => copy_as::<u64>(view, out),
    }
}

fn copy_as<T: Pod + Send + Sync>(view: &View<'_>, out: &mut [u8]) {
    let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
    let (elements, base) = (view.elements::<T>(), view.layout.offset as isize);
    if out.is_empty() || view.count() != out.len() {
        return;
    }
    let axes = view.layout.merged();
    let Some((&(size, stride), outer)) = axes.split_last() else {
        out[0] = elements[base as usize];
        return;
    };
    let straight = outer.iter().position(|&(size, stride)| stride.unsigned_abs() == 1 && size >= TILE / 2);
    if let (Some(axis), true) = (straight, stride.unsigned_abs() > 1 && size >= TILE / 2) {
        return Transposed { elements, base, axes: &axes, axis }.copy(out);
    }
    if outer.is_empty() {
        return threads::chunks(out, TASK, |i, out| {
            collect_run(elements, base + (i * TASK) as isize * stride, stride, out);
        });
    }
    let runs = (TASK / size).max(1);
    threads::chunks(out, runs * size, |i, out| collect_rows(elements, &axes, base, i * runs, out));
}

/// A window whose last axis strides while an earlier `axis` runs straight.
struct Transposed<'a, T> {
    elements: &'a [T],
    base: isize,
    axes: &'a [(usize, isize)],
    axis: usize,
}

impl<T: Pod + Send + Sync> Transposed<'_, T> {
    /// Cuts the output along the straight axis and those before it.
    fn copy(&self, out: &mut [T]) {
        let (before, rest) = self.axes.split_at(self.axis);
        let row: usize = rest[1..].iter().map(|&(size, _)| size).product();
        let (rows, stride) = rest[0];
        let rows_per_task = (TASK / row).next_multiple_of(TILE).max(TILE);
        let mut tasks = Vec::new();
        for (i, slab) in out.chunks_mut(rows * row).enumerate() {
            let start = Walk::new(before, self.base, i).step();
            for (j, part) in slab.chunks_mut(rows_per_task * row).enumerate() {
                tasks.push((start + (j * rows_per_task) as isize * stride, part));
            }
        }
        threads::for_each(tasks, |(start, part)| self.part(start, row, part));
    }

    /// Copies some rows along the straight axis, from position `start` on.
    fn part(&self, start: isize, row: usize, out: &mut [T]) {
        let between = &self.axes[self.axis + 1..];
        let Some((&(width, across), between)) = between.split_last() else { return };
        let (_, along) = self.axes[self.axis];
        let rows = out.len() / row;
        let mut walk = Walk::new(between, start, 0);
        for first in (0..row).step_by(width) {
            let at = walk.step();
            for top in (0..rows).step_by(TILE) {
                for left in (0..width).step_by(TILE) {
                    for i in top..(top + TILE).min(rows) {
                        let target = &mut out[i * row + first + left..i * row + first + (left + TILE).min(width)];
                        let from = at + i as isize * along + left as isize * across;
                        collect_run(self.elements, from, across, target);
                    }
                }
            }
        }
    }
}
