//! Windows that reach beyond their values.

use crate::plan::Given;
use std::ops::Range;
use wgrad_tensor::layout::{Layout, Strides};
use wgrad_tensor::shape::Shape;

/// Where a window reaches beyond its value, and which numbers it shows there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// How many places the window counts before the value's first element: none is negative this way.
    pub before: usize,
    /// The innermost first: a place shows the number of the last bound that it lies outside of, and an element of the
    /// value where it lies inside all.
    pub bounds: Vec<Bound>,
}

/// Where an axis that was padded shows what is not padding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// A window over the positions along the axis: which of them a place has.
    pub layout: Layout,
    /// Starts of slices, which move it as [`crate::Operand::starts`] move the window on the value.
    pub starts: Vec<(usize, isize)>,
    /// The positions that are not padding.
    pub inside: Range<usize>,
    /// The number around them, by its place in [`Given::scalars`].
    pub number: usize,
}

impl Padding {
    /// Whether there is any.
    pub fn is_none(&self) -> bool {
        self.bounds.is_empty()
    }

    /// The same seen in another way, if each of its windows can be.
    pub fn seen(&self, by: impl Fn(&Layout) -> Option<Layout>) -> Option<Padding> {
        let seen = |bound: &Bound| Some(Bound { layout: by(&bound.layout)?, ..bound.clone() });
        let bounds = self.bounds.iter().map(seen).collect::<Option<_>>()?;
        Some(Padding { before: self.before, bounds })
    }

    /// The padding as this run's numbers make it.
    pub fn at(&self, given: &Given<'_>) -> Padding {
        let at = |bound: &Bound| Bound {
            layout: moved(&bound.layout, &bound.starts, given),
            starts: Vec::new(),
            ..bound.clone()
        };
        Padding { before: self.before, bounds: self.bounds.iter().map(at).collect() }
    }

    /// A window with this padding, padded again to a shape, with `before` places before each axis.
    pub(crate) fn grown(&self, layout: &Layout, shape: &Shape, before: &[usize], number: usize) -> (Layout, Padding) {
        let (window, by) = grown(layout, shape, before);
        let mut padding = Padding { before: self.before + by, bounds: Vec::with_capacity(self.bounds.len() + 1) };
        for bound in &self.bounds {
            let (layout, by) = grown(&bound.layout, shape, before);
            let inside = bound.inside.start + by..bound.inside.end + by;
            padding.bounds.push(Bound { layout, inside, ..bound.clone() });
        }
        for axis in (0..shape.len()).filter(|&axis| shape[axis] != layout.shape[axis]) {
            let mut strides = Strides::from_elem(0, shape.len());
            strides[axis] = 1;
            let inside = before[axis]..before[axis] + layout.shape[axis];
            let layout = Layout { shape: shape.clone(), strides, offset: 0 };
            padding.bounds.push(Bound { layout, starts: Vec::new(), inside, number });
        }
        (window, padding)
    }
}

/// A window over a larger shape, and how many more places it then counts before those that it had.
fn grown(layout: &Layout, shape: &Shape, before: &[usize]) -> (Layout, usize) {
    let (mut offset, mut by) = (layout.offset, 0);
    for axis in 0..shape.len() {
        let (more, step) = (shape[axis] - layout.shape[axis], layout.strides[axis].unsigned_abs());
        if layout.strides[axis] < 0 {
            offset += more * step;
            by += (more - before[axis]) * step;
        } else {
            by += before[axis] * step;
        }
    }
    (Layout { shape: shape.clone(), strides: layout.strides.clone(), offset }, by)
}

/// A window moved by this run's numbers.
pub(crate) fn moved(layout: &Layout, starts: &[(usize, isize)], given: &Given<'_>) -> Layout {
    let mut layout = layout.clone();
    for &(scalar, stride) in starts {
        let start = given.scalars.get(scalar).map_or(0, |start| start.as_i64()) as isize;
        layout.offset = layout.offset.wrapping_add_signed(start * stride);
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    /// What a padded window shows at each place: a number's place among all, or where the element lies.
    fn shown(layout: &Layout, padding: &Padding) -> Vec<Result<usize, usize>> {
        let show = |place: usize| {
            let outside = |bound: &&Bound| !bound.inside.contains(&bound.layout.locate(place));
            match padding.bounds.iter().rev().find(outside) {
                Some(bound) => Err(bound.number),
                None => Ok(layout.locate(place) - padding.before),
            }
        };
        (0..layout.shape.count()).map(show).collect()
    }

    #[test]
    fn a_window_shows_what_is_around_it() {
        let whole = Layout::contiguous(&Shape::from([2, 2]));
        let none = Padding::default();
        let (layout, padding) = none.grown(&whole, &Shape::from([3, 3]), &[1, 0], 7);
        let rows = [[Err(7); 3], [Ok(0), Ok(1), Err(7)], [Ok(2), Ok(3), Err(7)]];
        assert_eq!(shown(&layout, &padding), rows.concat());
        // Once more around that, with another number.
        let (layout, padding) = padding.grown(&layout, &Shape::from([3, 5]), &[0, 1], 8);
        let more = rows.map(|row| [&[Err(8)], &row[..], &[Err(8)]].concat()).concat();
        assert_eq!(shown(&layout, &padding), more);
    }

    #[test]
    fn a_window_that_walks_backwards_is_padded_too() {
        let flipped = Layout { shape: Shape::from([3]), strides: smallvec![-1], offset: 2 };
        let (layout, padding) = Padding::default().grown(&flipped, &Shape::from([6]), &[1], 0);
        assert_eq!(shown(&layout, &padding), [Err(0), Ok(2), Ok(1), Ok(0), Err(0), Err(0)]);
        // Backwards again, and one place more on one side of that.
        let flip = |layout: &Layout| {
            let last = 5 * layout.strides[0];
            let strides = smallvec![-layout.strides[0]];
            Some(Layout { offset: layout.offset.checked_add_signed(last)?, strides, ..layout.clone() })
        };
        let (layout, padding) = (flip(&layout).unwrap(), padding.seen(flip).unwrap());
        let (layout, padding) = padding.grown(&layout, &Shape::from([7]), &[1], 1);
        assert_eq!(shown(&layout, &padding), [Err(1), Err(0), Err(0), Ok(0), Ok(1), Ok(2), Err(0)]);
    }
}
