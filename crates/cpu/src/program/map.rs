//! Elementwise programs: block by block through the whole program.

use super::ahead::Ahead;
use super::before::Before;
use super::blocks::Blocks;
use super::compile::{Compiled, Side};
use super::place::Placement;
use super::take_front;
use super::tile::Tile;
use crate::buffer::Pool;
use crate::step::Inputs;
use crate::threads;
use std::ops::Range;
use std::sync::Arc;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::error::Problem;

/// An elementwise program made ready.
#[derive(Debug)]
pub struct Map<'a> {
    compiled: Compiled<'a>,
    blocks: Blocks,
    order: Vec<usize>,
    placement: Placement,
    ahead: Option<Ahead>,
}

impl<'a> Map<'a> {
    /// A program with at least one place, which is run over ranges that start at multiples of `step`.
    pub fn new(program: &Program, inputs: Inputs<'a>, step: usize) -> Result<Self, Problem> {
        let layouts = program.code.iter().filter_map(|instruction| match instruction {
            Instruction::Load(number, _) => Some(inputs.views[*number].layout),
            Instruction::Generate { layout, .. } => Some(layout),
            _ => None,
        });
        let blocks = Blocks::new(program.count(), program.code.len(), &layouts.collect::<Vec<_>>());
        let compiled = Compiled::new(program, inputs, Side::Along, blocks.cut(step))?;
        let order: Vec<usize> = compiled.stages.iter().flat_map(|stage| stage.full.iter().copied()).collect();
        let placement = Placement::new(&compiled.registers, &order, &compiled.stores, &[]);
        let ahead = Ahead::new(&compiled, &sizes(&compiled), &order, program.count());
        Ok(Map { compiled, blocks, order, placement, ahead })
    }

    /// The size of each result's elements.
    pub fn sizes(&self) -> Vec<usize> {
        sizes(&self.compiled)
    }

    /// Runs the program over a range; `product` is what the op before it gives there, `outs` its part of each result.
    pub fn run(
        &self,
        range: Range<usize>,
        product: &[u8],
        mut outs: Vec<&mut [u8]>,
        pool: &Arc<Pool>,
    ) -> Result<(), Problem> {
        let (mut tasks, mut first) = (Vec::new(), range.start);
        let sizes = self.sizes();
        let mut task = threads::task(range.len());
        for block in self.blocks.within(range.clone()) {
            if block.end - first >= task || block.end == range.end {
                task = threads::task(range.end - block.end);
                tasks.push((first..block.end, take_front(&mut outs, &sizes, block.end - first).collect()));
                first = block.end;
            }
        }
        let product = (product, range.start);
        threads::try_for_each(tasks, |(range, outs)| self.task(range, product, outs, pool))
    }

    fn task(
        &self,
        range: Range<usize>,
        product: (&[u8], usize),
        mut outs: Vec<&mut [u8]>,
        pool: &Arc<Pool>,
    ) -> Result<(), Problem> {
        let (compiled, placement, sizes) = (&self.compiled, &self.placement, self.sizes());
        let bytes = compiled.tile_bytes(self.blocks.longest());
        let mut scratch = pool.take(placement.slots * bytes)?;
        let mut cells = placement.cells(&mut scratch, bytes, sizes.len());
        compiled.fill_once(placement, self.blocks.longest(), self.blocks.longest(), &mut cells);
        let mut before = Before::new(compiled, self.blocks.longest(), pool)?;
        let mut blocks = self.blocks.within(range).peekable();
        while let Some(places) = blocks.next() {
            before.keep(|result| Some(&outs[result][..places.len() * sizes[result]]));
            placement.aim(&mut cells, take_front(&mut outs, &sizes, places.len()));
            let before = (Some(&before), places.start);
            let tile = Tile { places, rows: 0..0, side: Side::Along, product, before };
            let next = blocks.peek().cloned().unwrap_or_default();
            let needed = self.ahead.as_ref().map(|ahead| ahead.of(compiled, &next, &outs, &sizes)).unwrap_or_default();
            compiled.both(&self.order, &tile, placement, &mut cells, &mut [], needed)?;
            compiled.copy(&tile, placement, &mut cells, &[]);
        }
        Ok(())
    }
}

fn sizes(compiled: &Compiled<'_>) -> Vec<usize> {
    compiled.stores.iter().map(|&store| compiled.registers[store].dtype.size()).collect()
}
