//! Matrix products.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::node::Scalars;
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, OpRef, Product, Reads};
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Matmul(Product);

impl Product {
    /// The op, of which there is one for all calls.
    pub fn op(self) -> OpRef {
        const fn numbered(n: usize) -> Matmul {
            Matmul(Product { turned: [n & 1 != 0, n & 2 != 0], flat: n & 4 != 0 })
        }
        static ALL: [Matmul; 8] =
            [numbered(0), numbered(1), numbered(2), numbered(3), numbered(4), numbered(5), numbered(6), numbered(7)];
        let Product { turned: [left, right], flat } = self;
        OpRef::Static(&ALL[usize::from(left) + 2 * usize::from(right) + 4 * usize::from(flat)])
    }
}

impl Matmul {
    /// Leading axes, and the two that are multiplied.
    fn matrix<'a>(&self, input: usize, shape: &'a [usize]) -> Result<(&'a [usize], [usize; 2]), Problem> {
        let (leading, [rows, columns]) = match (shape, self.0.flat) {
            ([leading @ .., last], true) => {
                let rows = leading.iter().try_fold(1, |all: usize, &size| all.checked_mul(size));
                (leading, [rows.ok_or_else(|| Problem::new(ErrorKind::OutOfMemory, "has too many rows"))?, *last])
            }
            ([leading @ .., rows, columns], false) => (leading, [*rows, *columns]),
            _ => return Err(Problem::new(ErrorKind::Shape, "takes no scalars; multiply them")),
        };
        Ok((leading, if self.0.turned[input] { [columns, rows] } else { [rows, columns] }))
    }
}

impl Op for Matmul {
    fn name(&self) -> Cow<'static, str> {
        "matmul".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [a, b] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes two tensors")) };
        if a.dtype != b.dtype || !matches!(a.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32) {
            return Err(Problem::new(ErrorKind::DType, "takes two tensors of one dtype: f32, f64, i32 or u32"));
        }
        let (leading, [m, k]) = self.matrix(0, &a.shape)?;
        let (other, [l, n]) = self.matrix(1, &b.shape)?;
        if k != l || (!self.0.flat && leading != other) {
            return Err(Problem::new(ErrorKind::Shape, format!("inner sizes differ: {k} and {l}")));
        }
        let shape: Shape = match (self.0.flat, self.0.turned[0]) {
            (false, _) => leading.iter().copied().chain([m, n]).collect(),
            (true, false) => leading.iter().copied().chain([n]).collect(),
            (true, true) => Shape::from([m, n]),
        };
        Ok(smallvec![Meta::new(shape, a.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Matmul(self.0)
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    /// `d(A B) = dA B + A dB`, whichever of the two is turned: each gradient is a product of the same kind.
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([a, b], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let Product { turned: [left, right], flat } = self.0;
        let product = |a: &Tensor, b: &Tensor, turned| a.product(b, Product { turned, flat });
        let for_a = if left { product(b, g, [right, true]) } else { product(g, b, [false, !right]) };
        let for_b = if right { product(g, a, [true, left]) } else { product(a, g, [!left, false]) };
        Ok(smallvec![Some(for_a), Some(for_b)])
    }
}

impl Tensor {
    /// The matrix product over the last two axes; leading axes broadcast, and vectors count as a row on the left and a
    /// column on the right. PyTorch: `torch.matmul`.
    ///
    /// `[.., m, k] x [.., k, n] -> [.., m, n]`
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (Ok(a), Ok(b)) = (self.try_shape(), other.try_shape()) else {
            return self.fail("matmul", &[other], Problem::new(ErrorKind::Shape, "an input has failed"));
        };
        let (rows, columns) = (a.len(), b.len());
        if rows == 0 || columns == 0 {
            let problem = Problem::new(ErrorKind::Shape, "takes no scalars; multiply them");
            return self.fail("matmul", &[other], problem);
        }
        if a[rows - 1] != b[columns.saturating_sub(2)] {
            return self.fail("matmul", &[other], Problem::new(ErrorKind::Shape, "inner sizes differ"));
        }
        match (rows, columns) {
            (1, 1) => self.unsqueeze(0).matmul(&other.unsqueeze(1)).reshape([0usize; 0]),
            (1, _) => self.unsqueeze(0).matmul(other).squeeze(-2),
            (_, 1) => self.matmul(&other.unsqueeze(1)).squeeze(-1),
            // One matrix on the right serves all rows of the left: one large product instead of many.
            (_, 2) => self.product(other, Product { turned: [false, false], flat: true }),
            _ => {
                let (batch_a, batch_b) = (Shape::from(&a[..rows - 2]), Shape::from(&b[..columns - 2]));
                let Some(batch) = batch_a.broadcast(&batch_b) else {
                    let problem = Problem::new(ErrorKind::Shape, "leading axes do not broadcast");
                    return self.fail("matmul", &[other], problem);
                };
                let with = |matrix: &[usize]| batch.iter().chain(matrix).copied().collect::<Shape>();
                let left = self.expand_to(&with(&a[rows - 2..]));
                left.product(&other.expand_to(&with(&b[columns - 2..])), Product::default())
            }
        }
    }

    /// The linear map `x W^T + b` over the last axis. PyTorch: `F.linear`.
    ///
    /// `[.., in]`, weight `[out, in]` and bias `[out]` -> `[.., out]`
    ///
    /// ```
    /// # use wgrad_tensor::{Device, Tensor};
    /// # fn example(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    /// x.linear(weight, Some(bias)) // the same as x.matmul(&weight.t()) + bias
    /// # }
    /// ```
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        if let Ok(shape) = weight.try_shape()
            && shape.len() != 2
        {
            return self.fail("linear", &[weight], Problem::new(ErrorKind::Shape, "takes a weight of two axes"));
        }
        let product = self.product(weight, Product { turned: [false, true], flat: true });
        match bias {
            Some(bias) => product + bias,
            None => product,
        }
    }

    #[track_caller]
    fn product(&self, other: &Tensor, product: Product) -> Tensor {
        Tensor::record(product.op(), &[self, other], Scalars::new(), self.device()).one()
    }
}
