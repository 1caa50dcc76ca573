//! The kinds of number a tensor can hold.

use half::{bf16, f16};
use std::fmt;

/// The kind of number that a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit IEEE float, the default.
    F32,
    /// 64-bit IEEE float: the CPU, and GPUs that have it.
    F64,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit float with the exponent of `f32`.
    BF16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer: the kind of class labels and indices.
    U32,
    /// 8-bit unsigned integer: images.
    U8,
    /// True or false, one byte each.
    Bool,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 8] =
        [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::U32, DType::U8, DType::Bool];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether this is a floating-point kind, and so can carry a gradient.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }

    /// The name as Rust spells it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that tensors can be made from and read into.
pub trait Element: Copy + Send + Sync + fmt::Debug + PartialEq + 'static {
    /// The dtype that holds it.
    const DTYPE: DType;
    /// Its bytes, in the machine's order.
    fn to_bytes(values: &[Self]) -> Vec<u8>;
    /// The values that `bytes` hold. A trailing partial value is dropped.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                bytemuck::cast_slice(values).to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytes.chunks_exact(size_of::<Self>()).map(bytemuck::pod_read_unaligned).collect()
            }
        }
    )*};
}
element!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i32 => I32, u32 => U32, u8 => U8);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn to_bytes(values: &[Self]) -> Vec<u8> {
        values.iter().map(|&v| v as u8).collect()
    }
    fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|&b| b != 0).collect()
    }
}

/// A number given from outside: a scalar operand, a slice's start, a seed. It is an input of a plan, never a part of its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A real number.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// 64 bits: a seed or a counter.
    Bits(u64),
}

impl Scalar {
    /// The nearest `f64`.
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::Float(v) => v,
            Scalar::Int(v) => v as f64,
            Scalar::Bits(v) => v as f64,
        }
    }

    /// The whole number, rounded towards zero and saturating.
    pub fn as_i64(self) -> i64 {
        match self {
            Scalar::Float(v) => v as i64,
            Scalar::Int(v) => v,
            Scalar::Bits(v) => v as i64,
        }
    }

    /// The bits of a seed or counter.
    pub fn as_bits(self) -> u64 {
        match self {
            Scalar::Float(v) => v as u64,
            Scalar::Int(v) => v as u64,
            Scalar::Bits(v) => v,
        }
    }

    /// The bytes of this number as an element of `dtype`.
    pub fn to_bytes(self, dtype: DType) -> Vec<u8> {
        self.bits_of(dtype).to_le_bytes()[..dtype.size()].to_vec()
    }

    /// The bits of this number as an element of `dtype`, the lowest of the result.
    pub fn bits_of(self, dtype: DType) -> u64 {
        match dtype {
            DType::F32 => u64::from((self.as_f64() as f32).to_bits()),
            DType::F64 => self.as_f64().to_bits(),
            DType::F16 => u64::from(f16::from_f64(self.as_f64()).to_bits()),
            DType::BF16 => u64::from(bf16::from_f64(self.as_f64()).to_bits()),
            DType::I32 => u64::from(self.as_i64() as u32),
            DType::U32 => u64::from(self.as_i64() as u32),
            DType::U8 => u64::from(self.as_i64() as u8),
            DType::Bool => u64::from(self.as_f64() != 0.0),
        }
    }
}

macro_rules! scalar_from {
    ($($rust:ty => $kind:ident as $wide:ty),*) => {$(
        impl From<$rust> for Scalar {
            fn from(value: $rust) -> Self {
                Scalar::$kind(value as $wide)
            }
        }
    )*};
}
scalar_from!(f32 => Float as f64, f64 => Float as f64, i32 => Int as i64, i64 => Int as i64, u32 => Int as i64, usize => Int as i64, u8 => Int as i64, bool => Int as i64);
