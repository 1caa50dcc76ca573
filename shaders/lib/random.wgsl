// Counter-based random numbers: Philox4x32-10 (Salmon et al., 2011).

// The product of two words: low half, high half.
fn multiply_wide(x: u32, y: u32) -> vec2<u32> {
    let x0 = x & 0xffffu;
    let x1 = x >> 16u;
    let y0 = y & 0xffffu;
    let y1 = y >> 16u;
    let low = x0 * y0;
    let middle = x1 * y0 + (low >> 16u);
    let other = x0 * y1 + (middle & 0xffffu);
    return vec2<u32>(x * y, x1 * y1 + (middle >> 16u) + (other >> 16u));
}

// Four random words. The counter is (index low, index high, stream low, stream high).
fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var words = counter;
    var key = seed;
    for (var round = 0u; round < 10u; round++) {
        let a = multiply_wide(0xD2511F53u, words.x);
        let b = multiply_wide(0xCD9E8D57u, words.z);
        words = vec4<u32>(b.y ^ words.y ^ key.x, b.x, a.y ^ words.w ^ key.y, a.x);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return words;
}

// A float in [0, 1).
fn random_uniform(words: vec4<u32>) -> f32 {
    return f32(words.x >> 8u) * 5.9604644775390625e-8;
}

// A standard normal float, by Box and Muller.
fn random_normal(words: vec4<u32>) -> f32 {
    let radius = f32((words.x >> 8u) + 1u) * 5.9604644775390625e-8;
    return sqrt(-2.0 * log_unit(radius)) * cos_turns(f32(words.y >> 8u) * 5.9604644775390625e-8);
}

// ln(x) for x in (0, 1], exact near 1 where the hardware's logarithm is not.
fn log_unit(x: f32) -> f32 {
    if x < 0.5 {
        return log(x);
    }
    return log1p(x - 1.0);
}

// cos(2 pi x) for x in [0, 1): the hardware's cosine is far less exact.
fn cos_turns(x: f32) -> f32 {
    // cos(2 pi x) = -cos(2 pi t) = sin(2 pi (|t| - 1/4)), and these differences are exact.
    let y = (abs(x - 0.5) - 0.25) * 6.2831853;
    let s = y * y;
    var sum = -2.5052108e-8;
    sum = fma(sum, s, 2.7557319e-6);
    sum = fma(sum, s, -1.9841270e-4);
    sum = fma(sum, s, 8.3333333e-3);
    sum = fma(sum, s, -1.6666667e-1);
    return fma(sum * s, y, y);
}

// A float in [0, 1) with 53 random bits.
fn random_uniform_f64(words: vec4<u32>) -> f64 {
    return (f64(words.y) * 2097152.0lf + f64(words.x >> 11u)) * 1.1102230246251565e-16lf;
}
