//! Reductions of tiles, and of what several tiles gave.

use super::chain::Fold;
use super::compile::Side;
use super::unsupported;
use crate::reduce::{Join, Largest, PIECE, Product, RowCascade, Smallest, Sum, join_run};
use crate::simd::{Kernel, vectorised};
use std::marker::PhantomData;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::real::Number;

/// Positions that are added one by one before what they gave is added pairwise.
const ONE_BY_ONE: usize = 32;
/// Rows shorter than this are combined several at a time.
const SHORT: usize = 64;

/// A reduction for one dtype.
#[derive(Clone, Copy, Debug)]
pub struct Combine {
    /// Combines each row of a tile; the output has one element for each.
    pub tile: fn(&[u8], Side, &mut [u8]),
    /// Starts combining as many rows as are given here, tile by tile.
    pub total: fn(usize) -> Box<dyn Total>,
    /// How chains do it.
    pub fold: Option<Fold>,
}

/// Rows of which tiles have been combined so far.
pub trait Total {
    /// Takes a tile of all the rows.
    fn add(&mut self, tile: &[u8], side: Side);
    /// Writes one element for each row.
    fn finish(&mut self, out: &mut [u8]);
}

impl Combine {
    /// The reduction's loops.
    pub fn new(kind: Reduction, dtype: DType) -> Result<Self, Problem> {
        match dtype {
            DType::F32 => Ok(Combine { fold: Fold::of(kind), ..Self::of::<f32>(kind) }),
            DType::F64 => Ok(Self::of::<f64>(kind)),
            DType::I32 => Ok(Self::of::<i32>(kind)),
            DType::U32 => Ok(Self::of::<u32>(kind)),
            _ => Err(unsupported("a reduction", dtype)),
        }
    }

    fn of<T: Number>(kind: Reduction) -> Self {
        match kind {
            Reduction::Sum => Self::with::<T, Sum>(),
            Reduction::Prod => Self::with::<T, Product>(),
            Reduction::Max => Self::with::<T, Largest>(),
            Reduction::Min => Self::with::<T, Smallest>(),
        }
    }

    fn with<T: Number, J: Join<T>>() -> Self {
        Combine { tile: combine::<T, J>, total: |rows| Box::new(Totals::<T, J>::new(rows)), fold: None }
    }
}

fn combine<T: Number, J: Join<T>>(tile: &[u8], side: Side, out: &mut [u8]) {
    let tile: &[T] = bytemuck::try_cast_slice(tile).unwrap_or_default();
    let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
    match side {
        Side::Along => along::<T, J>(tile, out),
        Side::Across => {
            out.fill(J::start());
            vectorised(Across::<T, J>(tile, out, PhantomData));
        }
    }
}

/// Rows that follow each other.
fn along<T: Number, J: Join<T>>(tile: &[T], out: &mut [T]) {
    match tile.len() / out.len().max(1) {
        0 => out.fill(J::start()),
        length @ 1..SHORT => vectorised(Short::<T, J>(tile, length, out, PhantomData)),
        length => out.iter_mut().zip(tile.chunks_exact(length)).for_each(|(out, row)| {
            let parts = row.chunks(PIECE).map(join_run::<T, J>);
            *out = parts.reduce(J::join).unwrap_or(J::start());
        }),
    }
}

/// Positions that follow each other, with all rows side by side at each.
struct Across<'a, T, J>(&'a [T], &'a mut [T], PhantomData<J>);

impl<T: Number, J: Join<T>> Kernel for Across<'_, T, J> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for position in self.0.chunks_exact(self.1.len().max(1)) {
            for (all, &x) in self.1.iter_mut().zip(position) {
                *all = J::join(*all, x);
            }
        }
    }
}

/// Rows too short for many lanes: eight side by side, which do not wait for each other.
struct Short<'a, T, J>(&'a [T], usize, &'a mut [T], PhantomData<J>);

impl<T: Number, J: Join<T>> Kernel for Short<'_, T, J> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Short(tile, length, out, _) = self;
        let mut outs = out.chunks_exact_mut(8);
        let mut eights = tile.chunks_exact(8 * length);
        for (out, rows) in (&mut outs).zip(&mut eights) {
            let rows: [&[T]; 8] = std::array::from_fn(|i| &rows[i * length..(i + 1) * length]);
            let mut all = [J::start(); 8];
            for i in 0..length {
                for (all, row) in all.iter_mut().zip(&rows) {
                    *all = J::join(*all, row[i]);
                }
            }
            out.copy_from_slice(&all);
        }
        for (out, row) in outs.into_remainder().iter_mut().zip(eights.remainder().chunks_exact(length)) {
            *out = row.iter().fold(J::start(), |all, &x| J::join(all, x));
        }
    }
}

/// Sums that are added pairwise.
struct Totals<T, J> {
    cascade: RowCascade<T>,
    recent: Vec<T>,
    positions: usize,
    by: PhantomData<J>,
}

impl<T: Number, J: Join<T>> Totals<T, J> {
    fn new(rows: usize) -> Self {
        Totals { cascade: RowCascade::new(), recent: vec![J::start(); rows], positions: 0, by: PhantomData }
    }

    fn push(&mut self) {
        self.recent = self.cascade.push::<J>(std::mem::take(&mut self.recent));
        self.recent.fill(J::start());
        self.positions = 0;
    }
}

impl<T: Number, J: Join<T>> Total for Totals<T, J> {
    fn add(&mut self, tile: &[u8], side: Side) {
        let tile: &[T] = bytemuck::try_cast_slice(tile).unwrap_or_default();
        match side {
            Side::Along => {
                along::<T, J>(tile, &mut self.recent);
                self.push();
            }
            Side::Across => {
                self.positions += tile.len() / self.recent.len().max(1);
                vectorised(Across::<T, J>(tile, &mut self.recent, PhantomData));
                if self.positions >= ONE_BY_ONE {
                    self.push();
                }
            }
        }
    }

    fn finish(&mut self, out: &mut [u8]) {
        self.push();
        self.cascade.finish::<J>(bytemuck::try_cast_slice_mut(out).unwrap_or_default());
    }
}
