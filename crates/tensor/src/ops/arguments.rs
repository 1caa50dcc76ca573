//! What methods take for axes, sizes and operands, so that calls read as in PyTorch.

use crate::dtype::{DType, Scalar};
use crate::error::{ErrorKind, Problem};
use crate::shape::{Shape, normal_axis};
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use std::ops::{RangeFrom, RangeFull};

/// Axes of a tensor: `1`, `-1`, `[0, 2]`, `1..` or `..` (all).
#[derive(Clone, Debug)]
pub enum Axes {
    /// All of them.
    All,
    /// From this one on.
    From(isize),
    /// These.
    These(SmallVec<[isize; 4]>),
}

/// Axes counted from the front: few, which then need no memory of their own.
pub(crate) type AxisList = SmallVec<[usize; 4]>;

impl Axes {
    /// The axes of a tensor of `rank` axes, ascending, or what is wrong with them.
    pub(crate) fn resolve(&self, rank: usize) -> Result<AxisList, Problem> {
        let normal = |axis: isize| {
            normal_axis(axis, rank)
                .ok_or_else(|| Problem::new(ErrorKind::Axis, format!("axis {axis} is out of range for {rank} axes")))
        };
        match self {
            Axes::All => Ok((0..rank).collect()),
            Axes::From(first) if *first == rank as isize => Ok(AxisList::new()),
            Axes::From(first) => Ok((normal(*first)?..rank).collect()),
            Axes::These(axes) => {
                let mut found = axes.iter().map(|&axis| normal(axis)).collect::<Result<AxisList, _>>()?;
                found.sort_unstable();
                match found.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(pair) => Err(Problem::new(ErrorKind::Axis, format!("axis {} is named twice", pair[0]))),
                    None => Ok(found),
                }
            }
        }
    }
}

impl From<RangeFull> for Axes {
    fn from(_: RangeFull) -> Self {
        Axes::All
    }
}

/// Sizes in which one may be -1: what is left.
#[derive(Clone, Debug)]
pub struct Sizes(pub SmallVec<[isize; 4]>);

impl Sizes {
    /// The shape of `count` elements, or what is wrong.
    pub fn resolve(&self, count: usize) -> Result<Shape, Problem> {
        let problem = |message: String| Problem::new(ErrorKind::Shape, message);
        if self.0.iter().any(|&size| size < -1) || self.0.iter().filter(|&&size| size == -1).count() > 1 {
            return Err(problem(format!("{:?} is no shape: one size may be -1, none may be less", self.0)));
        }
        let known = self.0.iter().filter(|&&size| size != -1).try_fold(1usize, |n, &size| n.checked_mul(size as usize));
        let Some(known) = known else { return Err(problem(format!("{:?} is too large", self.0))) };
        let open = self.0.contains(&-1);
        let fits = if open { known != 0 && count.is_multiple_of(known) } else { known == count };
        if !fits {
            return Err(problem(format!("{:?} does not hold {count} elements", self.0)));
        }
        Ok(self.0.iter().map(|&size| if size == -1 { count / known } else { size as usize }).collect())
    }
}

macro_rules! whole_numbers {
    ($($t:ty),*) => {$(
        impl From<$t> for Axes {
            fn from(axis: $t) -> Self { Axes::These(smallvec![axis as isize]) }
        }
        impl From<RangeFrom<$t>> for Axes {
            fn from(range: RangeFrom<$t>) -> Self { Axes::From(range.start as isize) }
        }
        impl<const N: usize> From<[$t; N]> for Axes {
            fn from(axes: [$t; N]) -> Self { Axes::These(axes.iter().map(|&axis| axis as isize).collect()) }
        }
        impl From<&[$t]> for Axes {
            fn from(axes: &[$t]) -> Self { Axes::These(axes.iter().map(|&axis| axis as isize).collect()) }
        }
        impl From<Vec<$t>> for Axes {
            fn from(axes: Vec<$t>) -> Self { Axes::from(&axes[..]) }
        }
        impl<const N: usize> From<[$t; N]> for Sizes {
            fn from(sizes: [$t; N]) -> Self { Sizes::from(&sizes[..]) }
        }
        impl From<&[$t]> for Sizes {
            // A size beyond isize becomes isize::MAX, which holds no count of elements: an error, not a wrap-around.
            fn from(sizes: &[$t]) -> Self {
                Sizes(sizes.iter().map(|&size| isize::try_from(size).unwrap_or(isize::MAX)).collect())
            }
        }
        impl From<Vec<$t>> for Sizes {
            fn from(sizes: Vec<$t>) -> Self { Sizes::from(&sizes[..]) }
        }
    )*};
}
whole_numbers!(i32, isize, usize);

impl From<&Shape> for Sizes {
    fn from(shape: &Shape) -> Self {
        Sizes::from(&shape[..])
    }
}
impl From<Shape> for Sizes {
    fn from(shape: Shape) -> Self {
        Sizes::from(&shape[..])
    }
}

/// The other side of a binary operation: a tensor, or a number that becomes one of the first side's dtype.
pub trait Operand {
    /// The tensor; `like` gives a number its shape, dtype and device.
    fn operand(self, like: &Tensor) -> Tensor;

    /// The number, if it is one.
    fn number(&self) -> Option<Scalar> {
        None
    }
}

impl Operand for &Tensor {
    fn operand(self, _like: &Tensor) -> Tensor {
        self.clone()
    }
}
impl Operand for Tensor {
    fn operand(self, _like: &Tensor) -> Tensor {
        self
    }
}
macro_rules! scalar_operand {
    ($($t:ty),*) => {$(
        impl Operand for $t {
            #[track_caller]
            fn operand(self, like: &Tensor) -> Tensor {
                like.constant_like(Scalar::from(self))
            }
            fn number(&self) -> Option<Scalar> {
                Some(Scalar::from(*self))
            }
        }
    )*};
}
scalar_operand!(f32, f64, i32, i64, u32, usize);

/// Refuses a number that the dtype cannot hold, instead of rounding it in silence.
pub(crate) fn scalar_fits(scalar: Scalar, dtype: DType) -> Result<(), Problem> {
    let refuse = |why: &str| Err(Problem::new(ErrorKind::DType, format!("{scalar:?} {why} {dtype}; cast the tensor")));
    let value = scalar.as_f64();
    let (low, high) = match dtype {
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
        DType::U8 => (0.0, 255.0),
        DType::Bool => (0.0, 1.0),
        _ => return Ok(()),
    };
    if value.fract() != 0.0 {
        return refuse("is no");
    }
    if value < low || value > high || value.is_nan() {
        return refuse("does not fit");
    }
    Ok(())
}
