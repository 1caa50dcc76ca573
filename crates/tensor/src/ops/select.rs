//! Choosing between values, casting, comparing: `where_`, `masked_fill`, `clamp`, `cast`, `allclose`.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Map, Meta, Metas, Op, Reads};
use crate::ops::arguments::Operand;
use crate::row::{broadcast, sum_repeated};
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Where;

impl Op for Where {
    fn name(&self) -> Cow<'static, str> {
        "where".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [condition, a, b] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes three tensors")) };
        if condition.dtype != DType::Bool || a.dtype != b.dtype {
            return Err(Problem::new(ErrorKind::DType, "takes a bool condition and two tensors of one dtype"));
        }
        Ok(smallvec![Meta::new(broadcast(inputs)?, a.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Map(Map::Where)
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([condition, ..], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let gradients = smallvec![None, Some(condition.where_(g, 0.0)), Some(condition.where_(0.0, g))];
        Ok(sum_repeated(call.inputs, gradients))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast(DType, DType);

impl Op for Cast {
    fn name(&self) -> Cow<'static, str> {
        "cast".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        Ok(inputs.iter().map(|input| Meta::new(&input.shape, self.1)).collect())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Map(Map::Cast)
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let [Some(g)] = call.grads else { return Ok(smallvec![]) };
        Ok(smallvec![self.0.is_float().then(|| g.cast(self.0))])
    }
}

impl Tensor {
    /// The same values as another dtype. Floats truncate towards zero into integers and saturate, NaN becomes 0;
    /// to bool is `!= 0`; narrower floats round to nearest, halves to even. PyTorch: `Tensor.to(dtype)`.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        match self.meta() {
            Ok(meta) if meta.dtype != dtype => self.unary(Cast(meta.dtype, dtype)),
            _ => self.clone(),
        }
    }

    /// `a` where `self` (bool) holds, else `b`; all three broadcast. A number takes the other side's dtype; two numbers
    /// give f32. PyTorch: `torch.where(self, a, b)`.
    #[track_caller]
    pub fn where_(&self, a: impl Operand, b: impl Operand) -> Tensor {
        let (a, b) = if a.number().is_some() && b.number().is_some() {
            let like = self.cast(DType::F32);
            (a.operand(&like), b.operand(&like))
        } else if a.number().is_some() {
            let b = b.operand(self);
            (a.operand(&b), b)
        } else {
            let a = a.operand(self);
            let b = b.operand(&a);
            (a, b)
        };
        Tensor::apply(Where, &[self, &a, &b], Vec::new(), self.device())
    }

    /// `value` where `mask` (bool, broadcasts) holds, else `self`. PyTorch: `Tensor.masked_fill`.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: impl Into<crate::Scalar>) -> Tensor {
        mask.where_(self.constant_like(value), self)
    }

    /// At least `low` and at most `high`. PyTorch: `torch.clamp`.
    #[track_caller]
    pub fn clamp(&self, low: impl Operand, high: impl Operand) -> Tensor {
        let (low, high) = (low.operand(self), high.operand(self));
        // As in PyTorch no gradient passes at the bounds, where minimum and maximum would halve it.
        let above = self.ge(&high);
        let below = self.le(&low);
        above.where_(&high, below.where_(&low, self))
    }

    /// Whether all elements equal `other`'s within `atol + rtol * |other|`, where NaN equals nothing.
    /// PyTorch: `torch.allclose`.
    ///
    /// # Errors
    /// What went wrong on the way to either tensor, and shapes that do not broadcast.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn allclose(&self, other: &Tensor, rtol: f64, atol: f64) -> Result<bool> {
        pollster::block_on(self.allclose_async(other, rtol, atol))
    }

    /// The asynchronous form of [`allclose`](Tensor::allclose).
    pub async fn allclose_async(&self, other: &Tensor, rtol: f64, atol: f64) -> Result<bool> {
        let close = (self - other).abs().le(other.abs() * rtol + atol).logical_or(self.eq(other));
        Ok(close.to_vec_async::<bool>().await?.into_iter().all(|close| close))
    }
}
