//! How items see each other's values: through windows, which views, padding and broadcasting led to.

use crate::graph::{Call, Graph};
use crate::items::Base;
use crate::padding::{Bound, Padding};
use smallvec::SmallVec;
use std::ops::Range;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Meta};
use wgrad_tensor::shape::Shape;

/// How an item sees a value: the window on it, and the way that led there.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub base: Base,
    pub dtype: DType,
    /// From the base's own contiguous layout to the window.
    pub links: Vec<Link>,
    pub layout: Layout,
    pub starts: Starts,
    /// Where the window reaches beyond the value.
    pub padding: Padding,
}

/// Numbers that move a window: which, and by how many elements each.
pub(crate) type Starts = Vec<(usize, isize)>;

/// A step from one window to the next.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// The view or the padding that a call recorded.
    Call(usize),
    /// The axes in another order.
    Order(SmallVec<[usize; 4]>),
    /// Repeated up to a shape.
    Expand(Shape),
    /// In another shape of as many elements.
    Reshape(Shape),
}

impl Read {
    pub fn whole(base: Base, meta: &Meta) -> Read {
        Read {
            base,
            dtype: meta.dtype,
            links: Vec::new(),
            layout: Layout::contiguous(&meta.shape),
            starts: Vec::new(),
            padding: Padding::default(),
        }
    }

    /// Whether the window is within the value, wherever numbers move it.
    pub fn is_within(&self) -> bool {
        self.padding.is_none()
    }

    /// Whether no number moves the window or is shown in it.
    pub fn is_fixed(&self) -> bool {
        self.starts.is_empty() && self.is_within()
    }

    /// Whether it reads `count` elements in order, from the first on.
    pub fn is_linear(&self, count: usize) -> bool {
        self.is_fixed() && self.layout.shape.count() == count && self.layout.is_contiguous()
    }

    /// Everything that says which element is seen where: the window, and the bounds of its padding.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout> {
        std::iter::once(&self.layout).chain(self.padding.bounds.iter().map(|bound| &bound.layout))
    }

    /// The same seen in another way, if all of that can be.
    pub fn seen(&self, by: impl Fn(&Layout) -> Option<Layout>) -> Option<Read> {
        Some(Read { layout: by(&self.layout)?, padding: self.padding.seen(&by)?, ..self.clone() })
    }
}

/// The window with some axes moved to the end.
pub(crate) fn with_axes_last(read: &Read, axes: &[usize]) -> Read {
    let kept = (0..read.layout.shape.len()).filter(|axis| !axes.contains(axis));
    turned(read, &kept.chain(axes.iter().copied()).collect::<Vec<_>>())
}

/// The window with its axes in another order.
pub(crate) fn turned(read: &Read, order: &[usize]) -> Read {
    along(read, Link::Order(order.into()), |layout| ordered(layout, order))
}

/// The window repeated up to a shape.
pub(crate) fn expanded(read: &Read, shape: &Shape) -> Read {
    along(read, Link::Expand(shape.clone()), |layout| layout.expanded(shape))
}

fn along(read: &Read, link: Link, by: impl Fn(&Layout) -> Layout) -> Read {
    let mut seen = Read { layout: by(&read.layout), ..read.clone() };
    seen.padding.bounds.iter_mut().for_each(|bound| bound.layout = by(&bound.layout));
    seen.links.push(link);
    seen
}

pub(crate) fn ordered(layout: &Layout, order: &[usize]) -> Layout {
    Layout {
        shape: order.iter().map(|&axis| layout.shape[axis]).collect(),
        strides: order.iter().map(|&axis| layout.strides[axis]).collect(),
        offset: layout.offset,
    }
}

/// A window seen through one more link, if that is a window.
pub(crate) fn through(graph: &Graph, read: &Read, link: &Link) -> Option<Read> {
    let number = match link {
        Link::Order(order) => return Some(turned(read, order)),
        Link::Expand(shape) => return Some(expanded(read, shape)),
        Link::Reshape(shape) => {
            let mut seen = read.seen(|layout| layout.reshaped(shape))?;
            seen.links.push(link.clone());
            return Some(seen);
        }
        Link::Call(number) => *number,
    };
    let call = &graph.calls[number];
    let mut seen = read.clone();
    seen.links.push(link.clone());
    if let Compute::Pad(before) = call.op.compute() {
        let shape = &call.metas[0].shape;
        (seen.layout, seen.padding) = read.padding.grown(&read.layout, shape, before, call.numbers.start);
        return Some(seen);
    }
    // What says where a value ends is seen in the same way as the value.
    viewed(call, &mut seen.layout, &mut seen.starts)?;
    for Bound { layout, starts, .. } in &mut seen.padding.bounds {
        viewed(call, layout, starts)?;
    }
    Some(seen)
}

/// Makes a window what a view makes of it, if that is a window.
fn viewed(call: &Call, layout: &mut Layout, starts: &mut Starts) -> Option<()> {
    let shape: &Shape = &call.metas[0].shape;
    let Range { start, end } = call.numbers;
    let mut numbers = vec![Scalar::Int(0); end - start];
    let seen = call.op.view(layout, &numbers, shape)?;
    for number in 0..numbers.len() {
        // Windows move evenly with their numbers. Where a step of one leads outside, the number is always 0.
        numbers[number] = Scalar::Int(1);
        let moved = call.op.view(layout, &numbers, shape);
        let by = moved.map_or(0, |moved| moved.offset as isize - seen.offset as isize);
        if by != 0 {
            starts.push((start + number, by));
        }
        numbers[number] = Scalar::Int(0);
    }
    *layout = seen;
    Some(())
}

/// A window seen through several links.
pub(crate) fn through_all(graph: &Graph, read: &Read, links: &[Link]) -> Option<Read> {
    links.iter().try_fold(read.clone(), |read, link| through(graph, &read, link))
}
