//! How the places of an elementwise program are cut into blocks.

use super::window::Cut;
use std::ops::Range;
use wgrad_tensor::layout::{Layout, merge_together};

/// The elements of all registers of a block: they fit the caches next to the processor.
const CACHED: usize = 12 << 10;

/// Places cut into blocks, such that operands repeat or run straight within them where that is possible.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// Blocks lie within rows: runs of the last axis where that is long, else everything.
    row: usize,
    /// Places of a block, but for the last of a row.
    piece: usize,
    /// Whether blocks are whole numbers of runs of the last axis.
    whole: bool,
}

impl Blocks {
    /// Blocks of `total` places, which are not none, for so many registers and operands with these windows.
    pub fn new(total: usize, registers: usize, layouts: &[&Layout]) -> Self {
        let most = (CACHED / registers.max(1)).clamp(1024, 4096);
        // Axes merged as far as all operands allow: those that fit lie whole in each block.
        let (sizes, _) = merge_together(layouts);
        let mut unit = 1;
        for &size in sizes.iter().rev().take_while(|&&size| size <= most) {
            if unit * size > most {
                break;
            }
            unit *= size;
        }
        if unit > 1 {
            return Blocks { row: total, piece: unit * (most / unit), whole: true };
        }
        let row = sizes.last().copied().unwrap_or(total);
        Blocks { row, piece: row.div_ceil(row.div_ceil(most)).next_multiple_of(16), whole: false }
    }

    /// What all blocks have in common, where some ranges start at multiples of `step`.
    pub fn cut(&self, step: usize) -> Cut {
        let own = if self.whole || self.piece >= self.row { self.piece.min(self.row) } else { 1 };
        Cut { step: common(own, step), fence: if self.whole { self.piece } else { self.row } }
    }

    /// The elements of the longest block.
    pub fn longest(&self) -> usize {
        self.piece.min(self.row)
    }

    /// The blocks of a range.
    pub fn within(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (Blocks { row, piece, .. }, mut at) = (*self, range.start);
        let mut row_end = at / row * row + row;
        let mut end = at - (at % row) % piece + piece;
        std::iter::from_fn(move || {
            let block = at..end.min(row_end).min(range.end);
            at = block.end;
            if at == row_end {
                (row_end, end) = (at + row, at);
            }
            end += piece;
            (!block.is_empty()).then_some(block)
        })
    }
}

/// The greatest common divisor.
pub fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}
