//! The kernels of contractions, and how these are divided among workgroups.

/// A contraction's sizes, and which way its operands lie in memory.
pub(super) struct Shape {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub batches: usize,
    pub counts_examples: Side,
    pub left_runs_deep: bool,
    pub right_runs_deep: bool,
}

/// Which of a result's sides may count a batch's examples in a layer.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Rows,
    Columns,
    Neither,
}

impl Shape {
    /// How many there are of rows or columns, whichever do not count examples.
    pub fn steady(&self) -> usize {
        match self.counts_examples {
            Side::Rows => self.columns,
            Side::Columns => self.rows,
            Side::Neither => self.rows.min(self.columns),
        }
    }

    /// The rows and columns, where few examples count as many as a tile has.
    pub fn filled(&self) -> [usize; 2] {
        let tile = Form::Tiled.edge();
        match self.counts_examples {
            Side::Rows => [self.rows.max(tile), self.columns],
            Side::Columns => [self.rows, self.columns.max(tile)],
            Side::Neither => [self.rows, self.columns],
        }
    }
}

/// The kernels of a contraction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Tiles of 64 x 64 through workgroup memory.
    Tiled,
    /// Tiles of 128 x 128, where there are enough of them.
    Wide,
    /// Each invocation alone, 4 x 4 results.
    Blocked,
    /// Each invocation alone, 8 x 8 results.
    Broad,
}

impl Form {
    pub fn file(self) -> &'static str {
        match self {
            Form::Tiled => "contract_tiled",
            Form::Wide => "contract_wide",
            Form::Blocked => "contract_blocked",
            Form::Broad => "contract_broad",
        }
    }

    /// The workgroups of tiles, or invocations, that compute all results once.
    pub fn blocks(self, [rows, columns]: [usize; 2], batches: usize) -> usize {
        rows.div_ceil(self.edge()) * columns.div_ceil(self.edge()) * batches
    }

    /// The rows, and the columns, that a workgroup of tiles or an invocation computes.
    pub fn edge(self) -> usize {
        match self {
            Form::Tiled => 64,
            Form::Wide => 128,
            Form::Blocked => 4,
            Form::Broad => 8,
        }
    }
}

/// The parts that a depth is cut in.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub slices: usize,
    /// The depth of one.
    pub slice: usize,
}
