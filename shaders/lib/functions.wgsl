// Functions that WGSL lacks, or that its drivers get wrong at the ends.

// e^x - 1, exact near 0.
fn expm1(x: f32) -> f32 {
    if abs(x) > 0.5 {
        return exp(x) - 1.0;
    }
    var sum = 2.7557319e-6;
    sum = fma(sum, x, 2.4801587e-5);
    sum = fma(sum, x, 1.9841270e-4);
    sum = fma(sum, x, 1.3888889e-3);
    sum = fma(sum, x, 8.3333333e-3);
    sum = fma(sum, x, 4.1666667e-2);
    sum = fma(sum, x, 1.6666667e-1);
    sum = fma(sum, x, 0.5);
    return fma(sum * x, x, x);
}

// ln(1 + x), exact near 0: 2 atanh(x / (2 + x)).
fn log1p(x: f32) -> f32 {
    if abs(x) > 0.5 {
        return log(1.0 + x);
    }
    let s = x / (2.0 + x);
    let t = s * s;
    var sum = 0.076923077;
    sum = fma(sum, t, 0.090909091);
    sum = fma(sum, t, 0.11111111);
    sum = fma(sum, t, 0.14285714);
    sum = fma(sum, t, 0.2);
    sum = fma(sum, t, 0.33333333);
    return 2.0 * fma(sum * t, s, s);
}

// tanh without overflow: drivers divide infinity by infinity where |x| is large.
fn tanh_safe(x: f32) -> f32 {
    let t = expm1(-2.0 * abs(x));
    let y = -t / (t + 2.0);
    return select(y, -y, x < 0.0);
}

// The error function, within one ulp or so (coefficients by N. Juffa).
fn erf(x: f32) -> f32 {
    let s = x * x;
    if abs(x) > 0.927734375 {
        let t = min(abs(x), 10.0);
        let u = t * t;
        var r = fma(-1.72853470e-5, t, 3.83197126e-4);
        r = fma(r, u, fma(-3.88396438e-3, t, 2.42546219e-2));
        r = fma(r, t, -1.06777877e-1);
        r = fma(r, t, -6.34846687e-1);
        r = fma(r, t, -1.28717512e-1);
        r = 1.0 - exp(fma(r, t, -t));
        return select(r, -r, x < 0.0);
    }
    var r = -5.96761703e-4;
    r = fma(r, s, 4.99119423e-3);
    r = fma(r, s, -2.67681349e-2);
    r = fma(r, s, 1.12819925e-1);
    r = fma(r, s, -3.76125336e-1);
    r = fma(r, s, 1.28379166e-1);
    return fma(r, x, x);
}

// x times the normal distribution's mass below x, and the slope of that.
fn gelu(x: f32) -> f32 {
    return x * 0.5 * (1.0 + erf(x * 0.70710678));
}

fn gelu_slope(x: f32) -> f32 {
    return 0.5 * (1.0 + erf(x * 0.70710678)) + x * 0.39894228 * exp(-0.5 * x * x);
}

// x^y as C has it: negative bases take whole exponents, and small whole exponents are products.
fn pow_real(x: f32, y: f32) -> f32 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if is_nan_f32(x) || is_nan_f32(y) {
        return nan_f32();
    }
    let whole = trunc(y) == y;
    if whole && abs(y) <= 64.0 {
        var left = u32(abs(y));
        var square = x;
        var product = 1.0;
        while left != 0u {
            product *= select(1.0, square, (left & 1u) != 0u);
            square *= square;
            left >>= 1u;
        }
        return select(product, 1.0 / product, y < 0.0);
    }
    // 1 to an infinite power would be the exponential of 0 times infinity.
    let power = select(pow(abs(x), y), 1.0, abs(x) == 1.0);
    if (bitcast<u32>(x) >> 31u) == 0u {
        return power;
    }
    if !whole {
        return select(nan_f32(), power, x == 0.0 || !is_finite_f32(x));
    }
    let odd = abs(y) < 16777216.0 && (u32(abs(y)) & 1u) != 0u;
    return select(power, -power, odd);
}

// The inverse functions of the angle, within a few ulp: drivers are off by as much as 2^-11. Polynomials from Cephes.

// asin for |x| <= 1/2.
fn asin_half(x: f32) -> f32 {
    let z = x * x;
    var sum = 4.2163199048e-2;
    sum = fma(sum, z, 2.4181311049e-2);
    sum = fma(sum, z, 4.5470025998e-2);
    sum = fma(sum, z, 7.4953002686e-2);
    sum = fma(sum, z, 1.6666752422e-1);
    return fma(sum * z, x, x);
}

fn asin_real(x: f32) -> f32 {
    if abs(x) <= 0.5 {
        return asin_half(x);
    }
    let y = 1.5707963 - 2.0 * asin_half(sqrt((1.0 - abs(x)) * 0.5));
    return select(y, -y, x < 0.0);
}

fn acos_real(x: f32) -> f32 {
    if abs(x) <= 0.5 {
        return 1.5707963 - asin_half(x);
    }
    let y = 2.0 * asin_half(sqrt((1.0 - abs(x)) * 0.5));
    return select(y, 3.1415927 - y, x < 0.0);
}

// atan for 0 <= x <= 1.
fn atan_unit(x: f32) -> f32 {
    let far = x > 0.41421356;
    let t = select(x, (x - 1.0) / (x + 1.0), far);
    let z = t * t;
    var sum = 8.05374449538e-2;
    sum = fma(sum, z, -1.38776856032e-1);
    sum = fma(sum, z, 1.99777106478e-1);
    sum = fma(sum, z, -3.33329491539e-1);
    let y = fma(sum * z, t, t);
    return select(y, y + 0.78539816, far);
}

fn atan_real(x: f32) -> f32 {
    let t = abs(x);
    if is_nan_f32(x) {
        return x;
    }
    let y = select(atan_unit(min(t, 1.0)), 1.5707963 - atan_unit(1.0 / max(t, 1.0)), t > 1.0);
    return select(y, -y, x < 0.0);
}

// The angle of the point (x, y), with the signs of zeros and infinities as in C.
fn atan2_real(y: f32, x: f32) -> f32 {
    if is_nan_f32(x) || is_nan_f32(y) {
        return nan_f32();
    }
    let a = abs(y);
    let b = abs(x);
    var t = min(a, b) / max(a, b);
    if a == b {
        t = select(1.0, 0.0, a == 0.0);
    }
    var angle = atan_unit(t);
    angle = select(angle, 1.5707963 - angle, a > b);
    angle = select(angle, 3.1415927 - angle, (bitcast<u32>(x) >> 31u) != 0u);
    return select(angle, -angle, (bitcast<u32>(y) >> 31u) != 0u);
}
