//! Programs with rows: rows that fit the caches go through all instructions at once; longer ones are walked once for
//! each stage, piece by piece.

use super::ahead::Ahead;
use super::before::Before;
use super::compile::{Compiled, LONG, Side};
use super::phases::Phase;
use super::place::Placement;
use super::take_front;
use super::tile::Tile;
use super::tiling::Tiling;
use crate::buffer::{Buffer, Pool};
use crate::reduce::Reduce;
use crate::step::Inputs;
use crate::threads;
use std::ops::Range;
use std::sync::Arc;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::error::Problem;

/// Runs a program with rows.
pub fn run(program: &Program, inputs: Inputs<'_>, results: &mut [&mut [u8]], pool: &Arc<Pool>) -> Result<(), Problem> {
    if program.rows() == 0 {
        return Ok(());
    }
    if let ([Instruction::Load(number, _), Instruction::Reduce(kind, 0)], [1], [out]) =
        (&*program.code, &*program.stores, &mut *results)
        && inputs.views[*number].padding.is_none()
    {
        let rank = program.shape.len();
        let axes: Vec<usize> = (rank - program.row_axes..rank).collect();
        return Reduce { kind: *kind, axes: &axes, view: inputs.views[*number] }.run(out, pool);
    }
    let tiling = Tiling::new(program, inputs);
    let mut cut = tiling.cut();
    if !tiling.is_whole() && program.code.iter().any(|instruction| matches!(instruction, Instruction::Pick(_))) {
        // What is picked is computed at single places, which start anywhere.
        cut.step = 1;
    }
    let mut compiled = Compiled::new(program, inputs, tiling.side, cut)?;
    if tiling.is_whole() && tiling.side == Side::Along && tiling.length >= LONG {
        compiled.join(tiling.length);
    }
    let [full, rows] = [false, true].map(|per_row| compiled.stores(per_row));
    Rows { compiled, tiling, full, rows, pool }.run(results)
}

/// A program with rows, made ready.
pub struct Rows<'a> {
    /// The program.
    pub compiled: Compiled<'a>,
    /// Its tiles.
    pub tiling: Tiling,
    /// The results with an element for every place.
    pub full: Vec<usize>,
    /// Those with one for each row.
    pub rows: Vec<usize>,
    /// Where memory comes from.
    pub pool: &'a Arc<Pool>,
}

/// Some rows, with their part of the results.
pub struct Part<'r> {
    /// The rows.
    pub rows: Range<usize>,
    /// Their part of the results with an element for every place.
    pub full: Vec<&'r mut [u8]>,
    /// Their part of those with one for each row.
    pub per_row: Vec<&'r mut [u8]>,
}

impl Rows<'_> {
    fn run(&self, results: &mut [&mut [u8]]) -> Result<(), Problem> {
        let Tiling { rows, length, group, .. } = self.tiling;
        let [mut full, mut per_row] = [vec![], vec![]];
        for (i, result) in results.iter_mut().enumerate() {
            if self.full.contains(&i) { &mut full } else { &mut per_row }.push(&mut **result);
        }
        let whole = self.tiling.is_whole();
        let (mut parts, mut first) = (Vec::new(), 0);
        while first < rows {
            let task = if whole { threads::task((rows - first).saturating_mul(length)) / length.max(1) } else { group };
            let rows = first..(first + task.next_multiple_of(group).max(group)).min(rows);
            first = rows.end;
            let full = take_front(&mut full, &self.sizes(&self.full), rows.len() * length).collect();
            let per_row = take_front(&mut per_row, &self.sizes(&self.rows), rows.len()).collect();
            parts.push(Part { rows, full, per_row });
        }
        if whole {
            let sizes = self.sizes(&self.full);
            let order: Vec<usize> =
                self.compiled.stages.iter().flat_map(|stage| stage.full.iter().chain(&stage.rows).copied()).collect();
            let outs: Vec<usize> = self.full.iter().map(|&out| self.compiled.stores[out]).collect();
            let placement = Placement::new(&self.compiled.registers, &order, &outs, &[]);
            let ahead = Ahead::new(&self.compiled, &sizes, &order, rows.saturating_mul(length));
            return threads::try_for_each(parts, |part| self.at_once(&order, &placement, ahead.as_ref(), part));
        }
        let phases: Vec<Phase> = (0..self.compiled.stages.len()).map(|stage| Phase::new(self, stage)).collect();
        threads::try_for_each(parts, |part| self.in_phases(&phases, part))
    }

    /// The size of some results' elements.
    pub fn sizes(&self, results: &[usize]) -> Vec<usize> {
        results.iter().map(|&i| self.compiled.registers[self.compiled.stores[i]].dtype.size()).collect()
    }

    /// Memory for the registers with one element for each row.
    pub fn row_memory(&self) -> Result<(Buffer, usize), Problem> {
        let bytes = self.compiled.tile_bytes(self.tiling.group);
        Ok((self.pool.take(bytes * self.compiled.registers.len())?, bytes))
    }

    /// Scratch memory for a placement.
    pub fn memory(&self, placement: &Placement) -> Result<(Buffer, usize), Problem> {
        let bytes = self.compiled.tile_bytes(self.tiling.longest());
        Ok((self.pool.take(bytes * placement.slots)?, bytes))
    }

    /// Rows tile by tile, each through all stages.
    fn at_once(
        &self,
        order: &[usize],
        placement: &Placement,
        ahead: Option<&Ahead>,
        mut part: Part<'_>,
    ) -> Result<(), Problem> {
        let (compiled, tiling) = (&self.compiled, &self.tiling);
        let (mut row_memory, row_bytes) = self.row_memory()?;
        let mut rows: Vec<&mut [u8]> = row_memory.chunks_mut(row_bytes).collect();
        let (mut memory, bytes) = self.memory(placement)?;
        let (sizes, row_sizes) = (self.sizes(&self.full), self.sizes(&self.rows));
        let mut cells = placement.cells(&mut memory, bytes, sizes.len());
        let largest = tiling.tile(0..tiling.group.min(tiling.rows), 0..tiling.length);
        compiled.fill_once(placement, largest.places.len(), tiling.length, &mut cells);
        compiled.rows(&compiled.constants, &largest, placement, &cells, &mut rows)?;
        let mut before = Before::new(compiled, largest.places.len(), self.pool)?;
        for first in part.rows.clone().step_by(tiling.group) {
            let tile = tiling.tile(first..(first + tiling.group).min(part.rows.end), 0..tiling.length);
            before.keep(|result| self.part_of(&part.full, result, tile.places.len()));
            let tile = Tile { before: (Some(&before), tile.places.start), ..tile };
            placement.aim(&mut cells, take_front(&mut part.full, &sizes, tile.places.len()));
            compiled.rows(&compiled.first, &tile, placement, &cells, &mut rows)?;
            let next = tile.rows.end..(tile.rows.end + tiling.group).min(part.rows.end);
            let next = tiling.tile(next, 0..tiling.length).places;
            let needed = ahead.map(|ahead| ahead.of(compiled, &next, &part.full, &sizes)).unwrap_or_default();
            compiled.both(order, &tile, placement, &mut cells, &mut rows, needed)?;
            compiled.copy(&tile, placement, &mut cells, &rows);
            self.store(&rows, take_front(&mut part.per_row, &row_sizes, tile.rows.len()));
        }
        Ok(())
    }

    /// The first places of a result with an element for every place.
    pub fn part_of<'r>(&self, full: &'r [&mut [u8]], result: usize, places: usize) -> Option<&'r [u8]> {
        let at = self.full.iter().position(|&number| number == result)?;
        full[at].get(..places * self.sizes(&[result])[0])
    }

    /// Writes what there is one of for each row of a tile.
    pub fn store<'r>(&self, rows: &[&mut [u8]], outs: impl Iterator<Item = &'r mut [u8]>) {
        for (out, &result) in outs.zip(&self.rows) {
            let length = out.len();
            out.copy_from_slice(&rows[self.compiled.stores[result]][..length]);
        }
    }
}
