//! Summing windows back into an axis: the adjoint of [`Tensor::unfold`].

use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, Reads, Windows};
use crate::tensor::Tensor;
use smallvec::smallvec;
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
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
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
        Ok(smallvec![Meta::new(sizes, input.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Fold(&self.windows)
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([input], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let Ok(shape) = input.try_shape() else { return Ok(smallvec![Some(g.clone())]) };
        let Windows { axis, size, step, dilation } = self.windows;
        let windows = g.unfold(axis as isize, size, step, dilation);
        Ok(smallvec![Some(windows.narrow(axis as isize, 0, shape[axis]))])
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
        self.fold_apart(windows, length).unwrap_or_else(|| self.unary(Fold { windows, length }))
    }

    /// Windows side by side, without gaps: folding them back is another way to see them.
    #[track_caller]
    fn fold_apart(&self, windows: Windows, length: usize) -> Option<Tensor> {
        let Windows { axis, size, step, dilation } = windows;
        let shape = self.try_shape().ok()?;
        let rank = shape.len();
        if step != size || dilation != 1 || rank < 2 || axis + 1 >= rank || shape[rank - 1] != size {
            return None;
        }
        let rest = length.checked_sub(shape[axis] * size)?;
        let mut order: Vec<isize> = (0..rank as isize - 1).collect();
        order.insert(axis + 1, rank as isize - 1);
        let mut sizes = shape[..rank - 1].to_vec();
        sizes[axis] *= size;
        let folded = self.permute(&order[..]).reshape(sizes);
        let mut widths = vec![(0, 0); rank - 1 - axis];
        widths[0] = (0, rest);
        Some(if rest == 0 { folded } else { folded.pad(&widths, 0.0) })
    }
}
