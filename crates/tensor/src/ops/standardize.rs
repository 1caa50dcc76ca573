//! What norms consist of: rows less their mean, over their deviation.

use crate::dtype::Scalar;
use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Argument, Call, Compute, Gradients, Meta, Metas, Op, Part, Parts, Reads, Reduction};
use crate::ops::arguments::{Axes, AxisList};
use crate::ops::reduce::reduced_floats;
use crate::ops::table::{ADD, DIV, MUL, RSQRT, SUB};
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

/// Gives the result, and what its rows were multiplied by. Numbers: how many elements a row has, and what is added to the
/// variance.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Standardize {
    axes: AxisList,
}

/// The way back through it, of the gradient, the result, and what its rows were multiplied by. Number: how many elements a
/// row has.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Back {
    axes: AxisList,
}

impl Op for Standardize {
    fn name(&self) -> Cow<'static, str> {
        "standardize".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let factor = reduced_floats(inputs, &self.axes, false)?;
        Ok(inputs.iter().copied().cloned().chain([factor]).collect())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    fn parts(&self) -> Parts {
        let [count, eps] = [0, 1].map(Argument::Number);
        let [sum, mean, centred, square, squares, var, raised, factor] = [0, 1, 2, 3, 4, 5, 6, 7].map(Argument::Part);
        let sum_of = |part| Part::Fold(Reduction::Sum, self.axes.to_vec(), part);
        let steps = vec![
            sum_of(Argument::Input(0)),
            Part::Row(&DIV, vec![sum, count]),
            Part::Row(&SUB, vec![Argument::Input(0), mean]),
            Part::Row(&MUL, vec![centred, centred]),
            sum_of(square),
            Part::Row(&DIV, vec![squares, count]),
            Part::Row(&ADD, vec![var, eps]),
            Part::Row(&RSQRT, vec![raised]),
            Part::Row(&MUL, vec![centred, factor]),
        ];
        Parts { steps, outputs: vec![8, 7] }
    }
    fn reads(&self) -> Reads {
        Reads::OUTPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([y, factor], [g, of_factor], [count, ..]) = (call.outputs, call.grads, call.scalars) else {
            return Ok(smallvec![]);
        };
        let through_result = g.as_ref().map(|g| {
            let op = Back { axes: self.axes.clone() };
            Tensor::apply(op, &[g, y, factor], vec![*count], g.device())
        });
        let through_factor = of_factor.as_ref().map(|g| -(g * factor.square() / count.as_f64()) * y);
        Ok(smallvec![match (through_result, through_factor) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }])
    }
}

impl Op for Back {
    fn name(&self) -> Cow<'static, str> {
        "standardize_backward".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        match inputs {
            [g, y, factor] if g == y && **factor == reduced_floats(&inputs[1..2], &self.axes, false)? => {
                Ok(smallvec![Meta::clone(g)])
            }
            _ => {
                Err(Problem::new(ErrorKind::Shape, "takes a gradient, the result and what its rows were multiplied by"))
            }
        }
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    /// `(g - mean(g) - y mean(g y)) factor`.
    fn parts(&self) -> Parts {
        let [g, y, factor] = [0, 1, 2].map(Argument::Input);
        let [sum, mean, product, products, along, part, less, rest] = [0, 1, 2, 3, 4, 5, 6, 7].map(Argument::Part);
        let count = Argument::Number(0);
        let sum_of = |part| Part::Fold(Reduction::Sum, self.axes.to_vec(), part);
        Parts::from(vec![
            sum_of(g),
            Part::Row(&DIV, vec![sum, count]),
            Part::Row(&MUL, vec![g, y]),
            sum_of(product),
            Part::Row(&DIV, vec![products, count]),
            Part::Row(&MUL, vec![y, along]),
            Part::Row(&SUB, vec![g, mean]),
            Part::Row(&SUB, vec![less, part]),
            Part::Row(&MUL, vec![rest, factor]),
        ])
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    /// It is linear in `g`, and its own transpose.
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([g, y, factor], [Some(h)], [count]) = (call.inputs, call.grads, call.scalars) else {
            return Ok(smallvec![]);
        };
        let axes: &[usize] = &self.axes;
        let along = |x: &Tensor| (x * y).sum_keepdim(axes) / count.as_f64();
        let k = h * factor;
        let for_g = &k - k.sum_keepdim(axes) / count.as_f64() - y * along(&k);
        let for_y = -(&k * along(g) + g * along(&k));
        let rest = g - g.sum_keepdim(axes) / count.as_f64() - y * along(g);
        let for_factor = (h * rest).sum_keepdim(axes);
        Ok(smallvec![Some(for_g), Some(for_y), Some(for_factor)])
    }
}

impl Tensor {
    /// Less its mean and over its standard deviation along `axes`: `(x - mean) / sqrt(var + eps)`, with the biased
    /// variance. JAX: `jax.nn.standardize`; PyTorch: `F.layer_norm` without weight and bias.
    ///
    /// ```
    /// # use wgrad_tensor::Tensor;
    /// # fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    /// x.standardize(-1, 1e-5) * weight + bias
    /// # }
    /// ```
    #[track_caller]
    pub fn standardize(&self, axes: impl Into<Axes>, eps: f64) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match axes.into().resolve(shape.len()) {
            Ok(axes) => {
                let count: usize = axes.iter().map(|&axis| shape[axis]).product();
                let numbers = vec![Scalar::Float(count as f64), Scalar::Float(eps)];
                let [result, _] = Tensor::apply_all(Standardize { axes }, &[self], numbers, self.device());
                result
            }
            Err(problem) => self.fail("standardize", &[], problem),
        }
    }
}
