//! Other windows on the same data: nothing is copied until something needs it contiguous.

use crate::dtype::Scalar;
use crate::error::{ErrorKind, Problem, Result};
use crate::layout::Layout;
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, Reads, Windows};
use crate::ops::arguments::{Axes, AxisList, Sizes};
use crate::shape::{Shape, normal_axis};
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::ops::{Bound, RangeBounds};

/// The whole input as it is: `detach`, `requires_grad`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alias(pub &'static str);

/// The kinds of window. Each output shape follows from the input's shape and the attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum View {
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Output axis `i` is input axis `order[i]`.
    Permute(SmallVec<[usize; 4]>),
    /// Axes of size 1 repeated up to this shape, new axes in front.
    Expand(Shape),
    /// Along one axis, from scalar 0 on, `count` elements `step` apart.
    Slice { axis: usize, count: usize, step: usize },
    /// These axes backwards.
    Flip(AxisList),
    /// A new last axis that holds the window at each position of an axis.
    Unfold(Windows),
}

impl Op for Alias {
    fn name(&self) -> Cow<'static, str> {
        self.0.into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        Ok(inputs.iter().copied().cloned().collect())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::View
    }
    fn view(&self, input: &Layout, _scalars: &[Scalar], _output: &Shape) -> Option<Layout> {
        Some(input.clone())
    }
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

impl Op for View {
    fn name(&self) -> Cow<'static, str> {
        match self {
            View::Reshape(_) => "reshape",
            View::Permute(_) => "permute",
            View::Expand(_) => "expand",
            View::Slice { .. } => "slice",
            View::Flip(_) => "flip",
            View::Unfold(_) => "unfold",
        }
        .into()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [input] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes one tensor")) };
        let shape = match self {
            View::Reshape(shape) => shape.clone(),
            View::Permute(order) => order.iter().map(|&axis| input.shape[axis]).collect(),
            View::Expand(shape) => shape.clone(),
            View::Slice { axis, count, .. } => input.shape.with(*axis, *count),
            View::Flip(_) => input.shape.clone(),
            View::Unfold(windows) => {
                let mut sizes = input.shape.to_vec();
                sizes[windows.axis] = windows.count(input.shape[windows.axis]);
                sizes.push(windows.size);
                sizes.into()
            }
        };
        Ok(smallvec![Meta::new(shape, input.dtype)])
    }

    fn compute(&self) -> Compute<'_> {
        Compute::View
    }

    fn view(&self, input: &Layout, scalars: &[Scalar], output: &Shape) -> Option<Layout> {
        let Layout { mut strides, mut offset, .. } = input.clone();
        match self {
            View::Reshape(shape) => return input.reshaped(shape),
            View::Permute(order) => strides = order.iter().map(|&axis| input.strides[axis]).collect(),
            View::Expand(shape) => return Some(input.expanded(shape)),
            View::Slice { axis, step, .. } => {
                let start = scalars.first().map_or(0, |start| start.as_i64());
                offset = offset.checked_add_signed(start as isize * strides[*axis])?;
                strides[*axis] *= *step as isize;
            }
            View::Flip(axes) => {
                for &axis in axes {
                    let last = input.shape[axis].saturating_sub(1) as isize;
                    offset = offset.checked_add_signed(last * strides[axis])?;
                    strides[axis] = -strides[axis];
                }
            }
            View::Unfold(windows) => {
                let stride = strides[windows.axis];
                strides[windows.axis] = stride * windows.step as isize;
                strides.push(stride * windows.dilation as isize);
            }
        }
        Some(Layout { shape: output.clone(), strides, offset })
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([input], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let Ok(from) = input.try_shape() else { return Ok(smallvec![Some(g.clone())]) };
        let gradient = match self {
            View::Reshape(_) => g.reshape(&from),
            View::Permute(order) => {
                let mut back = smallvec![0; order.len()];
                for (to, &axis) in order.iter().enumerate() {
                    back[axis] = to;
                }
                g.view(View::Permute(back))
            }
            View::Expand(_) => g.sum_to(&from),
            View::Slice { axis, count, step } => {
                let start = call.scalars.first().map_or(0, |start| start.as_i64() as usize);
                g.unslice(*axis, start, *step, *count, from[*axis])
            }
            View::Flip(axes) => g.flip(&axes[..]),
            View::Unfold(windows) => g.fold(*windows, from[windows.axis]),
        };
        Ok(smallvec![Some(gradient)])
    }
}

impl Windows {
    /// How many windows fit on an axis of `length`.
    pub fn count(&self, length: usize) -> usize {
        let span = self.dilation * (self.size - 1) + 1;
        if length < span { 0 } else { (length - span) / self.step + 1 }
    }
}

impl Tensor {
    #[track_caller]
    fn view(&self, view: View) -> Tensor {
        self.unary(view)
    }

    /// The same elements under another shape; one size may be -1, and is what is left. PyTorch: `Tensor.reshape`.
    #[track_caller]
    pub fn reshape(&self, sizes: impl Into<Sizes>) -> Tensor {
        let Ok(meta) = self.meta() else { return self.clone() };
        match sizes.into().resolve(meta.shape.count()) {
            Ok(shape) if shape == meta.shape => self.clone(),
            Ok(shape) => self.view(View::Reshape(shape)),
            Err(problem) => self.fail("reshape", &[], problem),
        }
    }

    /// Neighbouring axes as one: `flatten(1..)` keeps the batch. PyTorch: `torch.flatten`.
    #[track_caller]
    pub fn flatten(&self, axes: impl Into<Axes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let axes = match axes.into().resolve(shape.len()) {
            Ok(axes) => axes,
            Err(problem) => return self.fail("flatten", &[], problem),
        };
        let (first, last) = match axes[..] {
            [] => (shape.len(), shape.len()),
            [first, .., last] if last - first + 1 == axes.len() => (first, last + 1),
            [only] => (only, only + 1),
            _ => return self.fail("flatten", &[], Problem::new(ErrorKind::Axis, "axes are not neighbours")),
        };
        let mut sizes = shape[..first].to_vec();
        sizes.push(shape[first..last].iter().product());
        sizes.extend(&shape[last..]);
        self.reshape(sizes)
    }

    /// One axis as several; one size may be -1. PyTorch: `Tensor.unflatten`.
    #[track_caller]
    pub fn unflatten(&self, axis: isize, sizes: impl Into<Sizes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(axis) = shape.axis(axis) else { return self.bad_axis("unflatten", axis) };
        match sizes.into().resolve(shape[axis]) {
            Ok(inner) => {
                let mut sizes = shape[..axis].to_vec();
                sizes.extend(inner.iter());
                sizes.extend(&shape[axis + 1..]);
                self.reshape(sizes)
            }
            Err(problem) => self.fail("unflatten", &[], problem),
        }
    }

    /// Output axis `i` is axis `order[i]`. PyTorch: `torch.permute`.
    #[track_caller]
    pub fn permute(&self, order: impl Into<Axes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let rank = shape.len();
        let order = match order.into() {
            Axes::These(order) => order,
            _ => (0..rank as isize).collect(),
        };
        let found: Option<SmallVec<[usize; 4]>> = order.iter().map(|&axis| normal_axis(axis, rank)).collect();
        let mut sorted = found.clone().unwrap_or_default();
        sorted.sort_unstable();
        match found {
            Some(order) if sorted.iter().copied().eq(0..rank) => self.view(View::Permute(order)),
            _ => {
                let message = format!("{order:?} does not name each of {rank} axes once");
                self.fail("permute", &[], Problem::new(ErrorKind::Axis, message))
            }
        }
    }

    /// Two axes exchanged. PyTorch: `torch.transpose`.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let (Some(a), Some(b)) = (shape.axis(a), shape.axis(b)) else {
            let wrong = if shape.axis(a).is_none() { a } else { b };
            return self.bad_axis("transpose", wrong);
        };
        let mut order: SmallVec<[usize; 4]> = (0..shape.len()).collect();
        order.swap(a, b);
        self.view(View::Permute(order))
    }

    /// The last two axes exchanged. PyTorch: `Tensor.mT`.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.transpose(-2, -1)
    }

    /// Axes of size 1 repeated, new axes in front; -1 keeps a size. PyTorch: `Tensor.expand`.
    #[track_caller]
    pub fn expand(&self, sizes: impl Into<Sizes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Sizes(sizes) = sizes.into();
        let Some(added) = sizes.len().checked_sub(shape.len()) else {
            let message = format!("{sizes:?} has fewer axes");
            return self.fail("expand", &[], Problem::new(ErrorKind::Shape, message));
        };
        let target: Option<Shape> = sizes
            .iter()
            .enumerate()
            .map(|(axis, &size)| match (axis.checked_sub(added).map(|from| shape[from]), usize::try_from(size)) {
                (Some(own), Err(_)) if size == -1 => Some(own),
                (Some(own), Ok(size)) if own == size || own == 1 => Some(size),
                (None, Ok(size)) => Some(size),
                _ => None,
            })
            .collect();
        match target {
            Some(target) => self.expand_to(&target),
            None => {
                self.fail("expand", &[], Problem::new(ErrorKind::Shape, format!("cannot be repeated to {sizes:?}")))
            }
        }
    }

    #[track_caller]
    pub(crate) fn expand_to(&self, target: &Shape) -> Tensor {
        match self.meta() {
            Ok(meta) if meta.shape != *target => self.view(View::Expand(target.clone())),
            _ => self.clone(),
        }
    }

    /// An axis of size 1 before `axis`; -1 adds it at the end. PyTorch: `torch.unsqueeze`.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(at) = normal_axis(axis, shape.len() + 1) else { return self.bad_axis("unsqueeze", axis) };
        let mut sizes = shape.to_vec();
        sizes.insert(at, 1);
        self.reshape(sizes)
    }

    /// Without an axis of size 1. PyTorch: `torch.squeeze`, which leaves other sizes as they are; here they are errors.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let axes = match axes.into() {
            Axes::All => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
            axes => match axes.resolve(shape.len()) {
                Ok(axes) => axes,
                Err(problem) => return self.fail("squeeze", &[], problem),
            },
        };
        if let Some(axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
            let message = format!("axis {axis} has size {}, not 1", shape[*axis]);
            return self.fail("squeeze", &[], Problem::new(ErrorKind::Shape, message));
        }
        let kept = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]);
        self.reshape(kept.collect::<Vec<_>>())
    }

    /// Along one axis, the positions in `range`: `slice(0, 2..5)`, `slice(-1, ..-1)`. Negative bounds count from the
    /// end; bounds beyond the axis are errors. PyTorch: `x[2:5]`.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: impl RangeBounds<isize>) -> Tensor {
        self.slice_step(axis, range, 1)
    }

    /// Along one axis, every `step`-th position in `range`. PyTorch: `x[a:b:step]`.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, range: impl RangeBounds<isize>, step: usize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(axis) = shape.axis(axis) else { return self.bad_axis("slice", axis) };
        let size = shape[axis] as isize;
        let from_end = |bound: isize| if bound < 0 { bound + size } else { bound };
        let start = match range.start_bound() {
            Bound::Included(&start) => from_end(start),
            Bound::Excluded(&start) => from_end(start) + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => from_end(end) + 1,
            Bound::Excluded(&end) => from_end(end),
            Bound::Unbounded => size,
        };
        if start < 0 || end < start || end > size || step == 0 {
            let message = format!("{start}..{end} by {step} is not within axis {axis} of size {size}");
            return self.fail("slice", &[], Problem::new(ErrorKind::Index, message));
        }
        let count = ((end - start) as usize).div_ceil(step);
        if count == shape[axis] && step == 1 {
            return self.clone();
        }
        self.unary_with(View::Slice { axis, count, step }, vec![Scalar::Int(start as i64)])
    }

    /// Along one axis, `length` positions from `start` on. PyTorch: `torch.narrow`.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, length: usize) -> Tensor {
        self.slice(axis, start as isize..(start + length) as isize)
    }

    /// One position of an axis, without the axis; negative ones count from the end. PyTorch: `torch.select`.
    #[track_caller]
    pub fn select(&self, axis: isize, index: isize) -> Tensor {
        let range = if index == -1 { self.slice(axis, -1..) } else { self.slice(axis, index..index + 1) };
        range.squeeze(axis)
    }

    /// Parts of `size` along an axis, the last one smaller. PyTorch: `torch.split`.
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Tensor> {
        let Ok(shape) = self.try_shape() else { return vec![self.clone()] };
        let Some(along) = shape.axis(axis) else { return vec![self.bad_axis("split", axis)] };
        if size == 0 {
            return vec![self.fail("split", &[], Problem::new(ErrorKind::Value, "the size is 0"))];
        }
        let length = shape[along];
        (0..length).step_by(size).map(|start| self.narrow(axis, start, size.min(length - start))).collect()
    }

    /// These axes backwards. PyTorch: `torch.flip`.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match axes.into().resolve(shape.len()) {
            Ok(axes) => self.view(View::Flip(axes)),
            Err(problem) => self.fail("flip", &[], problem),
        }
    }

    /// A new last axis with the windows of `size` that slide along `axis` by `step`, their elements `dilation` apart.
    /// PyTorch: `Tensor.unfold` (there, dilation is 1).
    #[track_caller]
    pub fn unfold(&self, axis: isize, size: usize, step: usize, dilation: usize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(axis) = shape.axis(axis) else { return self.bad_axis("unfold", axis) };
        let windows = Windows { axis, size, step, dilation };
        if size == 0 || step == 0 || dilation == 0 || windows.count(shape[axis]) == 0 {
            let message = format!("no window of {size} by {step}, dilation {dilation}, fits axis {axis}");
            return self.fail("unfold", &[], Problem::new(ErrorKind::Shape, message));
        }
        self.view(View::Unfold(windows))
    }

    #[track_caller]
    pub(crate) fn bad_axis(&self, op: &'static str, axis: isize) -> Tensor {
        let rank = self.meta().map_or(0, |meta| meta.shape.len());
        self.fail(op, &[], Problem::new(ErrorKind::Axis, format!("axis {axis} is out of range for {rank} axes")))
    }
}
