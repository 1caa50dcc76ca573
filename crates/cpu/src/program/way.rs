//! The steps of a chain, some registers at a time.

use super::chain::{Elements, LONGEST, Link, Operand};
use pulp::Simd;
use std::marker::PhantomData;
use std::slice::Iter;
use wgrad_tensor::elementwise::Basic;
use wgrad_tensor::real::{Fused, Real, fuses};

/// How many registers go through all steps together: enough that they do not wait for each other.
pub const BUNCH: usize = 8;
/// Such registers.
pub type Bunch<S> = [<S as Simd>::f32s; BUNCH];

/// Some steps. What implements it is compiled as a whole, for each set of vector instructions.
pub trait Way: 'static {
    /// What they take in one row.
    type Taken<'a, S: Simd>: Copy;

    /// What they take in a row, from their operands in order.
    fn in_row<'a, S: Simd>(simd: S, links: &mut Links<'_, 'a>, row: usize, length: usize) -> Self::Taken<'a, S>;

    /// Takes a bunch through them; `at` is its number.
    fn bunch<S: Simd>(simd: S, taken: &Self::Taken<'_, S>, x: Bunch<S>, at: usize) -> Bunch<S>;

    /// The same for what does not fill a bunch.
    fn bunch_of_rest<S: Simd>(simd: S, taken: &Self::Taken<'_, S>, x: Bunch<S>) -> Bunch<S>;
}

/// Steps with their operands.
pub type Links<'l, 'a> = Iter<'l, (Link, Operand<'a>)>;

/// No step.
pub struct Start;

impl Way for Start {
    type Taken<'a, S: Simd> = ();
    #[inline(always)]
    fn in_row<S: Simd>(_: S, _: &mut Links<'_, '_>, _: usize, _: usize) {}
    #[inline(always)]
    fn bunch<S: Simd>(_: S, (): &(), x: Bunch<S>, _: usize) -> Bunch<S> {
        x
    }
    #[inline(always)]
    fn bunch_of_rest<S: Simd>(_: S, (): &(), x: Bunch<S>) -> Bunch<S> {
        x
    }
}

/// A step of two elements.
pub trait Two: 'static {
    /// Computes it.
    fn two<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s;
}

macro_rules! two {
    ($($name:ident = $f:ident: $doc:literal,)*) => {$(
        #[doc = $doc]
        pub struct $name;
        impl Two for $name {
            #[inline(always)]
            fn two<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
                simd.$f(x, y)
            }
        }
    )*};
}

two! {
    Add = add_f32s: "`x + y`",
    Sub = sub_f32s: "`x - y`",
    Mul = mul_f32s: "`x y`",
}

/// Steps, and then one with an element of the row.
pub struct ByRow<W, F>(PhantomData<(W, F)>);

impl<W: Way, F: Two> Way for ByRow<W, F> {
    type Taken<'a, S: Simd> = (W::Taken<'a, S>, S::f32s);
    #[inline(always)]
    fn in_row<'a, S: Simd>(simd: S, links: &mut Links<'_, 'a>, row: usize, length: usize) -> Self::Taken<'a, S> {
        let before = W::in_row(simd, links, row, length);
        let value = if let Some((_, Operand::Rows(x))) = links.next() { x[row] } else { 0.0 };
        (before, simd.splat_f32s(value))
    }
    #[inline(always)]
    fn bunch<S: Simd>(simd: S, (before, y): &Self::Taken<'_, S>, x: Bunch<S>, at: usize) -> Bunch<S> {
        each(W::bunch(simd, before, x, at), [*y; BUNCH], |x, y| F::two(simd, x, y))
    }
    #[inline(always)]
    fn bunch_of_rest<S: Simd>(simd: S, (before, y): &Self::Taken<'_, S>, x: Bunch<S>) -> Bunch<S> {
        each(W::bunch_of_rest(simd, before, x), [*y; BUNCH], |x, y| F::two(simd, x, y))
    }
}

/// Steps, and then one with an element for every place.
pub struct ByPlace<W, F>(PhantomData<(W, F)>);

impl<W: Way, F: Two> Way for ByPlace<W, F> {
    type Taken<'a, S: Simd> = (W::Taken<'a, S>, InRow<'a, S>);
    #[inline(always)]
    fn in_row<'a, S: Simd>(simd: S, links: &mut Links<'_, 'a>, row: usize, length: usize) -> Self::Taken<'a, S> {
        let before = W::in_row(simd, links, row, length);
        let elements = if let Some((_, Operand::Places(x))) = links.next() { *x } else { Elements::default() };
        (before, InRow::new(elements, row, length))
    }
    #[inline(always)]
    fn bunch<S: Simd>(simd: S, (before, y): &Self::Taken<'_, S>, x: Bunch<S>, at: usize) -> Bunch<S> {
        each(W::bunch(simd, before, x, at), y.bunches[at], |x, y| F::two(simd, x, y))
    }
    #[inline(always)]
    fn bunch_of_rest<S: Simd>(simd: S, (before, y): &Self::Taken<'_, S>, x: Bunch<S>) -> Bunch<S> {
        each(W::bunch_of_rest(simd, before, x), y.filled_up(simd), |x, y| F::two(simd, x, y))
    }
}

/// Steps, and then one of what they give alone.
macro_rules! alone {
    ($($name:ident = $link:expr, $doc:literal,)*) => {$(
        #[doc = $doc]
        pub struct $name<W>(PhantomData<W>);
        impl<W: Way> Way for $name<W> {
            type Taken<'a, S: Simd> = W::Taken<'a, S>;
            #[inline(always)]
            fn in_row<'a, S: Simd>(
                simd: S,
                links: &mut Links<'_, 'a>,
                row: usize,
                length: usize,
            ) -> Self::Taken<'a, S> {
                let before = W::in_row(simd, links, row, length);
                links.next();
                before
            }
            #[inline(always)]
            fn bunch<S: Simd>(simd: S, taken: &Self::Taken<'_, S>, x: Bunch<S>, at: usize) -> Bunch<S> {
                let x = W::bunch(simd, taken, x, at);
                step(simd, $link, x, || x)
            }
            #[inline(always)]
            fn bunch_of_rest<S: Simd>(simd: S, taken: &Self::Taken<'_, S>, x: Bunch<S>) -> Bunch<S> {
                let x = W::bunch_of_rest(simd, taken, x);
                step(simd, $link, x, || x)
            }
        }
    )*};
}

alone! {
    Squared = Link::Twice(Basic::Mul), "Steps, and then the square.",
    Power = Link::Alone(Basic::Exp), "Steps, and then e to this power.",
}

/// Any steps, each chosen anew for each bunch.
pub struct Any;

impl Way for Any {
    type Taken<'a, S: Simd> = ([(Link, Value<'a, S>); LONGEST], usize);
    #[inline(always)]
    fn in_row<'a, S: Simd>(_: S, links: &mut Links<'_, 'a>, row: usize, length: usize) -> Self::Taken<'a, S> {
        let mut steps = [(Link::Alone(Basic::Exp), Value::One(0.0)); LONGEST];
        let count = links.len().min(LONGEST);
        for (step, &(link, operand)) in steps.iter_mut().zip(links) {
            let value = match operand {
                Operand::Places(x) => Value::Many(InRow::new(x, row, length)),
                Operand::Rows(x) => Value::One(x[row]),
            };
            *step = (link, value);
        }
        (steps, count)
    }
    #[inline(always)]
    fn bunch<S: Simd>(simd: S, (steps, count): &Self::Taken<'_, S>, mut x: Bunch<S>, at: usize) -> Bunch<S> {
        for (link, value) in &steps[..*count] {
            // Either way has code of its own, so that operands are read where they are used.
            x = match value {
                Value::Many(y) => step(simd, *link, x, || y.bunches[at]),
                Value::One(y) => step(simd, *link, x, || [simd.splat_f32s(*y); BUNCH]),
            };
        }
        x
    }
    #[inline(always)]
    fn bunch_of_rest<S: Simd>(simd: S, (steps, count): &Self::Taken<'_, S>, mut x: Bunch<S>) -> Bunch<S> {
        for (link, value) in &steps[..*count] {
            x = match value {
                Value::Many(y) => step(simd, *link, x, || y.filled_up(simd)),
                Value::One(y) => step(simd, *link, x, || [simd.splat_f32s(*y); BUNCH]),
            };
        }
        x
    }
}

/// What a step takes in one row.
#[derive(Clone, Copy)]
pub enum Value<'a, S: Simd> {
    /// One for every place.
    Many(InRow<'a, S>),
    /// One.
    One(f32),
}

/// Elements of a row.
#[derive(Clone, Copy)]
pub struct InRow<'a, S: Simd> {
    /// They, as far as they fill bunches.
    pub bunches: &'a [Bunch<S>],
    rest: &'a [f32],
}

impl<'a, S: Simd> InRow<'a, S> {
    /// The elements of a row of so many places.
    #[inline(always)]
    pub fn new(elements: Elements<'a>, row: usize, length: usize) -> Self {
        let first = if elements.alike { 0 } else { row * length };
        let elements = &elements.all[first..first + length];
        let bunches = S::as_simd_f32s(elements).0.as_chunks().0;
        InRow { bunches, rest: &elements[bunches.len() * BUNCH * S::F32_LANES..] }
    }

    /// Those that do not fill a bunch, filled up.
    #[inline(always)]
    pub fn filled_up(&self, simd: S) -> Bunch<S> {
        let mut filled = [simd.splat_f32s(0.0); BUNCH];
        bytemuck::cast_slice_mut(&mut filled)[..self.rest.len()].copy_from_slice(self.rest);
        filled
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

/// Each register of two bunches.
#[inline(always)]
pub fn each<V: Copy>(mut x: [V; BUNCH], y: [V; BUNCH], f: impl Fn(V, V) -> V) -> [V; BUNCH] {
    x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*x, y));
    x
}
