//! Operands whose windows reach beyond their values: what lies inside is copied, and the rest filled.

use super::broken;
use super::collect::collect_rows;
use crate::view::View;
use bytemuck::Pod;
use std::ops::Range;
use wgrad_plan::Padding;
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::Problem;
use wgrad_tensor::layout::{Layout, merge_together};

/// An operand with numbers around it.
#[derive(Debug)]
pub struct Padded<'a> {
    view: View<'a>,
    /// The window's axes: (size, stride).
    axes: Vec<(usize, isize)>,
    /// How many places there are for one index of each axis.
    inner: Vec<usize>,
    /// The window itself, of which nothing is seen beyond the elements, and then the bounds of the padding.
    bounds: Vec<Bound>,
}

/// Positions, of which some are inside.
#[derive(Debug)]
struct Bound {
    /// That of the first place.
    first: isize,
    /// For each axis, how far one index leads, and how far back and on the axes after it do.
    steps: Vec<(isize, [isize; 2])>,
    inside: Range<isize>,
    /// The bytes of the number outside.
    number: Vec<u8>,
}

impl<'a> Padded<'a> {
    /// An operand with its padding; `along` puts the axes of a window in the order in which they are walked.
    pub fn new(
        view: View<'a>,
        padding: &Padding,
        numbers: &[Scalar],
        along: impl Fn(&Layout) -> Layout,
    ) -> Result<Self, Problem> {
        let mut layouts = vec![along(view.layout)];
        layouts.extend(padding.bounds.iter().map(|bound| along(&bound.layout)));
        let (mut sizes, mut strides) = merge_together(&layouts.iter().collect::<Vec<_>>());
        if sizes.is_empty() {
            sizes.push(1);
            strides.iter_mut().for_each(|strides| strides.push(0));
        }
        let elements = view.elements::<u8>().len() / view.dtype.size();
        let own = (padding.before..padding.before + elements, padding.bounds.first().map_or(0, |bound| bound.number));
        let others = padding.bounds.iter().map(|bound| (bound.inside.clone(), bound.number));
        let mut bounds = Vec::with_capacity(layouts.len());
        for ((layout, strides), (inside, number)) in
            layouts.iter().zip(&strides).zip(std::iter::once(own).chain(others))
        {
            let number = numbers.get(number).ok_or_else(broken)?.to_bytes(view.dtype);
            bounds.push(Bound::new(layout.offset, &sizes, strides, inside, number));
        }
        let axes = sizes.iter().copied().zip(strides[0].iter().copied()).collect();
        let inner = (1..=sizes.len()).map(|axis| sizes[axis..].iter().product()).collect();
        Ok(Padded { view, axes, inner, bounds })
    }

    /// Copies the elements of a range into `out`.
    pub fn collect(&self, range: Range<usize>, out: &mut [u8]) {
        match self.view.dtype.size() {
            1 => self.collect_as::<u8>(range, out),
            2 => self.collect_as::<u16>(range, out),
            4 => self.collect_as::<u32>(range, out),
            _ => self.collect_as::<u64>(range, out),
        }
    }

    fn collect_as<T: Pod>(&self, range: Range<usize>, out: &mut [u8]) {
        let number = |bound: &Bound| bytemuck::try_pod_read_unaligned(&bound.number).unwrap_or(T::zeroed());
        let numbers: Vec<T> = self.bounds.iter().map(number).collect();
        let mut at: Vec<isize> = self.bounds.iter().map(|bound| bound.first).collect();
        let elements = Elements { padded: self, all: self.view.elements(), numbers: &numbers };
        elements.some(0, &mut at, range, bytemuck::try_cast_slice_mut(out).unwrap_or_default());
    }
}

impl Bound {
    fn new(offset: usize, sizes: &[usize], strides: &[isize], inside: Range<usize>, number: Vec<u8>) -> Self {
        let (mut back, mut on) = (0, 0);
        let steps = sizes.iter().zip(strides).rev().map(|(&size, &stride)| {
            let (step, span) = ((stride, [back, on]), (size as isize - 1) * stride);
            (back, on) = (back + span.min(0), on + span.max(0));
            step
        });
        let mut steps: Vec<_> = steps.collect();
        steps.reverse();
        Bound { first: offset as isize - inside.start as isize, steps, inside: 0..inside.len() as isize, number }
    }
}

/// The elements as what they are. `at` are the positions, in each bound, of the first place of an axis.
struct Elements<'p, 'a, T> {
    padded: &'p Padded<'a>,
    all: &'a [T],
    numbers: &'p [T],
}

impl<T: Pod> Elements<'_, '_, T> {
    /// A range of the places of an axis and those after it.
    fn some(&self, axis: usize, at: &mut [isize], range: Range<usize>, out: &mut [T]) {
        if range.is_empty() {
            return;
        }
        let inner = self.padded.inner[axis];
        let (first, last) = (range.start.div_ceil(inner), range.end / inner);
        if first > last {
            return self.at_index(axis, at, last, range.start - last * inner..range.end - last * inner, out);
        }
        let (head, rest) = out.split_at_mut(first * inner - range.start);
        let (body, tail) = rest.split_at_mut((last - first) * inner);
        if !head.is_empty() {
            self.at_index(axis, at, first - 1, inner - head.len()..inner, head);
        }
        self.whole(axis, at, first..last, body);
        if !tail.is_empty() {
            self.at_index(axis, at, last, 0..tail.len(), tail);
        }
    }

    /// The same for the axes after one, at one index of it.
    fn at_index(&self, axis: usize, at: &mut [isize], index: usize, range: Range<usize>, out: &mut [T]) {
        let step = |at: &mut [isize], by: isize| {
            at.iter_mut().zip(&self.padded.bounds).for_each(|(at, bound)| *at += by * bound.steps[axis].0);
        };
        step(at, index as isize);
        self.some(axis + 1, at, range, out);
        step(at, -(index as isize));
    }

    /// Some indices of an axis with all places of the axes after it. Those that are inside as a whole are copied at one go.
    fn whole(&self, axis: usize, at: &mut [isize], mut indices: Range<usize>, mut out: &mut [T]) {
        let inner = self.padded.inner[axis];
        // Outside of the outermost bound nothing but its number counts, so what is inside of that comes next.
        for (number, bound) in self.padded.bounds.iter().enumerate().rev() {
            let (step, [back, on]) = bound.steps[axis];
            let within = |range: Range<isize>, of: &Range<usize>| between(at[number], step, range, of);
            let inside = within(bound.inside.start - back..bound.inside.end - on, &indices);
            let touched = within(bound.inside.start - on..bound.inside.end - back, &indices);
            let (before, rest) = out.split_at_mut((inside.start - indices.start) * inner);
            let (now, after) = rest.split_at_mut(inside.len() * inner);
            self.edge(axis, at, indices.start..inside.start, &touched, self.numbers[number], before);
            self.edge(axis, at, inside.end..indices.end, &touched, self.numbers[number], after);
            (indices, out) = (inside, now);
        }
        if !indices.is_empty() {
            let start = at[0] + indices.start as isize * self.padded.axes[axis].1;
            collect_rows(self.all, &self.padded.axes[axis..], start, 0, out);
        }
    }

    /// Indices that are not inside a bound as a whole: its number where they do not touch it at all.
    fn edge(
        &self,
        axis: usize,
        at: &mut [isize],
        indices: Range<usize>,
        touched: &Range<usize>,
        number: T,
        out: &mut [T],
    ) {
        let inner = self.padded.inner[axis];
        let start = touched.start.clamp(indices.start, indices.end);
        let end = touched.end.clamp(start, indices.end);
        let (before, rest) = out.split_at_mut((start - indices.start) * inner);
        let (now, after) = rest.split_at_mut((end - start) * inner);
        before.fill(number);
        after.fill(number);
        for (index, out) in (start..end).zip(now.chunks_exact_mut(inner)) {
            self.at_index(axis, at, index, 0..inner, out);
        }
    }
}

/// The indices among some at which `at + index * step` is within a range; none are somewhere between these.
fn between(at: isize, step: isize, range: Range<isize>, indices: &Range<usize>) -> Range<usize> {
    // Rounded up: the first index that is not before a place.
    let up = |to: isize| -(-to).div_euclid(step.abs());
    let (start, end) = match step {
        0 if range.contains(&at) => return indices.clone(),
        0 => (0, 0),
        1.. => (up(range.start - at), up(range.end - at)),
        _ => (up(at - range.end + 1), up(at - range.start + 1)),
    };
    let clamp = |index: isize, least: usize| (index.max(0) as usize).clamp(least, indices.end);
    let start = clamp(start, indices.start);
    start..clamp(end, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_within_a_range() {
        for step in -3..=3 {
            for at in -5..=5 {
                for (start, end) in [(-4, 3), (0, 1), (2, 2), (1, 9), (-9, 9)] {
                    let found = between(at, step, start..end, &(1..6));
                    let exact: Vec<usize> =
                        (1..6).filter(|&i| (start..end).contains(&(at + i as isize * step))).collect();
                    assert_eq!(found.clone().collect::<Vec<_>>(), exact, "{at} + i * {step} in {start}..{end}");
                    assert!(found.start >= 1 && found.end <= 6 && found.start <= found.end);
                }
            }
        }
    }
}
