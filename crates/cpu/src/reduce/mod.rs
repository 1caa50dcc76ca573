//! Reductions over any axes of any window.

mod extreme;
mod grid;
mod join;

pub use extreme::extreme;

use crate::map::unsupported;
use crate::step::Job;
use grid::Grid;
use join::{Join, Largest, Product, Smallest, Sum};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::real::Number;

/// Folds the axes of the only operand into the only result.
pub fn reduce(kind: Reduction, axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    match job.operand(0)?.dtype {
        DType::F32 => of::<f32>(kind, axes, job),
        DType::F64 => of::<f64>(kind, axes, job),
        DType::I32 => of::<i32>(kind, axes, job),
        DType::U32 => of::<u32>(kind, axes, job),
        dtype => Err(unsupported("a reduction", dtype)),
    }
}

fn of<T: Number>(kind: Reduction, axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    match kind {
        Reduction::Sum => with::<T, Sum>(axes, job),
        Reduction::Prod => with::<T, Product>(axes, job),
        Reduction::Max => with::<T, Largest>(axes, job),
        Reduction::Min => with::<T, Smallest>(axes, job),
    }
}

fn with<T: Number, J: Join<T>>(axes: &[usize], job: &mut Job<'_>) -> Result<(), Problem> {
    let grid = Grid::<T>::new(&job.operand(0)?, axes).in_any_order();
    let pool = job.pool;
    grid.reduce::<J>(job.result(0)?, pool)
}
