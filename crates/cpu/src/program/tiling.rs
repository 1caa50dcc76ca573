//! How the places of a program with rows are cut into tiles.

use super::compile::Side;
use super::tile::Tile;
use super::window::Cut;
use crate::step::Inputs;
use crate::threads::TASK;
use std::ops::Range;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::op::Map;

/// Places of a tile of whole rows with all registers that lie in memory: enough that the instructions' own cost is small.
const TILE: usize = 16384;
/// The longest rows that are one tile: their registers fit the second cache.
const WHOLE: usize = 8192;
/// Places of a piece of a longer row.
const PIECE: usize = 1024;
/// Fewer rows than this do not pay to be walked side by side.
const NARROW: usize = 8;
/// The most rows that are walked side by side, if they are short.
const WIDE: usize = 4096;

/// A grid of tiles: some rows by some positions in them.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    /// In which order places are walked.
    pub side: Side,
    /// How many rows there are.
    pub rows: usize,
    /// Places of a row.
    pub length: usize,
    /// Rows of a tile.
    pub group: usize,
    /// Positions of a tile.
    pub piece: usize,
    /// Positions that are worth a task of their own.
    pub segment: usize,
}

impl Tiling {
    /// The tiles that suit a program's operands.
    pub fn new(program: &Program, inputs: Inputs<'_>) -> Self {
        let (rows, length) = (program.rows(), program.row_length());
        let side = side(program, inputs);
        let (group, piece) = match side {
            Side::Along if length <= WHOLE => {
                let per_row = program.per_row(inputs.operands);
                let held = |(instruction, per_row): &(&Instruction, bool)| !per_row && is_held(instruction);
                let registers = 1 + program.code.iter().zip(per_row).filter(held).count();
                ((TILE / registers / length.max(1)).max(1), length.max(1))
            }
            Side::Along => (1, even(length, PIECE)),
            Side::Across if rows <= PIECE => (rows, PIECE / rows),
            Side::Across => (even(rows, (TASK / length).clamp(PIECE, WIDE)), 1),
        };
        let segment = match side {
            Side::Along => TASK.next_multiple_of(piece),
            Side::Across => (TASK / group).max(64).next_multiple_of(piece),
        };
        Tiling { side, rows, length, group, piece, segment }
    }

    /// Whether every row is one tile's.
    pub fn is_whole(&self) -> bool {
        self.piece >= self.length
    }

    /// What all tiles have in common.
    pub fn cut(&self) -> Cut {
        match self.side {
            Side::Along if self.is_whole() => Cut { step: self.group * self.length, fence: self.group * self.length },
            Side::Along => Cut { step: 1, fence: self.length },
            Side::Across if self.group == self.rows => Cut { step: self.rows, fence: self.rows * self.length },
            Side::Across => Cut { step: 1, fence: self.rows },
        }
    }

    /// The places of the largest tile.
    pub fn longest(&self) -> usize {
        self.group * self.piece
    }

    /// Some positions of some rows, which must be all of either.
    pub fn tile(&self, rows: Range<usize>, positions: Range<usize>) -> Tile<'static> {
        let at = |row: usize, position: usize| match self.side {
            Side::Along => row * self.length + position,
            Side::Across => position * self.rows + row,
        };
        let places = match positions.is_empty() || rows.is_empty() {
            true => 0..0,
            false => at(rows.start, positions.start)..at(rows.end - 1, positions.end - 1) + 1,
        };
        Tile { places, rows, side: self.side, product: (&[], 0), before: (None, 0) }
    }
}

/// Whether an instruction's elements need memory: those of the others go on in a chain.
fn is_held(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Map { map: Map::Row(row), .. } => row.basic.is_none(),
        Instruction::Map { map, .. } => *map != Map::Constant,
        Instruction::Generate { .. } => true,
        _ => false,
    }
}

/// Pieces of at most about `most` elements, nearly equal.
fn even(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most)).next_multiple_of(16)
}

/// The order in which more operands are walked as they lie. Results lie row by row.
fn side(program: &Program, inputs: Inputs<'_>) -> Side {
    let per_row = program.per_row(inputs.operands);
    let last = program.shape.len() - program.row_axes;
    if program.count() == 0 || program.rows() < NARROW || program.stores.iter().any(|&store| !per_row[store]) {
        return Side::Along;
    }
    // How many operands stride in each order.
    let mut strided = [0, 0];
    for (instruction, _) in program.code.iter().zip(&per_row).filter(|(_, per_row)| !**per_row) {
        let Instruction::Load(number, _) = instruction else { continue };
        let layout = inputs.views[*number].layout;
        for (count, axes) in strided.iter_mut().zip([last..program.shape.len(), 0..last]) {
            let inner = axes.rev().find(|&axis| program.shape[axis] > 1);
            *count += usize::from(inner.is_some_and(|axis| !matches!(layout.strides[axis], 0 | 1)));
        }
    }
    if strided[1] < strided[0] { Side::Across } else { Side::Along }
}
