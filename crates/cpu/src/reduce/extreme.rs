//! The largest or smallest element over some axes, and where it stands.

use super::grid::{Grid, TILE};
use super::join::{Contest, Largest, Smallest, is_nan};
use crate::program::unsupported;
use crate::simd::{Kernel, vectorised};
use crate::step::Job;
use crate::threads;
use crate::view::Walk;
use std::marker::PhantomData;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Extreme;
use wgrad_tensor::real::Number;

/// Writes values and positions.
pub fn extreme(kind: Extreme, axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    match job.operand(0)?.dtype {
        DType::F32 => of::<f32>(kind, axes, job),
        DType::F64 => of::<f64>(kind, axes, job),
        DType::I32 => of::<i32>(kind, axes, job),
        DType::U32 => of::<u32>(kind, axes, job),
        dtype => Err(unsupported("a reduction", dtype)),
    }
}

fn of<T: Number>(kind: Extreme, axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    match kind {
        Extreme::Max => with::<T, Largest>(axes, job),
        Extreme::Min => with::<T, Smallest>(axes, job),
    }
}

fn with<T: Number, C: Contest<T>>(axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    let grid = Grid::<T>::new(&job.operand(0)?, axes);
    if grid.depth() > u32::MAX as usize {
        return Err(Problem::new(ErrorKind::Unsupported, "has more elements in a row than positions fit u32"));
    }
    let pool = job.pool;
    let (values, positions) = job.two_results::<T, u32>()?;
    if values.is_empty() || grid.depth() == 0 {
        return Ok(());
    }
    let per_task = grid.results_per_task();
    if grid.runs() {
        grid.clone().in_any_order().reduce::<C>(values, pool)?;
        let values = &*values;
        threads::chunks(positions, per_task, |i, positions| {
            let mut walk = Walk::new(&grid.kept, grid.base, i * per_task);
            for (position, &value) in positions.iter_mut().zip(&values[i * per_task..]) {
                *position = find(&grid, walk.step(), value);
            }
        });
        return Ok(());
    }
    let tasks = values.chunks_mut(per_task).zip(positions.chunks_mut(per_task)).enumerate();
    threads::for_each(tasks.collect(), |(i, (values, positions))| {
        let tiles = values.chunks_mut(TILE).zip(positions.chunks_mut(TILE));
        for (j, (values, positions)) in tiles.enumerate() {
            positions.fill(0);
            grid.each_row(i * per_task + j * TILE, values.len(), |position, row| match position {
                0 => values.copy_from_slice(row),
                _ => vectorised(Round::<T, C> { row, position: position as u32, values, positions, by: PhantomData }),
            });
        }
    });
    Ok(())
}

/// One more row of elements for what was best so far.
struct Round<'a, T, C> {
    row: &'a [T],
    position: u32,
    values: &'a mut [T],
    positions: &'a mut [u32],
    by: PhantomData<C>,
}

impl<T: Number, C: Contest<T>> Kernel for Round<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for ((value, position), &x) in self.values.iter_mut().zip(self.positions).zip(self.row) {
            let wins = C::beats(x, *value);
            *value = if wins { x } else { *value };
            *position = if wins { self.position } else { *position };
        }
    }
}

/// The first position that holds `value`; NaN holds NaN.
fn find<T: Number>(grid: &Grid<'_, T>, base: isize, value: T) -> u32 {
    let Some((&(size, stride), outer)) = grid.reduced.split_last() else { return 0 };
    let is_it = |x: T| x == value || (is_nan(x) && is_nan(value));
    let mut walk = Walk::new(outer, base, 0);
    for run in 0..grid.depth() / size {
        let start = walk.step();
        let found = if stride == 1 {
            grid.elements[start as usize..start as usize + size].iter().position(|&x| is_it(x))
        } else {
            (0..size).position(|i| is_it(grid.elements[(start + i as isize * stride) as usize]))
        };
        if let Some(found) = found {
            return (run * size + found) as u32;
        }
    }
    0
}
