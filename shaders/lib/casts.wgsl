// From one kind of number to another. Floats become whole numbers towards zero, at the nearest end where they do not
// fit, and 0 where they are NaN. f16 and bf16 are their bits in the low half of a word.

fn f32_to_i32(x: f32) -> i32 {
    if is_nan_f32(x) {
        return 0;
    }
    if x >= 2147483648.0 {
        return 2147483647;
    }
    if x <= -2147483648.0 {
        return -2147483647 - 1;
    }
    return i32(x);
}

fn f32_to_u32(x: f32) -> u32 {
    if !(x > 0.0) {
        return 0u;
    }
    if x >= 4294967296.0 {
        return 0xffffffffu;
    }
    return u32(x);
}

fn f32_to_u8(x: f32) -> u32 {
    return min(f32_to_u32(x), 255u);
}

fn f64_to_i32(x: f64) -> i32 {
    if is_nan_f64(x) {
        return 0;
    }
    return i32(clamp(x, -2147483648.0lf, 2147483647.0lf));
}

fn f64_to_u32(x: f64) -> u32 {
    if is_nan_f64(x) {
        return 0u;
    }
    return u32(clamp(x, 0.0lf, 4294967295.0lf));
}

fn f64_to_u8(x: f64) -> u32 {
    return min(f64_to_u32(x), 255u);
}

fn f16_to_f32(bits: u32) -> f32 {
    let sign = (bits & 0x8000u) << 16u;
    let magnitude = bits & 0x7fffu;
    if magnitude >= 0x7c00u {
        return bitcast<f32>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u));
    }
    if magnitude < 0x400u {
        return bitcast<f32>(sign | bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8));
    }
    return bitcast<f32>(sign | ((magnitude << 13u) + 0x38000000u));
}

// The nearest, halves to even.
fn f32_to_f16(x: f32) -> u32 {
    let sign = (bitcast<u32>(x) >> 16u) & 0x8000u;
    let magnitude = bitcast<u32>(x) & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    if magnitude >= 0x477ff000u {
        return sign | 0x7c00u;
    }
    if magnitude < 0x38800000u {
        return sign | u32(round(bitcast<f32>(magnitude) * 16777216.0));
    }
    let rounded = magnitude + 0xfffu + ((magnitude >> 13u) & 1u);
    return sign | ((rounded - 0x38000000u) >> 13u);
}

fn bf16_to_f32(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

// The nearest, halves to even.
fn f32_to_bf16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if is_nan_f32(x) {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
