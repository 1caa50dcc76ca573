//! The arithmetic that elementwise rows are written in.

mod fused;
pub(crate) mod single;

pub use fused::{Fused, fuses};
use single::Rounded;

/// A number that tensors compute with.
pub trait Number: bytemuck::Pod + PartialOrd + Send + Sync {
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// `self + other`, wrapping.
    fn plus(self, other: Self) -> Self;
    /// `self - other`, wrapping.
    fn minus(self, other: Self) -> Self;
    /// `self * other`, wrapping.
    fn times(self, other: Self) -> Self;
    /// `self / other`; whole numbers round towards zero, and give 0 for a zero divisor.
    fn over(self, other: Self) -> Self;
    /// The remainder with the sign of `other`, as Python and PyTorch have it; 0 for a whole zero divisor.
    fn modulo(self, other: Self) -> Self;
    /// The larger; NaN if either is.
    fn larger(self, other: Self) -> Self;
    /// The smaller; NaN if either is.
    fn smaller(self, other: Self) -> Self;
    /// `-self`, wrapping.
    fn negated(self) -> Self;
    /// The magnitude, wrapping.
    fn magnitude(self) -> Self;
    /// -1, 0 or 1; NaN for NaN.
    fn signum_or_zero(self) -> Self;
}

macro_rules! integer {
    ($($t:ty, $negated:expr, $magnitude:expr);*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn of(value: f64) -> Self { value as $t }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn over(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_div(other) } }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one body serves signed and unsigned")]
            fn modulo(self, other: Self) -> Self {
                if other == 0 { return 0; }
                let rest = self.wrapping_rem(other);
                if rest != 0 && ((rest < 0) != (other < 0)) { rest.wrapping_add(other) } else { rest }
            }
            #[inline(always)]
            fn larger(self, other: Self) -> Self { self.max(other) }
            #[inline(always)]
            fn smaller(self, other: Self) -> Self { self.min(other) }
            #[inline(always)]
            fn negated(self) -> Self { self.wrapping_neg() }
            #[inline(always)]
            fn magnitude(self) -> Self { ($magnitude)(self) }
            #[inline(always)]
            fn signum_or_zero(self) -> Self { ($negated)(self) }
        }
    )*};
}
integer!(i32, i32::signum, i32::wrapping_abs; u32, |x: u32| x.min(1), |x: u32| x);

macro_rules! real_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn of(value: f64) -> Self { value as $t }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self - other }
            #[inline(always)]
            fn times(self, other: Self) -> Self { self * other }
            #[inline(always)]
            fn over(self, other: Self) -> Self { self / other }
            #[inline(always)]
            fn modulo(self, other: Self) -> Self {
                let rest = self % other;
                if rest != 0.0 && ((rest < 0.0) != (other < 0.0)) { rest + other } else { rest }
            }
            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                // Two steps: the first is one instruction, and gives `other` if that is NaN.
                let larger = if self > other { self } else { other };
                if self != self { self } else { larger }
            }
            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                let smaller = if self < other { self } else { other };
                if self != self { self } else { smaller }
            }
            #[inline(always)]
            fn negated(self) -> Self { -self }
            #[inline(always)]
            fn magnitude(self) -> Self { self.abs() }
            #[inline(always)]
            fn signum_or_zero(self) -> Self {
                if self > 0.0 { 1.0 } else if self < 0.0 { -1.0 } else { self }
            }
        }
    )*};
}
real_number!(f32, f64);

/// A float with the functions of analysis.
pub trait Real:
    Number
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
{
    /// `e^self`.
    fn exp(self) -> Self;
    /// `2^self`.
    fn exp2(self) -> Self;
    /// `e^self - 1`, exact near 0.
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The logarithm of base 2.
    fn log2(self) -> Self;
    /// `ln(1 + self)`, exact near 0.
    fn ln_1p(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The tangent.
    fn tan(self) -> Self;
    /// The inverse sine.
    fn asin(self) -> Self;
    /// The inverse cosine.
    fn acos(self) -> Self;
    /// The inverse tangent.
    fn atan(self) -> Self;
    /// The hyperbolic sine.
    fn sinh(self) -> Self;
    /// The hyperbolic cosine.
    fn cosh(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The logistic function `1 / (1 + e^-self)`.
    fn sigmoid(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// `self^exponent`.
    fn powf(self, exponent: Self) -> Self;
    /// The angle of the point (`x`, `self`).
    fn atan2(self, x: Self) -> Self;
    /// The largest whole number not above.
    fn floor(self) -> Self;
    /// The smallest whole number not below.
    fn ceil(self) -> Self;
    /// The nearest whole number, halves to even.
    fn round(self) -> Self;
    /// The whole number towards zero.
    fn trunc(self) -> Self;
}

/// Writes the methods that are functions of another place.
macro_rules! functions {
    ($t:ty, std: $($std:ident)*, own: $($own:ident)*) => {
        $(#[inline(always)]
        fn $std(self) -> Self { <$t>::$std(self) })*
        $(#[inline(always)]
        fn $own(self) -> Self { single::$own::<Rounded>(self) })*
        #[inline(always)]
        fn powf(self, exponent: Self) -> Self { <$t>::powf(self, exponent) }
        #[inline(always)]
        fn atan2(self, x: Self) -> Self { <$t>::atan2(self, x) }
        #[inline(always)]
        fn round(self) -> Self { self.round_ties_even() }
    };
}

impl Real for f32 {
    functions!(f32,
        std: sqrt sin cos tan asin acos atan sinh cosh floor ceil trunc,
        own: exp exp2 exp_m1 ln log2 ln_1p tanh sigmoid erf);
}

impl Real for f64 {
    functions!(f64, std: exp exp2 exp_m1 ln log2 ln_1p sqrt sin cos tan asin acos atan sinh cosh tanh floor ceil trunc, own:);
    #[inline(always)]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }
    #[inline(always)]
    fn erf(self) -> Self {
        libm::erf(self)
    }
}
