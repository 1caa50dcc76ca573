//! The items of a call that consists of several steps.

use super::{Base, Builder, Item, Kind};
use crate::graph::Call;
use crate::read::{Read, expanded, with_axes_last};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::op::{self, Argument, Map, Meta, Metas, Part, Reduction};
use wgrad_tensor::shape::Shape;

/// A call, what it reads, and what its parts have given so far.
struct Parts<'a> {
    number: usize,
    call: &'a Call,
    inputs: &'a [Read],
    made: Vec<Read>,
}

impl Parts<'_> {
    /// What an argument reads, where that is a tensor.
    fn tensor(&self, argument: Argument) -> Option<&Read> {
        match argument {
            Argument::Input(input) => self.inputs.get(input),
            Argument::Part(part) => self.made.get(part),
            Argument::Number(_) => None,
        }
    }
}

impl Builder<'_> {
    /// What a call of several steps gives; nothing where these take what is not there, or give what the op does not.
    pub(super) fn parts(&mut self, number: usize, call: &Call, inputs: &[Read]) -> Option<Vec<Read>> {
        let mut parts = Parts { number, call, inputs, made: Vec::new() };
        let op::Parts { steps, outputs } = call.op.parts();
        for step in steps {
            let (kind, reads, meta) = match step {
                Part::Sum(argument) => {
                    let read = parts.tensor(argument)?;
                    let axes: Vec<usize> = (0..read.layout.shape.len()).collect();
                    let (kind, reads) = fold(Reduction::Sum, read, &axes)?;
                    (kind, reads, Meta::new(Shape::default(), read.dtype))
                }
                Part::Fold(reduction, axes, argument) => {
                    let read = parts.tensor(argument)?;
                    let (kind, reads) = fold(reduction, read, &axes)?;
                    let shape = axes.iter().fold(read.layout.shape.clone(), |shape, &axis| shape.with(axis, 1));
                    (kind, reads, Meta::new(shape, read.dtype))
                }
                Part::Row(row, arguments) => self.row(row, &arguments, &parts)?,
            };
            let is_free = matches!(kind, Kind::Map(_)) && reads.iter().all(|read| self.is_simple(read));
            self.items.push(Item {
                kind,
                call: number,
                metas: Metas::from_iter([meta.clone()]),
                reads,
                numbers: 0..0,
                is_free,
            });
            parts.made.push(Read::whole(Base::Item(self.items.len() - 1, 0), &meta));
        }
        let given = outputs.iter().map(|&output| parts.made.get(output).cloned()).collect::<Option<Vec<Read>>>()?;
        let is_meant = |(read, meta): (&Read, &Meta)| read.layout.shape == meta.shape && read.dtype == meta.dtype;
        (given.len() == call.metas.len() && given.iter().zip(&call.metas).all(is_meant)).then_some(given)
    }

    /// A row of the table over what its tensors broadcast to.
    fn row(
        &mut self,
        row: &'static Elementwise,
        arguments: &[Argument],
        parts: &Parts<'_>,
    ) -> Option<(Kind, Vec<Read>, Meta)> {
        if arguments.len() != row.arity {
            return None;
        }
        let mut tensors = arguments.iter().filter_map(|&argument| parts.tensor(argument));
        let first = tensors.next()?;
        if !row.dtypes.contains(&first.dtype) || tensors.clone().any(|other| other.dtype != first.dtype) {
            return None;
        }
        let shape = tensors.try_fold(first.layout.shape.clone(), |shape, read| shape.broadcast(&read.layout.shape))?;
        let given = Meta::new(&shape, first.dtype);
        let mut reads = Vec::with_capacity(arguments.len());
        for &argument in arguments {
            reads.push(match (argument, parts.tensor(argument)) {
                (Argument::Number(which), _) if which < parts.call.numbers.len() => {
                    self.constant(parts.number, parts.call, which, given.clone())
                }
                (_, None) => return None,
                (_, Some(read)) if read.layout.shape == shape => read.clone(),
                (_, Some(read)) => expanded(read, &shape),
            });
        }
        let dtype = if row.to_bool { DType::Bool } else { first.dtype };
        Some((Kind::Map(Map::Row(row)), reads, Meta::new(&shape, dtype)))
    }
}

/// A fold of axes in ascending order; nothing where there is none of these, of this dtype, or of no elements.
fn fold(reduction: Reduction, read: &Read, axes: &[usize]) -> Option<(Kind, Vec<Read>)> {
    let shape = &read.layout.shape;
    let are_there = axes.is_sorted_by(|a, b| a < b) && axes.last().is_none_or(|&axis| axis < shape.len());
    if !are_there || !matches!(read.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32) {
        return None;
    }
    let length = axes.iter().map(|&axis| shape[axis]).product();
    let kind = match (axes, reduction) {
        ([], _) => Kind::Copy,
        (_, Reduction::Max | Reduction::Min) if length == 0 => return None,
        _ => Kind::Reduce(reduction, length),
    };
    Some((kind, vec![with_axes_last(read, axes)]))
}
