//! Several cheap steps in one walk: what one gives goes to the next in the processor's registers.

use super::ahead::{ask, per_part};
use crate::reduce::{Join, LANES, Largest, PIECE, Sum, join_lanes};
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;
use wgrad_tensor::elementwise::Basic;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::real::{Fused, Real, fuses};

/// The most steps of a chain.
pub const LONGEST: usize = 8;

/// What becomes of the elements so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A step of them alone.
    Alone(Basic),
    /// A step of them with themselves.
    Twice(Basic),
    /// A step of them and an operand.
    With(Basic),
    /// A step of an operand and them.
    After(Basic),
}

/// How the elements of each row are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Their sum.
    Sum,
    /// The largest.
    Largest,
}

/// Elements that a chain takes.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// One for every place.
    Places(&'a [f32]),
    /// One for every place of a row, the same in all.
    Alike(&'a [f32]),
    /// One for each row.
    Rows(&'a [f32]),
}

/// A chain with what it takes and gives.
pub struct Chain<'a> {
    /// The rows.
    pub rows: usize,
    /// Their places.
    pub length: usize,
    /// Where it starts.
    pub start: Operand<'a>,
    /// Its steps, each with its operand, if it takes one.
    pub links: &'a [(Link, Operand<'a>)],
    /// Where the elements go.
    pub out: Option<&'a mut [f32]>,
    /// How they are combined, and where what that gives for each row goes.
    pub folded: Option<(Fold, &'a mut [f32])>,
    /// Memory to ask for on the way.
    pub ahead: &'a [&'a [u8]],
}

impl Link {
    /// Whether it takes an operand.
    pub fn takes(self) -> bool {
        matches!(self, Link::With(_) | Link::After(_))
    }
}

impl Fold {
    /// A reduction that chains know.
    pub fn of(kind: Reduction) -> Option<Self> {
        match kind {
            Reduction::Sum => Some(Fold::Sum),
            Reduction::Max => Some(Fold::Largest),
            Reduction::Prod | Reduction::Min => None,
        }
    }
}

impl Chain<'_> {
    /// Walks over all rows.
    pub fn run(self) {
        match self.folded {
            None => arch().dispatch(Walk(self, PhantomData::<Nothing>)),
            Some((Fold::Sum, _)) => arch().dispatch(Walk(self, PhantomData::<Sum>)),
            Some((Fold::Largest, _)) => arch().dispatch(Walk(self, PhantomData::<Largest>)),
        }
    }
}

/// A way to combine elements, register by register.
trait Joint: Join<f32> {
    /// As [`Join::join`].
    fn joint<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s;
}

impl Joint for Sum {
    #[inline(always)]
    fn joint<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.add_f32s(a, b)
    }
}

impl Joint for Largest {
    #[inline(always)]
    fn joint<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        let larger = simd.select_f32s(simd.greater_than_f32s(a, b), a, b);
        simd.select_f32s(simd.equal_f32s(a, a), larger, a)
    }
}

/// No combination.
struct Nothing;

impl Join<f32> for Nothing {
    #[inline(always)]
    fn start() -> f32 {
        0.0
    }
    #[inline(always)]
    fn join(a: f32, _: f32) -> f32 {
        a
    }
}

impl Joint for Nothing {
    #[inline(always)]
    fn joint<S: Simd>(_: S, a: S::f32s, _: S::f32s) -> S::f32s {
        a
    }
}

struct Walk<'a, J>(Chain<'a>, PhantomData<J>);

/// How many registers go through all steps together: enough that the choice of a step costs little.
const BUNCH: usize = 8;
type Bunch<S> = [<S as Simd>::f32s; BUNCH];

/// An operand in one row.
#[derive(Clone, Copy)]
enum Value<'a, S: Simd> {
    /// Elements in bunches, and what does not fill one.
    Many(&'a [Bunch<S>], &'a [f32]),
    /// An element.
    One(f32),
}

impl<'a> Operand<'a> {
    #[inline(always)]
    fn in_row<S: Simd>(self, row: usize, length: usize) -> Value<'a, S> {
        let elements = match self {
            Operand::Places(x) => &x[row * length..(row + 1) * length],
            Operand::Alike(x) => &x[..length],
            Operand::Rows(x) => return Value::One(x[row]),
        };
        let bunches = S::as_simd_f32s(elements).0.as_chunks().0;
        Value::Many(bunches, &elements[bunches.len() * BUNCH * S::F32_LANES..])
    }
}

impl<S: Simd> Value<'_, S> {
    #[inline(always)]
    fn bunch(&self, simd: S, at: usize) -> Bunch<S> {
        match self {
            Value::Many(x, _) => x[at],
            Value::One(x) => [simd.splat_f32s(*x); BUNCH],
        }
    }

    /// What does not fill a bunch, filled up.
    #[inline(always)]
    fn rest(&self, simd: S) -> Bunch<S> {
        match self {
            Value::Many(_, x) => {
                let mut rest = [simd.splat_f32s(0.0); BUNCH];
                bytemuck::cast_slice_mut(&mut rest)[..x.len()].copy_from_slice(x);
                rest
            }
            Value::One(x) => [simd.splat_f32s(*x); BUNCH],
        }
    }
}

impl<J: Joint> WithSimd for Walk<'_, J> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Chain { rows, length, start, links, mut out, mut folded, ahead } = self.0;
        let width = BUNCH * S::F32_LANES;
        let whole = length / width;
        let asked = per_part(ahead, rows * whole);
        let mut steps = [(Link::Alone(Basic::Exp), Value::<S>::One(0.0)); LONGEST];
        for row in 0..rows {
            let start = start.in_row(row, length);
            for (step, &(link, operand)) in steps.iter_mut().zip(links) {
                *step = (link, operand.in_row(row, length));
            }
            let steps = &steps[..links.len().min(LONGEST)];
            let out = out.as_mut().map_or(&mut [][..], |out| &mut out[row * length..(row + 1) * length]);
            let (outs, last) = out.split_at_mut((length - length % width).min(out.len()));
            let outs = S::as_mut_simd_f32s(outs).0.as_chunks_mut().0;
            let mut lanes = [J::start(); LANES];
            let mut all = None;
            for i in 0..whole {
                ask(ahead, row * whole + i, asked);
                let mut x = start.bunch(simd, i);
                for (link, value) in steps {
                    // Either way has code of its own, so that operands are read where they are used.
                    x = match *value {
                        Value::Many(y, _) => step(simd, *link, x, || y[i]),
                        Value::One(y) => step(simd, *link, x, || [simd.splat_f32s(y); BUNCH]),
                    };
                }
                if let Some(out) = outs.get_mut(i) {
                    *out = x;
                }
                let lanes_now = S::as_mut_simd_f32s(&mut lanes).0.as_chunks_mut().0;
                let lane = i % lanes_now.len();
                lanes_now[lane] = each(lanes_now[lane], x, |a, b| J::joint(simd, a, b));
                if ((i + 1) * width).is_multiple_of(PIECE) {
                    let part = join_lanes::<f32, J>(lanes);
                    (lanes, all) = ([J::start(); LANES], Some(all.map_or(part, |all| J::join(all, part))));
                }
            }
            if !length.is_multiple_of(width) {
                let mut x = start.rest(simd);
                for (link, value) in steps {
                    x = step(simd, *link, x, || value.rest(simd));
                }
                let at = length - length % width;
                let x = &bytemuck::cast_slice(&x)[..length - at];
                last.copy_from_slice(&x[..last.len()]);
                for (lane, &x) in lanes[at % LANES..].iter_mut().zip(x) {
                    *lane = J::join(*lane, x);
                }
            }
            if !length.is_multiple_of(PIECE) {
                let part = join_lanes::<f32, J>(lanes);
                all = Some(all.map_or(part, |all| J::join(all, part)));
            }
            if let Some((_, folded)) = &mut folded {
                folded[row] = all.unwrap_or(J::start());
            }
        }
    }
}

#[inline(always)]
fn step<S: Simd>(simd: S, link: Link, x: Bunch<S>, operand: impl FnOnce() -> Bunch<S>) -> Bunch<S> {
    match link {
        Link::Alone(Basic::Exp) => {
            let mut x = x;
            bytemuck::cast_slice_mut(&mut x)
                .iter_mut()
                .for_each(|x: &mut f32| *x = if fuses::<S>() { Fused(*x).exp().0 } else { Real::exp(*x) });
            x
        }
        Link::Alone(_) => x,
        Link::Twice(basic) => both(simd, basic, x, x),
        Link::With(basic) => both(simd, basic, x, operand()),
        Link::After(basic) => both(simd, basic, operand(), x),
    }
}

#[inline(always)]
fn both<S: Simd>(simd: S, basic: Basic, x: Bunch<S>, y: Bunch<S>) -> Bunch<S> {
    match basic {
        Basic::Add => each(x, y, |x, y| simd.add_f32s(x, y)),
        Basic::Sub => each(x, y, |x, y| simd.sub_f32s(x, y)),
        Basic::Mul => each(x, y, |x, y| simd.mul_f32s(x, y)),
        Basic::Div => each(x, y, |x, y| simd.div_f32s(x, y)),
        Basic::Exp => x,
    }
}

#[inline(always)]
fn each<V: Copy>(mut x: [V; BUNCH], y: [V; BUNCH], f: impl Fn(V, V) -> V) -> [V; BUNCH] {
    x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*x, y));
    x
}
