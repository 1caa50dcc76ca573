//! Pooling over two-dimensional windows: unfold, then reduce.

use crate::error::{ErrorKind, Problem};
use crate::tensor::Tensor;

/// The windows of a pooling, in rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// The window's size.
    pub size: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Elements added on each side: minus infinity for max, zero for average.
    pub padding: [usize; 2],
}

impl From<usize> for Pool2d {
    /// A square window that moves by its own size.
    fn from(size: usize) -> Self {
        Pool2d { size: [size, size], stride: [size, size], padding: [0, 0] }
    }
}

impl Tensor {
    /// The largest of each window of `[.., h, w]`; the first of equals gets the gradient. PyTorch: `F.max_pool2d`.
    #[track_caller]
    pub fn max_pool2d(&self, pool: impl Into<Pool2d>) -> Tensor {
        let pool = pool.into();
        let lowest = match self.try_dtype() {
            Ok(dtype) if dtype.is_float() => f64::NEG_INFINITY,
            Ok(crate::DType::I32) => f64::from(i32::MIN),
            _ => 0.0,
        };
        self.windows("max_pool2d", pool, lowest).max_with_indices([-2, -1]).0
    }

    /// The mean of each window of `[.., h, w]`, padding included. PyTorch: `F.avg_pool2d`.
    #[track_caller]
    pub fn avg_pool2d(&self, pool: impl Into<Pool2d>) -> Tensor {
        self.windows("avg_pool2d", pool.into(), 0.0).mean([-2, -1])
    }

    /// `[.., h, w]` to `[.., oh, ow, kh, kw]`.
    #[track_caller]
    fn windows(&self, name: &'static str, pool: Pool2d, padding: f64) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let [.., h, w] = shape[..] else {
            return self.fail(name, &[], Problem::new(ErrorKind::Shape, "takes at least two axes, [.., h, w]"));
        };
        let fits = |i: usize, length: usize| pool.size[i] > 0 && pool.size[i] <= length + 2 * pool.padding[i];
        if !fits(0, h) || !fits(1, w) || pool.stride.contains(&0) {
            return self.fail(name, &[], Problem::new(ErrorKind::Shape, format!("{pool:?} does not fit")));
        }
        if pool.padding[0] * 2 > pool.size[0] || pool.padding[1] * 2 > pool.size[1] {
            let message = format!("{pool:?} is padded by more than half a window");
            return self.fail(name, &[], Problem::new(ErrorKind::Shape, message));
        }
        let [rows, columns] = pool.padding;
        let padded = self.pad(&[(rows, rows), (columns, columns)], padding);
        // The first unfold puts row positions last, so the columns are then the axis before the last.
        padded.unfold(-2, pool.size[0], pool.stride[0], 1).unfold(-2, pool.size[1], pool.stride[1], 1)
    }
}
