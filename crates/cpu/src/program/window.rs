//! Windows that are walked in row-major order, from any position to any other.

use super::collect::{collect_rows, collect_run};
use crate::view::{View, merged};
use bytemuck::Pod;
use std::ops::Range;

/// How places are cut into tiles: what decides which windows can be read where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Every tile starts at a multiple of this.
    pub step: usize,
    /// No tile reaches across a multiple of this.
    pub fence: usize,
}

/// A strided window.
#[derive(Clone, Debug)]
pub struct Window {
    axes: Vec<(usize, isize)>,
    base: isize,
}

/// How a window is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As it lies, from its first element on.
    Straight,
    /// All tiles are alike.
    Alike,
    /// Each tile lies in one piece.
    Runs,
    /// Each tile is put together.
    Scattered,
}

impl Window {
    /// A window over axes of (size, stride).
    pub fn new(axes: impl IntoIterator<Item = (usize, isize)>, offset: usize) -> Self {
        Window { axes: merged(axes), base: offset as isize }
    }

    /// How it is best read in tiles.
    pub fn access(&self, cut: Cut) -> Access {
        match *self.axes {
            [] | [(_, 1)] => Access::Straight,
            _ if self.period().is_some_and(|period| cut.step.is_multiple_of(period)) => Access::Alike,
            [.., (size, 1)] if size.is_multiple_of(cut.fence.max(1)) => Access::Runs,
            _ => Access::Scattered,
        }
    }

    /// After how many places it repeats, if it does.
    pub fn period(&self) -> Option<usize> {
        match *self.axes {
            [(_, 0), ref rest @ ..] => Some(rest.iter().map(|&(size, _)| size).product()),
            _ => None,
        }
    }

    /// Where position `at` lies.
    pub fn locate(&self, mut at: usize) -> isize {
        let mut found = self.base;
        for &(size, stride) in self.axes.iter().rev() {
            found += (at % size) as isize * stride;
            at /= size;
        }
        found
    }

    /// Calls `f` with the first place, the stride and the length of every run in a range.
    pub fn runs(&self, range: Range<usize>, mut f: impl FnMut(isize, isize, usize)) {
        let (size, stride) = self.axes.last().copied().unwrap_or((1, 0));
        let mut at = range.start;
        while at < range.end {
            let length = (size - at % size).min(range.end - at);
            f(self.locate(at), stride, length);
            at += length;
        }
    }

    /// Copies the elements of a range.
    fn collect<T: Copy>(&self, elements: &[T], range: Range<usize>, out: &mut [T]) {
        if range.is_empty() {
            return;
        }
        let size = self.axes.last().map_or(1, |&(size, _)| size);
        let (first, last) = (range.start.next_multiple_of(size), range.end / size * size);
        if first >= last {
            return self.collect_runs(elements, range, out);
        }
        let (head, rest) = out.split_at_mut(first - range.start);
        let (body, tail) = rest.split_at_mut(last - first);
        self.collect_runs(elements, range.start..first, head);
        collect_rows(elements, &self.axes, self.base, first / size, body);
        self.collect_runs(elements, last..range.end, tail);
    }

    fn collect_runs<T: Copy>(&self, elements: &[T], range: Range<usize>, mut out: &mut [T]) {
        self.runs(range, |start, stride, length| {
            let (now, later) = std::mem::take(&mut out).split_at_mut(length);
            collect_run(elements, start, stride, now);
            out = later;
        });
    }
}

/// An operand with its window.
#[derive(Debug)]
pub struct Load<'a> {
    view: View<'a>,
    window: Window,
    access: Access,
}

impl<'a> Load<'a> {
    /// Reads `view` through a window that lies within it.
    pub fn new(view: View<'a>, window: Window, cut: Cut) -> Self {
        let access = window.access(cut);
        Load { view, window, access }
    }

    /// How it is read.
    pub fn access(&self) -> Access {
        self.access
    }

    /// A tile's bytes where they lie in the operand, if it is read so.
    pub fn slice(&self, range: Range<usize>) -> &'a [u8] {
        let start = match self.access {
            // An empty slice that is aligned as others are.
            _ if range.is_empty() => 0,
            Access::Straight => self.window.base as usize + range.start,
            Access::Runs => self.window.locate(range.start) as usize,
            Access::Alike | Access::Scattered => return &[],
        };
        let size = self.view.dtype.size();
        &self.view.elements::<u8>()[start * size..(start + range.len()) * size]
    }

    /// After how many places it repeats, if it does.
    pub fn period(&self) -> Option<usize> {
        self.window.period()
    }

    /// Copies a tile into `out`.
    pub fn collect(&self, range: Range<usize>, out: &mut [u8]) {
        match self.view.dtype.size() {
            1 => self.collect_as::<u8>(range, out),
            2 => self.collect_as::<u16>(range, out),
            4 => self.collect_as::<u32>(range, out),
            _ => self.collect_as::<u64>(range, out),
        }
    }

    fn collect_as<T: Pod>(&self, range: Range<usize>, out: &mut [u8]) {
        let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
        self.window.collect(self.view.elements(), range, out);
    }
}
