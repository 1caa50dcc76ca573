// What numbers do at the edges: NaN, infinity, division by zero, overflow. The answers are those of the CPU.

// Whether x is NaN, asked of its bits: drivers fold `x != x` to false.
fn is_nan_f32(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_nan_f64(x: f64) -> bool {
    return !(x <= f64(0.0) || x >= f64(0.0));
}

fn is_finite_f32(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

fn is_finite_f64(x: f64) -> bool {
    return abs(x) <= 1.7976931348623157e308lf;
}

// NaN. It goes through a variable because WGSL refuses it as a constant.
fn nan_f32() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// Infinity, in the same way.
fn infinity_f32() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// x != y, true where either is NaN.
fn differs_f32(x: f32, y: f32) -> bool {
    return is_nan_f32(x) || is_nan_f32(y) || x != y;
}

fn differs_f64(x: f64, y: f64) -> bool {
    return !(x == y);
}

// The larger; NaN where either is.
fn max_f32(x: f32, y: f32) -> f32 {
    return select(y, x, x > y || is_nan_f32(x));
}

fn max_f64(x: f64, y: f64) -> f64 {
    return select(y, x, x > y || is_nan_f64(x));
}

fn max_i32(x: i32, y: i32) -> i32 {
    return max(x, y);
}

fn max_u32(x: u32, y: u32) -> u32 {
    return max(x, y);
}

// The smaller; NaN where either is.
fn min_f32(x: f32, y: f32) -> f32 {
    return select(y, x, x < y || is_nan_f32(x));
}

fn min_f64(x: f64, y: f64) -> f64 {
    return select(y, x, x < y || is_nan_f64(x));
}

fn min_i32(x: i32, y: i32) -> i32 {
    return min(x, y);
}

fn min_u32(x: u32, y: u32) -> u32 {
    return min(x, y);
}

// The nearest whole number, halves to even.
fn round_f32(x: f32) -> f32 {
    return round(x);
}

// Some drivers round halves of f64 down.
fn round_f64(x: f64) -> f64 {
    let below = floor(x);
    let rest = x - below;
    let is_odd = floor(below * f64(0.5)) * f64(2.0) != below;
    return select(below, below + f64(1.0), rest > f64(0.5) || (rest == f64(0.5) && is_odd));
}

// -1, 0 or 1; x itself where it is zero or NaN.
fn sign_f32(x: f32) -> f32 {
    return select(select(x, -1.0, x < 0.0), 1.0, x > 0.0);
}

fn sign_f64(x: f64) -> f64 {
    return select(select(x, f64(-1.0), x < f64(0.0)), f64(1.0), x > f64(0.0));
}

fn sign_i32(x: i32) -> i32 {
    return sign(x);
}

fn sign_u32(x: u32) -> u32 {
    return min(x, 1u);
}

// The magnitude, wrapping.
fn abs_i32(x: i32) -> i32 {
    return select(x, negate_i32(x), x < 0);
}

fn abs_u32(x: u32) -> u32 {
    return x;
}

// -x, wrapping.
fn negate_i32(x: i32) -> i32 {
    return bitcast<i32>(~bitcast<u32>(x) + 1u);
}

fn negate_u32(x: u32) -> u32 {
    return ~x + 1u;
}

// x / y towards zero; 0 where y is 0. No operand reaches the hardware's division that it could trap on.
fn divide_i32(x: i32, y: i32) -> i32 {
    if y == -1 {
        return negate_i32(x);
    }
    return select(x / select(y, 1, y == 0), 0, y == 0);
}

fn divide_u32(x: u32, y: u32) -> u32 {
    return select(x / max(y, 1u), 0u, y == 0u);
}

// The remainder with the sign of y; 0 where y is 0.
fn modulo_i32(x: i32, y: i32) -> i32 {
    if y == 0 || y == -1 {
        return 0;
    }
    let rest = x - (x / y) * y;
    return select(rest, rest + y, rest != 0 && ((rest < 0) != (y < 0)));
}

fn modulo_u32(x: u32, y: u32) -> u32 {
    return select(x % max(y, 1u), 0u, y == 0u);
}

// x - q * y with few roundings, also where the hardware does not fuse: the halves' products are exact.
fn subtract_product_f32(x: f32, q: f32, y: f32) -> f32 {
    let q1 = bitcast<f32>(bitcast<u32>(q) & 0xfffff000u);
    let y1 = bitcast<f32>(bitcast<u32>(y) & 0xfffff000u);
    let q2 = q - q1;
    let y2 = y - y1;
    return ((x - q1 * y1) - q1 * y2 - q2 * y1) - q2 * y2;
}

// The remainder with the sign of y; exact while the quotient is below 2^24.
fn modulo_f32(x: f32, y: f32) -> f32 {
    if !is_finite_f32(x) || is_nan_f32(y) || y == 0.0 {
        return nan_f32();
    }
    var rest = x;
    if is_finite_f32(y) {
        rest = subtract_product_f32(x, trunc(x / y), y);
        // The rounded quotient may be one too far from zero, or one short.
        if rest != 0.0 && (rest < 0.0) != (x < 0.0) {
            rest += select(-abs(y), abs(y), x >= 0.0);
        } else if abs(rest) >= abs(y) {
            rest -= select(-abs(y), abs(y), x >= 0.0);
        }
    }
    return select(rest, rest + y, rest != 0.0 && ((rest < 0.0) != (y < 0.0)));
}

fn modulo_f64(x: f64, y: f64) -> f64 {
    var rest = x;
    if is_finite_f64(y) || is_nan_f64(y) || !is_finite_f64(x) {
        rest = fma(-trunc(x / y), y, x);
        if rest != f64(0.0) && (rest < f64(0.0)) != (x < f64(0.0)) {
            rest += select(-abs(y), abs(y), x >= f64(0.0));
        } else if abs(rest) >= abs(y) {
            rest -= select(-abs(y), abs(y), x >= f64(0.0));
        }
    }
    return select(rest, rest + y, rest != f64(0.0) && ((rest < f64(0.0)) != (y < f64(0.0))));
}
