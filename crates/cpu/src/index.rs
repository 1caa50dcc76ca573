//! Reading and adding through indices.

use crate::buffer::{Buffer, Pool};
use crate::copy;
use crate::program::unsupported;
use crate::simd::{Kernel, vectorised};
use crate::step::Job;
use crate::threads::{self, TASK};
use crate::view::{View, Walk};
use bytemuck::Pod;
use std::sync::Arc;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::{Layout, merge_together};
use wgrad_tensor::real::Number;
use wgrad_tensor::shape::Shape;

/// Checks that every index lies within an axis of `size` elements.
fn check(index: &View<'_>, axis: usize, size: usize) -> Result<(), Problem> {
    let signed = match index.dtype {
        DType::I32 => true,
        DType::U32 => false,
        dtype => return Err(Problem::new(ErrorKind::DType, format!("takes indices of i32 or u32, not {dtype}"))),
    };
    // A negative index is a huge one without its sign.
    let limit = size.min(if signed { 1 << 31 } else { usize::MAX });
    let axes: Vec<_> = index.layout.merged().into_iter().filter(|&(_, stride)| stride != 0).collect();
    let (run, stride, outer) = match axes.split_last() {
        _ if index.count() == 0 => return Ok(()),
        Some((&(run, stride), outer)) => (run, stride, outer),
        None => (1, 1, &[][..]),
    };
    let elements = index.elements::<u32>();
    let mut walk = Walk::new(outer, index.layout.offset as isize, 0);
    for _ in 0..outer.iter().map(|&(size, _)| size).product() {
        let start = walk.step();
        let bad = match stride {
            1 => {
                let run = &elements[start as usize..start as usize + run];
                let bad = || run.iter().copied().find(|&i| i as usize >= limit);
                if vectorised(Largest(run)) as usize >= limit { bad() } else { None }
            }
            _ => (0..run).map(|i| elements[(start + i as isize * stride) as usize]).find(|&i| i as usize >= limit),
        };
        if let Some(bad) = bad {
            return Err(outside(bad, signed, axis, size));
        }
    }
    Ok(())
}

/// The error of an index outside an axis of `size` elements.
pub fn outside(index: u32, signed: bool, axis: usize, size: usize) -> Problem {
    let index = if signed { i64::from(index as i32) } else { i64::from(index) };
    Problem::new(ErrorKind::Index, format!("index {index} is outside axis {axis}, which has {size} elements"))
}

/// The largest of some indices.
struct Largest<'a>(&'a [u32]);

impl Kernel for Largest<'_> {
    type Output = u32;
    #[inline(always)]
    fn run(self) -> u32 {
        self.0.iter().fold(0, |most, &i| if i > most { i } else { most })
    }
}

/// `out[.., i, ..] = source[.., index[.., i, ..], ..]`.
pub fn gather(axis: usize, job: &mut Job<'_>) -> Result<(), Problem> {
    let (source, index) = (job.operand(0)?, job.operand(1)?);
    let (from, to) = (&source.layout.shape, &index.layout.shape);
    let fits = axis < to.len() && from.len() == to.len() && (0..to.len()).all(|i| i == axis || to[i] <= from[i]);
    if !fits || job.shape()? != to {
        return Err(Problem::new(ErrorKind::Shape, "takes an index that fits its source"));
    }
    check(&index, axis, from[axis])?;
    match source.dtype.size() {
        1 => gather_as::<u8>(axis, &source, &index, job.result(0)?),
        2 => gather_as::<u16>(axis, &source, &index, job.result(0)?),
        4 => gather_as::<u32>(axis, &source, &index, job.result(0)?),
        _ => gather_as::<u64>(axis, &source, &index, job.result(0)?),
    }
    Ok(())
}

fn gather_as<T: Pod + Send + Sync>(axis: usize, source: &View<'_>, index: &View<'_>, out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    // The source as seen from the output, standing still along the axis: the index moves it there.
    let mut still = source.layout.clone();
    still.shape = index.layout.shape.clone();
    let along = std::mem::take(&mut still.strides[axis]);
    let (mut sizes, mut strides) = merge_together(&[&still, index.layout]);
    if sizes.is_empty() {
        sizes.push(1);
        strides.iter_mut().for_each(|strides| strides.push(0));
    }
    let axes = |i: usize| -> Vec<(usize, isize)> { sizes.iter().copied().zip(strides[i].iter().copied()).collect() };
    let (from, by) = (axes(0), axes(1));
    let ([from @ .., (run, from_stride)], [by @ .., (_, by_stride)]) = (&*from, &*by) else { return };
    let (elements, indices) = (source.elements::<T>(), index.elements::<u32>());
    let runs = (TASK / run).max(1);
    threads::chunks(out, runs * run, |task, out| {
        let mut at = Walk::new(from, still.offset as isize, task * runs);
        let mut which = Walk::new(by, index.layout.offset as isize, task * runs);
        for out in out.chunks_mut(*run) {
            let (start, which) = (at.step(), which.step());
            if (*from_stride, *by_stride) == (1, 0) {
                let start = (start + indices[which as usize] as isize * along) as usize;
                out.copy_from_slice(&elements[start..start + *run]);
                continue;
            }
            for (i, out) in out.iter_mut().enumerate() {
                let index = indices[(which + i as isize * by_stride) as usize] as isize;
                *out = elements[(start + i as isize * from_stride + index * along) as usize];
            }
        }
    });
}

/// `out = base; out[.., index[.., i, ..], ..] += source[.., i, ..]`, in ascending order of `i`.
pub fn scatter_add(axis: usize, job: &mut Job<'_>) -> Result<(), Problem> {
    match job.operand(0)?.dtype {
        DType::F32 => scatter_as::<f32>(axis, job),
        DType::F64 => scatter_as::<f64>(axis, job),
        DType::I32 => scatter_as::<i32>(axis, job),
        DType::U32 => scatter_as::<u32>(axis, job),
        dtype => Err(unsupported("scatter_add", dtype)),
    }
}

fn scatter_as<T: Number>(axis: usize, job: &mut Job<'_>) -> Result<(), Problem> {
    let (base, index, source) = (job.operand(0)?, job.operand(1)?, job.operand(2)?);
    let (to, from) = (&base.layout.shape, &index.layout.shape);
    let fits = axis < to.len()
        && from.len() == to.len()
        && source.dtype == base.dtype
        && (0..to.len()).all(|i| i == axis || from[i] <= to[i])
        && (0..to.len()).all(|i| from[i] <= source.layout.shape.get(i).copied().unwrap_or(0));
    if !fits || job.shape()? != to {
        return Err(Problem::new(ErrorKind::Shape, "takes an index that fits its source and its base"));
    }
    check(&index, axis, to[axis])?;
    let narrowed = Layout { shape: from.clone(), ..source.layout.clone() };
    let narrowed = View::new(source.elements::<u8>(), &narrowed, source.dtype)?;
    let (mut sources, mut indices) = (None, None);
    let sources = dense::<T>(&narrowed, &mut sources, job.pool)?;
    let indices = dense::<u32>(&index, &mut indices, job.pool)?;
    if base.in_result.is_none() {
        copy::copy(&base, job.result(0)?);
    }
    if sources.is_empty() {
        return Ok(());
    }
    let (row, slab): (usize, usize) = (to[axis + 1..].iter().product(), to[axis..].iter().product());
    let taken: usize = from[axis..].iter().product();
    let places = (from[axis + 1..] != to[axis + 1..]).then(|| places(&from[axis + 1..], &to[axis + 1..]));
    let rows_per_task = to[axis].div_ceil(if row < 16 { 4 } else { 16 }).max(TASK.div_ceil(row));
    let mut slabs: Vec<Option<&mut [T]>> = job.result(0)?.chunks_mut(slab).map(Some).collect();
    let mut tasks = Vec::new();
    for (i, place) in self::places(&from[..axis], &to[..axis]).into_iter().enumerate() {
        let Some(slab) = slabs.get_mut(place).and_then(Option::take) else { continue };
        let given = (i, &indices[i * taken..(i + 1) * taken], &sources[i * taken..(i + 1) * taken]);
        let rows = slab.chunks_mut(rows_per_task * row).enumerate();
        tasks.extend(rows.map(|(j, out)| (given, (j * rows_per_task) as u32, out)));
    }
    let whole = if places.is_none() && row > 1 { whole_rows(indices, row) } else { None };
    let whole = whole.as_deref().map(|rows| (rows, taken / row));
    // Each task adds, in order, what falls into its rows.
    threads::for_each(tasks, |((i, indices, sources), first, out)| match (whole, &places) {
        (Some((rows, count)), _) => add_rows(&rows[i * count..(i + 1) * count], sources, first, row, out),
        (None, Some(places)) => add_apart(indices, sources, first, (row, places), out),
        (None, None) if row == 1 => add_apart(indices, sources, first, (1, &[0]), out),
        (None, None) => add_apart(indices, sources, first, (row, &(0..row).collect::<Vec<_>>()), out),
    });
    Ok(())
}

/// What a window sees, in row-major order; copied to `memory` if it does not lie so.
fn dense<'a, T: Pod>(view: &View<'a>, memory: &'a mut Option<Buffer>, pool: &Arc<Pool>) -> Result<&'a [T], Problem> {
    if let Ok(elements) = view.contiguous() {
        return Ok(elements);
    }
    let buffer = memory.insert(pool.take(view.count() * view.dtype.size())?);
    copy::copy(view, buffer);
    Ok(bytemuck::try_cast_slice(buffer).unwrap_or_default())
}

/// The index of each row, if all of its elements have the same.
fn whole_rows(indices: &[u32], row: usize) -> Option<Vec<u32>> {
    let same = |row: &[u32]| vectorised(AllSame(row)).then_some(row[0]);
    indices.chunks_exact(row).map(same).collect()
}

/// Whether some indices are all the same.
struct AllSame<'a>(&'a [u32]);

impl Kernel for AllSame<'_> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        self.0.iter().fold(0, |differ, &i| differ | (i ^ self.0[0])) == 0
    }
}

/// Where the elements of a small shape lie in a larger one.
fn places(small: &[usize], large: &[usize]) -> Vec<usize> {
    let strides = Shape::from(large).strides();
    let axes: Vec<_> = small.iter().copied().zip(strides).collect();
    let mut walk = Walk::new(&axes, 0, 0);
    (0..small.iter().product()).map(|_| walk.step() as usize).collect()
}

/// Adds whole rows, whose indices are given.
fn add_rows<T: Number>(indices: &[u32], sources: &[T], first: u32, row: usize, out: &mut [T]) {
    let rows = out.len() / row;
    for (&i, source) in indices.iter().zip(sources.chunks_exact(row)) {
        let to = i.wrapping_sub(first) as usize;
        if to < rows {
            vectorised(AddRow(&mut out[to * row..(to + 1) * row], source));
        }
    }
}

struct AddRow<'a, T>(&'a mut [T], &'a [T]);

impl<T: Number> Kernel for AddRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().zip(self.1).for_each(|(out, &x)| *out = out.plus(x));
    }
}

/// Adds rows whose elements go to `places` in rows of the target.
fn add_apart<T: Number>(indices: &[u32], sources: &[T], first: u32, (row, places): (usize, &[usize]), out: &mut [T]) {
    let rows = out.len() / row;
    for (indices, sources) in indices.chunks_exact(places.len()).zip(sources.chunks_exact(places.len())) {
        for ((&i, &x), &place) in indices.iter().zip(sources).zip(places) {
            let to = i.wrapping_sub(first) as usize;
            if to < rows {
                out[to * row + place] = out[to * row + place].plus(x);
            }
        }
    }
}
