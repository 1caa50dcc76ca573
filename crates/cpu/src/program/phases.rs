//! Long rows: all positions are walked once for each stage, and what a later stage needs again is computed again.

use super::before::Before;
use super::combine::Combine;
use super::compile::{Compiled, Side, Source, needed};
use super::place::Placement;
use super::rows::{Part, Rows};
use super::take_front;
use super::tile::{Memory, Tile};
use super::tiling::Tiling;
use crate::threads;
use std::ops::Range;
use wgrad_tensor::error::Problem;

/// What is computed in one walk over all positions.
pub struct Phase {
    walked: Walked,
    /// The results that are written, among those with an element for every place.
    outs: Vec<usize>,
    /// The registers that go there.
    stored: Vec<usize>,
    /// The reductions, each with its register and the one it takes.
    reductions: Vec<(usize, usize, Combine)>,
    /// The registers that are picked from others at single places.
    picks: Vec<(usize, Walked)>,
}

/// Registers with an element for every place that are computed together.
struct Walked {
    order: Vec<usize>,
    placement: Placement,
}

impl Walked {
    fn new(compiled: &Compiled<'_>, roots: impl Iterator<Item = usize>, outs: &[usize]) -> Self {
        let roots: Vec<usize> = roots.collect();
        let mut order = needed(&compiled.registers, roots.iter().copied());
        order.retain(|&i| !compiled.registers[i].per_row);
        let placement = Placement::new(&compiled.registers, &order, outs, &roots);
        Walked { order, placement }
    }
}

impl Phase {
    /// What the walk for a stage computes.
    pub fn new(rows: &Rows<'_>, stage: usize) -> Self {
        let compiled = &rows.compiled;
        let register = |i: usize| &compiled.registers[i];
        let outs: Vec<usize> =
            (0..rows.full.len()).filter(|&out| register(compiled.stores[rows.full[out]]).stage == stage).collect();
        let stored: Vec<usize> = outs.iter().map(|&out| compiled.stores[rows.full[out]]).collect();
        let (mut reductions, mut picks) = (vec![], vec![]);
        for &i in &compiled.stages[stage].rows {
            match (&register(i).source, &*register(i).args) {
                (Source::Combine(combine), &[x]) => reductions.push((i, x, *combine)),
                (Source::Pick(_), &[x, _]) if !register(x).per_row => {
                    picks.push((i, Walked::new(compiled, [x].into_iter(), &[])));
                }
                _ => {}
            }
        }
        let roots = reductions.iter().map(|&(_, x, _)| x).chain(stored.iter().copied());
        Phase { walked: Walked::new(compiled, roots, &stored), outs, stored, reductions, picks }
    }
}

impl Rows<'_> {
    /// Some rows, stage by stage over all their positions.
    pub fn in_phases(&self, phases: &[Phase], mut part: Part<'_>) -> Result<(), Problem> {
        let compiled = &self.compiled;
        let (mut row_memory, row_bytes) = self.row_memory()?;
        let mut rows: Vec<&mut [u8]> = row_memory.chunks_mut(row_bytes).collect();
        let places = part.rows.len() * self.tiling.length;
        let mut before = Before::new(compiled, places, self.pool)?;
        before.keep(|result| self.part_of(&part.full, result, places));
        let first = part.rows.start * self.tiling.length;
        let tile = Tile { before: (Some(&before), first), ..self.tiling.tile(part.rows.clone(), 0..0) };
        let mut outs: Vec<Option<&mut [u8]>> = part.full.into_iter().map(Some).collect();
        for (i, phase) in phases.iter().enumerate() {
            if i == 0 {
                compiled.rows(&compiled.constants, &tile, &phase.walked.placement, &[], &mut rows)?;
                compiled.rows(&compiled.first, &tile, &phase.walked.placement, &[], &mut rows)?;
            }
            let outs = phase.outs.iter().filter_map(|&out| outs[out].take()).collect();
            self.walk(phase, &tile, outs, &mut rows)?;
            for &i in &compiled.stages[i].rows {
                let register = &compiled.registers[i];
                match register.source {
                    Source::Combine(_) => {}
                    Source::Pick(_) if !compiled.registers[register.args[0]].per_row => {
                        self.pick(phase, i, &part.rows, &mut rows)?;
                    }
                    _ => compiled.rows(&[i], &tile, &phase.walked.placement, &[], &mut rows)?,
                }
            }
        }
        let sizes = self.sizes(&self.rows);
        self.store(&rows, take_front(&mut part.per_row, &sizes, part.rows.len()));
        Ok(())
    }

    /// One phase over all positions, cut into segments of fixed size whose results are combined in order.
    fn walk(
        &self,
        phase: &Phase,
        part: &Tile<'_>,
        mut outs: Vec<&mut [u8]>,
        row_cells: &mut [&mut [u8]],
    ) -> Result<(), Problem> {
        let rows = &part.rows;
        if phase.walked.order.is_empty() {
            return Ok(());
        }
        let Tiling { length, segment, .. } = self.tiling;
        let sizes: Vec<usize> = phase.stored.iter().map(|&i| self.compiled.registers[i].dtype.size()).collect();
        // For each segment, each reduction's results for all rows.
        let width = self.compiled.tile_bytes(rows.len());
        let bytes = phase.reductions.len() * width;
        let mut memory = self.pool.take(length.div_ceil(segment) * bytes)?;
        let mut partial = &mut *memory;
        let segments = (0..length).step_by(segment).map(|first| {
            let positions = first..(first + segment).min(length);
            let outs = take_front(&mut outs, &sizes, positions.len()).collect();
            let (now, later) = std::mem::take(&mut partial).split_at_mut(bytes);
            partial = later;
            (positions, outs, now)
        });
        let shared = &*row_cells;
        threads::try_for_each(segments.collect(), |(positions, outs, partial)| {
            self.segment(phase, part, positions, outs, partial, width, shared)
        })?;
        for (i, &(register, _, combine)) in phase.reductions.iter().enumerate() {
            let used = rows.len() * self.compiled.registers[register].dtype.size();
            let mut total = (combine.total)(rows.len());
            for partial in memory.chunks_exact(bytes) {
                total.add(&partial[i * width..][..used], Side::Across);
            }
            total.finish(&mut row_cells[register][..used]);
        }
        Ok(())
    }

    /// A segment's results, and what its reductions give.
    #[allow(clippy::too_many_arguments, reason = "it is the body of one loop")]
    fn segment(
        &self,
        phase: &Phase,
        part: &Tile<'_>,
        positions: Range<usize>,
        mut outs: Vec<&mut [u8]>,
        partial: &mut [u8],
        width: usize,
        row_cells: &[&mut [u8]],
    ) -> Result<(), Problem> {
        let (compiled, rows, Walked { order, placement }) = (&self.compiled, &part.rows, &phase.walked);
        let (mut memory, bytes) = self.memory(placement)?;
        let sizes: Vec<usize> = phase.stored.iter().map(|&i| compiled.registers[i].dtype.size()).collect();
        let mut cells = placement.cells(&mut memory, bytes, sizes.len());
        let mut totals: Vec<_> = phase.reductions.iter().map(|(.., combine)| (combine.total)(rows.len())).collect();
        compiled.fill_once(placement, self.tiling.longest(), self.tiling.length, &mut cells);
        for first in positions.clone().step_by(self.tiling.piece) {
            let positions = first..(first + self.tiling.piece).min(positions.end);
            let tile = Tile { before: part.before, ..self.tiling.tile(rows.clone(), positions) };
            placement.aim(&mut cells, take_front(&mut outs, &sizes, tile.places.len()));
            compiled.full(order, &tile, placement, &mut cells, row_cells)?;
            compiled.copy(&tile, placement, &mut cells, row_cells);
            let memory = Memory { placement, cells: &cells, rows: row_cells };
            for (total, &(_, x, _)) in totals.iter_mut().zip(&phase.reductions) {
                total.add(compiled.value(x, &tile, memory), tile.side);
            }
        }
        for ((total, &(_, x, _)), out) in totals.iter_mut().zip(&phase.reductions).zip(partial.chunks_mut(width)) {
            total.finish(&mut out[..rows.len() * compiled.registers[x].dtype.size()]);
        }
        Ok(())
    }

    /// Computes what `register` picks from each row, at that place alone.
    fn pick(
        &self,
        phase: &Phase,
        register: usize,
        rows: &Range<usize>,
        row_cells: &mut [&mut [u8]],
    ) -> Result<(), Problem> {
        let (compiled, registers) = (&self.compiled, &self.compiled.registers);
        let (Source::Pick(pick), &[x, index]) = (&registers[register].source, &*registers[register].args) else {
            return Ok(());
        };
        let Some((_, Walked { order, placement })) = phase.picks.iter().find(|(i, _)| *i == register) else {
            return Ok(());
        };
        let places = pick.places(&row_cells[index][..rows.len() * size_of::<u32>()])?.to_vec();
        let (mut memory, bytes) = self.memory(placement)?;
        let mut cells = placement.cells(&mut memory, bytes, 0);
        compiled.fill_once(placement, 1, 1, &mut cells);
        for (i, place) in places.into_iter().enumerate() {
            let (row, place) = (rows.start + i, place as usize);
            let tile = self.tiling.tile(row..row + 1, place..place + 1);
            let cells_of = row_cells.iter_mut().zip(registers);
            let mut one: Vec<&mut [u8]> = cells_of.map(|(cell, of)| &mut cell[i * of.dtype.size()..]).collect();
            compiled.full(order, &tile, placement, &mut cells, &one)?;
            let out = std::mem::take(&mut one[register]);
            let found = compiled.value(x, &tile, Memory { placement, cells: &cells, rows: &one });
            out[..found.len()].copy_from_slice(found);
        }
        Ok(())
    }
}
