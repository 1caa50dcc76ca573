//! Matrix products.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::node::Scalars;
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, OpRef, Reads};
use crate::shape::Shape;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Matmul;

impl Op for Matmul {
    fn name(&self) -> Cow<'static, str> {
        "matmul".into()
    }
    fn infer(&self, inputs: &[Meta]) -> Result<Metas, Problem> {
        let [a, b] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes two tensors")) };
        if a.dtype != b.dtype || !matches!(a.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32) {
            return Err(Problem::new(ErrorKind::DType, "takes two tensors of one dtype: f32, f64, i32 or u32"));
        }
        match (&a.shape[..], &b.shape[..]) {
            ([batch @ .., m, k], [other @ .., l, n]) if k == l && batch == other => {
                let sizes: Shape = batch.iter().chain([m, n]).copied().collect();
                Ok(smallvec![Meta::new(sizes, a.dtype)])
            }
            _ => Err(Problem::new(ErrorKind::Shape, "inner sizes differ")),
        }
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Matmul
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([a, b], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        Ok(smallvec![Some(g.matmul(&b.t())), Some(a.t().matmul(g))])
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
            (_, 2) if rows > 2 => {
                let product = self.flatten_rows(a[rows - 1]).apply_matmul(other);
                product.reshape(a.with(rows - 1, b[1]))
            }
            _ => {
                let (batch_a, batch_b) = (Shape::from(&a[..rows - 2]), Shape::from(&b[..columns - 2]));
                let Some(batch) = batch_a.broadcast(&batch_b) else {
                    let problem = Problem::new(ErrorKind::Shape, "leading axes do not broadcast");
                    return self.fail("matmul", &[other], problem);
                };
                let with = |matrix: &[usize]| batch.iter().chain(matrix).copied().collect::<Shape>();
                let left = self.expand_to(&with(&a[rows - 2..]));
                left.apply_matmul(&other.expand_to(&with(&b[columns - 2..])))
            }
        }
    }

    /// `[.., k]` as one matrix of rows; where there are no elements, -1 would stand for any count.
    #[track_caller]
    fn flatten_rows(&self, length: usize) -> Tensor {
        let rows = self.try_shape().map_or(0, |shape| shape[..shape.len() - 1].iter().product());
        self.reshape([rows, length])
    }

    #[track_caller]
    fn apply_matmul(&self, other: &Tensor) -> Tensor {
        // One for all calls: it has no attributes.
        static MATMUL: LazyLock<OpRef> = LazyLock::new(|| OpRef::Shared(Arc::new(Matmul)));
        Tensor::record(MATMUL.clone(), &[self, other], Scalars::new(), self.device()).one()
    }
}
