//! Vectors of a float, whatever the machine calls them.

use crate::gemm::Float;
use pulp::Simd;

/// A float that comes in vectors.
pub trait Lanes: Float {
    /// A vector.
    type Vector<S: Simd>: Copy;

    /// Elements of a vector.
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;

    /// `a * b + c`.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    /// All lanes added up.
    fn sum<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;

    /// A slice as vectors; a rest is left out.
    fn vectors<S: Simd>(from: &[Self]) -> &[Self::Vector<S>];

    /// A slice as vectors to write.
    fn vectors_mut<S: Simd>(to: &mut [Self]) -> &mut [Self::Vector<S>];
}

impl Lanes for f32 {
    type Vector<S: Simd> = S::f32s;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f32) -> S::f32s {
        simd.splat_f32s(x)
    }
    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, c)
    }
    #[inline(always)]
    fn sum<S: Simd>(simd: S, x: S::f32s) -> f32 {
        simd.reduce_sum_f32s(x)
    }
    #[inline(always)]
    fn vectors<S: Simd>(from: &[f32]) -> &[S::f32s] {
        S::as_simd_f32s(from).0
    }
    #[inline(always)]
    fn vectors_mut<S: Simd>(to: &mut [f32]) -> &mut [S::f32s] {
        S::as_mut_simd_f32s(to).0
    }
}

impl Lanes for f64 {
    type Vector<S: Simd> = S::f64s;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f64) -> S::f64s {
        simd.splat_f64s(x)
    }
    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, c)
    }
    #[inline(always)]
    fn sum<S: Simd>(simd: S, x: S::f64s) -> f64 {
        simd.reduce_sum_f64s(x)
    }
    #[inline(always)]
    fn vectors<S: Simd>(from: &[f64]) -> &[S::f64s] {
        S::as_simd_f64s(from).0
    }
    #[inline(always)]
    fn vectors_mut<S: Simd>(to: &mut [f64]) -> &mut [S::f64s] {
        S::as_mut_simd_f64s(to).0
    }
}
