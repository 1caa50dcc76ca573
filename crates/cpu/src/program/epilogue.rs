//! What becomes of an op's result while it is still in the cache.

use super::blocks::common;
use super::map::Map;
use super::take_front;
use super::{broken, check};
use crate::buffer::Pool;
use crate::step::Job;
use bytemuck::Pod;
use std::ops::Range;
use std::sync::Arc;
use wgrad_plan::Instruction;
use wgrad_tensor::error::Problem;

/// A piece of an op's result, which is computed at one go.
pub struct Piece<'r, 'a> {
    /// Its elements, as row-major positions in the result.
    pub range: Range<usize>,
    to: To<'r, 'a>,
}

enum To<'r, 'a> {
    /// Into the step's result.
    Result(&'r mut [u8]),
    /// Into memory of its own, from where a program takes it to the step's results.
    Program(Arc<Map<'a>>, Vec<&'r mut [u8]>, &'a Arc<Pool>),
}

/// Pieces of `piece` elements of `total`, the last may be shorter.
pub fn even(total: usize, piece: usize) -> Vec<usize> {
    let piece = piece.max(1);
    (0..total).step_by(piece).map(|first| piece.min(total - first)).collect()
}

/// Cuts the result of a step's op into pieces of so many elements each.
pub fn pieces<'r, 'a, T: Pod>(job: &'r mut Job<'a>, lengths: &[usize]) -> Result<Vec<Piece<'r, 'a>>, Problem> {
    let mut starts = 0;
    let ranges = lengths.iter().map(|length| {
        starts += length;
        starts - length..starts
    });
    let ranges: Vec<Range<usize>> = ranges.collect();
    let size = size_of::<T>();
    let Some(program) = job.then else {
        let [out] = &mut *job.results else { return Err(broken()) };
        if out.len() != starts * size {
            return Err(broken());
        }
        let mut rest = [&mut **out];
        let piece = |range: Range<usize>| {
            let out = take_front(&mut rest, &[size], range.len()).next().unwrap_or_default();
            Piece { range, to: To::Result(out) }
        };
        return Ok(ranges.into_iter().map(piece).collect());
    };
    check(program, job.inputs, job.results)?;
    let dtype = job.operand(0)?.dtype;
    let other = |instruction: &Instruction| matches!(instruction, Instruction::Product(of) if *of != dtype);
    if program.row_axes > 0 || program.count() != starts || program.code.iter().any(other) {
        return Err(broken());
    }
    if starts == 0 {
        return Ok(vec![]);
    }
    let step = ranges.iter().fold(0, |step, range| common(step, range.start));
    let map = Arc::new(Map::new(program, job.inputs, step)?);
    let sizes = map.sizes();
    let mut rest: Vec<&mut [u8]> = job.results.iter_mut().map(|out| &mut **out).collect();
    let piece = |range: Range<usize>| {
        let outs = take_front(&mut rest, &sizes, range.len()).collect();
        Piece { range, to: To::Program(map.clone(), outs, job.pool) }
    };
    Ok(ranges.into_iter().map(piece).collect())
}

impl Piece<'_, '_> {
    /// Computes it.
    pub fn fill<T: Pod>(self, compute: impl FnOnce(&mut [T]) -> Result<(), Problem>) -> Result<(), Problem> {
        match self.to {
            To::Result(out) => compute(bytemuck::try_cast_slice_mut(out).unwrap_or_default()),
            To::Program(map, outs, pool) => {
                let mut product = pool.take(self.range.len() * size_of::<T>())?;
                compute(bytemuck::try_cast_slice_mut(&mut product).unwrap_or_default())?;
                map.run(self.range, &product, outs, pool)
            }
        }
    }
}
