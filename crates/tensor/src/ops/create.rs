//! Making tensors: from data, filled, counted, random.

use crate::device::Device;
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::op::{Compute, Map, Meta, Metas, Op, Random, Reads};
use crate::ops::arguments::scalar_fits;
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

/// A tensor without inputs: constants, counts, random numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Generate {
    what: What,
    meta: Meta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Constant,
    Arange,
    Random(Random),
}

impl Op for Generate {
    fn name(&self) -> Cow<'static, str> {
        match self.what {
            What::Constant => "full",
            What::Arange => "arange",
            What::Random(Random::Bits) => "random_bits",
            What::Random(Random::Uniform) => "uniform",
            What::Random(Random::Normal) => "normal",
        }
        .into()
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Metas, Problem> {
        let allowed = match self.what {
            What::Constant => true,
            What::Arange => matches!(self.meta.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32),
            What::Random(Random::Bits) => self.meta.dtype == DType::U32,
            What::Random(_) => matches!(self.meta.dtype, DType::F32 | DType::F64),
        };
        if !allowed {
            return Err(Problem::new(ErrorKind::DType, format!("does not make {}; cast it", self.meta.dtype)));
        }
        Ok(smallvec![self.meta.clone()])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Map(match self.what {
            What::Constant => Map::Constant,
            What::Arange => Map::Arange,
            What::Random(random) => Map::Random(random),
        })
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Nested arrays and slices of numbers: `[[1.0, 2.0], [3.0, 4.0]]`.
pub trait NestedArray {
    /// The number at the bottom.
    type Element: Element;
    /// The sizes, outermost first.
    fn sizes(&self) -> Vec<usize>;
    /// Appends the elements in row-major order.
    fn collect_into(&self, out: &mut Vec<Self::Element>);
}

macro_rules! bottom {
    ($($t:ty),*) => {$(
        impl NestedArray for $t {
            type Element = $t;
            fn sizes(&self) -> Vec<usize> { Vec::new() }
            fn collect_into(&self, out: &mut Vec<$t>) { out.push(*self); }
        }
    )*};
}
bottom!(f32, f64, i32, u32, u8, bool, half::f16, half::bf16);

impl<T: NestedArray, const N: usize> NestedArray for [T; N] {
    type Element = T::Element;
    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![N];
        sizes.extend(self.first().map(NestedArray::sizes).unwrap_or_default());
        sizes
    }
    fn collect_into(&self, out: &mut Vec<T::Element>) {
        self.iter().for_each(|part| part.collect_into(out));
    }
}

impl Tensor {
    /// A tensor of nested arrays: `Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device)`. PyTorch: `torch.tensor`.
    #[track_caller]
    pub fn new<A: NestedArray>(values: A, device: &Device) -> Tensor {
        let mut flat = Vec::new();
        values.collect_into(&mut flat);
        Tensor::from_slice(&flat, values.sizes(), device)
    }

    /// A tensor of `values` in row-major order.
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::from_bytes(&T::to_bytes(values), Meta::new(shape, T::DTYPE), device)
    }

    /// A tensor of `values` in row-major order.
    #[track_caller]
    pub fn from_vec<T: Element>(values: Vec<T>, shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::from_slice(&values, shape, device)
    }

    /// A tensor of elements given as bytes, in the machine's order.
    #[track_caller]
    pub fn from_bytes(bytes: &[u8], meta: Meta, device: &Device) -> Tensor {
        let expected = meta.shape.checked_count().and_then(|count| count.checked_mul(meta.dtype.size()));
        let data = if expected == Some(bytes.len()) {
            device.runtime().upload(bytes).map(|buffer| (buffer, meta))
        } else {
            let found = bytes.len() / meta.dtype.size();
            let message = format!("{found} values given for shape {} of {}", meta.shape, meta.dtype);
            Err(Error::new(ErrorKind::Shape, "from_slice", message))
        };
        Tensor::source("from_slice", device, data)
    }

    #[track_caller]
    fn generate(what: What, shape: impl Into<Shape>, dtype: DType, scalars: Vec<Scalar>, device: &Device) -> Tensor {
        Tensor::apply(Generate { what, meta: Meta::new(shape, dtype) }, &[], scalars, device)
    }

    /// `value` everywhere. PyTorch: `torch.full`.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: impl Into<Scalar>, dtype: DType, device: &Device) -> Tensor {
        let value = value.into();
        match scalar_fits(value, dtype) {
            Ok(()) => Tensor::generate(What::Constant, shape, dtype, vec![value], device),
            Err(problem) => Tensor::from_error(Error::new(problem.kind, "full", problem.message), device),
        }
    }

    /// Zeros. PyTorch: `torch.zeros`.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        Tensor::full(shape, 0.0, dtype, device)
    }

    /// Ones. PyTorch: `torch.ones`.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        Tensor::full(shape, 1.0, dtype, device)
    }

    /// `value` in the shape, dtype and device of `self`. PyTorch: `torch.full_like`.
    #[track_caller]
    pub fn constant_like(&self, value: impl Into<Scalar>) -> Tensor {
        match self.meta() {
            Ok(meta) => Tensor::full(&meta.shape, value, meta.dtype, self.device()),
            Err(_) => self.clone(),
        }
    }

    /// Zeros in the shape, dtype and device of `self`. PyTorch: `torch.zeros_like`.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.constant_like(0.0)
    }

    /// Ones in the shape, dtype and device of `self`. PyTorch: `torch.ones_like`.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.constant_like(1.0)
    }

    /// `0, 1, .. count - 1`. PyTorch: `torch.arange(count)`.
    #[track_caller]
    pub fn arange(count: usize, dtype: DType, device: &Device) -> Tensor {
        Tensor::arange_step(0.0, 1.0, count, dtype, device)
    }

    /// `start + i * step` for `i < count`.
    #[track_caller]
    pub fn arange_step(start: f64, step: f64, count: usize, dtype: DType, device: &Device) -> Tensor {
        let scalars = if dtype.is_float() {
            vec![Scalar::Float(start), Scalar::Float(step)]
        } else {
            vec![Scalar::Int(start as i64), Scalar::Int(step as i64)]
        };
        Tensor::generate(What::Arange, count, dtype, scalars, device)
    }

    /// `count` numbers from `start` to `end`, both included. PyTorch: `torch.linspace`.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, count: usize, dtype: DType, device: &Device) -> Tensor {
        let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
        Tensor::arange_step(start, step, count, dtype, device)
    }

    /// The identity matrix, `[n, n]`. PyTorch: `torch.eye`.
    #[track_caller]
    pub fn eye(n: usize, dtype: DType, device: &Device) -> Tensor {
        let index = Tensor::arange(n, DType::U32, device);
        index.unsqueeze(1).eq(index.unsqueeze(0)).cast(dtype)
    }

    /// Random numbers in [`low`, `high`). PyTorch: `Tensor.uniform_`.
    ///
    /// Which ones follows from the device's seed ([`Device::manual_seed`]) and the count of random tensors made since;
    /// the bits behind them are the same on every device.
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, dtype: DType, device: &Device) -> Tensor {
        let unit = Tensor::random(Random::Uniform, shape, dtype, device);
        if (low, high) == (0.0, 1.0) { unit } else { unit * (high - low) + low }
    }

    /// Random numbers of a normal distribution. PyTorch: `torch.normal`.
    #[track_caller]
    pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, dtype: DType, device: &Device) -> Tensor {
        let unit = Tensor::random(Random::Normal, shape, dtype, device);
        if (mean, std) == (0.0, 1.0) { unit } else { unit * std + mean }
    }

    /// True with probability `p`, as bool. PyTorch: `torch.bernoulli`.
    #[track_caller]
    pub fn bernoulli(shape: impl Into<Shape>, p: f64, device: &Device) -> Tensor {
        if !(0.0..=1.0).contains(&p) {
            let message = format!("the probability {p} is not in 0 to 1");
            return Tensor::from_error(Error::new(ErrorKind::Value, "bernoulli", message), device);
        }
        Tensor::random(Random::Uniform, shape, DType::F32, device).lt(p)
    }

    /// Random 32-bit words, as u32.
    #[track_caller]
    pub fn random_bits(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::random(Random::Bits, shape, DType::U32, device)
    }

    #[track_caller]
    fn random(random: Random, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        let (seed, stream) = device.next_random();
        let scalars = vec![Scalar::Bits(seed), Scalar::Bits(stream)];
        Tensor::generate(What::Random(random), shape, dtype, scalars, device)
    }

    /// `0 .. count` in random order, as u32. PyTorch: `torch.randperm`.
    #[track_caller]
    pub fn randperm(count: usize, device: &Device) -> Tensor {
        let (seed, stream) = device.next_random();
        let mut order: Vec<u32> = (0..count as u32).collect();
        for i in (1..count).rev() {
            let [low, high, ..] = crate::random::philox(seed, stream, i as u64);
            let draw = (u64::from(high) << 32 | u64::from(low)) % (i as u64 + 1);
            order.swap(i, draw as usize);
        }
        Tensor::from_slice(&order, count, device)
    }

    /// The same values on another device. Nothing is copied where it is there already.
    ///
    /// # Errors
    /// What went wrong on the way to the values: they are read here.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let bytes = self.to_bytes()?;
        Ok(Tensor::from_bytes(&bytes, self.meta()?.clone(), device))
    }

    /// The asynchronous form of [`to_device`](Tensor::to_device).
    pub async fn to_device_async(&self, device: &Device) -> Result<Tensor> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let bytes = self.to_bytes_async().await?;
        Ok(Tensor::from_bytes(&bytes, self.meta()?.clone(), device))
    }
}
