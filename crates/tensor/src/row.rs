//! The op of a row of the elementwise table.

use crate::dtype::DType;
use crate::elementwise::{Basic, Elementwise};
use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Map, Meta, Metas, Op, Reads};
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

/// The op of a row: of tensors alone, or with a number in the place of one. `x * 2.0` is one call of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowOp {
    /// The row.
    pub row: &'static Elementwise,
    /// Which of its inputs is the call's number; it has the tensors' dtype.
    pub number: Option<u8>,
}

impl RowOp {
    /// Whether it multiplies one tensor by a number: it does the same to that one's gradient, and reads nothing for it.
    fn scales(&self) -> bool {
        matches!((self.row.basic, self.number), (Some(Basic::Mul), Some(_)) | (Some(Basic::Div), Some(1)))
    }
}

/// The shape that all inputs broadcast to.
pub(crate) fn broadcast(inputs: &[&Meta]) -> Result<Shape, Problem> {
    let [first, rest @ ..] = inputs else { return Ok(Shape::default()) };
    let mut shape = first.shape.clone();
    for other in rest.iter().filter(|other| other.shape != first.shape) {
        shape =
            shape.broadcast(&other.shape).ok_or_else(|| Problem::new(ErrorKind::Shape, "shapes do not broadcast"))?;
    }
    Ok(shape)
}

/// Gradients for inputs that broadcast: each is summed over what was repeated.
pub(crate) fn sum_repeated(inputs: &[Tensor], gradients: Gradients) -> Gradients {
    let fit = |(input, gradient): (&Tensor, Option<Tensor>)| match input.meta() {
        Ok(meta) => gradient.map(|gradient| gradient.sum_to(&meta.shape)),
        Err(_) => gradient,
    };
    inputs.iter().zip(gradients).map(fit).collect()
}

impl Op for RowOp {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.row.name)
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let row = self.row;
        let [first, rest @ ..] = inputs else {
            return Err(Problem::new(ErrorKind::Value, "takes at least one tensor"));
        };
        if inputs.len() + usize::from(self.number.is_some()) != row.arity {
            return Err(Problem::new(ErrorKind::Value, format!("takes {} tensors", row.arity)));
        }
        if rest.iter().any(|other| other.dtype != first.dtype) {
            return Err(Problem::new(ErrorKind::DType, "dtypes differ; cast one of them"));
        }
        if !row.dtypes.contains(&first.dtype) {
            let takes: Vec<_> = row.dtypes.iter().map(|d| d.name()).collect();
            return Err(Problem::new(ErrorKind::DType, format!("takes {}; cast first", takes.join(", "))));
        }
        let dtype = if row.to_bool { DType::Bool } else { first.dtype };
        Ok(smallvec![Meta::new(broadcast(inputs)?, dtype)])
    }

    fn compute(&self) -> Compute<'_> {
        Compute::Map(Map::Row(self.row))
    }

    fn reads(&self) -> Reads {
        if self.scales() { Reads::NOTHING } else { self.row.reads }
    }

    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let Some(rule) = self.row.gradient else {
            return Err(Problem::new(ErrorKind::NotDifferentiable, "has no gradient"));
        };
        if let ([x, y], Some(Basic::Mul), [Some(g)]) = (call.inputs, self.row.basic, call.grads)
            && x.is(y)
        {
            // A square: both factors get the same.
            let half = g * x;
            return Ok(smallvec![Some(half.clone()), Some(half)]);
        }
        let (Some(place), [x, ..], [number, ..]) = (self.number, call.inputs, call.scalars) else {
            return Ok(sum_repeated(call.inputs, rule(call)));
        };
        if self.scales() {
            let gradient = call.grads.first().cloned().flatten();
            return Ok(smallvec![gradient.map(|g| g.elementwise_number(self.row, &[], *number, place))]);
        }
        // The rule sees the number as a tensor. One that reads no inputs is content with any.
        let number = if self.row.reads.inputs { x.constant_like(*number) } else { x.clone() };
        let mut inputs = call.inputs.to_vec();
        inputs.insert(usize::from(place), number);
        let mut gradients = rule(&Call { inputs: &inputs, ..*call });
        if usize::from(place) < gradients.len() {
            gradients.remove(usize::from(place));
        }
        Ok(sum_repeated(call.inputs, gradients))
    }
}
