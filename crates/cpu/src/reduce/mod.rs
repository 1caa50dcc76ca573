//! Reductions over any axes of any window.

mod extreme;
mod grid;
mod join;

pub use extreme::extreme;
pub use join::{Join, LANES, Largest, PIECE, Product, RowCascade, Smallest, Sum, join_lanes, join_run};

use crate::buffer::Pool;
use crate::program::unsupported;
use crate::view::View;
use grid::Grid;
use std::sync::Arc;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::real::Number;

/// A reduction over some axes of a window.
#[derive(Clone, Copy, Debug)]
pub struct Reduce<'a> {
    /// How elements are combined.
    pub kind: Reduction,
    /// The axes.
    pub axes: &'a [usize],
    /// The window.
    pub view: View<'a>,
}

impl Reduce<'_> {
    /// Writes the combined elements, in row-major order over the axes that stay.
    pub fn run(&self, out: &mut [u8], pool: &Arc<Pool>) -> Result<(), Problem> {
        match self.view.dtype {
            DType::F32 => self.of::<f32>(out, pool),
            DType::F64 => self.of::<f64>(out, pool),
            DType::I32 => self.of::<i32>(out, pool),
            DType::U32 => self.of::<u32>(out, pool),
            dtype => Err(unsupported("a reduction", dtype)),
        }
    }

    fn of<T: Number>(&self, out: &mut [u8], pool: &Arc<Pool>) -> Result<(), Problem> {
        match self.kind {
            Reduction::Sum => self.with::<T, Sum>(out, pool),
            Reduction::Prod => self.with::<T, Product>(out, pool),
            Reduction::Max => self.with::<T, Largest>(out, pool),
            Reduction::Min => self.with::<T, Smallest>(out, pool),
        }
    }

    fn with<T: Number, J: Join<T>>(&self, out: &mut [u8], pool: &Arc<Pool>) -> Result<(), Problem> {
        let grid = Grid::<T>::new(&self.view, self.axes).in_any_order();
        grid.reduce::<J>(bytemuck::try_cast_slice_mut(out).unwrap_or_default(), pool)
    }
}
