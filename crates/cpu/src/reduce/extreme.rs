//! The largest or smallest element over some axes, and where it stands.

use super::grid::Grid;
use super::join::{Join, Largest, Smallest};
use crate::map::unsupported;
use crate::simd::vectorised;
use crate::step::Job;
use crate::threads;
use crate::view::Walk;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Extreme;
use wgrad_tensor::real::Number;

/// Writes values and positions.
pub fn extreme(kind: Extreme, axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    match (job.operand(0)?.dtype, kind) {
        (DType::F32, Extreme::Max) => of::<f32, Largest>(axes, job, f32::gt),
        (DType::F32, Extreme::Min) => of::<f32, Smallest>(axes, job, f32::lt),
        (DType::F64, Extreme::Max) => of::<f64, Largest>(axes, job, f64::gt),
        (DType::F64, Extreme::Min) => of::<f64, Smallest>(axes, job, f64::lt),
        (DType::I32, Extreme::Max) => of::<i32, Largest>(axes, job, i32::gt),
        (DType::I32, Extreme::Min) => of::<i32, Smallest>(axes, job, i32::lt),
        (DType::U32, Extreme::Max) => of::<u32, Largest>(axes, job, u32::gt),
        (DType::U32, Extreme::Min) => of::<u32, Smallest>(axes, job, u32::lt),
        (dtype, _) => Err(unsupported("a reduction", dtype)),
    }
}

fn of<T: Number, J: Join<T>>(
    axes: &[usize],
    job: &mut Job<'_>,
    beyond: impl Fn(&T, &T) -> bool + Copy + Send + Sync,
) -> Result<(), Problem> {
    let grid = Grid::<T>::new(&job.operand(0)?, axes);
    if grid.depth() > u32::MAX as usize {
        return Err(Problem::new(ErrorKind::Unsupported, "has more elements in a row than positions fit u32"));
    }
    let pool = job.pool;
    let (values, positions) = job.two_results::<T, u32>()?;
    if values.is_empty() || grid.depth() == 0 {
        return Ok(());
    }
    if grid.runs() {
        grid.clone().in_any_order().reduce::<J>(values, pool)?;
        let values = &*values;
        let per_task = grid.results_per_task();
        threads::chunks(positions, per_task, |i, positions| {
            let mut walk = Walk::new(&grid.kept, grid.base, i * per_task);
            for (position, &value) in positions.iter_mut().zip(&values[i * per_task..]) {
                *position = find(&grid, walk.step(), value);
            }
        });
        return Ok(());
    }
    let per_task = grid.results_per_task();
    let tasks = values.chunks_mut(per_task).zip(positions.chunks_mut(per_task)).enumerate();
    threads::for_each(tasks.collect(), |(i, (values, positions))| {
        grid.tiles(i * per_task, values.len(), |at, stride, done, len| {
            let (values, positions) = (&mut values[done..done + len], &mut positions[done..done + len]);
            let walk = Walk::new(&grid.reduced, at, 0);
            match stride {
                1 => vectorised(across, (grid.elements, walk, grid.depth(), |i| i, values, positions, beyond)),
                2 => vectorised(across, (grid.elements, walk, grid.depth(), |i| 2 * i, values, positions, beyond)),
                _ => {
                    let apart = |i: isize| i * stride;
                    vectorised(across, (grid.elements, walk, grid.depth(), apart, values, positions, beyond));
                }
            }
        });
    });
    Ok(())
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

#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
fn is_nan<T: Number>(x: T) -> bool {
    x != x
}

/// A run of results: one row after the other, keeping what is beyond what came before.
#[inline(always)]
#[allow(clippy::type_complexity, reason = "the arguments of one call, as one value")]
fn across<T: Number>(
    (elements, mut walk, depth, apart, values, positions, beyond): (
        &[T],
        Walk<'_>,
        usize,
        impl Fn(isize) -> isize,
        &mut [T],
        &mut [u32],
        impl Fn(&T, &T) -> bool,
    ),
) {
    let start = walk.step();
    for (i, (value, position)) in values.iter_mut().zip(&mut *positions).enumerate() {
        *value = elements[(start + apart(i as isize)) as usize];
        *position = 0;
    }
    for row in 1..depth {
        let start = walk.step();
        for (i, (value, position)) in values.iter_mut().zip(&mut *positions).enumerate() {
            let x = elements[(start + apart(i as isize)) as usize];
            let wins = beyond(&x, value) || (is_nan(x) && !is_nan(*value));
            *value = if wins { x } else { *value };
            *position = if wins { row as u32 } else { *position };
        }
    }
}
