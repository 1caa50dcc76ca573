//! Reductions over any axes, and where the largest and smallest are.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::node::Scalars;
use crate::op::{Call, Compute, Extreme, Gradients, Meta, Metas, Op, OpRef, Reads, Reduction};
use crate::ops::arguments::{Axes, AxisList};
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;
use std::sync::Arc;

/// A fold of some axes, which go or stay with size 1.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Reduce {
    reduction: Reduction,
    axes: AxisList,
    keepdim: bool,
}

/// The largest or smallest over some axes, and its position.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Find {
    extreme: Extreme,
    axes: AxisList,
}

/// The shape with `axes` of size 1, for the dtypes that reductions take.
fn reduced(inputs: &[&Meta], axes: &[usize], needs_elements: bool) -> Result<Meta, Problem> {
    let [input] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes one tensor")) };
    if !matches!(input.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32) {
        return Err(Problem::new(ErrorKind::DType, "takes f32, f64, i32, u32; cast first"));
    }
    if needs_elements && axes.iter().any(|&axis| input.shape[axis] == 0) {
        return Err(Problem::new(ErrorKind::Shape, "of no elements is not defined"));
    }
    let shape = axes.iter().fold(input.shape.clone(), |shape, &axis| shape.with(axis, 1));
    Ok(Meta::new(shape, input.dtype))
}

/// As [`reduced`], of floats.
pub(crate) fn reduced_floats(inputs: &[&Meta], axes: &[usize], needs_elements: bool) -> Result<Meta, Problem> {
    match inputs {
        [input, ..] if !input.dtype.is_float() => Err(Problem::new(ErrorKind::DType, "takes floats; cast first")),
        _ => reduced(inputs, axes, needs_elements),
    }
}

/// The shape without some axes.
fn without(shape: &Shape, axes: &[usize]) -> Shape {
    (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect()
}

impl Op for Reduce {
    fn name(&self) -> Cow<'static, str> {
        match self.reduction {
            Reduction::Sum => "sum",
            Reduction::Prod => "prod",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
        .into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let needs_elements = matches!(self.reduction, Reduction::Max | Reduction::Min);
        let mut meta = reduced(inputs, &self.axes, needs_elements)?;
        if !self.keepdim {
            meta.shape = without(&meta.shape, &self.axes);
        }
        Ok(smallvec![meta])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Reduce(self.reduction, &self.axes)
    }
    fn reads(&self) -> Reads {
        match self.reduction {
            Reduction::Sum => Reads::NOTHING,
            Reduction::Prod => Reads::INPUTS,
            Reduction::Max | Reduction::Min => Reads::BOTH,
        }
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([x], [y], [Some(g)]) = (call.inputs, call.outputs, call.grads) else { return Ok(smallvec![]) };
        let Ok(shape) = x.try_shape() else { return Ok(smallvec![Some(x.clone())]) };
        let ones = || self.axes.iter().fold(shape.clone(), |shape, &axis| shape.with(axis, 1));
        let kept = |tensor: &Tensor| if self.keepdim { tensor.clone() } else { tensor.reshape(ones()) };
        let g = kept(g);
        let gradient = match self.reduction {
            Reduction::Sum => g.expand_to(&shape),
            Reduction::Prod => g * product_of_others(x, &shape, &self.axes),
            // Equal extremes share the gradient, as in PyTorch's amax.
            Reduction::Max | Reduction::Min => {
                let ties = x.eq(kept(y));
                let share = ties.where_(g.ones_like().expand_to(&shape), 0.0);
                let count = share.reduce(Reduction::Sum, self.axes.clone(), true);
                share * (g / count)
            }
        };
        Ok(smallvec![Some(gradient)])
    }
}

/// For every element, the product of the others along `axes`: exact where elements are zero, and to every order.
/// Costs the square of the reduced count.
fn product_of_others(x: &Tensor, shape: &Shape, axes: &[usize]) -> Tensor {
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let mut order = kept.clone();
    order.extend(axes);
    let mut back = vec![0; order.len()];
    for (to, &axis) in order.iter().enumerate() {
        back[axis] = to;
    }
    let moved = x.permute(&order[..]);
    let moved_shape: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let outer: usize = kept.iter().map(|&axis| shape[axis]).product();
    let inner: usize = axes.iter().map(|&axis| shape[axis]).product();
    let rows = moved.reshape([outer, inner]);
    let index = Tensor::arange(inner, DType::U32, x.device());
    let own = index.unsqueeze(1).eq(index.unsqueeze(0)).unsqueeze(0);
    let others = own.where_(1.0, rows.unsqueeze(1));
    others.prod(-1).reshape(moved_shape).permute(&back[..])
}

impl Op for Find {
    fn name(&self) -> Cow<'static, str> {
        match self.extreme {
            Extreme::Max => "max_with_indices",
            Extreme::Min => "min_with_indices",
        }
        .into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let value = reduced(inputs, &self.axes, true)?;
        let index = Meta::new(&value.shape, DType::U32);
        Ok(smallvec![value, index])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Extreme(self.extreme, &self.axes)
    }
    fn reads(&self) -> Reads {
        Reads::OUTPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([x], [_, index], [Some(g), _]) = (call.inputs, call.outputs, call.grads) else {
            return Ok(smallvec![None]);
        };
        let Ok(shape) = x.try_shape() else { return Ok(smallvec![Some(x.clone())]) };
        let sizes: Vec<usize> =
            (0..shape.len()).map(|axis| if self.axes.contains(&axis) { shape[axis] } else { 1 }).collect();
        let positions = Tensor::arange(sizes.iter().product(), DType::U32, x.device()).reshape(sizes);
        Ok(smallvec![Some(positions.eq(index).where_(g, 0.0))])
    }
}

/// Reductions. Each takes axes as `1`, `-1`, `[0, 2]`, `1..` or `..` (all).
impl Tensor {
    #[track_caller]
    pub(crate) fn reduce(&self, reduction: Reduction, axes: AxisList, keepdim: bool) -> Tensor {
        if axes.is_empty() && self.meta().is_ok_and(|meta| meta.dtype.is_float()) {
            return self.clone();
        }
        self.unary(Reduce { reduction, axes, keepdim })
    }

    #[track_caller]
    fn reduce_axes(&self, name: &'static str, reduction: Reduction, axes: Axes, keepdim: bool) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match axes.resolve(shape.len()) {
            Ok(axes) => self.reduce(reduction, axes, keepdim),
            Err(problem) => self.fail(name, &[], problem),
        }
    }

    /// The sum over `axes`. PyTorch: `torch.sum`.
    #[track_caller]
    pub fn sum(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("sum", Reduction::Sum, axes.into(), false)
    }

    /// The sum over `axes`, which stay with size 1.
    #[track_caller]
    pub fn sum_keepdim(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("sum", Reduction::Sum, axes.into(), true)
    }

    /// The product over `axes`. PyTorch: `torch.prod`. Its gradient costs the square of the reduced count.
    #[track_caller]
    pub fn prod(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("prod", Reduction::Prod, axes.into(), false)
    }

    /// The largest over `axes`; equal ones share the gradient. PyTorch: `torch.amax`.
    #[track_caller]
    pub fn max(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("max", Reduction::Max, axes.into(), false)
    }

    /// The largest over `axes`, which stay with size 1.
    #[track_caller]
    pub fn max_keepdim(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("max", Reduction::Max, axes.into(), true)
    }

    /// The smallest over `axes`; equal ones share the gradient. PyTorch: `torch.amin`.
    #[track_caller]
    pub fn min(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("min", Reduction::Min, axes.into(), false)
    }

    /// [`Tensor::min`], with the axes kept as size 1.
    #[track_caller]
    pub fn min_keepdim(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce_axes("min", Reduction::Min, axes.into(), true)
    }

    /// The mean over `axes`. PyTorch: `torch.mean`.
    #[track_caller]
    pub fn mean(&self, axes: impl Into<Axes>) -> Tensor {
        self.mean_axes(axes.into(), false)
    }

    /// The mean over `axes`, which stay with size 1.
    #[track_caller]
    pub fn mean_keepdim(&self, axes: impl Into<Axes>) -> Tensor {
        self.mean_axes(axes.into(), true)
    }

    #[track_caller]
    fn mean_axes(&self, axes: Axes, keepdim: bool) -> Tensor {
        let Ok(meta) = self.meta() else { return self.clone() };
        if !meta.dtype.is_float() {
            return self.fail("mean", &[], Problem::new(ErrorKind::DType, "takes floats; cast first"));
        }
        match axes.resolve(meta.shape.len()) {
            Ok(resolved) => {
                let count: usize = resolved.iter().map(|&axis| meta.shape[axis]).product();
                self.reduce(Reduction::Sum, resolved, keepdim) / count as f64
            }
            Err(problem) => self.fail("mean", &[], problem),
        }
    }

    /// The variance over `axes`, its sum of squares divided by the count less `correction`. PyTorch: `torch.var`.
    #[track_caller]
    pub fn var(&self, axes: impl Into<Axes>, correction: usize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let axes = axes.into();
        match axes.resolve(shape.len()) {
            Ok(resolved) => {
                let count: usize = resolved.iter().map(|&axis| shape[axis]).product();
                let centred = self - self.mean_keepdim(axes.clone());
                centred.square().sum(axes) / (count as f64 - correction as f64)
            }
            Err(problem) => self.fail("var", &[], problem),
        }
    }

    /// The standard deviation over `axes`. PyTorch: `torch.std`.
    #[track_caller]
    pub fn std(&self, axes: impl Into<Axes>, correction: usize) -> Tensor {
        // The root's gradient at 0 is infinite, and times zero deviations NaN; as in PyTorch it counts as 0.
        let var = self.var(axes, correction);
        let zero = var.eq(0.0);
        zero.where_(0.0, zero.where_(1.0, &var).sqrt())
    }

    /// `x * x`. PyTorch: `torch.square`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// The position of the largest along `axis`, as u32: the first of equals. PyTorch: `torch.argmax`.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Tensor {
        self.max_with_indices(axis).1
    }

    /// The position of the smallest along `axis`, as u32: the first of equals. PyTorch: `torch.argmin`.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Tensor {
        self.min_with_indices(axis).1
    }

    /// The largest over `axes`, and its position (u32) in row-major order over them: the first of equals, which alone
    /// gets the gradient. PyTorch: `torch.max(dim)`.
    #[track_caller]
    pub fn max_with_indices(&self, axes: impl Into<Axes>) -> (Tensor, Tensor) {
        self.find(Extreme::Max, axes.into())
    }

    /// The smallest over `axes`, and its position (u32) in row-major order over them. PyTorch: `torch.min(dim)`.
    #[track_caller]
    pub fn min_with_indices(&self, axes: impl Into<Axes>) -> (Tensor, Tensor) {
        self.find(Extreme::Min, axes.into())
    }

    #[track_caller]
    fn find(&self, extreme: Extreme, axes: Axes) -> (Tensor, Tensor) {
        let Ok(shape) = self.try_shape() else { return (self.clone(), self.clone()) };
        let axes = match axes.resolve(shape.len()) {
            Ok(axes) => axes,
            Err(problem) => {
                let failed = self.fail("argmax", &[], problem);
                return (failed.clone(), failed);
            }
        };
        let kept = without(&shape, &axes);
        let op = OpRef::Shared(Arc::new(Find { extreme, axes }));
        let [value, position] = Tensor::record(op, &[self], Scalars::new(), self.device()).all();
        (value.reshape(&kept), position.reshape(kept))
    }

    /// Whether any element (bool) holds, over `axes`. PyTorch: `torch.any`.
    #[track_caller]
    pub fn any(&self, axes: impl Into<Axes>) -> Tensor {
        self.cast(DType::U32).sum(axes).cast(DType::Bool)
    }

    /// Whether all elements (bool) hold, over `axes`. PyTorch: `torch.all`.
    #[track_caller]
    pub fn all(&self, axes: impl Into<Axes>) -> Tensor {
        self.logical_not().any(axes).logical_not()
    }

    /// Summed over the axes that broadcasting repeated, back to `shape`.
    #[track_caller]
    pub(crate) fn sum_to(&self, shape: &Shape) -> Tensor {
        let Ok(own) = self.try_shape() else { return self.clone() };
        let Some(added) = own.len().checked_sub(shape.len()) else { return self.clone() };
        let repeated = |&axis: &usize| axis < added || (shape[axis - added] == 1 && own[axis] != 1);
        let axes: AxisList = (0..own.len()).filter(repeated).collect();
        if axes.is_empty() {
            return self.clone();
        }
        let keepdim = axes.iter().any(|&axis| axis >= added);
        let sum = self.reduce(Reduction::Sum, axes, keepdim);
        if keepdim && added > 0 { sum.reshape(shape) } else { sum }
    }
}
