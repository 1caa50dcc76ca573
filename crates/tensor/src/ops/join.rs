//! Putting tensors together and around: `cat`, `stack`, `pad`.

use crate::dtype::Scalar;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::node::Scalars;
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, OpRef, Reads};
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cat(usize);

impl Op for Cat {
    fn name(&self) -> Cow<'static, str> {
        "cat".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [first, ..] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes at least one tensor")) };
        if inputs.iter().any(|input| input.dtype != first.dtype) {
            return Err(Problem::new(ErrorKind::DType, "dtypes differ; cast one of them"));
        }
        let fits = |input: &&Meta| {
            input.shape.len() == first.shape.len() && input.shape.with(self.0, 0) == first.shape.with(self.0, 0)
        };
        if !inputs.iter().all(fits) {
            let message = format!("sizes other than axis {}'s differ", self.0);
            return Err(Problem::new(ErrorKind::Shape, message));
        }
        let total = inputs.iter().map(|input| input.shape[self.0]).sum();
        Ok(smallvec![Meta::new(first.shape.with(self.0, total), first.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Cat(self.0)
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let [Some(g)] = call.grads else { return Ok(smallvec![]) };
        let mut start = 0;
        let part = |input: &Tensor| {
            let length = input.try_shape().map_or(0, |shape| shape[self.0]);
            start += length;
            Some(g.narrow(self.0 as isize, start - length, length))
        };
        Ok(call.inputs.iter().map(part).collect())
    }
}

/// How many elements are added before and after each axis.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pad {
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Op for Pad {
    fn name(&self) -> Cow<'static, str> {
        "pad".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [input] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes one tensor")) };
        let sizes = input.shape.iter().zip(self.before.iter().zip(&self.after));
        let shape: Option<Shape> =
            sizes.map(|(size, (before, after))| size.checked_add(*before)?.checked_add(*after)).collect();
        let shape = shape.ok_or_else(|| Problem::new(ErrorKind::OutOfMemory, "the sizes overflow"))?;
        Ok(smallvec![Meta::new(shape, input.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Pad(&self.before)
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([input], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let Ok(shape) = input.try_shape() else { return Ok(smallvec![Some(g.clone())]) };
        let inner = shape
            .iter()
            .enumerate()
            .fold(g.clone(), |g, (axis, &size)| g.narrow(axis as isize, self.before[axis], size));
        Ok(smallvec![Some(inner)])
    }
}

impl Tensor {
    /// The tensors one after the other along `axis`. PyTorch: `torch.cat`.
    ///
    /// An empty list has no device to fail on, so it is an error at once.
    #[track_caller]
    pub fn cat(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        match tensors {
            [] => Err(Error::new(ErrorKind::Value, "cat", "takes at least one tensor")),
            [first, others @ ..] => Ok(first.cat_with(others, axis)),
        }
    }

    /// `self` and then `others` along `axis`.
    #[track_caller]
    pub fn cat_with(&self, others: &[&Tensor], axis: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(along) = shape.axis(axis) else { return self.bad_axis("cat", axis) };
        if others.is_empty() {
            return self.clone();
        }
        let mut inputs = vec![self];
        inputs.extend(others);
        Tensor::record(OpRef::Shared(Arc::new(Cat(along))), &inputs, Scalars::new(), self.device()).one()
    }

    /// The tensors along a new axis. PyTorch: `torch.stack`.
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        let raised: Vec<Tensor> = tensors.iter().map(|tensor| tensor.unsqueeze(axis)).collect();
        let references: Vec<&Tensor> = raised.iter().collect();
        let [first, others @ ..] = &references[..] else {
            return Err(Error::new(ErrorKind::Value, "stack", "takes at least one tensor"));
        };
        Ok(first.cat_with(others, axis))
    }

    /// `value` around the tensor: `(before, after)` for each of the last axes, in the order of the axes.
    /// PyTorch: `F.pad`, which lists the last axis first.
    #[track_caller]
    pub fn pad(&self, amounts: &[(usize, usize)], value: impl Into<Scalar>) -> Tensor {
        let Ok(meta) = self.meta() else { return self.clone() };
        let value = value.into();
        let Some(untouched) = meta.shape.len().checked_sub(amounts.len()) else {
            let message = format!("{} amounts for {} axes", amounts.len(), meta.shape.len());
            return self.fail("pad", &[], Problem::new(ErrorKind::Axis, message));
        };
        if let Err(problem) = super::arguments::scalar_fits(value, meta.dtype) {
            return self.fail("pad", &[], problem);
        }
        if amounts.iter().all(|&amount| amount == (0, 0)) {
            return self.clone();
        }
        let mut before = vec![0; untouched];
        let mut after = before.clone();
        before.extend(amounts.iter().map(|amount| amount.0));
        after.extend(amounts.iter().map(|amount| amount.1));
        self.unary_with(Pad { before, after }, vec![value])
    }

    /// Zeros with `self` at `start`, `start + step`, .. of an axis of `length`: the adjoint of a slice.
    #[track_caller]
    pub(crate) fn unslice(&self, axis: usize, start: usize, step: usize, count: usize, length: usize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        if count == 0 {
            return Tensor::full(
                shape.with(axis, length),
                0.0,
                self.try_dtype().unwrap_or(crate::DType::F32),
                self.device(),
            );
        }
        let span = (count - 1) * step + 1;
        let spread = if step == 1 {
            self.clone()
        } else {
            self.unsqueeze(-1).fold(crate::op::Windows { axis, size: 1, step, dilation: 1 }, span)
        };
        let mut amounts = vec![(0, 0); shape.len()];
        amounts[axis] = (start, length - start - span);
        spread.pad(&amounts, 0.0)
    }
}
