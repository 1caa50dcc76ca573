//! Index spaces, as the places where windows over them break.
//!
//! A window over `count` places in row-major order is a few runs of even steps. Where a run ends, counted from the last
//! place's end, is a break. All windows of a kernel share its index space; its axes are cut at every break of any.

use smallvec::SmallVec;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::shape::Shape;

/// Where an index space breaks: ascending, without 1 and the count itself. Each divides the next.
pub(crate) type Breaks = SmallVec<[usize; 4]>;

/// The breaks of a window.
pub(crate) fn breaks(layout: &Layout) -> Breaks {
    let mut found = Breaks::new();
    if layout.is_contiguous() {
        return found;
    }
    let mut inner = 1;
    for &(size, _) in layout.merged().iter().rev() {
        inner *= size;
        found.push(inner);
    }
    found.pop();
    found
}

/// Adds breaks to others, if there is an index space that has all of them: each must divide the next.
pub(crate) fn unite(all: &mut Breaks, more: &[usize], count: usize) -> bool {
    for &next in more {
        if next == 1 || next == count {
            continue;
        }
        if let Err(at) = all.binary_search(&next) {
            let above = all.get(at).copied().unwrap_or(count);
            let below = at.checked_sub(1).map_or(1, |at| all[at]);
            if !above.is_multiple_of(next) || !next.is_multiple_of(below) {
                return false;
            }
            all.insert(at, next);
        }
    }
    true
}

/// The shape of an index space with these breaks, and how many of its axes make up the last `row` places.
pub(crate) fn shape(count: usize, breaks: &[usize], row: Option<usize>) -> (Shape, usize) {
    let mut sizes = SmallVec::<[usize; 6]>::new();
    let mut axes_of_row = 0;
    let mut inner = 1;
    for &place in breaks.iter().chain([&count]) {
        if place != inner {
            sizes.push(place / inner);
        }
        if row.is_some_and(|row| place <= row) {
            axes_of_row = sizes.len();
        }
        inner = place;
    }
    if row.is_some() && axes_of_row == 0 {
        // Rows of one place.
        sizes.insert(0, 1);
        axes_of_row = 1;
    }
    sizes.reverse();
    (sizes.as_slice().into(), axes_of_row)
}

/// Whether a window over rows of `row` places each gives the row's number everywhere in it.
pub(crate) fn is_row_number(layout: &Layout, row: usize) -> bool {
    let mut inner = 1;
    let mut expected = 1;
    layout.offset == 0
        && layout.shape.iter().zip(&layout.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || if inner < row { stride == 0 } else { stride == expected };
            if inner >= row {
                expected *= size as isize;
            }
            inner *= size;
            fits
        })
        && spans(layout, row)
}

/// Whether axes, from the last on, make up `row` places exactly.
fn spans(layout: &Layout, row: usize) -> bool {
    let mut inner = 1;
    for &size in layout.shape.iter().rev() {
        if inner == row {
            return true;
        }
        inner *= size;
    }
    inner == row
}

/// A window over rows, seen from every place of them.
pub(crate) fn along_rows(layout: &Layout, shape: &Shape, row_axes: usize) -> Option<Layout> {
    let outer: Shape = shape[..shape.len() - row_axes].into();
    let mut seen = layout.reshaped(&outer)?;
    seen.strides.extend(std::iter::repeat_n(0, row_axes));
    seen.shape = shape.clone();
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[isize]) -> Layout {
        Layout { shape: Shape::from(shape), strides: strides.into(), offset: 0 }
    }

    #[test]
    fn breaks_are_where_runs_end() {
        assert_eq!(breaks(&layout(&[2, 3, 4], &[12, 4, 1]))[..], []);
        assert_eq!(breaks(&layout(&[2, 3, 4], &[0, 4, 1]))[..], [12]);
        assert_eq!(breaks(&layout(&[2, 1, 3, 4], &[1, 7, 9, 2]))[..], [4, 12]);
        assert_eq!(breaks(&layout(&[5], &[0]))[..], []);
        assert_eq!(breaks(&layout(&[], &[]))[..], []);
    }

    #[test]
    fn spaces_unite_where_breaks_divide_each_other() {
        let mut all = Breaks::from_slice(&[4]);
        assert!(unite(&mut all, &[12, 2], 24));
        assert_eq!(all[..], [2, 4, 12]);
        assert!(!unite(&mut all, &[3], 24), "4 is no multiple of 3");
        assert_eq!(shape(24, &all, None), (Shape::from([2, 3, 2, 2]), 0));
        assert_eq!(shape(24, &all, Some(4)), (Shape::from([2, 3, 2, 2]), 2));
        assert_eq!(shape(24, &all, Some(24)), (Shape::from([2, 3, 2, 2]), 4));
        assert_eq!(shape(24, &[], Some(1)), (Shape::from([24, 1]), 1));
        assert_eq!(shape(1, &[], None), (Shape::from([0usize; 0]), 0));
        assert_eq!(shape(1, &[], Some(1)), (Shape::from([1]), 1));
    }

    #[test]
    fn row_numbers() {
        assert!(is_row_number(&layout(&[6, 4], &[1, 0]), 4));
        assert!(is_row_number(&layout(&[2, 3, 4], &[3, 1, 0]), 4));
        assert!(is_row_number(&layout(&[2, 3, 4], &[1, 0, 0]), 12));
        assert!(is_row_number(&layout(&[3, 4], &[0, 0]), 12));
        assert!(is_row_number(&layout(&[5], &[1]), 1));
        assert!(!is_row_number(&layout(&[6, 4], &[0, 1]), 4));
        assert!(!is_row_number(&layout(&[6, 4], &[1, 0]), 8));
        assert!(!is_row_number(&layout(&[2, 12], &[1, 0]), 4));
    }
}
