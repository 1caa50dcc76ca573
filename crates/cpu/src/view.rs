//! Operands as kernels see them: a window on typed elements.

use bytemuck::Pod;
use wgrad_plan::Padding;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;

/// A window on a value's bytes; without padding, every position of it lies within them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    /// The result in whose memory the elements lie, and are overwritten; there are no `bytes` then.
    pub in_result: Option<usize>,
    /// Where the elements lie.
    pub layout: &'a Layout,
    /// What they are.
    pub dtype: DType,
    /// Numbers around them.
    pub padding: Option<&'a Padding>,
}

impl<'a> View<'a> {
    /// The window, if it lies within the bytes.
    pub fn new(bytes: &'a [u8], layout: &'a Layout, dtype: DType) -> Result<Self, Problem> {
        let view = View { bytes, in_result: None, layout, dtype, padding: None };
        view.check(layout)?;
        Ok(view)
    }

    /// A window that may reach beyond the bytes, where it shows other numbers.
    pub fn padded(bytes: &'a [u8], layout: &'a Layout, dtype: DType, padding: &'a Padding) -> Result<Self, Problem> {
        match padding.is_none() {
            true => View::new(bytes, layout, dtype),
            false => Ok(View { bytes, in_result: None, layout, dtype, padding: Some(padding) }),
        }
    }

    /// Another window on the same bytes, if it lies within them.
    pub fn through<'b>(&'b self, layout: &'b Layout) -> Result<View<'b>, Problem> {
        View::new(self.bytes, layout, self.dtype)
    }

    /// All elements of a result, in order, as they are before it is written.
    pub fn of_result(result: usize, layout: &'a Layout, dtype: DType) -> Self {
        View { bytes: &[], in_result: Some(result), layout, dtype, padding: None }
    }

    /// Checks that another window lies within the bytes.
    pub fn check(&self, layout: &Layout) -> Result<(), Problem> {
        match last_and_first(layout) {
            Some((low, high)) if low >= 0 && high < (self.bytes.len() / self.dtype.size()) as isize => Ok(()),
            None if layout.strides.len() == layout.shape.len() => Ok(()),
            _ => Err(Problem::new(ErrorKind::Value, "a window reaches outside its value")),
        }
    }

    /// All elements of the value behind the window; none where `T` has another size.
    pub fn elements<T: Pod>(&self) -> &'a [T] {
        bytemuck::try_cast_slice(self.bytes).unwrap_or_default()
    }

    /// The elements in row-major order, where they lie so; otherwise an error, as the plan promised them to.
    pub fn contiguous<T: Pod>(&self) -> Result<&'a [T], Problem> {
        if self.count() == 0 {
            return Ok(&[]);
        }
        bytemuck::try_cast_slice(self.contiguous_bytes()?)
            .map_err(|_| Problem::new(ErrorKind::DType, "has a window of another dtype than its value"))
    }

    /// The bytes of the elements in row-major order, where they lie so.
    pub fn contiguous_bytes(&self) -> Result<&'a [u8], Problem> {
        let count = self.count();
        if count == 0 {
            return Ok(&[]);
        }
        if !matches!(*self.layout.merged(), [] | [(_, 1)]) {
            return Err(Problem::new(ErrorKind::Value, "needs its input contiguous"));
        }
        let start = self.layout.offset * self.dtype.size();
        Ok(&self.bytes[start..start + count * self.dtype.size()])
    }

    /// How many elements are seen.
    pub fn count(&self) -> usize {
        self.layout.shape.count()
    }
}

/// The lowest and highest position that a layout reaches; `None` if it has no elements or does not fit its shape.
fn last_and_first(layout: &Layout) -> Option<(isize, isize)> {
    if layout.strides.len() != layout.shape.len() || layout.shape.contains(&0) {
        return None;
    }
    let start = isize::try_from(layout.offset).unwrap_or(isize::MAX);
    let reach = layout.shape.iter().zip(&layout.strides).try_fold((start, start), |(low, high), (&size, &stride)| {
        let span = stride.checked_mul(isize::try_from(size - 1).ok()?)?;
        Some((low.checked_add(span.min(0))?, high.checked_add(span.max(0))?))
    });
    Some(reach.unwrap_or((-1, isize::MAX)))
}

/// Some axes as (size, stride), without those of size 1, neighbours merged where one stride walks both.
pub fn merged(axes: impl IntoIterator<Item = (usize, isize)>) -> Vec<(usize, isize)> {
    let mut merged: Vec<(usize, isize)> = Vec::new();
    for (size, stride) in axes {
        match merged.last_mut() {
            _ if size == 1 => {}
            Some(last) if last.1 == stride * size as isize => *last = (last.0 * size, stride),
            _ => merged.push((size, stride)),
        }
    }
    merged
}

/// Walks the positions of a strided grid in row-major order.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    axes: &'a [(usize, isize)],
    index: Vec<usize>,
    at: isize,
}

impl<'a> Walk<'a> {
    /// A walk over axes of (size, stride) from the grid's row-major position `start`; `base` is where its first lies.
    pub fn new(axes: &'a [(usize, isize)], base: isize, start: usize) -> Self {
        let (mut rest, mut at) = (start, base);
        let mut index = vec![0; axes.len()];
        for (i, &(size, stride)) in index.iter_mut().zip(axes).rev() {
            *i = rest % size.max(1);
            rest /= size.max(1);
            at += *i as isize * stride;
        }
        Walk { axes, index, at }
    }

    /// Where it stands; it then moves on.
    #[inline]
    pub fn step(&mut self) -> isize {
        let now = self.at;
        for (i, &(size, stride)) in self.index.iter_mut().zip(self.axes).rev() {
            *i += 1;
            self.at += stride;
            if *i < size {
                break;
            }
            *i = 0;
            self.at -= size as isize * stride;
        }
        now
    }
}
