//! Sizes of a tensor's axes, and the rules of broadcasting.

use crate::layout::Strides;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The sizes of a tensor's axes, outermost first. A scalar has none. Up to four lie in the shape itself: every recorded call
/// has a shape, and most would cost an allocation otherwise.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Clone for Shape {
    fn clone(&self) -> Self {
        // One copy of memory; the vector's own clone goes element by element.
        Shape(SmallVec::from_slice(&self.0))
    }
}

impl Shape {
    /// How many elements: the product of the sizes, 1 for a scalar.
    pub fn count(&self) -> usize {
        self.0.iter().product()
    }

    /// The product of the sizes, or `None` where it does not fit.
    pub fn checked_count(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, &size| n.checked_mul(size))
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Strides {
        let mut strides = Strides::from_elem(1, self.0.len());
        for axis in (1..self.0.len()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis].max(1) as isize;
        }
        strides
    }

    /// The shape that `self` and `other` broadcast to, by NumPy's rule: aligned at the last axis, sizes equal or one of them 1.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let size = |shape: &Shape, axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        (0..rank)
            .map(|axis| match (size(self, axis), size(other, axis)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect()
    }

    /// `axis` counted from the front; negative ones count from the end.
    pub fn axis(&self, axis: isize) -> Option<usize> {
        normal_axis(axis, self.len())
    }

    /// A copy with `axis` of another size.
    pub fn with(&self, axis: usize, size: usize) -> Shape {
        let mut sizes = self.0.clone();
        sizes[axis] = size;
        Shape(sizes)
    }
}

/// `axis` of `rank` axes counted from the front; negative ones count from the end.
pub fn normal_axis(axis: isize, rank: usize) -> Option<usize> {
    let from_front = if axis < 0 { axis + rank as isize } else { axis };
    (0..rank as isize).contains(&from_front).then_some(from_front as usize)
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Self {
        Shape(SmallVec::from_vec(sizes))
    }
}
impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Self {
        Shape(SmallVec::from_slice(sizes))
    }
}
impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}
impl From<usize> for Shape {
    fn from(size: usize) -> Self {
        Shape(SmallVec::from_slice(&[size]))
    }
}
impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&sizes))
    }
}
impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(sizes: &[usize; N]) -> Self {
        Shape(SmallVec::from_slice(sizes))
    }
}
impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Self {
        Shape(sizes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let shape = |s: &[usize]| Shape::from(s);
        assert_eq!(shape(&[2, 1, 4]).broadcast(&shape(&[3, 1])), Some(shape(&[2, 3, 4])));
        assert_eq!(shape(&[]).broadcast(&shape(&[5])), Some(shape(&[5])));
        assert_eq!(shape(&[0]).broadcast(&shape(&[1])), Some(shape(&[0])));
        assert_eq!(shape(&[2]).broadcast(&shape(&[3])), None);
    }

    #[test]
    fn negative_axes_count_from_the_end() {
        let shape = Shape::from([2, 3]);
        assert_eq!((shape.axis(-1), shape.axis(1), shape.axis(2), shape.axis(-3)), (Some(1), Some(1), None, None));
    }
}
