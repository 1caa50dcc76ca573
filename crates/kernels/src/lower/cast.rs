//! How dtypes look in a kernel: registers, words of storage, and casts between them.

use wgrad_tensor::dtype::DType;

/// The type of a register: f16, bf16 and u8 are their bits in a word.
pub(crate) fn register(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F64 => "f64",
        DType::I32 => "i32",
        DType::Bool => "bool",
        DType::F16 | DType::BF16 | DType::U8 | DType::U32 => "u32",
    }
}

/// The type of a storage array's elements: dtypes narrower than a word come several to a word.
pub(crate) fn stored(dtype: DType) -> &'static str {
    if dtype == DType::Bool { "u32" } else { register(dtype) }
}

/// How many elements share a word.
pub(crate) fn per_word(dtype: DType) -> usize {
    (4 / dtype.size()).max(1)
}

/// The expression for element `at` of a storage array, as a register. A `wide` array has one element to a word.
pub(crate) fn load(array: &str, at: &str, dtype: DType, wide: bool) -> String {
    let element = match per_word(dtype) {
        _ if wide => format!("{array}[{at}]"),
        1 => format!("{array}[{at}]"),
        2 => format!("(({array}[({at}) >> 1u] >> ((({at}) & 1u) * 16u)) & 0xffffu)"),
        _ => format!("(({array}[({at}) >> 2u] >> ((({at}) & 3u) * 8u)) & 0xffu)"),
    };
    if dtype == DType::Bool { format!("({element} != 0u)") } else { element }
}

/// The word that a register is stored as, where it has one for itself.
pub(crate) fn word(x: &str, dtype: DType) -> String {
    if dtype == DType::Bool { format!("select(0u, 1u, {x})") } else { x.to_owned() }
}

/// The expression that casts the register `x`.
pub(crate) fn cast(x: &str, from: DType, to: DType) -> String {
    use DType::{BF16, Bool, F16, F32, F64, I32, U8, U32};
    match (from, to) {
        _ if from == to => x.to_owned(),
        (F16 | BF16, Bool) => format!("(({x} & 0x7fffu) != 0u)"),
        (F16 | BF16, F32) => format!("{from}_to_f32({x})"),
        (F16 | BF16, _) => cast(&cast(x, from, F32), F32, to),

        (F32, Bool) => format!("((bitcast<u32>({x}) & 0x7fffffffu) != 0u)"),
        (F64, Bool) => format!("!({x} == f64(0.0))"),
        (I32, Bool) => format!("({x} != 0)"),
        (U8 | U32, Bool) => format!("({x} != 0u)"),
        (Bool, F16) => format!("select(0u, 0x3c00u, {x})"),
        (Bool, BF16) => format!("select(0u, 0x3f80u, {x})"),
        (Bool, U8) => format!("select(0u, 1u, {x})"),
        (Bool, _) => format!("select({to}(0), {to}(1), {x})"),

        (F32, F16 | BF16 | I32 | U32 | U8) | (F64, I32 | U32 | U8) => format!("{from}_to_{to}({x})"),
        (_, F16 | BF16) => cast(&format!("f32({x})"), F32, to),
        (_, F32) => format!("f32({x})"),
        (_, F64) => format!("f64({x})"),
        (I32, U32) => format!("bitcast<u32>({x})"),
        (I32, U8) => format!("(bitcast<u32>({x}) & 0xffu)"),
        (U32, U8) => format!("({x} & 0xffu)"),
        (U8 | U32, I32) => format!("bitcast<i32>({x})"),
        (_, U32 | U8 | I32) => x.to_owned(),
    }
}
