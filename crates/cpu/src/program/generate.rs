//! What comes from no input: constants, ranges and random numbers.

use super::unsupported;
use super::window::Window;
use crate::simd::{Kernel, vectorised};
use bytemuck::Pod;
use std::mem::take;
use std::ops::Range;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Random;
use wgrad_tensor::random::{normal_f32, normal_f64, philox, uniform_f32, uniform_f64};

/// Repeats an element's bytes.
pub fn splat(element: &[u8], out: &mut [u8]) {
    fn fill<T: Pod>(element: &[u8], out: &mut [u8]) {
        let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
        vectorised(Repeat(bytemuck::try_pod_read_unaligned(element).unwrap_or(T::zeroed()), out));
    }
    match element.len() {
        1 => fill::<u8>(element, out),
        2 => fill::<u16>(element, out),
        4 => fill::<u32>(element, out),
        _ => fill::<u64>(element, out),
    }
}

struct Repeat<'a, T>(T, &'a mut [T]);

impl<T: Pod> Kernel for Repeat<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.1.fill(self.0);
    }
}

/// What makes elements from their positions.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    scalars: [Scalar; 2],
    fill: fn([Scalar; 2], u64, u64, &mut [u8]),
}

impl Generator {
    /// `start + step * position`.
    pub fn arange(start: Scalar, step: Scalar, dtype: DType) -> Result<Self, Problem> {
        let fill = match dtype {
            DType::F32 => fill::<RealLine, f32>,
            DType::F64 => fill::<RealLine, f64>,
            DType::I32 | DType::U32 => fill::<WholeLine, u32>,
            DType::U8 => fill::<WholeLine, u8>,
            DType::F16 | DType::BF16 | DType::Bool => return Err(unsupported("arange", dtype)),
        };
        Ok(Generator { scalars: [start, step], fill })
    }

    /// Random numbers.
    pub fn random(kind: Random, seed: Scalar, stream: Scalar, dtype: DType) -> Result<Self, Problem> {
        let fill = match (kind, dtype) {
            (Random::Bits, DType::U32) => fill::<Bits, u32>,
            (Random::Uniform, DType::F32) => fill::<Uniform, f32>,
            (Random::Uniform, DType::F64) => fill::<Uniform, f64>,
            (Random::Normal, DType::F32) => fill::<Normal, f32>,
            (Random::Normal, DType::F64) => fill::<Normal, f64>,
            _ => return Err(unsupported("a random number", dtype)),
        };
        Ok(Generator { scalars: [seed, stream], fill })
    }

    /// Makes a tile's elements, at the positions that a window gives.
    pub fn fill(&self, window: &Window, range: Range<usize>, mut out: &mut [u8]) {
        let size = out.len() / range.len().max(1);
        window.runs(range, |first, step, length| {
            let (now, later) = take(&mut out).split_at_mut(length * size);
            out = later;
            match step {
                0 if length > 1 => {
                    let mut element = [0u64];
                    let element = &mut bytemuck::bytes_of_mut(&mut element)[..size];
                    (self.fill)(self.scalars, first as u64, 0, element);
                    splat(element, now);
                }
                _ => (self.fill)(self.scalars, first as u64, step as u64, now),
            }
        });
    }
}

/// A function of two scalars and a position.
trait Positional<T>: Copy {
    fn new(scalars: [Scalar; 2]) -> Self;
    fn at(self, position: u64) -> T;
}

/// `start + step * position`, of real numbers.
#[derive(Clone, Copy)]
struct RealLine(f64, f64);
/// `start + step * position`, of whole numbers that wrap.
#[derive(Clone, Copy)]
struct WholeLine(i64, i64);
/// Random bits of a seed and a stream.
#[derive(Clone, Copy)]
struct Bits(u64, u64);
/// Random floats in [0, 1).
#[derive(Clone, Copy)]
struct Uniform(u64, u64);
/// Random floats from the standard normal distribution.
#[derive(Clone, Copy)]
struct Normal(u64, u64);

macro_rules! positional {
    ($($kind:ident, $read:ident => $t:ty: |$a:ident, $b:ident, $i:ident| $value:expr;)*) => {$(
        impl Positional<$t> for $kind {
            fn new([a, b]: [Scalar; 2]) -> Self {
                $kind(a.$read(), b.$read())
            }
            #[inline(always)]
            fn at(self, $i: u64) -> $t {
                let $kind($a, $b) = self;
                $value
            }
        }
    )*};
}
positional! {
    RealLine, as_f64 => f32: |start, step, i| (start + step * i as f64) as f32;
    RealLine, as_f64 => f64: |start, step, i| start + step * i as f64;
    WholeLine, as_i64 => u32: |start, step, i| start.wrapping_add(step.wrapping_mul(i as i64)) as u32;
    WholeLine, as_i64 => u8: |start, step, i| start.wrapping_add(step.wrapping_mul(i as i64)) as u8;
    Bits, as_bits => u32: |seed, stream, i| philox(seed, stream, i)[0];
    Uniform, as_bits => f32: |seed, stream, i| uniform_f32(&philox(seed, stream, i));
    Uniform, as_bits => f64: |seed, stream, i| uniform_f64(&philox(seed, stream, i));
    Normal, as_bits => f32: |seed, stream, i| normal_f32(&philox(seed, stream, i));
    Normal, as_bits => f64: |seed, stream, i| normal_f64(&philox(seed, stream, i));
}

fn fill<P: Positional<T>, T: Pod>(scalars: [Scalar; 2], first: u64, step: u64, out: &mut [u8]) {
    let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
    vectorised(Fill { value: P::new(scalars), first, step, out });
}

struct Fill<'a, P, T> {
    value: P,
    first: u64,
    step: u64,
    out: &'a mut [T],
}

impl<P: Positional<T>, T: Pod> Kernel for Fill<'_, P, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        if self.step == 1 {
            for (i, out) in self.out.iter_mut().enumerate() {
                *out = self.value.at(self.first + i as u64);
            }
            return;
        }
        let mut position = self.first;
        for out in self.out {
            *out = self.value.at(position);
            position = position.wrapping_add(self.step);
        }
    }
}
