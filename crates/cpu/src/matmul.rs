//! Matrix products over the last two axes, one for each index of the others.

use crate::buffer::{Buffer, Pool};
use crate::copy;
use crate::gemm::{self, Float, Matrix, Sizes};
use crate::program::{Piece, even, pieces, unsupported};
use crate::step::Job;
use crate::threads;
use crate::view::{View, Walk};
use std::sync::Arc;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::real::Number;

/// Multiplications that are worth a task of their own.
const TASK: usize = 1 << 18;
/// Multiplications from which one product is cut over the threads, even if there are several.
const LARGE: usize = 1 << 24;

/// Bytes of a piece of a product that a program takes from the second cache.
const CACHED: usize = 1 << 20;
/// The least rows of such a piece: each lays out the right matrix anew.
const ROWS: usize = 256;
/// So many pieces keep all threads busy.
const PIECES: usize = 16;

/// Multiplies the two operands.
pub fn matmul(job: &mut Job<'_>) -> Result<(), Problem> {
    match job.operand(0)?.dtype {
        DType::F32 => floats::<f32>(job),
        DType::F64 => floats::<f64>(job),
        DType::I32 => whole::<i32>(job),
        DType::U32 => whole::<u32>(job),
        dtype => Err(unsupported("matmul", dtype)),
    }
}

/// A window whose strides are not negative, copied where they were.
struct Forward {
    layout: Layout,
    copied: Option<Buffer>,
}

impl Forward {
    fn new(view: &View<'_>, pool: &Arc<Pool>) -> Result<Self, Problem> {
        let backwards =
            view.layout.shape.iter().zip(&view.layout.strides).any(|(&size, &stride)| size > 1 && stride < 0);
        if !backwards {
            return Ok(Forward { layout: view.layout.clone(), copied: None });
        }
        let mut buffer = pool.take(view.count() * view.dtype.size())?;
        copy::copy(view, &mut buffer);
        Ok(Forward { layout: Layout::contiguous(&view.layout.shape), copied: Some(buffer) })
    }

    fn view<'a>(&'a self, original: &View<'a>) -> Result<View<'a>, Problem> {
        match &self.copied {
            Some(buffer) => View::new(buffer, &self.layout, original.dtype),
            None => Ok(*original),
        }
    }
}

/// A stack of matrices.
struct Stack<'a, T> {
    elements: &'a [T],
    base: isize,
    batch: Vec<(usize, isize)>,
    row: isize,
    column: isize,
}

impl<'a, T: Number> Stack<'a, T> {
    fn new(view: &View<'a>) -> Result<Self, Problem> {
        let axes: Vec<_> = view.layout.shape.iter().copied().zip(view.layout.strides.iter().copied()).collect();
        let [batch @ .., (_, row), (_, column)] = &*axes else {
            return Err(Problem::new(ErrorKind::Shape, "takes matrices"));
        };
        let (row, column) = (*row, *column);
        let base = view.layout.offset as isize;
        Ok(Stack { elements: view.elements(), base, batch: batch.to_vec(), row, column })
    }

    /// Matrix `i` from a row on.
    fn matrix(&self, i: usize, row: usize) -> Matrix<'a, T> {
        let start = Walk::new(&self.batch, self.base, i).step() + row as isize * self.row;
        Matrix {
            elements: self.elements.get(start as usize..).unwrap_or_default(),
            row: self.row.max(0),
            column: self.column.max(0),
        }
    }
}

/// Sizes of each product and how many there are.
fn sizes(job: &Job<'_>) -> Result<(Sizes, usize), Problem> {
    let wrong = || Problem::new(ErrorKind::Shape, "takes matrices that fit together");
    let (lhs, rhs) = (&job.operand(0)?.layout.shape, &job.operand(1)?.layout.shape);
    let ([batch @ .., m, k], [other @ .., k2, n]) = (&**lhs, &**rhs) else { return Err(wrong()) };
    let count: usize = batch.iter().product();
    if batch != other || k != k2 || job.shape()?.count() != count * m * n {
        return Err(wrong());
    }
    Ok((Sizes { m: *m, n: *n, k: *k }, count))
}

fn floats<T: Float>(job: &mut Job<'_>) -> Result<(), Problem> {
    let (mut sizes, mut count) = sizes(job)?;
    let (lhs, rhs) = (job.operand(0)?, job.operand(1)?);
    let (forward_lhs, forward_rhs) = (Forward::new(&lhs, job.pool)?, Forward::new(&rhs, job.pool)?);
    let (lhs, rhs) = (forward_lhs.view(&lhs)?, forward_rhs.view(&rhs)?);
    let total = job.shape()?.count();
    if total == 0 {
        return Ok(());
    }
    let (mut left, mut right) = (Stack::<T>::new(&lhs)?, Stack::<T>::new(&rhs)?);
    if let Some(row) = stacked_rows(&left, &right, sizes.m) {
        (sizes.m, count) = (sizes.m * count, 1);
        (left.row, left.batch, right.batch) = (row, vec![], vec![]);
    }
    let one = sizes.m * sizes.n;
    let large = count == 1 || sizes.work() >= LARGE;
    let lengths = match job.then {
        Some(_) if large => {
            let rows = (CACHED / (sizes.n * size_of::<T>())).max(ROWS);
            even(one, rows * sizes.n).repeat(count)
        }
        _ if large => vec![one; count],
        _ => even(total, (TASK / sizes.work().max(1)).clamp(1, count) * one),
    };
    // Few pieces are cut over the threads one by one.
    let cut = large && (job.then.is_none() || lengths.len() < PIECES);
    let parallel = cut && sizes.work() >= TASK && threads::count() > 1;
    let pieces = pieces::<T>(job, &lengths)?;
    let compute = |piece: Piece<'_, '_>| {
        let mut at = piece.range.start;
        piece.fill(|mut out: &mut [T]| {
            while !out.is_empty() {
                let (i, row) = (at / one, at % one / sizes.n);
                let rows = (sizes.m - row).min(out.len() / sizes.n);
                let (now, later) = std::mem::take(&mut out).split_at_mut(rows * sizes.n);
                gemm::gemm(Sizes { m: rows, ..sizes }, now, left.matrix(i, row), right.matrix(i, 0), false, parallel);
                (at, out) = (at + now.len(), later);
            }
            Ok(())
        })
    };
    if cut { pieces.into_iter().try_for_each(compute) } else { threads::try_for_each(pieces, compute) }
}

/// The stride of the rows of all left matrices as one tall matrix, where they lie so and meet the same right matrix.
fn stacked_rows<T>(left: &Stack<'_, T>, right: &Stack<'_, T>, m: usize) -> Option<isize> {
    if left.batch.is_empty() || right.batch.iter().any(|&(size, stride)| size > 1 && stride != 0) {
        return None;
    }
    let (mut stride, mut rows) = (left.row, m);
    for &(size, step) in left.batch.iter().rev().filter(|(size, _)| *size > 1) {
        if rows == 1 {
            stride = step;
        } else if step != stride * rows as isize {
            return None;
        }
        rows *= size;
    }
    Some(stride)
}

/// Whole numbers, which wrap.
fn whole<T: Number>(job: &mut Job<'_>) -> Result<(), Problem> {
    let (sizes, _) = sizes(job)?;
    let (left, right) = (Stack::<T>::new(&job.operand(0)?)?, Stack::<T>::new(&job.operand(1)?)?);
    let rows_per_task = (TASK / (sizes.n * sizes.k).max(1)).max(1);
    let lengths = even(job.shape()?.count(), rows_per_task * sizes.n);
    threads::try_for_each(pieces::<T>(job, &lengths)?, |piece| {
        let first = piece.range.start / sizes.n;
        piece.fill(|out: &mut [T]| {
            for (i, out) in out.chunks_mut(sizes.n).enumerate() {
                let (stack, row) = ((first + i) / sizes.m, (first + i) % sizes.m);
                let at = Walk::new(&left.batch, left.base, stack).step() + row as isize * left.row;
                let other = Walk::new(&right.batch, right.base, stack).step();
                out.fill(T::of(0.0));
                for k in 0..sizes.k as isize {
                    let factor = left.elements[(at + k * left.column) as usize];
                    let start = other + k * right.row;
                    for (j, out) in out.iter_mut().enumerate() {
                        let x = right.elements[(start + j as isize * right.column) as usize];
                        *out = out.plus(factor.times(x));
                    }
                }
            }
            Ok(())
        })
    })
}
