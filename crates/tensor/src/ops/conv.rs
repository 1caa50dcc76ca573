//! Two-dimensional convolution and its two gradients, each the others' gradient.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, Reads, Window2d};
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

impl Default for Window2d {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Window2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Window2d {
    /// Output size along rows or columns: `(size + 2 padding - dilation (kernel - 1) - 1) / stride + 1`; 0 where
    /// nothing fits.
    pub fn output(&self, direction: usize, size: usize, kernel: usize) -> usize {
        let span = self.dilation[direction] * (kernel - 1) + 1;
        let padded = size + 2 * self.padding[direction];
        if padded < span { 0 } else { (padded - span) / self.stride[direction] + 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    Forward,
    /// The gradient for an input of these rows and columns.
    Input([usize; 2]),
    /// The gradient for a kernel of these rows and columns.
    Weight([usize; 2]),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Conv2d {
    which: Which,
    window: Window2d,
}

fn problem(message: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ErrorKind::Shape, message)
}

impl Conv2d {
    /// Checks `[n, c, h, w]`, `[o, c / groups, kh, kw]`, and gives `[n, o, oh, ow]`.
    fn output(&self, input: &[usize; 4], weight: &[usize; 4]) -> Result<[usize; 4], Problem> {
        let (&[n, c, h, w], &[o, per_group, kh, kw], groups) = (input, weight, self.window.groups);
        if groups == 0 || c % groups != 0 || o % groups != 0 || c / groups != per_group {
            let message = format!("{c} channels in {groups} groups do not fit a weight of {o} x {per_group}");
            return Err(problem(message));
        }
        if self.window.stride.contains(&0) || self.window.dilation.contains(&0) || kh == 0 || kw == 0 {
            return Err(problem("stride, dilation and kernel must not be 0"));
        }
        let (oh, ow) = (self.window.output(0, h, kh), self.window.output(1, w, kw));
        if oh == 0 || ow == 0 {
            return Err(problem("the kernel is larger than the padded input"));
        }
        Ok([n, o, oh, ow])
    }
}

impl Op for Conv2d {
    fn name(&self) -> Cow<'static, str> {
        match self.which {
            Which::Forward => "conv2d",
            Which::Input(_) => "conv2d_input",
            Which::Weight(_) => "conv2d_weight",
        }
        .into()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [a, b] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes two tensors")) };
        if a.dtype != b.dtype || !matches!(a.dtype, DType::F32 | DType::F64) {
            return Err(Problem::new(ErrorKind::DType, "takes two tensors of one dtype: f32 or f64"));
        }
        let (Ok(first), Ok(second)) = (<[usize; 4]>::try_from(&a.shape[..]), <[usize; 4]>::try_from(&b.shape[..]))
        else {
            return Err(problem("takes two tensors of four axes: [n, c, h, w] and [out, c / groups, h, w]"));
        };
        let shape = match self.which {
            Which::Forward => self.output(&first, &second)?,
            Which::Input([h, w]) => {
                let input = [first[0], second[1] * self.window.groups, h, w];
                if self.output(&input, &second)? != first {
                    return Err(problem(format!("is no gradient of a convolution over {input:?}")));
                }
                input
            }
            Which::Weight([kh, kw]) => {
                let weight = [first[1], second[1] / self.window.groups.max(1), kh, kw];
                if self.output(&second, &weight)? != first {
                    return Err(problem(format!("is no gradient of a convolution with {weight:?}")));
                }
                weight
            }
        };
        Ok(smallvec![Meta::new(shape, a.dtype)])
    }

    fn compute(&self) -> Compute<'_> {
        match self.which {
            Which::Forward => Compute::Conv2d(&self.window),
            Which::Input(_) => Compute::Conv2dInput(&self.window),
            Which::Weight(_) => Compute::Conv2dWeight(&self.window),
        }
    }

    fn reads(&self) -> Reads {
        Reads::INPUTS
    }

    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([a, b], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let (Ok(a_shape), Ok(b_shape)) = (a.try_shape(), b.try_shape()) else { return Ok(smallvec![None, None]) };
        let sizes = |shape: &crate::Shape| [shape[2], shape[3]];
        let conv = |which, a: &Tensor, b: &Tensor| {
            Some(Tensor::apply(Conv2d { which, window: self.window }, &[a, b], Vec::new(), a.device()))
        };
        Ok(match self.which {
            Which::Forward => {
                smallvec![conv(Which::Input(sizes(&a_shape)), g, b), conv(Which::Weight(sizes(&b_shape)), g, a)]
            }
            Which::Input(_) => smallvec![conv(Which::Forward, g, b), conv(Which::Weight(sizes(&b_shape)), a, g)],
            Which::Weight(_) => smallvec![conv(Which::Forward, b, g), conv(Which::Input(sizes(&b_shape)), a, g)],
        })
    }
}

impl Tensor {
    /// Cross-correlates `[n, c, h, w]` with a weight `[out, c / groups, kh, kw]` to `[n, out, oh, ow]`, where
    /// `oh = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1`. PyTorch: `F.conv2d` without bias.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, window: Window2d) -> Tensor {
        Tensor::apply(Conv2d { which: Which::Forward, window }, &[self, weight], Vec::new(), self.device())
    }
}
