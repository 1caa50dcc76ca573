//! Choosing by index: `gather`, `scatter_add`, `index_select`, `embedding`, `one_hot`.

use crate::dtype::DType;
use crate::error::{ErrorKind, Problem, Result};
use crate::op::{Call, Compute, Gradients, Meta, Metas, Op, Reads};
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gather(usize);

#[derive(Debug, PartialEq, Eq, Hash)]
struct ScatterAdd(usize);

/// Checks an index against what it points into, along `axis`.
fn check_index(index: &Meta, target: &Meta, axis: usize) -> Result<(), Problem> {
    if !matches!(index.dtype, DType::U32 | DType::I32) {
        return Err(Problem::new(ErrorKind::DType, "the index must be u32 or i32"));
    }
    let fits = |at: usize| at == axis || index.shape[at] <= target.shape[at];
    if index.shape.len() != target.shape.len() || !(0..index.shape.len()).all(fits) {
        let message = format!("the index {} does not fit {} beside axis {axis}", index.shape, target.shape);
        return Err(Problem::new(ErrorKind::Shape, message));
    }
    if target.shape[axis] == 0 && index.shape.count() > 0 {
        return Err(Problem::new(ErrorKind::Index, format!("axis {axis} is empty, so no index is valid")));
    }
    Ok(())
}

impl Op for Gather {
    fn name(&self) -> Cow<'static, str> {
        "gather".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [source, index] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes two tensors")) };
        check_index(index, source, self.0)?;
        Ok(smallvec![Meta::new(&index.shape, source.dtype)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Gather(self.0)
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([source, index], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        let (Ok(shape), Ok(index_meta)) = (source.try_shape(), index.meta()) else { return Ok(smallvec![None, None]) };
        let axis = self.0;
        // One element of each row: elementwise work, which other work takes in.
        if index_meta.shape == shape.with(axis, 1) {
            let mut sizes = vec![1; shape.len()];
            sizes[axis] = shape[axis];
            let positions = Tensor::arange(shape[axis], index_meta.dtype, source.device()).reshape(sizes);
            return Ok(smallvec![Some(positions.eq(index).where_(g, 0.0)), None]);
        }
        Ok(smallvec![Some(source.zeros_like().scatter_add(axis as isize, index, g)), None])
    }
}

impl Op for ScatterAdd {
    fn name(&self) -> Cow<'static, str> {
        "scatter_add".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        let [base, index, source] = inputs else { return Err(Problem::new(ErrorKind::Value, "takes three tensors")) };
        check_index(index, base, self.0)?;
        if base.dtype != source.dtype || !matches!(base.dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32) {
            return Err(Problem::new(ErrorKind::DType, "adds tensors of one dtype: f32, f64, i32 or u32"));
        }
        if index.shape != source.shape {
            return Err(Problem::new(ErrorKind::Shape, "index and source differ in shape"));
        }
        Ok(smallvec![Meta::clone(base)])
    }
    fn compute(&self) -> Compute<'_> {
        Compute::ScatterAdd(self.0)
    }
    fn reads(&self) -> Reads {
        Reads::INPUTS
    }
    fn gradient(&self, call: &Call<'_>) -> Result<Gradients, Problem> {
        let ([_, index, _], [Some(g)]) = (call.inputs, call.grads) else { return Ok(smallvec![]) };
        Ok(smallvec![Some(g.clone()), None, Some(g.gather(self.0 as isize, index))])
    }
}

impl Tensor {
    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]` along `axis`; the index is u32 or i32. PyTorch: `torch.gather`.
    ///
    /// # Errors
    /// An index out of range is an error where the values are read: at once on the CPU, at the next read on a GPU.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(axis) = shape.axis(axis) else { return self.bad_axis("gather", axis) };
        Tensor::apply(Gather(axis), &[self, index], Vec::new(), self.device())
    }

    /// `self` with `source[.., i, ..]` added at `index[.., i, ..]` along `axis`, always in the same order.
    /// PyTorch: `torch.scatter_add`.
    ///
    /// # Errors
    /// As [`gather`](Tensor::gather).
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let Some(axis) = shape.axis(axis) else { return self.bad_axis("scatter_add", axis) };
        Tensor::apply(ScatterAdd(axis), &[self, index, source], Vec::new(), self.device())
    }

    /// The positions of `axis` that the vector `index` names, in its order. PyTorch: `torch.index_select`.
    ///
    /// # Errors
    /// As [`gather`](Tensor::gather).
    #[track_caller]
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Tensor {
        let (Ok(shape), Ok(index_shape)) = (self.try_shape(), index.try_shape()) else {
            return self.fail("index_select", &[index], Problem::new(ErrorKind::Shape, "an input has failed"));
        };
        let Some(along) = shape.axis(axis) else { return self.bad_axis("index_select", axis) };
        let [count] = index_shape[..] else {
            return self.fail("index_select", &[index], Problem::new(ErrorKind::Shape, "the index must be a vector"));
        };
        let mut sizes = vec![1; shape.len()];
        sizes[along] = count;
        let index = index.reshape(sizes).expand_to(&shape.with(along, count));
        self.gather(along as isize, &index)
    }

    /// The rows of `self`, `[rows, ..]`, that `index` of any shape names: `[index.., ..]`. PyTorch: `F.embedding`.
    ///
    /// # Errors
    /// As [`gather`](Tensor::gather).
    #[track_caller]
    pub fn embedding(&self, index: &Tensor) -> Tensor {
        let (Ok(shape), Ok(index_shape)) = (self.try_shape(), index.try_shape()) else {
            return self.fail("embedding", &[index], Problem::new(ErrorKind::Shape, "an input has failed"));
        };
        let [_, row @ ..] = &shape[..] else {
            return self.fail("embedding", &[index], Problem::new(ErrorKind::Shape, "the table has no axis of rows"));
        };
        let sizes: Vec<usize> = index_shape.iter().chain(row).copied().collect();
        self.index_select(0, &index.reshape([-1])).reshape(sizes)
    }

    /// A new last axis of `classes` with 1 at the class and 0 elsewhere, as u32. PyTorch: `F.one_hot`.
    ///
    /// A class out of range gives a row of zeros.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let Ok(meta) = self.meta() else { return self.clone() };
        if !matches!(meta.dtype, DType::U32 | DType::I32) {
            return self.fail("one_hot", &[], Problem::new(ErrorKind::DType, "takes u32 or i32"));
        }
        self.unsqueeze(-1).eq(Tensor::arange(classes, meta.dtype, self.device())).cast(DType::U32)
    }
}
