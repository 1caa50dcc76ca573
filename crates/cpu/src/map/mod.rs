//! Elementwise programs: block by block through the whole program, while the block is in the nearest cache.

mod cast;
mod generate;
mod load;
pub use generate::splat;
pub use load::{collect_rows, collect_run};
pub use program::unsupported;
mod program;
mod select;

use crate::buffer::Pool;
use crate::copy;
use crate::threads::{self, TASK};
use crate::view::View;
use load::Blocks;
use program::Compiled;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::error::Problem;

/// Runs a program over its index space; `results` are contiguous.
pub fn run(
    program: &Program,
    operands: &[View<'_>],
    results: &mut [&mut [u8]],
    pool: &Arc<Pool>,
) -> Result<(), Problem> {
    let count = program.shape.count();
    if count == 0 {
        return Ok(());
    }
    if let ([Instruction::Load(number, _)], [out]) = (&*program.code, &mut *results)
        && let Some(view) = operands.get(*number)
    {
        copy::copy(view, out);
        return Ok(());
    }
    let blocks = Blocks::new(count, operands);
    let compiled = Compiled::new(program, operands, &blocks)?;
    let tasks = tasks(&compiled, &blocks, results);
    threads::try_for_each(tasks, |(range, outs)| task(&compiled, &blocks, range, outs, pool))
}

/// Cuts the blocks into tasks, each with its part of every result.
fn tasks<'r>(
    compiled: &Compiled<'_>,
    blocks: &Blocks,
    results: &'r mut [&mut [u8]],
) -> Vec<(Range<usize>, Vec<&'r mut [u8]>)> {
    let per_task = (TASK / blocks.longest()).max(1);
    let mut rest: Vec<&mut [u8]> = results.iter_mut().map(|out| &mut **out).collect();
    let mut tasks = Vec::with_capacity(blocks.count() / per_task + 1);
    for first in (0..blocks.count()).step_by(per_task) {
        let range = first..(first + per_task).min(blocks.count());
        let elements = blocks.range(range.start).start..blocks.range(range.end - 1).end;
        let outs = rest.iter_mut().zip(&compiled.stores).map(|(rest, store)| {
            let (now, later) = take(rest).split_at_mut(elements.len() * store.dtype.size());
            *rest = later;
            now
        });
        tasks.push((range, outs.collect()));
    }
    tasks
}

/// Runs the program over some blocks.
fn task(
    compiled: &Compiled<'_>,
    blocks: &Blocks,
    range: Range<usize>,
    mut rest: Vec<&mut [u8]>,
    pool: &Arc<Pool>,
) -> Result<(), Problem> {
    let mut scratch = pool.take(compiled.slots * compiled.slot_bytes)?;
    let mut cells: Vec<&mut [u8]> = scratch.chunks_mut(compiled.slot_bytes.max(1)).collect();
    cells.resize_with(compiled.slots + rest.len(), Default::default);
    compiled.fill_once(blocks, &mut cells);
    for block in range {
        let elements = blocks.range(block);
        for (i, (rest, store)) in rest.iter_mut().zip(&compiled.stores).enumerate() {
            let (now, later) = take(rest).split_at_mut(elements.len() * store.dtype.size());
            (cells[compiled.slots + i], *rest) = (now, later);
        }
        compiled.run(blocks, block, &mut cells);
    }
    Ok(())
}
