//! A window taken apart into the axes that stay and those that are folded away.

use super::join::{Cascade, Join, PIECE, RowCascade, join_piece, join_rows, join_run};
use crate::buffer::Pool;
use crate::program::collect_run;
use crate::threads::{self, TASK};
use crate::view::{View, Walk, merged};
use std::sync::Arc;
use wgrad_tensor::error::Problem;
use wgrad_tensor::real::Number;

/// Partial results of one reduction that are computed side by side.
const PARTS: usize = 64;
/// Results that are computed together where the data lies across.
pub const TILE: usize = 512;
/// Rows that are added one by one into a tile.
const ROWS: usize = 16;

/// Axes as (size, stride).
pub type Axes = Vec<(usize, isize)>;

/// A window with its axes apart.
#[derive(Clone, Debug)]
pub struct Grid<'a, T> {
    /// All elements of the value.
    pub elements: &'a [T],
    /// Where the first lies.
    pub base: isize,
    /// The axes of the result, in order.
    pub kept: Axes,
    /// The axes that are folded.
    pub reduced: Axes,
}

impl<'a, T: Number> Grid<'a, T> {
    /// Takes a window apart.
    pub fn new(view: &View<'a>, axes: &[usize]) -> Self {
        let layout = view.layout;
        let of = |folded: bool| {
            let those = (0..layout.shape.len()).filter(move |axis| axes.contains(axis) == folded);
            merged(those.map(|axis| (layout.shape[axis], layout.strides[axis])))
        };
        Grid { elements: view.elements(), base: layout.offset as isize, kept: of(false), reduced: of(true) }
    }

    /// Sorts the folded axes so that the last one lies densest.
    pub fn in_any_order(mut self) -> Self {
        for (size, stride) in &mut self.reduced {
            if *stride < 0 && *size > 0 {
                self.base += (*size as isize - 1) * *stride;
                *stride = -*stride;
            }
        }
        self.reduced.sort_by_key(|&(_, stride)| if stride == 0 { isize::MIN } else { -stride });
        self.reduced = merged(self.reduced);
        self
    }

    /// How many elements are folded into one.
    pub fn depth(&self) -> usize {
        self.reduced.iter().map(|&(size, _)| size).product()
    }

    /// Whether elements that are folded together lie side by side in long runs.
    pub fn runs(&self) -> bool {
        matches!(self.reduced.last(), Some(&(size, stride)) if stride == 1 && size >= 64) || self.kept.is_empty()
    }

    /// Results for one task.
    pub fn results_per_task(&self) -> usize {
        let enough = TASK / self.depth().max(1);
        if self.runs() { enough.max(1) } else { enough.max(64) }
    }

    /// Folds everything into `out`.
    pub fn reduce<J: Join<T>>(&self, out: &mut [T], pool: &Arc<Pool>) -> Result<(), Problem> {
        let per_task = self.results_per_task();
        let tasks = out.len().div_ceil(per_task);
        let parts = (out.len() * self.depth() / TASK).min(PARTS);
        if out.is_empty() || tasks >= parts / 2 {
            threads::chunks(out, per_task, |i, out| self.results::<J>(i * per_task, out));
            return Ok(());
        }
        let parts = self.parts(parts);
        let mut memory = pool.take(parts.len() * size_of_val(out))?;
        let partial: &mut [T] = bytemuck::try_cast_slice_mut(&mut memory).unwrap_or_default();
        let rows = parts.iter().zip(partial.chunks_mut(out.len()));
        let tasks = rows.flat_map(|(part, row)| {
            row.chunks_mut(per_task).enumerate().map(move |(i, piece)| (part, i * per_task, piece))
        });
        threads::for_each(tasks.collect(), |(part, first, piece)| part.results::<J>(first, piece));
        let reduced = vec![(parts.len(), out.len() as isize)];
        Grid { elements: partial, base: 0, kept: vec![(out.len(), 1)], reduced }.results::<J>(0, out);
        Ok(())
    }

    /// Cuts the longest folded axis into about `count` pieces.
    fn parts(&self, count: usize) -> Vec<Self> {
        let longest = (0..self.reduced.len()).max_by_key(|&axis| self.reduced[axis].0).unwrap_or(0);
        let Some(&(size, stride)) = self.reduced.get(longest) else { return vec![self.clone()] };
        let piece = size.div_ceil(count);
        let piece = if piece > PIECE / 2 { piece.next_multiple_of(PIECE) } else { piece };
        let parts = (0..size).step_by(piece).map(|start| {
            let mut part = self.clone();
            part.base += start as isize * stride;
            part.reduced[longest].0 = piece.min(size - start);
            part
        });
        parts.collect()
    }

    /// Computes the results from number `first` on.
    fn results<J: Join<T>>(&self, first: usize, out: &mut [T]) {
        if self.depth() == 0 {
            out.fill(J::start());
        } else if self.runs() {
            let mut walk = Walk::new(&self.kept, self.base, first);
            out.iter_mut().for_each(|out| *out = self.along::<J>(walk.step()));
        } else {
            for (i, out) in out.chunks_mut(TILE).enumerate() {
                self.across::<J>(first + i * TILE, out);
            }
        }
    }

    /// One result: runs through lanes, combined pairwise.
    fn along<J: Join<T>>(&self, base: isize) -> T {
        let Some((&(size, stride), outer)) = self.reduced.split_last() else {
            return self.elements[base as usize];
        };
        let mut cascade = Cascade::new::<J>();
        let mut collected = if stride == 1 { vec![] } else { vec![J::start(); PIECE] };
        let mut walk = Walk::new(outer, base, 0);
        for _ in 0..self.depth() / size {
            let start = walk.step();
            for first in (0..size).step_by(PIECE) {
                let len = PIECE.min(size - first);
                let at = start + first as isize * stride;
                let piece = if stride == 1 {
                    &self.elements[at as usize..at as usize + len]
                } else {
                    collect_run(self.elements, at, stride, &mut collected[..len]);
                    &collected[..len]
                };
                cascade.push::<J>(match piece.try_into() {
                    Ok(piece) if size > PIECE => join_piece::<T, J>(piece),
                    _ => join_run::<T, J>(piece),
                });
            }
        }
        cascade.finish::<J>()
    }

    /// A tile of results: rows are added up, some at a time, then pairwise.
    fn across<J: Join<T>>(&self, first: usize, out: &mut [T]) {
        if self.depth() <= 2 * ROWS {
            out.fill(J::start());
            return self.each_row(first, out.len(), |_, row| join_rows::<T, J>(out, row));
        }
        let mut cascade = RowCascade::new();
        let mut sum = vec![J::start(); out.len()];
        self.each_row(first, out.len(), |i, row| {
            join_rows::<T, J>(&mut sum, row);
            if (i + 1) % ROWS == 0 {
                sum = cascade.push::<J>(std::mem::take(&mut sum));
                sum.fill(J::start());
            }
        });
        cascade.push::<J>(sum);
        cascade.finish::<J>(out);
    }

    /// Calls `f`, for each position over the folded axes in row-major order, with the elements there of `count` results
    /// from number `first` on. There are at most [`TILE`].
    pub fn each_row(&self, first: usize, count: usize, mut f: impl FnMut(usize, &[T])) {
        let (&(inner, stride), outer) = self.kept.split_last().unwrap_or((&(1, 0), &[]));
        let mut runs = Vec::with_capacity(count / inner + 2);
        let mut outer = Walk::new(outer, self.base, first / inner);
        let (mut done, mut column) = (0, first % inner);
        while done < count {
            let len = (inner - column).min(count - done);
            runs.push((outer.step() + column as isize * stride, done, len));
            (done, column) = (done + len, 0);
        }
        let mut collected = [T::of(0.0); TILE];
        let mut walk = Walk::new(&self.reduced, 0, 0);
        for i in 0..self.depth() {
            let offset = walk.step();
            if let ([(start, ..)], 1) = (&*runs, stride) {
                let start = (start + offset) as usize;
                f(i, &self.elements[start..start + count]);
                continue;
            }
            for &(start, done, len) in &runs {
                collect_run(self.elements, start + offset, stride, &mut collected[done..done + len]);
            }
            f(i, &collected[..count]);
        }
    }
}
