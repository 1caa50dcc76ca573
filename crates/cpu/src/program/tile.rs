//! One tile through a program, while it is in the nearest cache.

use super::ahead::{Needed, Share};
use super::before::Before;
use super::chain::{Chain, Elements, Fold, LONGEST, Link, Operand};
use super::compile::{Compiled, Register, Side, Source};
use super::generate::splat;
use super::place::Placement;
use std::mem::take;
use std::ops::Range;
use wgrad_tensor::elementwise::Basic;
use wgrad_tensor::error::Problem;

/// Some places: a block, or the same positions of some rows.
#[derive(Clone, Debug)]
pub struct Tile<'a> {
    /// The places, in the order in which they are walked.
    pub places: Range<usize>,
    /// The rows.
    pub rows: Range<usize>,
    /// The order.
    pub side: Side,
    /// What the op before the program gives, from some place on.
    pub product: (&'a [u8], usize),
    /// What lay in the memory of results that take the place of operands, from some place on.
    pub before: (Option<&'a Before>, usize),
}

/// Where a tile's registers lie.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'m, 'c> {
    /// The cells' numbers.
    pub placement: &'m Placement,
    /// The cells of registers with an element for every place.
    pub cells: &'m [&'c mut [u8]],
    /// The cells of registers with one for each row.
    pub rows: &'m [&'c mut [u8]],
}

/// What is done on the way over a tile.
#[derive(Default)]
struct Aside<'x> {
    /// How the elements are combined, and where what that gives for each row goes.
    folded: Option<(Fold, &'x mut [u8])>,
    /// Memory to ask for.
    ahead: Share<'x>,
}

impl Compiled<'_> {
    /// Fills the cells that are the same for every tile, which has so many places, `row` in each row.
    pub fn fill_once(&self, placement: &Placement, places: usize, row: usize, cells: &mut [&mut [u8]]) {
        for &i in &placement.once {
            let Some(cell) = placement.cells[i] else { continue };
            let register = &self.registers[i];
            let places = if register.one_row { row.min(places) } else { places };
            let out = &mut cells[cell][..places * register.dtype.size()];
            match &register.source {
                Source::Load(load) => load.collect(0..places, out),
                Source::Generate(generator, window, _) => generator.fill(window, 0..places, out),
                Source::Constant(bytes) => splat(bytes, out),
                _ => {}
            }
        }
    }

    /// Computes registers of a tile of whole rows, of either kind.
    pub fn both(
        &self,
        order: &[usize],
        tile: &Tile<'_>,
        placement: &Placement,
        cells: &mut [&mut [u8]],
        rows: &mut [&mut [u8]],
        mut needed: Needed<'_>,
    ) -> Result<(), Problem> {
        for &i in order {
            let share = if self.registers[i].is_walk() { needed.share() } else { Share::default() };
            if self.registers[i].per_row {
                self.row(i, tile, placement, cells, rows, share)?;
                continue;
            }
            let mut folded = self.registers[i].folded.map(|(fold, to)| (fold, to, take(&mut rows[to])));
            let aside = Aside { folded: folded.as_mut().map(|(fold, _, all)| (*fold, &mut **all)), ahead: share };
            let done = self.one(i, tile, placement, cells, rows, aside);
            if let Some((_, to, all)) = folded {
                rows[to] = all;
            }
            done?;
        }
        Ok(())
    }

    /// Computes registers with an element for every place of a tile.
    pub fn full(
        &self,
        order: &[usize],
        tile: &Tile<'_>,
        placement: &Placement,
        cells: &mut [&mut [u8]],
        rows: &[&mut [u8]],
    ) -> Result<(), Problem> {
        order.iter().try_for_each(|&i| self.one(i, tile, placement, cells, rows, Aside::default()))
    }

    fn one(
        &self,
        i: usize,
        tile: &Tile<'_>,
        placement: &Placement,
        cells: &mut [&mut [u8]],
        rows: &[&mut [u8]],
        aside: Aside<'_>,
    ) -> Result<(), Problem> {
        let register = &self.registers[i];
        let Some(cell) = placement.cells[i].filter(|_| register.source.is_computed()) else { return Ok(()) };
        let whole = take(&mut cells[cell]);
        let out = &mut whole[..tile.places.len() * register.dtype.size()];
        let memory = Memory { placement, cells, rows };
        let done = match &register.source {
            Source::Chain(links, _) => {
                self.chain(register, links, tile, memory, Some(out), aside);
                Ok(())
            }
            _ => self.compute(register, tile, memory, out, aside.ahead),
        };
        cells[cell] = whole;
        done
    }

    /// Copies what was computed elsewhere than in its result.
    pub fn copy(&self, tile: &Tile<'_>, placement: &Placement, cells: &mut [&mut [u8]], rows: &[&mut [u8]]) {
        for &(out, register) in &placement.copies {
            let cell = take(&mut cells[placement.slots + out]);
            cell.copy_from_slice(self.value(register, tile, Memory { placement, cells, rows }));
            cells[placement.slots + out] = cell;
        }
    }

    /// Computes registers with one element for each row of a tile.
    pub fn rows(
        &self,
        order: &[usize],
        tile: &Tile<'_>,
        placement: &Placement,
        cells: &[&mut [u8]],
        rows: &mut [&mut [u8]],
    ) -> Result<(), Problem> {
        order.iter().try_for_each(|&i| self.row(i, tile, placement, cells, rows, Share::default()))
    }

    fn row(
        &self,
        i: usize,
        tile: &Tile<'_>,
        placement: &Placement,
        cells: &[&mut [u8]],
        rows: &mut [&mut [u8]],
        share: Share<'_>,
    ) -> Result<(), Problem> {
        let register = &self.registers[i];
        let whole = take(&mut rows[i]);
        let out = &mut whole[..tile.rows.len() * register.dtype.size()];
        let done = self.compute(register, tile, Memory { placement, cells, rows }, out, share);
        rows[i] = whole;
        done
    }

    /// Computes a chain of steps: its elements, or what they give for each row, or both.
    fn chain(
        &self,
        register: &Register<'_>,
        links: &[Link],
        tile: &Tile<'_>,
        memory: Memory<'_, '_>,
        out: Option<&mut [u8]>,
        aside: Aside<'_>,
    ) {
        let rows = tile.rows.len();
        let length = tile.places.len() / rows.max(1);
        let operand = |&arg: &usize| {
            let all = bytemuck::try_cast_slice(self.value(arg, tile, memory)).unwrap_or_default();
            match &self.registers[arg] {
                register if register.per_row => Operand::Rows(all),
                register => Operand::Places(Elements { all, alike: register.one_row }),
            }
        };
        let mut operands = register.args.iter().map(operand);
        let Some(first @ Operand::Places(start)) = operands.next() else { return };
        let mut steps = [(Link::Alone(Basic::Exp), first); LONGEST];
        for (step, &link) in steps.iter_mut().zip(links) {
            let operand = if link.takes() { operands.next() } else { None };
            *step = (link, operand.unwrap_or(first));
        }
        let elements = |bytes| bytemuck::try_cast_slice_mut(bytes).unwrap_or_default();
        let folded = aside.folded.map(|(fold, all)| (fold, elements(&mut all[..rows * size_of::<f32>()])));
        let out = out.map(elements);
        Chain { rows, length, start, links: &steps[..links.len()], out, folded, ahead: aside.ahead }.run();
    }

    fn compute(
        &self,
        register: &Register<'_>,
        tile: &Tile<'_>,
        memory: Memory<'_, '_>,
        out: &mut [u8],
        share: Share<'_>,
    ) -> Result<(), Problem> {
        if !matches!(register.source, Source::Chain(..)) {
            share.in_parts(1).ask(0);
        }
        let range = if register.per_row { &tile.rows } else { &tile.places };
        let value = |i: usize| self.value(register.args[i], tile, memory);
        match &register.source {
            Source::Load(load) => load.collect(range.clone(), out),
            Source::Padded(padded) => padded.collect(range.clone(), out),
            Source::Constant(bytes) => splat(bytes, out),
            Source::Map(f) => {
                let mut args: [&[u8]; 3] = [&[]; 3];
                for (i, arg) in args.iter_mut().enumerate().take(register.args.len()) {
                    *arg = value(i);
                }
                f(&args[..register.args.len()], out);
            }
            Source::MapRows(f) => {
                let part = |bytes: &[u8]| (bytes.len() / tile.rows.len().max(1)).max(1);
                let (x, y) = (value(0), value(1));
                let args = x.chunks_exact(part(x)).zip(y.chunks_exact(part(y)));
                out.chunks_exact_mut(part(out)).zip(args).for_each(|(out, (x, y))| f(&[x, y], out));
            }
            Source::Generate(generator, window, _) => generator.fill(window, range.clone(), out),
            Source::Product | Source::Before(_) => {}
            Source::Repeat => repeat(value(0), register.dtype.size(), tile.side, out),
            Source::Chain(links, fold) => {
                let folded = fold.map(|fold| (fold, out));
                self.chain(register, links, tile, memory, None, Aside { folded, ahead: share });
            }
            Source::Folded => {}
            Source::Combine(combine) => (combine.tile)(value(0), tile.side, out),
            Source::Pick(pick) if self.registers[register.args[0]].per_row => {
                pick.places(value(1))?;
                out.copy_from_slice(value(0));
            }
            Source::Pick(pick) => pick.pick(value(0), value(1), tile.side, out)?,
        }
        Ok(())
    }

    /// A register's elements.
    pub fn value<'v>(&'v self, i: usize, tile: &'v Tile<'_>, memory: Memory<'v, 'v>) -> &'v [u8] {
        let register = &self.registers[i];
        let size = register.dtype.size();
        match (&register.source, memory.placement.cells[i]) {
            _ if register.per_row => &memory.rows[i][..tile.rows.len() * size],
            (_, Some(cell)) => &memory.cells[cell][..tile.places.len() * size],
            (Source::Load(load), None) => load.slice(tile.places.clone()),
            (&Source::Before(result), None) => {
                let (before, first) = tile.before;
                let kept = before.map_or(&[][..], |before| before.of(result));
                &kept[(tile.places.start - first) * size..(tile.places.end - first) * size]
            }
            (Source::Product, None) => {
                let (product, first) = tile.product;
                &product[(tile.places.start - first) * size..(tile.places.end - first) * size]
            }
            _ => &[],
        }
    }
}

/// Repeats each row's element at its places.
fn repeat(x: &[u8], size: usize, side: Side, out: &mut [u8]) {
    match side {
        Side::Across => out.chunks_exact_mut(x.len().max(1)).for_each(|out| out.copy_from_slice(x)),
        Side::Along => {
            let row = out.len() / (x.len() / size).max(1);
            for (out, x) in out.chunks_exact_mut(row.max(1)).zip(x.chunks_exact(size)) {
                splat(x, out);
            }
        }
    }
}
