//! Plain f64 arrays, and random ones to sample with.

use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::random::{philox, uniform_f64};
use crate::tensor::Tensor;

/// A row-major array of f64, which holds every value of the other dtypes exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<f64>,
}

/// What an input looks like.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The values.
    pub kind: Kind,
}

/// The values of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Floats between the two.
    Float(f64, f64),
    /// Whole numbers from 0 to below this, as u32.
    Index(usize),
    /// Whole numbers between the two, as i32.
    Int(i32, i32),
    /// True and false.
    Bool,
}

impl Spec {
    /// Floats in -2 to 2.
    pub fn float(shape: &[usize]) -> Spec {
        Spec::within(shape, -2.0, 2.0)
    }

    /// Floats between the two.
    pub fn within(shape: &[usize], low: f64, high: f64) -> Spec {
        Spec { shape: shape.to_vec(), kind: Kind::Float(low, high) }
    }

    /// Indices below `end`.
    pub fn index(shape: &[usize], end: usize) -> Spec {
        Spec { shape: shape.to_vec(), kind: Kind::Index(end) }
    }

    /// Values of another kind.
    pub fn of(shape: &[usize], kind: Kind) -> Spec {
        Spec { shape: shape.to_vec(), kind }
    }

    /// The dtype of this input where floats are `float`.
    pub fn dtype(&self, float: DType) -> DType {
        match self.kind {
            Kind::Float(..) => float,
            Kind::Index(_) => DType::U32,
            Kind::Int(..) => DType::I32,
            Kind::Bool => DType::Bool,
        }
    }

    /// Random values, exact in f32. Floats keep a distance from the multiples of 1/2, where functions have their kinks, and
    /// from one another, in this input and the next, so that no maximum changes its place under a small step.
    pub fn draw(&self, seed: u64, stream: u64) -> Array {
        let count = self.shape.iter().product();
        let unit = |i: usize| uniform_f64(&philox(seed, stream, i as u64));
        let data = match self.kind {
            Kind::Float(low, high) => {
                // Each element has a cell of its own; even and odd inputs keep to different halves of the cells.
                let cells = usize::max(count, 128).next_power_of_two();
                let mut order: Vec<usize> = (0..cells).collect();
                order.sort_by(|&a, &b| unit(cells + a).total_cmp(&unit(cells + b)));
                let within = |i: usize| 0.1 + 0.3 * unit(i) + 0.5 * (stream % 2) as f64;
                let value = |i: usize| low + (order[i] as f64 + within(i)) / cells as f64 * (high - low);
                (0..count).map(|i| f64::from(off_kinks(value(i)) as f32)).collect()
            }
            Kind::Index(end) => (0..count).map(|i| (unit(i) * end as f64).floor()).collect(),
            Kind::Int(low, high) => {
                (0..count).map(|i| (f64::from(low) + unit(i) * f64::from(high - low)).round()).collect()
            }
            Kind::Bool => (0..count).map(|i| f64::from(u8::from(unit(i) < 0.5))).collect(),
        };
        Array { shape: self.shape.clone(), data }
    }
}

/// Moves a value to at least 0.01 from the nearest multiple of 1/2; different values stay different.
fn off_kinks(value: f64) -> f64 {
    let kink = (value * 2.0).round() / 2.0;
    let off = value - kink;
    kink + (0.01 + off.abs() * 0.96).copysign(off)
}

impl Array {
    /// The array of `f` at every position.
    pub fn from_fn(shape: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Array {
        let count: usize = shape.iter().product();
        let mut position = vec![0; shape.len()];
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(f(&position));
            for axis in (0..shape.len()).rev() {
                position[axis] += 1;
                if position[axis] < shape[axis] {
                    break;
                }
                position[axis] = 0;
            }
        }
        Array { shape: shape.to_vec(), data }
    }

    /// The element at a position. Axes of size 1 repeat, and axes that the array lacks in front do not count.
    pub fn at(&self, position: &[usize]) -> f64 {
        let skipped = position.len() - self.shape.len();
        let mut index = 0;
        for (axis, &size) in self.shape.iter().enumerate() {
            index = index * size + if size == 1 { 0 } else { position[skipped + axis] };
        }
        self.data[index]
    }

    /// Elementwise.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array { shape: self.shape.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }

    /// The largest magnitude, at least 1.
    pub fn scale(&self) -> f64 {
        self.data.iter().filter(|x| x.is_finite()).fold(1.0, |scale, x| x.abs().max(scale))
    }

    /// A tensor of these values.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Tensor {
        let shape = &self.shape[..];
        fn all<T: Element>(data: &[f64], f: impl Fn(f64) -> T) -> Vec<T> {
            data.iter().map(|&x| f(x)).collect()
        }
        match dtype {
            DType::F32 => Tensor::from_vec(all(&self.data, |x| x as f32), shape, device),
            DType::F64 => Tensor::from_vec(self.data.clone(), shape, device),
            DType::F16 => Tensor::from_vec(all(&self.data, half::f16::from_f64), shape, device),
            DType::BF16 => Tensor::from_vec(all(&self.data, half::bf16::from_f64), shape, device),
            DType::I32 => Tensor::from_vec(all(&self.data, |x| x as i32), shape, device),
            DType::U32 => Tensor::from_vec(all(&self.data, |x| x as u32), shape, device),
            DType::U8 => Tensor::from_vec(all(&self.data, |x| x as u8), shape, device),
            DType::Bool => Tensor::from_vec(all(&self.data, |x| x != 0.0), shape, device),
        }
    }

    /// The values of a tensor.
    ///
    /// # Errors
    /// What went wrong on the way to them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_tensor(tensor: &Tensor) -> crate::Result<Array> {
        let meta = tensor.meta()?.clone();
        let bytes = tensor.to_bytes()?;
        fn all<T: Element>(bytes: &[u8], f: impl Fn(T) -> f64) -> Vec<f64> {
            T::from_bytes(bytes).into_iter().map(f).collect()
        }
        let data = match meta.dtype {
            DType::F32 => all::<f32>(&bytes, f64::from),
            DType::F64 => all::<f64>(&bytes, |x| x),
            DType::F16 => all::<half::f16>(&bytes, f64::from),
            DType::BF16 => all::<half::bf16>(&bytes, f64::from),
            DType::I32 => all::<i32>(&bytes, f64::from),
            DType::U32 => all::<u32>(&bytes, f64::from),
            DType::U8 => all::<u8>(&bytes, f64::from),
            DType::Bool => all::<bool>(&bytes, |x| f64::from(u8::from(x))),
        };
        Ok(Array { shape: meta.shape.to_vec(), data })
    }
}
