//! `+ - * / %` and unary `-` on references, values and numbers; and elementwise calls.

use super::table::{ADD, DIV, MUL, REMAINDER, SUB};
use crate::dtype::Scalar;
use crate::elementwise::Elementwise;
use crate::node::Scalars;
use crate::op::OpRef;
use crate::ops::arguments::{Operand, scalar_fits};
use crate::row::RowOp;
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

impl Tensor {
    /// Applies a row of an elementwise table, the crate's or your own, to `self` and `others`, which broadcast.
    #[track_caller]
    pub fn elementwise(&self, row: &'static Elementwise, others: &[&Tensor]) -> Tensor {
        self.row(RowOp { row, number: None }, others, Scalars::new())
    }

    /// Applies a row to `self`, to the tensors `between`, and to a last input that may be a number.
    #[track_caller]
    pub fn elementwise_with(&self, row: &'static Elementwise, between: &[&Tensor], last: impl Operand) -> Tensor {
        match (last.number(), between) {
            (Some(number), _) => self.elementwise_number(row, between, number, 1 + between.len() as u8),
            (None, []) => self.elementwise(row, &[&last.operand(self)]),
            (None, between) => {
                let last = last.operand(self);
                self.elementwise(row, &between.iter().copied().chain([&last]).collect::<Vec<_>>())
            }
        }
    }

    /// Applies a row to tensors and, as its input number `place`, a number of their dtype.
    #[track_caller]
    pub(crate) fn elementwise_number(
        &self,
        row: &'static Elementwise,
        others: &[&Tensor],
        number: Scalar,
        place: u8,
    ) -> Tensor {
        match self.meta().map(|meta| scalar_fits(number, meta.dtype)) {
            Ok(Err(problem)) => self.fail(row.name, others, problem),
            _ => self.row(RowOp { row, number: Some(place) }, others, smallvec![number]),
        }
    }

    #[track_caller]
    fn row(&self, op: RowOp, others: &[&Tensor], scalars: Scalars) -> Tensor {
        let mut inputs = SmallVec::<[&Tensor; 3]>::new();
        inputs.push(self);
        inputs.extend_from_slice(others);
        Tensor::record(OpRef::Row(op), &inputs, scalars, self.device()).one()
    }
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
        operators!(@pair $trait $method, &Tensor, &Tensor, |a, b| a.elementwise(&$row, &[b]));
        operators!(@pair $trait $method, &Tensor, Tensor, |a, b| a.elementwise(&$row, &[&b]));
        operators!(@pair $trait $method, Tensor, &Tensor, |a, b| a.elementwise(&$row, &[b]));
        operators!(@pair $trait $method, Tensor, Tensor, |a, b| a.elementwise(&$row, &[&b]));
        // One float and one integer type, so that literals need no annotation: `(1.0 - &x).sqrt()`.
        operators!(@scalars $trait $method $row, f64 i32);
    )*};
    (@scalars $trait:ident $method:ident $row:ident, $($t:ty)*) => {$(
        operators!(@pair $trait $method, &Tensor, $t, |a, b| a.elementwise_number(&$row, &[], Scalar::from(b), 1));
        operators!(@pair $trait $method, Tensor, $t, |a, b| a.elementwise_number(&$row, &[], Scalar::from(b), 1));
        operators!(@pair $trait $method, $t, &Tensor, |a, b| b.elementwise_number(&$row, &[], Scalar::from(a), 0));
        operators!(@pair $trait $method, $t, Tensor, |a, b| b.elementwise_number(&$row, &[], Scalar::from(a), 0));
    )*};
    (@pair $trait:ident $method:ident, $left:ty, $right:ty, |$a:ident, $b:ident| $result:expr) => {
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
                let ($a, $b) = (self, other);
                $result
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
