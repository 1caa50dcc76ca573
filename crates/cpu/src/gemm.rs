//! The one door to the `gemm` crate: bounds are checked here.

use bytemuck::Pod;
use wgrad_tensor::real::Number;

/// A float that the `gemm` crate multiplies.
pub trait Float: Number + std::ops::AddAssign + std::ops::Mul<Output = Self> {}
impl Float for f32 {}
impl Float for f64 {}

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    /// Memory from the first element on.
    pub elements: &'a [T],
    /// Elements to step for the next row; not negative.
    pub row: isize,
    /// Elements to step for the next column; not negative.
    pub column: isize,
}

impl<T: Pod> Matrix<'_, T> {
    /// Whether all positions of `rows` x `columns` lie in memory.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        if rows == 0 || columns == 0 {
            return true;
        }
        let reach = |stride: isize, count: usize| usize::try_from(stride).ok()?.checked_mul(count - 1);
        let last = reach(self.row, rows).zip(reach(self.column, columns));
        last.and_then(|(a, b)| a.checked_add(b)).is_some_and(|last| last < self.elements.len())
    }
}

/// Sizes of a product: `[m, k] x [k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// What is summed over.
    pub k: usize,
}

impl Sizes {
    /// Multiplications.
    pub fn work(&self) -> usize {
        self.m.saturating_mul(self.n).saturating_mul(self.k)
    }
}

/// Writes `lhs x rhs` into `out`, whose rows follow each other, or adds it there.
pub fn gemm<T: Float>(sizes: Sizes, out: &mut [T], lhs: Matrix<'_, T>, rhs: Matrix<'_, T>, add: bool, threads: bool) {
    let Sizes { m, n, k } = sizes;
    let fits = m.checked_mul(n).is_some_and(|count| count <= out.len()) && lhs.holds(m, k) && rhs.holds(k, n);
    debug_assert!(fits, "a matrix reaches outside its memory");
    if !fits || m == 0 || n == 0 {
        return;
    }
    let one = T::of(1.0);
    let parallelism = if threads { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: `T` is f32 or f64; all positions that these sizes and strides reach were just checked to lie in the
    // slices, and `out` is borrowed mutably, so that it overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            lhs.elements.as_ptr(),
            lhs.column,
            lhs.row,
            rhs.elements.as_ptr(),
            rhs.column,
            rhs.row,
            one,
            one,
            false,
            false,
            false,
            parallelism,
        );
    }
}
