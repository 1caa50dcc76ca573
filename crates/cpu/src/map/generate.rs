//! What comes from no input: constants, ranges and random numbers.

use super::program::unsupported;
use crate::simd::vectorised;
use bytemuck::Pod;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Random;
use wgrad_tensor::random::{normal_f32, normal_f64, philox, uniform_f32, uniform_f64};

/// Repeats an element's bytes.
pub fn splat(element: &[u8], out: &mut [u8]) {
    match *element {
        [byte] => out.fill(byte),
        _ => out.chunks_exact_mut(element.len().max(1)).for_each(|out| out.copy_from_slice(element)),
    }
}

/// What makes elements from their row-major positions.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    scalars: [Scalar; 2],
    fill: Fill,
}

/// Makes elements from two scalars and the first one's position.
type Fill = fn([Scalar; 2], u64, &mut [u8]);

impl Generator {
    /// `start + step * position`.
    pub fn arange(start: Scalar, step: Scalar, dtype: DType) -> Result<Self, Problem> {
        let fill: Fill = match dtype {
            DType::F32 => |line, first, out| each(first, out, |i| real(line, i) as f32),
            DType::F64 => |line, first, out| each(first, out, |i| real(line, i)),
            DType::I32 | DType::U32 => |line, first, out| each(first, out, |i| whole(line, i) as u32),
            DType::U8 => |line, first, out| each(first, out, |i| whole(line, i) as u8),
            DType::F16 | DType::BF16 | DType::Bool => return Err(unsupported("arange", dtype)),
        };
        Ok(Generator { scalars: [start, step], fill })
    }

    /// Random numbers.
    pub fn random(kind: Random, seed: Scalar, stream: Scalar, dtype: DType) -> Result<Self, Problem> {
        let fill: Fill = match (kind, dtype) {
            (Random::Bits, DType::U32) => |key, first, out| words(key, first, out, |words| words[0]),
            (Random::Uniform, DType::F32) => |key, first, out| words(key, first, out, |words| uniform_f32(&words)),
            (Random::Uniform, DType::F64) => |key, first, out| words(key, first, out, |words| uniform_f64(&words)),
            (Random::Normal, DType::F32) => |key, first, out| words(key, first, out, |words| normal_f32(&words)),
            (Random::Normal, DType::F64) => |key, first, out| words(key, first, out, |words| normal_f64(&words)),
            _ => return Err(unsupported("a random number", dtype)),
        };
        Ok(Generator { scalars: [seed, stream], fill })
    }

    /// Makes the elements from position `first` on.
    pub fn fill(&self, first: u64, out: &mut [u8]) {
        (self.fill)(self.scalars, first, out);
    }
}

#[inline]
fn real([start, step]: [Scalar; 2], i: u64) -> f64 {
    start.as_f64() + step.as_f64() * i as f64
}

#[inline]
fn whole([start, step]: [Scalar; 2], i: u64) -> i64 {
    start.as_i64().wrapping_add(step.as_i64().wrapping_mul(i as i64))
}

fn words<T: Pod>([seed, stream]: [Scalar; 2], first: u64, out: &mut [u8], f: impl Fn([u32; 4]) -> T) {
    let (seed, stream) = (seed.as_bits(), stream.as_bits());
    each(first, out, |i| f(philox(seed, stream, i)));
}

fn each<T: Pod>(first: u64, out: &mut [u8], f: impl Fn(u64) -> T) {
    let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
    vectorised(numbered, (first, out, f));
}

#[inline(always)]
fn numbered<T, F: Fn(u64) -> T>((first, out, f): (u64, &mut [T], F)) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(first + i as u64);
    }
}
