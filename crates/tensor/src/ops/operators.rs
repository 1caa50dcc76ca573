//! `+ - * / %` and unary `-` on references, values and numbers; and how elementwise operands meet.

use crate::dtype::Scalar;
use crate::elementwise::{Elementwise, RowOp};
use crate::error::{ErrorKind, Problem};
use crate::op::OpRef;
use crate::tensor::Tensor;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

impl Tensor {
    /// Applies a row of an elementwise table, the crate's or your own, to `self` and `others`, which broadcast.
    #[track_caller]
    pub fn elementwise(&self, row: &'static Elementwise, others: &[&Tensor]) -> Tensor {
        let op = OpRef::Row(RowOp(row));
        if let (Ok(meta), [] | [_]) = (self.meta(), others)
            && others.iter().all(|other| other.meta().is_ok_and(|other| other.shape == meta.shape))
        {
            let inputs = [self, others.first().unwrap_or(&self)];
            return Tensor::record(op, &inputs[..=others.len()], Vec::new(), self.device()).output(0);
        }
        let mut inputs = vec![self.clone()];
        inputs.extend(others.iter().map(|other| (*other).clone()));
        let Some(inputs) = broadcast(&inputs) else {
            return self.fail(row.name, others, Problem::new(ErrorKind::Shape, "shapes do not broadcast"));
        };
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        Tensor::record(op, &inputs, Vec::new(), self.device()).output(0)
    }
}

/// The tensors seen through windows of one common shape; as they are where one has failed; `None` where shapes clash.
#[track_caller]
pub(crate) fn broadcast(tensors: &[Tensor]) -> Option<Vec<Tensor>> {
    let mut common = crate::shape::Shape::default();
    for tensor in tensors {
        match tensor.meta() {
            Ok(meta) => common = common.broadcast(&meta.shape)?,
            Err(_) => return Some(tensors.to_vec()),
        }
    }
    Some(tensors.iter().map(|tensor| tensor.expand_to(&common)).collect())
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.elementwise(&super::table::NEG, &[])
    }
}
impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $row:ident;)*) => {$(
        operators!(@pair $trait $method $row, &Tensor, &Tensor, |a, b| (a, b));
        operators!(@pair $trait $method $row, &Tensor, Tensor, |a, b| (a, &b));
        operators!(@pair $trait $method $row, Tensor, &Tensor, |a, b| (&a, b));
        operators!(@pair $trait $method $row, Tensor, Tensor, |a, b| (&a, &b));
        // One float and one integer type, so that literals need no annotation: `(1.0 - &x).sqrt()`.
        operators!(@scalars $trait $method $row, f64 i32);
    )*};
    (@scalars $trait:ident $method:ident $row:ident, $($t:ty)*) => {$(
        operators!(@pair $trait $method $row, &Tensor, $t, |a, b| (a, &a.constant_like(Scalar::from(b))));
        operators!(@pair $trait $method $row, Tensor, $t, |a, b| (&a, &a.constant_like(Scalar::from(b))));
        operators!(@pair $trait $method $row, $t, &Tensor, |a, b| (&b.constant_like(Scalar::from(a)), b));
        operators!(@pair $trait $method $row, $t, Tensor, |a, b| (&b.constant_like(Scalar::from(a)), &b));
    )*};
    (@pair $trait:ident $method:ident $row:ident, $left:ty, $right:ty, |$a:ident, $b:ident| ($x:expr, $y:expr)) => {
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
                let ($a, $b) = (self, other);
                $x.elementwise(&super::table::$row, &[$y])
            }
        }
    };
}
operators! {
    Add add ADD;
    Sub sub SUB;
    Mul mul MUL;
    Div div DIV;
    Rem rem REMAINDER;
}
