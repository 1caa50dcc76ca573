//! Functions of `f32` without branches or calls, so that a loop over them becomes vector instructions.
//!
//! Each reduces its argument to a short interval and evaluates a polynomial there: a minimax fit of the relative error,
//! by Remez' algorithm. Where the processor adds to products without rounding them first, it does. The tests hold the
//! errors of both.

use std::f32::consts::{LN_2, LOG2_E};

/// Adding it to a float of magnitude below 2^22 rounds that to a whole number, which stands in the sum's low bits.
const ROUNDER: f32 = 12_582_912.0;
/// `ln 2` in two parts; the first has so few bits that multiples of it are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below, `e^x` is 0; above, infinite. Between them exponents stay in range.
const EXP_RANGE: (f32, f32) = (-105.0, 89.0);
/// Below, odd functions with slope 1 at 0 are their argument.
const TINY: f32 = 1e-10;

/// How to add to a product.
pub trait MulAdd {
    /// `x * y + z`.
    fn mul_add(x: f32, y: f32, z: f32) -> f32;
}

/// With two roundings: every processor can.
pub struct Rounded;

impl MulAdd for Rounded {
    #[inline(always)]
    fn mul_add(x: f32, y: f32, z: f32) -> f32 {
        x * y + z
    }
}

/// With one rounding: quick only where there is an instruction for it.
pub struct Fused;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(x: f32, y: f32, z: f32) -> f32 {
        x.mul_add(y, z)
    }
}

/// The polynomial with these coefficients, the constant one first.
#[inline(always)]
fn polynomial<M: MulAdd, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for &coefficient in coefficients.iter().rev() {
        sum = M::mul_add(sum, x, coefficient);
    }
    sum
}

/// `x` or the nearer end of a range; NaN stays.
#[inline(always)]
fn clamp(x: f32, (low, high): (f32, f32)) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// `2^n` for `n` in -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The whole number nearest to `x`, and as an integer.
#[inline(always)]
fn round(x: f32) -> (f32, i32) {
    let sum = x + ROUNDER;
    (sum - ROUNDER, (sum.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32))
}

/// The whole number nearest to `x`, for `x` in -252 to 254, and two powers of two whose product is 2 to that number: which
/// may be out of range itself.
#[inline(always)]
fn round_to_powers(x: f32) -> (f32, [f32; 2]) {
    // The sum's low bits are the number and twice the exponents' bias, so either half of them is an exponent's bits.
    const ROUNDER_AND_BIASES: f32 = ROUNDER + 254.0;
    let sum = x + ROUNDER_AND_BIASES;
    let half = sum.to_bits() >> 1;
    let powers = [half, sum.to_bits() - half].map(|exponent| f32::from_bits(exponent << 23));
    (sum - ROUNDER_AND_BIASES, powers)
}

/// `x - n ln 2`.
#[inline(always)]
fn less_ln_2<M: MulAdd>(x: f32, n: f32) -> f32 {
    M::mul_add(-n, LN_2_LOW, M::mul_add(-n, LN_2_HIGH, x))
}

/// `e^x`.
#[inline(always)]
pub fn exp<M: MulAdd>(x: f32) -> f32 {
    let x = clamp(x, EXP_RANGE);
    let (n, [half, rest]) = round_to_powers(x * LOG2_E);
    let r = less_ln_2::<M>(x, n);
    // Terms that do not wait for each other: a long chain of them would be most of the time.
    let r2 = r * r;
    let low = M::mul_add(0.166_665_2, r, 0.499_999_94);
    let middle = M::mul_add(0.008_368_781, r, 0.041_668_393);
    let q = M::mul_add(M::mul_add(0.001_381_446_4, r2, middle), r2, low);
    (M::mul_add(r2, q, r) + 1.0) * half * rest
}

/// `2^x`.
#[inline(always)]
pub fn exp2<M: MulAdd>(x: f32) -> f32 {
    let x = clamp(x, (-151.0, 129.0));
    let (n, [half, rest]) = round_to_powers(x);
    let r = x - n;
    let q = polynomial::<M, _>(r, [LN_2, 0.240_226_48, 0.055_503_32, 0.009_618_439, 0.001_339_900_3, 0.000_153_532_63]);
    M::mul_add(r, q, 1.0) * half * rest
}

/// `e^x - 1`, exact near 0.
#[inline(always)]
pub fn exp_m1<M: MulAdd>(x: f32) -> f32 {
    let x = clamp(x, (-25.0, EXP_RANGE.1));
    let (whole, n) = round(x * LOG2_E);
    let r = less_ln_2::<M>(x, whole);
    let q = polynomial::<M, _>(r, [0.5, 0.166_666_66, 0.041_666_36, 0.008_333_39, 0.001_394_072, 0.000_198_458_86]);
    let near = M::mul_add(r * r, q, r);
    // 2^n (near + 1) - 1; half of it, since 2^n may not fit.
    let half = power_of_two(n.wrapping_sub(1));
    let y = 2.0 * (half * near + (half - 0.5));
    if x.abs() < TINY { x } else { y }
}

/// `e` and `f` with `x = 2^e (1 + f)`, `f` between sqrt(1/2) - 1 and sqrt(2) - 1, for positive finite `x`.
#[inline(always)]
fn exponent(x: f32) -> (f32, f32) {
    const LOWEST: i32 = 0x3f35_04f3; // sqrt(1/2)
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let bits = (scaled.to_bits() as i32).wrapping_sub(LOWEST);
    let exponent = (bits >> 23) as f32 - if subnormal { 23.0 } else { 0.0 };
    (exponent, f32::from_bits(((bits & 0x007f_ffff) + LOWEST) as u32) - 1.0)
}

/// `ln(1 + f) - f` for `f` as [`exponent`] gives it.
#[inline(always)]
fn ln_bend<M: MulAdd>(f: f32) -> f32 {
    let p = polynomial::<M, _>(
        f,
        [
            0.333_333_13,
            -0.250_000_1,
            0.200_021_24,
            -0.166_680_05,
            0.142_194_54,
            -0.124_053_46,
            0.118_886_95,
            -0.116_774_78,
            0.067_476_88,
        ],
    );
    f * (f * f) * p
}

/// A logarithm `y` of positive finite `x`, or what it is of any other.
#[inline(always)]
fn logarithm(x: f32, y: f32) -> f32 {
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 { f32::NAN } else { y }
}

/// The natural logarithm.
#[inline(always)]
pub fn ln<M: MulAdd>(x: f32) -> f32 {
    let (e, f) = exponent(x);
    let y = ln_bend::<M>(f) + e * LN_2_LOW - 0.5 * (f * f);
    logarithm(x, f + y + e * LN_2_HIGH)
}

/// The logarithm of base 2.
#[inline(always)]
pub fn log2<M: MulAdd>(x: f32) -> f32 {
    const BEYOND_ONE: f32 = 0.442_695_05; // log2(e) - 1
    let (e, f) = exponent(x);
    let y = ln_bend::<M>(f) - 0.5 * (f * f);
    logarithm(x, y * BEYOND_ONE + f * BEYOND_ONE + y + f + e)
}

/// `ln(1 + x)`, exact near 0.
#[inline(always)]
pub fn ln_1p<M: MulAdd>(x: f32) -> f32 {
    let u = 1.0 + x;
    // What the sum rounded off.
    let rest = (x - (u - 1.0)) / u;
    let rest = if u > 0.0 && u < f32::INFINITY { rest } else { 0.0 };
    if x.abs() < TINY { x } else { ln::<M>(u) + rest }
}

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh<M: MulAdd>(x: f32) -> f32 {
    let t = exp_m1::<M>(-2.0 * x.abs());
    (-t / (2.0 + t)).copysign(x)
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid<M: MulAdd>(x: f32) -> f32 {
    let e = exp::<M>(-x.abs());
    let y = 1.0 / (1.0 + e);
    if x < 0.0 { e * y } else { y }
}

/// The error function.
#[inline(always)]
pub fn erf<M: MulAdd>(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let p = polynomial::<M, _>(
        s,
        [0.128_379_17, -0.376_126_32, 0.112_836_875, -0.026_858_94, 0.005_199_907, -0.000_813_001_3, 8.316_777e-5],
    );
    let near = M::mul_add(a, p, a);
    // ln(1 - erf) is nearly a parabola; from 4 on erf is 1.
    let t = clamp(a, (0.0, 4.0));
    let q = polynomial::<M, _>(
        t,
        [
            0.000_169_204_59,
            -1.129_488_4,
            -0.633_400_86,
            -0.108_220_376,
            0.025_080_61,
            -0.004_156_252_4,
            0.000_431_393,
            -2.082_856_6e-5,
        ],
    );
    let far = 1.0 - exp::<M>(q);
    (if a < 0.92 { near } else { far }).copysign(x)
}

/// The cosine of `2 pi x`, for `x` in 0 to 1.
#[inline(always)]
pub fn cos_of_turn<M: MulAdd>(x: f32) -> f32 {
    // A quarter of a turn away it is a sine, between -1/4 and 1/4.
    let c = 0.25 - (x - round(x).0).abs();
    c * polynomial::<M, _>(c * c, [6.283_185_5, -41.341_7, 81.605_225, -76.704_17, 42.007_797, -14.381_392_5])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of `f` in units in the last place of the exact result, which may be rounded to be subnormal.
    fn error(f: fn(f32) -> f32, exact: fn(f64) -> f64, x: f32) -> f64 {
        let (found, exact) = (f(x), exact(f64::from(x)));
        let nearest = exact as f32;
        if found.to_bits() == nearest.to_bits() || found.is_nan() && exact.is_nan() {
            return 0.0;
        }
        if !found.is_finite() || !nearest.is_finite() {
            // One of them overflowed: the other must be at the edge.
            let edge = found.is_nan() || nearest.is_nan() || found.abs().min(nearest.abs()) < 3.402_823e38;
            return if edge { f64::INFINITY } else { 1.0 };
        }
        let ulp = f64::from(f32::from_bits(nearest.abs().to_bits() + 1)) - f64::from(nearest.abs());
        (f64::from(found) - exact).abs() / ulp
    }

    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64) -> (f64, f32) {
        // A step that is prime to all powers of two visits every exponent at ever different mantissas.
        let step = if std::env::var_os("WGRAD_TEST_EVERY_FLOAT").is_some() { 1 } else { 2_003 };
        let every = (0..=u32::MAX).step_by(step).map(f32::from_bits);
        let special =
            [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 1e-45, f32::MAX];
        let errors = every.chain(special).map(|x| (error(f, exact, x), x));
        errors.fold((0.0, 0.0), |worst, one| if one.0 > worst.0 { one } else { worst })
    }

    #[test]
    fn errors_are_small_everywhere() {
        type Function = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);
        let functions: [Function; 18] = [
            ("exp, rounded", exp::<Rounded>, f64::exp, 1.0),
            ("exp2, rounded", exp2::<Rounded>, f64::exp2, 1.5),
            ("exp_m1, rounded", exp_m1::<Rounded>, f64::exp_m1, 2.0),
            ("ln, rounded", ln::<Rounded>, f64::ln, 1.0),
            ("log2, rounded", log2::<Rounded>, f64::log2, 2.0),
            ("ln_1p, rounded", ln_1p::<Rounded>, f64::ln_1p, 2.0),
            ("tanh, rounded", tanh::<Rounded>, f64::tanh, 3.0),
            (
                "sigmoid, rounded",
                sigmoid::<Rounded>,
                |x| (if x < 0.0 { x.exp() } else { 1.0 }) / (1.0 + (-x.abs()).exp()),
                3.0,
            ),
            ("erf, rounded", erf::<Rounded>, libm::erf, 2.0),
            ("exp, fused", exp::<Fused>, f64::exp, 1.0),
            ("exp2, fused", exp2::<Fused>, f64::exp2, 1.5),
            ("exp_m1, fused", exp_m1::<Fused>, f64::exp_m1, 2.0),
            ("ln, fused", ln::<Fused>, f64::ln, 1.0),
            ("log2, fused", log2::<Fused>, f64::log2, 2.0),
            ("ln_1p, fused", ln_1p::<Fused>, f64::ln_1p, 2.0),
            ("tanh, fused", tanh::<Fused>, f64::tanh, 3.0),
            (
                "sigmoid, fused",
                sigmoid::<Fused>,
                |x| (if x < 0.0 { x.exp() } else { 1.0 }) / (1.0 + (-x.abs()).exp()),
                3.0,
            ),
            ("erf, fused", erf::<Fused>, libm::erf, 2.0),
        ];
        let mut failed = Vec::new();
        for (name, f, exact, bound) in functions {
            let (error, x) = worst(f, exact);
            println!("{name}: {error:.3} ulp at {x:e}");
            if error > bound {
                failed.push(format!("{name}: {error:.3} ulp at {x:e}"));
            }
        }
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn cosines_of_turns() {
        for i in 0..=1 << 16 {
            let x = i as f32 / 65536.0;
            let exact = (std::f64::consts::TAU * f64::from(x)).cos();
            let error = (f64::from(cos_of_turn::<Rounded>(x)) - exact).abs();
            assert!(error <= 2e-7 * exact.abs() + 1e-15, "{x}: {} for {exact}", cos_of_turn::<Rounded>(x));
        }
    }

    #[test]
    fn whole_powers_are_exact() {
        for n in -149..128 {
            let power = 2f64.powi(n) as f32;
            assert_eq!((exp2::<Rounded>(n as f32), log2::<Fused>(power)), (power, n as f32));
        }
        assert_eq!(
            (
                exp::<Fused>(0.0),
                ln::<Fused>(1.0),
                exp_m1::<Fused>(0.0),
                tanh::<Fused>(100.0),
                erf::<Fused>(10.0),
                sigmoid::<Fused>(0.0)
            ),
            (1.0, 0.0, 0.0, 1.0, 1.0, 0.5)
        );
    }
}
