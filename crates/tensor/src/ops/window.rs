//! Summing windows back into an axis: the adjoint of [`Tensor::unfold`].

use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Meta, Op, Reads, Windows};
use crate::tensor::Tensor;
use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fold {
    windows: Windows,
    length: usize,
}

impl Op for Fold {
    fn name(&self) -> Cow<'static, str> {
        "fold".into()
    }
    fn infer(&self, inputs: &[Meta]) -> Result<Vec<Meta>, Problem> {
        let [input] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes one tensor")) };
        let Windows { axis, size, step, dilation } = self.windows;
        let [outer @ .., last] = &input.shape[..] else {
            return Err(Problem::new(ErrorKind::Shape, "takes an axis of windows and an axis of positions"));
        };
        let span = |count: usize| (count - 1) * step + (size - 1) * dilation + 1;
        if axis >= outer.len() || *last != size || (outer[axis] > 0 && span(outer[axis]) > self.length) {
            let message = format!("{:?} do not fit an axis of {}", self.windows, self.length);
            return Err(Problem::new(ErrorKind::Shape, message));
        }
        let mut sizes = outer.to_vec();
        sizes[axis] = self.length;
        Ok(vec![Meta::new(sizes, input.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Fold(&self.windows)
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([input], [Some(g)]) = (call.inputs, call.grads) else { return Ok(Vec::new()) };
        let Ok(shape) = input.try_shape() else { return Ok(vec![Some(g.clone())]) };
        let Windows { axis, size, step, dilation } = self.windows;
        let windows = g.unfold(axis as isize, size, step, dilation);
        Ok(vec![Some(windows.narrow(axis as isize, 0, shape[axis]))])
    }
}

impl Tensor {
    /// Sums windows, whose positions are the last axis, back into `windows.axis`, which gets `length`. PyTorch: `F.fold`
    /// along one axis.
    #[track_caller]
    pub fn fold(&self, windows: Windows, length: usize) -> Tensor {
        if windows.size == 0 || windows.step == 0 || windows.dilation == 0 {
            return self.fail("fold", &[], Problem::new(ErrorKind::Value, format!("{windows:?} has a zero")));
        }
        self.unary(Fold { windows, length })
    }
}
