//! Softmax and its logarithm.

use crate::error::{Problem, Result};
use crate::op::{Argument, Call, Compute, Gradients, Meta, Metas, Op, Part, Parts, Reads, Reduction};
use crate::ops::arguments::Axes;
use crate::ops::reduce::reduced_floats;
use crate::ops::table::{EXP, MUL, RECIPROCAL, SUB};
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

/// A softmax along an axis.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Softmax(usize);

impl Op for Softmax {
    fn name(&self) -> Cow<'static, str> {
        "softmax".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        reduced_floats(inputs, &[self.0], true)?;
        Ok(inputs.iter().copied().cloned().collect())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    fn parts(&self) -> Parts {
        let x = Argument::Input(0);
        let [largest, less, power, total, share] = [0, 1, 2, 3, 4].map(Argument::Part);
        Parts::from(vec![
            Part::Fold(Reduction::Max, vec![self.0], x),
            Part::Row(&SUB, vec![x, largest]),
            Part::Row(&EXP, vec![less]),
            Part::Fold(Reduction::Sum, vec![self.0], power),
            // One division for each row. The total is at least 1, so its reciprocal is a normal number.
            Part::Row(&RECIPROCAL, vec![total]),
            Part::Row(&MUL, vec![power, share]),
        ])
    }
    fn reads(&self) -> Reads {
        Reads::OUTPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([y], [Some(g)]) = (call.outputs, call.grads) else { return Ok(smallvec![]) };
        Ok(smallvec![Some((g - (g * y).sum_keepdim(self.0)) * y)])
    }
}

impl Tensor {
    /// `e^x / sum e^x` along `axis`. PyTorch: `F.softmax`.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match Axes::from(axis).resolve(shape.len()) {
            Ok(axes) => self.unary(Softmax(axes[0])),
            Err(problem) => self.fail("softmax", &[], problem),
        }
    }

    /// `x - log sum e^x` along `axis`. PyTorch: `F.log_softmax`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let shifted = self.less_maximum(axis);
        let total = shifted.exp().sum_keepdim(axis).log();
        shifted - total
    }

    /// `log sum e^x` along `axis`, without overflow. PyTorch: `torch.logsumexp`.
    #[track_caller]
    pub fn logsumexp(&self, axis: isize) -> Tensor {
        let maximum = self.detach().max_keepdim(axis);
        // Infinity less infinity is no number; less 0 it is right.
        let maximum = maximum.isfinite().where_(&maximum, 0.0);
        ((self - &maximum).exp().sum_keepdim(axis).log() + maximum).squeeze(axis)
    }

    /// Less its maximum, which keeps exponentials in range. The shift cancels out, so no gradient flows through it.
    #[track_caller]
    fn less_maximum(&self, axis: isize) -> Tensor {
        self - self.detach().max_keepdim(axis)
    }
}
