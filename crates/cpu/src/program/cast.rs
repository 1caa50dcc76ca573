//! Casts between every two dtypes, as Rust's `as` has them: saturating, NaN is 0, and bool asks whether it is not 0.

use crate::simd::{Kernel, vectorised};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::elementwise::Loop;

/// The loop that casts.
pub fn between(from: DType, to: DType) -> Loop {
    match (from, to) {
        (DType::F16, DType::F32) => |inputs, out| with(inputs, out, |x: &[f16], out| x.convert_to_f32_slice(out)),
        (DType::BF16, DType::F32) => |inputs, out| with(inputs, out, |x: &[bf16], out| x.convert_to_f32_slice(out)),
        (DType::F32, DType::F16) => |inputs, out| with(inputs, out, |x, out: &mut [f16]| out.convert_from_f32_slice(x)),
        (DType::F32, DType::BF16) => {
            |inputs, out| with(inputs, out, |x, out: &mut [bf16]| out.convert_from_f32_slice(x))
        }
        _ => match from {
            DType::F32 => to_any::<f32>(to),
            DType::F64 => to_any::<f64>(to),
            DType::F16 => to_any::<f16>(to),
            DType::BF16 => to_any::<bf16>(to),
            DType::I32 => to_any::<i32>(to),
            DType::U32 => to_any::<u32>(to),
            DType::U8 => to_any::<u8>(to),
            DType::Bool => to_any::<Truth>(to),
        },
    }
}

fn to_any<A: Wide + To<f32> + To<f64> + To<f16> + To<bf16> + To<i32> + To<u32> + To<u8> + To<Truth>>(
    to: DType,
) -> Loop {
    match to {
        DType::F32 => cast::<A, f32>,
        DType::F64 => cast::<A, f64>,
        DType::F16 => cast::<A, f16>,
        DType::BF16 => cast::<A, bf16>,
        DType::I32 => cast::<A, i32>,
        DType::U32 => cast::<A, u32>,
        DType::U8 => cast::<A, u8>,
        DType::Bool => cast::<A, Truth>,
    }
}

fn with<A: Pod, B: Pod>(inputs: &[&[u8]], out: &mut [u8], f: impl Fn(&[A], &mut [B])) {
    let [input] = *inputs else { return };
    if let (Ok(input), Ok(out)) = (bytemuck::try_cast_slice(input), bytemuck::try_cast_slice_mut(out)) {
        f(input, out);
    }
}

fn cast<A: To<B>, B: Pod>(inputs: &[&[u8]], out: &mut [u8]) {
    with(inputs, out, |x, out| vectorised(Cast::<A, B> { x, out }));
}

struct Cast<'a, A, B> {
    x: &'a [A],
    out: &'a mut [B],
}

impl<A: To<B>, B: Pod> Kernel for Cast<'_, A, B> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = x.to();
        }
    }
}

/// A bool's byte.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(transparent)]
struct Truth(u8);

/// A type whose values a wide one holds.
trait Wide: Pod {}

/// A type that casts to another.
trait To<B>: Pod {
    fn to(self) -> B;
}

/// The neighbouring `f32` with an odd last bit where `x` is not one itself, so that rounding it again rounds `x` right.
#[inline(always)]
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    let bits = near.to_bits();
    if f64::from(near) == x || near.is_nan() || bits & 1 == 1 {
        return near;
    }
    f32::from_bits(if f64::from(near).abs() < x.abs() { bits + 1 } else { bits - 1 })
}

macro_rules! plain {
    ($($a:ty: $($b:ty),*;)*) => {$(
        impl Wide for $a {}
        $(impl To<$b> for $a {
            #[inline(always)]
            fn to(self) -> $b { self as $b }
        })*
        impl To<f16> for $a {
            #[inline(always)]
            fn to(self) -> f16 { f16::from_f32(to_odd(self as f64)) }
        }
        impl To<bf16> for $a {
            #[inline(always)]
            fn to(self) -> bf16 { bf16::from_f32(to_odd(self as f64)) }
        }
        impl To<Truth> for $a {
            #[inline(always)]
            fn to(self) -> Truth { Truth((self != (0 as $a)) as u8) }
        }
    )*};
}
plain! {
    f32: f32, f64, i32, u32, u8;
    f64: f32, f64, i32, u32, u8;
    i32: f32, f64, i32, u32, u8;
    u32: f32, f64, i32, u32, u8;
    u8: f32, f64, i32, u32, u8;
}

macro_rules! through {
    ($($a:ty, |$x:ident| $wide:expr => $($b:ty),*;)*) => {$(
        impl Wide for $a {}
        $(impl To<$b> for $a {
            #[inline(always)]
            fn to(self) -> $b {
                let $x = self;
                $wide.to()
            }
        })*
    )*};
}
through! {
    f16, |x| x.to_f32() => f32, f64, f16, bf16, i32, u32, u8, Truth;
    bf16, |x| x.to_f32() => f32, f64, f16, bf16, i32, u32, u8, Truth;
    Truth, |x| (x.0 != 0) as u8 => f32, f64, f16, bf16, i32, u32, u8, Truth;
}
