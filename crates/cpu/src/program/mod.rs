//! Programs: elementwise work and reductions over rows, tile by tile through all instructions while the tile is in the
//! nearest cache.

mod ahead;
mod before;
mod blocks;
mod cast;
mod chain;
mod chains;
mod collect;
mod combine;
mod compile;
mod epilogue;
mod generate;
mod map;
mod padded;
mod phases;
mod pick;
mod place;
mod rows;
mod select;
mod tile;
mod tiling;
mod way;
mod window;

pub use collect::{collect_rows, collect_run};
pub use epilogue::{Piece, even, pieces};

use crate::buffer::Pool;
use crate::copy;
use crate::step::Inputs;
use map::Map;
use std::mem::take;
use std::sync::Arc;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;

/// Runs a program; `results` are contiguous.
pub fn run(program: &Program, inputs: Inputs<'_>, results: &mut [&mut [u8]], pool: &Arc<Pool>) -> Result<(), Problem> {
    check(program, inputs, results)?;
    if program.row_axes > 0 {
        return rows::run(program, inputs, results, pool);
    }
    let count = program.count();
    if count == 0 {
        return Ok(());
    }
    if let ([Instruction::Load(number, _)], [out]) = (&*program.code, &mut *results) {
        let view = &inputs.views[*number];
        if view.padding.is_none() {
            if view.in_result.is_none() {
                copy::copy(view, out);
            }
            return Ok(());
        }
    }
    let outs = results.iter_mut().map(|out| &mut **out).collect();
    Map::new(program, inputs, 0)?.run(0..count, &[], outs, pool)
}

/// Checks that instructions, operands and results fit together, so that nothing after this has to.
fn check(program: &Program, inputs: Inputs<'_>, results: &[&mut [u8]]) -> Result<(), Problem> {
    let shape = &program.shape;
    let instruction = |(i, instruction): (usize, &Instruction)| {
        let fits = match instruction {
            Instruction::Load(number, dtype) => {
                let fits = |layout: &Layout| layout.shape == *shape && layout.strides.len() == shape.len();
                inputs.views.get(*number).is_some_and(|view| {
                    let bounds = view.padding.iter().flat_map(|padding| &padding.bounds);
                    view.dtype == *dtype && fits(view.layout) && bounds.map(|bound| &bound.layout).all(fits)
                })
            }
            Instruction::Generate { layout, .. } => layout.shape == *shape && layout.strides.len() == shape.len(),
            Instruction::Pick(_) => program.row_axes > 0,
            Instruction::Map { .. } | Instruction::Reduce(..) | Instruction::Spread(_) | Instruction::Product(_) => {
                true
            }
        };
        fits && instruction.args().iter().all(|&arg| arg < i)
    };
    let fits = program.row_axes <= shape.len()
        && results.len() == program.stores.len()
        && program.stores.iter().all(|&store| store < program.code.len())
        && program.code.iter().enumerate().all(instruction);
    if !fits {
        return Err(broken());
    }
    let (dtypes, per_row) = (program.dtypes(), program.per_row(inputs.operands));
    let holds = program.stores.iter().zip(results).all(|(&store, result)| {
        let elements = if per_row[store] { program.rows() } else { program.count() };
        result.len() == elements * dtypes[store].size()
    });
    if holds { Ok(()) } else { Err(broken()) }
}

/// Takes the next `count` elements of each of some results, whose elements have these sizes.
fn take_front<'x, 'r>(
    rest: &'x mut [&'r mut [u8]],
    sizes: &'x [usize],
    count: usize,
) -> impl Iterator<Item = &'r mut [u8]> + use<'x, 'r> {
    rest.iter_mut().zip(sizes).map(move |(rest, size)| {
        let (now, later) = take(rest).split_at_mut(count * size);
        *rest = later;
        now
    })
}

fn broken() -> Problem {
    Problem::new(ErrorKind::Value, "is a program whose instructions do not fit together")
}

/// An operation that has no loop for a dtype.
pub fn unsupported(name: &str, dtype: DType) -> Problem {
    Problem::new(ErrorKind::Unsupported, format!("{name} of {dtype} is not there on the CPU"))
}
