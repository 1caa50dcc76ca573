//! Tensors as text.

use crate::dtype::{DType, Element};
use crate::tensor::Tensor;
use std::fmt;

/// Above this many elements, long axes show their ends only.
const WHOLE: usize = 1000;
/// How many elements of each end.
const ENDS: usize = 3;

impl fmt::Debug for Tensor {
    /// Shape, dtype and device; the values are not computed for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meta() {
            Ok(meta) => write!(f, "Tensor {} {} on {}", meta.shape, meta.dtype, self.device()),
            Err(error) => write!(f, "Tensor failed: {error}"),
        }
    }
}

impl fmt::Display for Tensor {
    /// The values, as NumPy shows them, with shape, dtype and device. Computes them; in a browser, where nothing may
    /// wait, only shape, dtype and device are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows() {
            Ok(rows) => write!(f, "{rows}")?,
            Err(error) => return write!(f, "Tensor failed: {error}"),
        }
        fmt::Debug::fmt(self, f)
    }
}

impl Tensor {
    #[cfg(target_arch = "wasm32")]
    fn rows(&self) -> crate::Result<String> {
        Ok(String::new())
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn rows(&self) -> crate::Result<String> {
        let meta = self.meta()?.clone();
        let elided = meta.shape.count() > WHOLE;
        let bytes = self.to_bytes()?;
        let shown = Shown { texts: texts(&bytes, meta.dtype, elided.then_some(&meta.shape[..])), elided };
        let mut out = String::new();
        shown.write(&mut out, &meta.shape, 0, 1);
        out.push('\n');
        Ok(out)
    }
}

/// All elements as text, of one width.
struct Shown {
    texts: Vec<String>,
    elided: bool,
}

impl Shown {
    fn write(&self, out: &mut String, shape: &[usize], start: usize, depth: usize) {
        let [length, inner @ ..] = shape else {
            out.push_str(&self.texts[start]);
            return;
        };
        let stride: usize = inner.iter().product();
        let separator = if inner.is_empty() {
            ", ".to_string()
        } else {
            format!(",{}{}", "\n".repeat(inner.len()), " ".repeat(depth))
        };
        out.push('[');
        for i in 0..*length {
            if self.elided && *length > 2 * ENDS && (ENDS..length - ENDS).contains(&i) {
                if i == ENDS {
                    out.push_str(&separator);
                    out.push_str("...");
                }
                continue;
            }
            if i > 0 {
                out.push_str(&separator);
            }
            self.write(out, inner, start + i * stride, depth + 1);
        }
        out.push(']');
    }
}

/// The elements as text, padded to one width. Those that an elided `shape` hides do not count for width and format.
fn texts(bytes: &[u8], dtype: DType, shape: Option<&[usize]>) -> Vec<String> {
    let hidden = |index: usize| shape.is_some_and(|shape| is_hidden(index, shape));
    let texts = match dtype {
        DType::F32 => floats(f32::from_bytes(bytes).into_iter().map(f64::from), hidden),
        DType::F64 => floats(f64::from_bytes(bytes).into_iter(), hidden),
        DType::F16 => floats(half::f16::from_bytes(bytes).into_iter().map(f64::from), hidden),
        DType::BF16 => floats(half::bf16::from_bytes(bytes).into_iter().map(f64::from), hidden),
        DType::I32 => i32::from_bytes(bytes).iter().map(ToString::to_string).collect(),
        DType::U32 => u32::from_bytes(bytes).iter().map(ToString::to_string).collect(),
        DType::U8 => u8::from_bytes(bytes).iter().map(ToString::to_string).collect(),
        DType::Bool => bool::from_bytes(bytes).iter().map(ToString::to_string).collect(),
    };
    let width = texts.iter().enumerate().filter(|(i, _)| !hidden(*i)).map(|(_, t)| t.len()).max().unwrap_or(0);
    texts.into_iter().map(|text| format!("{text:>width$}")).collect()
}

fn is_hidden(mut index: usize, shape: &[usize]) -> bool {
    shape.iter().rev().any(|&length| {
        let at = index % length.max(1);
        index /= length.max(1);
        length > 2 * ENDS && (ENDS..length - ENDS).contains(&at)
    })
}

/// Four decimals, or an exponent where magnitudes ask for it.
fn floats(values: impl Iterator<Item = f64>, hidden: impl Fn(usize) -> bool) -> Vec<String> {
    let values: Vec<f64> = values.collect();
    let shown = || values.iter().enumerate().filter(|(i, v)| !hidden(*i) && v.is_finite()).map(|(_, v)| v.abs());
    let largest = shown().fold(0.0, f64::max);
    let smallest = shown().filter(|&v| v > 0.0).fold(f64::INFINITY, f64::min);
    let whole = shown().all(|v| v.fract() == 0.0);
    let text = |v: f64| {
        if !v.is_finite() {
            return format!("{v}").to_lowercase();
        }
        if whole && largest < 1e8 {
            format!("{v:.0}.")
        } else if largest >= 1e5 || (smallest < 1e-4 && smallest.is_finite()) {
            format!("{v:.4e}")
        } else {
            format!("{v:.4}")
        }
    };
    values.into_iter().map(text).collect()
}
