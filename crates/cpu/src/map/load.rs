//! How an index space is cut into blocks, and how operands are read block by block.

use crate::view::{View, Walk};
use bytemuck::Pod;
use std::ops::Range;
use wgrad_tensor::layout::merge_together;

/// The elements of a block: a few registers' worth of blocks fit the nearest cache.
const BLOCK: usize = 1024;

/// An index space cut into blocks, such that operands repeat or run straight within them where that is possible.
#[derive(Debug)]
pub struct Blocks {
    /// The axes, merged as far as all operands allow, with each operand's strides.
    sizes: Vec<usize>,
    strides: Vec<Vec<isize>>,
    total: usize,
    /// Blocks lie within rows: runs of the last axis where that is long, else the whole space.
    row: usize,
    per_row: usize,
    /// Elements of a block, but for the last of a row.
    piece: usize,
    /// How many axes, from the last, lie whole in each block. None if a block lies in the last axis.
    inner: usize,
}

impl Blocks {
    /// Blocks of `total` elements read through `operands`, which have its shape.
    pub fn new(total: usize, operands: &[View<'_>]) -> Self {
        let layouts: Vec<_> = operands.iter().map(|view| view.layout).collect();
        let (mut sizes, mut strides) = merge_together(&layouts);
        if sizes.is_empty() {
            sizes.push(total);
            strides.iter_mut().for_each(|strides| strides.push(0));
        }
        let (mut unit, mut inner) = (1, 0);
        while let Some(&size) = sizes.iter().rev().nth(inner)
            && unit * size <= BLOCK
        {
            unit *= size;
            inner += 1;
        }
        let row = if inner == 0 { sizes.last().copied().unwrap_or(total) } else { total };
        let piece =
            if inner == 0 { row.div_ceil(row.div_ceil(BLOCK)).next_multiple_of(16) } else { unit * (BLOCK / unit) };
        Blocks { sizes, strides, total, row, per_row: row.div_ceil(piece), piece, inner }
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.total / self.row * self.per_row
    }

    /// The elements of the longest block.
    pub fn longest(&self) -> usize {
        self.piece.min(self.row)
    }

    /// The elements of a block, as row-major positions.
    pub fn range(&self, block: usize) -> Range<usize> {
        let (row, piece) = (block / self.per_row * self.row, block % self.per_row * self.piece);
        row + piece..row + (piece + self.piece).min(self.row)
    }
}

/// How an operand is read.
#[derive(Debug)]
enum Access {
    /// A block is a slice of the operand as it lies, from this position on.
    Straight(isize),
    /// All blocks are alike: filled once.
    Alike,
    /// Within a row the operand runs straight, at the position that the outer axes give.
    Rows,
    /// Each block is collected.
    Collect,
}

/// An operand with what reads it.
#[derive(Debug)]
pub struct Load<'a> {
    view: View<'a>,
    axes: Vec<(usize, isize)>,
    access: Access,
}

impl<'a> Load<'a> {
    /// The reader of operand `number`.
    pub fn new(view: View<'a>, number: usize, blocks: &Blocks) -> Self {
        let axes: Vec<_> = blocks.sizes.iter().copied().zip(blocks.strides[number].iter().copied()).collect();
        let outer = axes.len() - blocks.inner;
        let mut dense = 1;
        let straight = axes.iter().rev().all(|&(size, stride)| {
            let fits = size == 1 || stride == dense;
            dense *= size as isize;
            fits
        });
        let access = if straight {
            Access::Straight(view.layout.offset as isize)
        } else if axes[..outer].iter().all(|&(_, stride)| stride == 0) {
            Access::Alike
        } else if blocks.inner == 0 && axes.last().is_some_and(|&(_, stride)| stride == 1) {
            Access::Rows
        } else {
            Access::Collect
        };
        Load { view, axes, access }
    }

    /// Whether all blocks are alike.
    pub fn is_alike(&self) -> bool {
        matches!(self.access, Access::Alike)
    }

    /// Whether blocks are read where they lie.
    pub fn lies(&self) -> bool {
        matches!(self.access, Access::Straight(_) | Access::Rows)
    }

    /// The block's bytes where they lie in the operand; `None` if they must be collected.
    pub fn slice(&self, blocks: &Blocks, block: usize) -> Option<&'a [u8]> {
        let range = blocks.range(block);
        let start = match self.access {
            Access::Straight(offset) => offset as usize + range.start,
            Access::Rows => self.row_start(blocks, block) + range.start % blocks.row,
            Access::Alike | Access::Collect => return None,
        };
        let size = self.view.dtype.size();
        Some(&self.view.elements::<u8>()[start * size..(start + range.len()) * size])
    }

    /// Where the row of a block starts.
    fn row_start(&self, blocks: &Blocks, block: usize) -> usize {
        let Some((_, outer)) = self.axes.split_last() else { return 0 };
        Walk::new(outer, self.view.layout.offset as isize, block / blocks.per_row).step() as usize
    }

    /// Collects a block into `out`.
    pub fn collect(&self, blocks: &Blocks, block: usize, out: &mut [u8]) {
        match self.view.dtype.size() {
            1 => self.collect_as::<u8>(blocks, block, out),
            2 => self.collect_as::<u16>(blocks, block, out),
            4 => self.collect_as::<u32>(blocks, block, out),
            _ => self.collect_as::<u64>(blocks, block, out),
        }
    }

    fn collect_as<T: Pod>(&self, blocks: &Blocks, block: usize, out: &mut [u8]) {
        let (elements, Some(&(size, stride))) = (self.view.elements::<T>(), self.axes.last()) else {
            return;
        };
        let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
        let range = blocks.range(block);
        if blocks.inner == 0 {
            let start = self.row_start(blocks, block) as isize + (range.start % blocks.row) as isize * stride;
            return collect_run(elements, start, stride, &mut out[..range.len()]);
        }
        collect_rows(
            elements,
            &self.axes,
            self.view.layout.offset as isize,
            range.start / size,
            &mut out[..range.len()],
        );
    }
}

/// Copies rows along the last of some axes, from row `first` of the whole grid on.
pub fn collect_rows<T: Copy>(elements: &[T], axes: &[(usize, isize)], base: isize, first: usize, mut out: &mut [T]) {
    let [outer @ .., (height, down), (width, across)] = axes else {
        let (_, stride) = axes.first().copied().unwrap_or((1, 0));
        return collect_run(elements, base, stride, out);
    };
    let mut walk = Walk::new(outer, base, first / height);
    let mut row = first % height;
    while !out.is_empty() {
        let rows = (height - row).min(out.len() / width);
        let (now, later) = std::mem::take(&mut out).split_at_mut(rows * width);
        let start = walk.step() + row as isize * down;
        match width {
            2 => narrow_rows::<T, 2>(elements, start, *down, *across, now),
            3 => narrow_rows::<T, 3>(elements, start, *down, *across, now),
            4 => narrow_rows::<T, 4>(elements, start, *down, *across, now),
            _ => {
                for (i, out) in now.chunks_mut(*width).enumerate() {
                    collect_run(elements, start + i as isize * down, *across, out);
                }
            }
        }
        (row, out) = (0, later);
    }
}

/// Copies rows of so few elements that a loop over each would be most of the work.
fn narrow_rows<T: Copy, const N: usize>(elements: &[T], start: isize, down: isize, across: isize, out: &mut [T]) {
    let rows = out.chunks_exact_mut(N);
    match (down, across) {
        (1, 0) => rows.zip(&elements[start as usize..]).for_each(|(out, &x)| out.fill(x)),
        (_, 0) => rows.enumerate().for_each(|(i, out)| out.fill(elements[(start + i as isize * down) as usize])),
        (_, 1) => rows.enumerate().for_each(|(i, out)| {
            let at = (start + i as isize * down) as usize;
            out.copy_from_slice(&elements[at..at + N]);
        }),
        _ => rows.enumerate().for_each(|(i, out)| {
            let at = start + i as isize * down;
            out.iter_mut().enumerate().for_each(|(j, out)| *out = elements[(at + j as isize * across) as usize]);
        }),
    }
}

/// Copies elements that lie `stride` apart.
#[inline]
pub fn collect_run<T: Copy>(elements: &[T], start: isize, stride: isize, out: &mut [T]) {
    match stride {
        1 => out.copy_from_slice(&elements[start as usize..start as usize + out.len()]),
        0 => out.fill(elements[start as usize]),
        _ if stride > 1 => {
            for (out, &x) in out.iter_mut().zip(elements[start as usize..].iter().step_by(stride as usize)) {
                *out = x;
            }
        }
        _ => {
            for (out, &x) in out.iter_mut().zip(elements[..=start as usize].iter().rev().step_by(stride.unsigned_abs()))
            {
                *out = x;
            }
        }
    }
}
