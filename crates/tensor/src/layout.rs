//! Where the elements of a view lie in the buffer behind it.

use crate::shape::Shape;
use smallvec::SmallVec;

/// A strided window on a contiguous buffer: element `[i, j, ..]` lies at `offset + i * strides[0] + j * strides[1] + ..`.
///
/// Strides count elements; 0 repeats an element (broadcasting), a negative stride walks backwards (flip).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The sizes seen through the window.
    pub shape: Shape,
    /// Elements to step for one more along each axis.
    pub strides: Strides,
    /// Where element `[0, 0, ..]` lies.
    pub offset: usize,
}

/// Elements to step for one more along each axis; few axes need no memory of their own.
pub type Strides = SmallVec<[isize; 4]>;

/// Sizes of a few axes.
pub type Extents = SmallVec<[usize; 4]>;

impl Clone for Layout {
    fn clone(&self) -> Self {
        // One copy of memory; the vector's own clone goes element by element.
        Layout { shape: self.shape.clone(), strides: Strides::from_slice(&self.strides), offset: self.offset }
    }
}

impl Layout {
    /// Row-major, from the buffer's start.
    pub fn contiguous(shape: &Shape) -> Self {
        Layout { shape: shape.clone(), strides: shape.strides(), offset: 0 }
    }

    /// Whether the window is the whole buffer in row-major order.
    pub fn is_contiguous(&self) -> bool {
        if self.offset != 0 {
            return false;
        }
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return false;
            }
            expected *= size as isize;
        }
        true
    }

    /// The same elements under another shape of the same count, where no copy is needed for that.
    pub fn reshaped(&self, shape: &Shape) -> Option<Layout> {
        if self.shape.count() != shape.count() {
            return None;
        }
        if self.shape.count() == 0 {
            return Some(Layout::contiguous(shape));
        }
        let (runs, offset) = (self.merged(), self.offset);
        let mut strides = Strides::from_elem(0, shape.len());
        let mut axis = shape.len();
        for &(run, stride) in runs.iter().rev() {
            let mut filled = 1;
            while filled < run {
                if axis == 0 {
                    return None;
                }
                axis -= 1;
                strides[axis] = stride * filled as isize;
                filled *= shape[axis];
            }
            if filled != run {
                return None;
            }
        }
        Some(Layout { shape: shape.clone(), strides, offset })
    }

    /// The same elements, axes of size 1 repeated up to a shape that they broadcast to, new axes in front.
    #[must_use]
    pub fn expanded(&self, shape: &Shape) -> Layout {
        let added = shape.len() - self.shape.len();
        let stride = |axis: usize| match axis.checked_sub(added) {
            Some(from) if self.shape[from] == shape[axis] => self.strides[from],
            _ => 0,
        };
        Layout { shape: shape.clone(), strides: (0..shape.len()).map(stride).collect(), offset: self.offset }
    }

    /// The axes as (size, stride), without those of size 1, neighbours merged where one stride walks both.
    pub fn merged(&self) -> SmallVec<[(usize, isize); 4]> {
        let mut runs: SmallVec<[(usize, isize); 4]> = SmallVec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            if size == 1 {
                continue;
            }
            match runs.last_mut() {
                Some(last) if last.1 == stride * size as isize => *last = (last.0 * size, stride),
                _ => runs.push((size, stride)),
            }
        }
        runs
    }

    /// Where the element at row-major position `index` lies.
    pub fn locate(&self, mut index: usize) -> usize {
        let mut at = self.offset as isize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            at += (index % size) as isize * stride;
            index /= size;
        }
        at as usize
    }
}

/// Merges the axes of several layouts of one shape together: the common sizes, and each layout's strides over them.
///
/// Kernels walk fewer axes this way; all-contiguous operands become one axis. A shape without elements or axes gives no axis.
pub fn merge_together(layouts: &[&Layout]) -> (Extents, Vec<Strides>) {
    let mut sizes = Extents::new();
    let mut strides = vec![Strides::new(); layouts.len()];
    let Some(first) = layouts.first() else { return (sizes, strides) };
    for axis in 0..first.shape.len() {
        let size = first.shape[axis];
        if size == 1 {
            continue;
        }
        let joins = !sizes.is_empty()
            && layouts
                .iter()
                .zip(&strides)
                .all(|(layout, merged)| merged.last() == Some(&(layout.strides[axis] * size as isize)));
        if let (true, Some(last)) = (joins, sizes.last_mut()) {
            *last *= size;
            for (layout, merged) in layouts.iter().zip(&mut strides) {
                if let Some(stride) = merged.last_mut() {
                    *stride = layout.strides[axis];
                }
            }
        } else {
            sizes.push(size);
            for (layout, merged) in layouts.iter().zip(&mut strides) {
                merged.push(layout.strides[axis]);
            }
        }
    }
    (sizes, strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[isize], offset: usize) -> Layout {
        Layout { shape: Shape::from(shape), strides: strides.into(), offset }
    }

    #[test]
    fn reshape_keeps_what_needs_no_copy() {
        let whole = Layout::contiguous(&Shape::from([2, 3, 4]));
        assert_eq!(whole.reshaped(&Shape::from([6, 4])).map(|l| l.strides), Some(Strides::from_slice(&[4, 1])));
        let transposed = layout(&[4, 3], &[1, 4], 0);
        assert_eq!(transposed.reshaped(&Shape::from([12])), None);
        let split = transposed.reshaped(&Shape::from([2, 2, 1, 3])).map(|l| l.strides);
        assert!(matches!(split.as_deref(), Some([2, 1, _, 4])));
        let broadcast = layout(&[2, 3], &[0, 0], 5);
        assert_eq!(
            broadcast.reshaped(&Shape::from([6])).map(|l| (l.strides, l.offset)),
            Some((Strides::from_slice(&[0]), 5))
        );
    }

    #[test]
    fn locate_agrees_with_the_definition() {
        let l = layout(&[2, 3], &[-1, 2], 7);
        let found: Vec<usize> = (0..6).map(|i| l.locate(i)).collect();
        assert_eq!(found, [7, 9, 11, 6, 8, 10]);
    }

    #[test]
    fn merging_joins_only_what_all_agree_on() {
        let shape = Shape::from([2, 3, 4]);
        let a = Layout::contiguous(&shape);
        let b = layout(&[2, 3, 4], &[0, 4, 1], 0);
        let merged = |layouts: &[&Layout]| {
            let (sizes, strides) = merge_together(layouts);
            (sizes.into_vec(), strides.into_iter().map(Strides::into_vec).collect::<Vec<_>>())
        };
        assert_eq!(merged(&[&a]), (vec![24], vec![vec![1]]));
        assert_eq!(merged(&[&a, &b]), (vec![2, 12], vec![vec![12, 1], vec![0, 1]]));
    }
}
