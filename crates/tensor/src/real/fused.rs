//! `f32` on processors that add to products without rounding them first.

use super::{Number, Real, single};
use bytemuck::{Pod, Zeroable};
#[cfg(target_arch = "x86_64")]
use std::any::TypeId;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// An `f32` whose functions of analysis use fused multiply-adds inside.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Pod, Zeroable)]
#[repr(transparent)]
pub struct Fused(pub f32);

impl From<f32> for Fused {
    #[inline(always)]
    fn from(x: f32) -> Self {
        Fused(x)
    }
}

impl From<Fused> for f32 {
    #[inline(always)]
    fn from(x: Fused) -> Self {
        x.0
    }
}

macro_rules! operators {
    ($($trait:ident $name:ident)*) => {$(
        impl $trait for Fused {
            type Output = Self;
            #[inline(always)]
            fn $name(self, other: Self) -> Self { Fused($trait::$name(self.0, other.0)) }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

impl Neg for Fused {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Fused(-self.0)
    }
}

/// Writes methods that are `f32`'s, and those that are functions of `single`.
macro_rules! methods {
    (one: $trait:ident $($one:ident)*; two: $($two:ident)*; own: $($own:ident)*) => {
        $(#[inline(always)]
        fn $one(self) -> Self { Fused($trait::$one(self.0)) })*
        $(#[inline(always)]
        fn $two(self, other: Self) -> Self { Fused($trait::$two(self.0, other.0)) })*
        $(#[inline(always)]
        fn $own(self) -> Self { Fused(single::$own::<single::Fused>(self.0)) })*
    };
}

impl Number for Fused {
    #[inline(always)]
    fn of(value: f64) -> Self {
        Fused(f32::of(value))
    }
    methods!(one: Number negated magnitude signum_or_zero; two: plus minus times over modulo larger smaller; own:);
}

impl Real for Fused {
    methods!(one: Real sqrt sin cos tan asin acos atan sinh cosh floor ceil round trunc; two: powf atan2;
        own: exp exp2 exp_m1 ln log2 ln_1p tanh sigmoid erf);
}

/// Whether these instructions add to products without rounding them first. It is known where a loop is compiled.
#[inline(always)]
pub fn fuses<S: pulp::Simd>() -> bool {
    #[cfg(target_arch = "x86_64")]
    let known = [TypeId::of::<pulp::x86::V3>(), TypeId::of::<pulp::x86::V4>()].contains(&TypeId::of::<S>());
    #[cfg(not(target_arch = "x86_64"))]
    let known = cfg!(target_arch = "aarch64");
    known
}
