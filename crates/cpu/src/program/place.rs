//! Where registers lie while a tile is computed.

use super::compile::Register;

/// The places of some registers that have an element for every place of a tile.
#[derive(Debug)]
pub struct Placement {
    /// Registers that are filled once for all tiles.
    pub once: Vec<usize>,
    /// The cell of each register; `None` if it is read where it lies.
    pub cells: Vec<Option<usize>>,
    /// How many cells are scratch memory; those beyond them are the results' tiles.
    pub slots: usize,
    /// Results, and the registers that must be copied there.
    pub copies: Vec<(usize, usize)>,
}

impl Placement {
    /// Gives every register that is computed a cell: a result's tile, or scratch memory that is free again after its
    /// last use. `order` is the order of computing, `outs` the register of each result; `kept` are needed to the end, too.
    pub fn new(registers: &[Register<'_>], order: &[usize], outs: &[usize], kept: &[usize]) -> Self {
        let mut last_use: Vec<usize> = vec![0; registers.len()];
        for (step, &i) in order.iter().enumerate() {
            last_use[i] = step;
            registers[i].args.iter().for_each(|&arg| last_use[arg] = step);
        }
        kept.iter().for_each(|&i| last_use[i] = usize::MAX);
        let mut in_result = vec![None; registers.len()];
        let mut copies = Vec::new();
        for (out, &i) in outs.iter().enumerate() {
            last_use[i] = usize::MAX;
            if registers[i].source.is_computed() && in_result[i].is_none() {
                in_result[i] = Some(out);
            } else {
                copies.push((out, i));
            }
        }
        let mut placement = Placement { once: vec![], cells: vec![None; registers.len()], slots: 0, copies };
        let mut free: Vec<usize> = Vec::new();
        for (step, &i) in order.iter().enumerate() {
            let register = &registers[i];
            let alike = register.source.is_alike();
            if alike && !register.per_row {
                placement.once.push(i);
            }
            if !register.per_row && !register.source.lies() && in_result[i].is_none() {
                let cell = if alike { None } else { free.pop() }.unwrap_or(placement.slots);
                placement.slots = placement.slots.max(cell + 1);
                placement.cells[i] = Some(cell);
            }
            let mut dying: Vec<usize> = register.args.iter().copied().chain([i]).collect();
            dying.sort_unstable();
            dying.dedup();
            dying.retain(|&arg| last_use[arg] == step && !registers[arg].source.is_alike());
            free.extend(dying.iter().filter_map(|&arg| placement.cells[arg]));
        }
        for (cell, result) in placement.cells.iter_mut().zip(in_result) {
            *cell = result.map(|out| placement.slots + out).or(*cell);
        }
        placement
    }

    /// The cells: scratch memory cut into pieces of `bytes`, and then an empty one for each of `results` results.
    pub fn cells<'c>(&self, memory: &'c mut [u8], bytes: usize, results: usize) -> Vec<&'c mut [u8]> {
        let mut cells: Vec<&mut [u8]> = memory.chunks_mut(bytes).collect();
        cells.resize_with(self.slots + results, Default::default);
        cells
    }

    /// Makes the next part of each result the cells after the scratch memory.
    pub fn aim<'c, 'r: 'c>(&self, cells: &mut [&'c mut [u8]], outs: impl Iterator<Item = &'r mut [u8]>) {
        cells[self.slots..].iter_mut().zip(outs).for_each(|(cell, out)| *cell = out);
    }
}
