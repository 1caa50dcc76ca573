//! Summing overlapping windows back to where they came from.

use crate::program::unsupported;
use crate::simd::{Kernel, vectorised};
use crate::step::Job;
use crate::threads::{self, TASK};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Windows;
use wgrad_tensor::real::Number;

/// Adds the windows along the last axis of the operand into the axis that they were taken from.
pub fn fold(windows: &Windows, job: &mut Job<'_>) -> Result<(), Problem> {
    match job.operand(0)?.dtype {
        DType::F32 => of::<f32>(windows, job),
        DType::F64 => of::<f64>(windows, job),
        DType::I32 => of::<i32>(windows, job),
        DType::U32 => of::<u32>(windows, job),
        dtype => Err(unsupported("fold", dtype)),
    }
}

fn of<T: Number>(windows: &Windows, job: &mut Job<'_>) -> Result<(), Problem> {
    let (input, shape) = (job.operand(0)?, job.shape()?);
    let wrong = || Problem::new(ErrorKind::Shape, "takes windows that lie within its axis");
    let &Windows { axis, size, step, dilation } = windows;
    let (Some(&length), Some(&count)) = (shape.get(axis), input.layout.shape.get(axis)) else { return Err(wrong()) };
    let inner: usize = shape[axis + 1..].iter().product();
    let reach =
        count.saturating_sub(1).saturating_mul(step).saturating_add(size.saturating_sub(1).saturating_mul(dilation));
    let outer: usize = shape[..axis].iter().product();
    if input.count() != outer * count * inner * size || count * size > 0 && reach >= length {
        return Err(wrong());
    }
    let elements = input.contiguous::<T>()?;
    let (slab, taken) = (length * inner, count * inner * size);
    let out = job.result::<T>(0)?;
    if out.is_empty() {
        return Ok(());
    }
    let slabs = (TASK / slab).max(1);
    threads::chunks(out, slabs * slab, |task, out| {
        for (i, out) in out.chunks_mut(slab).enumerate() {
            let i = task * slabs + i;
            vectorised(Slab { elements: &elements[i * taken..(i + 1) * taken], out, inner, windows });
        }
    });
    Ok(())
}

/// One index of the axes before the folded one.
struct Slab<'a, T> {
    elements: &'a [T],
    out: &'a mut [T],
    inner: usize,
    windows: &'a Windows,
}

impl<T: Number> Kernel for Slab<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Slab { elements, out, inner, windows: &Windows { size, step, dilation, .. } } = self;
        if step == size && dilation == 1 {
            // Windows that lie side by side are only sorted.
            let (sorted, rest) = out.split_at_mut(elements.len());
            rest.fill(T::of(0.0));
            return match (size, inner) {
                (_, 0) | (0, _) => {}
                (_, 1) => sorted.copy_from_slice(elements),
                (2, 2) => sort_squares(elements, sorted),
                (2, _) => sort::<T, 2>(elements, inner, sorted),
                (3, _) => sort::<T, 3>(elements, inner, sorted),
                _ => {
                    for (out, window) in sorted.chunks_exact_mut(size * inner).zip(elements.chunks_exact(size * inner))
                    {
                        for (k, out) in out.chunks_exact_mut(inner).enumerate() {
                            out.iter_mut().zip(window[k..].iter().step_by(size)).for_each(|(out, &x)| *out = x);
                        }
                    }
                }
            };
        }
        out.fill(T::of(0.0));
        if inner == 0 || size == 0 {
            return;
        }
        for (o, window) in elements.chunks_exact(inner * size).enumerate() {
            for k in 0..size {
                let start = (o * step + k * dilation) * inner;
                for (out, x) in out[start..start + inner].iter_mut().zip(window.chunks_exact(size)) {
                    *out = out.plus(x[k]);
                }
            }
        }
    }
}

/// Takes windows of `N` elements at each of `inner` places apart, element by element.
#[inline(always)]
fn sort<T: Number, const N: usize>(elements: &[T], inner: usize, out: &mut [T]) {
    for (out, window) in out.chunks_exact_mut(N * inner).zip(elements.chunks_exact(N * inner)) {
        for (k, out) in out.chunks_exact_mut(inner).enumerate() {
            for (out, x) in out.iter_mut().zip(window.chunks_exact(N)) {
                *out = x[k];
            }
        }
    }
}

/// As [`sort`], for windows of two at two places.
#[inline(always)]
fn sort_squares<T: Number>(elements: &[T], out: &mut [T]) {
    for (out, window) in out.chunks_exact_mut(4).zip(elements.chunks_exact(4)) {
        out.copy_from_slice(&[window[0], window[2], window[1], window[3]]);
    }
}
