//! Several cheap steps in one walk: what one gives goes to the next in the processor's registers.

use super::ahead::Share;
use super::way::{Add, Any, BUNCH, Bunch, ByPlace, ByRow, InRow, Mul, Power, Squared, Start, Sub, Way, each};
use crate::reduce::{Join, LANES, Largest, PIECE, Sum, join_lanes};
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;
use wgrad_tensor::elementwise::Basic;
use wgrad_tensor::op::Reduction;

/// The most steps of a chain.
pub const LONGEST: usize = 8;

/// After how many bunches memory is asked for again: asking takes as long as a bunch does.
const ASKING: usize = 4;

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

/// Elements of some rows, one for each of their places.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elements<'a> {
    /// The elements.
    pub all: &'a [f32],
    /// Whether all rows have the same, so that there is one row of them.
    pub alike: bool,
}

/// What a step takes.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// One for every place.
    Places(Elements<'a>),
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
    pub start: Elements<'a>,
    /// Its steps, each with its operand, if it takes one.
    pub links: &'a [(Link, Operand<'a>)],
    /// Where the elements go.
    pub out: Option<&'a mut [f32]>,
    /// How they are combined, and where what that gives for each row goes.
    pub folded: Option<(Fold, &'a mut [f32])>,
    /// Memory to ask for on the way.
    pub ahead: Share<'a>,
}

impl Link {
    /// A step of an operand and the elements so far.
    pub fn after(basic: Basic) -> Self {
        if matches!(basic, Basic::Add | Basic::Mul) { Link::With(basic) } else { Link::After(basic) }
    }

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
    /// Walks over all rows. What norms and softmaxes are made of is compiled as a whole; other steps are chosen on the way.
    pub fn run(self) {
        use Link::{Alone, Twice, With};
        use Operand::{Places, Rows};
        type Centred = ByRow<Start, Sub>;
        let fold = self.folded.as_ref().map(|(fold, _)| *fold);
        match (self.links, fold) {
            ([], Some(Fold::Sum)) => self.walk::<Start, Sum>(),
            ([], Some(Fold::Largest)) => self.walk::<Start, Largest>(),
            ([(Twice(Basic::Mul), _)], Some(Fold::Sum)) => self.walk::<Squared<Start>, Sum>(),
            ([(With(Basic::Mul), Rows(_))], None) => self.walk::<ByRow<Start, Mul>, Nothing>(),
            ([(With(Basic::Sub), Rows(_)), (Twice(Basic::Mul), _)], Some(Fold::Sum)) => {
                self.walk::<Squared<Centred>, Sum>();
            }
            ([(With(Basic::Sub), Rows(_)), (Alone(Basic::Exp), _)], Some(Fold::Sum)) => {
                self.walk::<Power<Centred>, Sum>();
            }
            ([(With(Basic::Mul), Rows(_)), (With(Basic::Mul), Places(_))], None) => {
                self.walk::<ByPlace<ByRow<Start, Mul>, Mul>, Nothing>();
            }
            ([(With(Basic::Mul), Rows(_)), (With(Basic::Mul), Places(_))], Some(Fold::Sum)) => {
                self.walk::<ByPlace<ByRow<Start, Mul>, Mul>, Sum>();
            }
            (
                [
                    (With(Basic::Sub), Rows(_)),
                    (With(Basic::Mul), Rows(_)),
                    (With(Basic::Mul), Places(_)),
                    (With(Basic::Add), Places(_)),
                ],
                None,
            ) => self.walk::<ByPlace<ByPlace<ByRow<Centred, Mul>, Mul>, Add>, Nothing>(),
            (_, None) => self.walk::<Any, Nothing>(),
            (_, Some(Fold::Sum)) => self.walk::<Any, Sum>(),
            (_, Some(Fold::Largest)) => self.walk::<Any, Largest>(),
        }
    }

    fn walk<W: Way, J: Joint>(self) {
        arch().dispatch(Walk(self, PhantomData::<(W, J)>));
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

struct Walk<'a, W, J>(Chain<'a>, PhantomData<(W, J)>);

impl<W: Way, J: Joint> WithSimd for Walk<'_, W, J> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Chain { rows, length, start, links, mut out, mut folded, ahead } = self.0;
        let width = BUNCH * S::F32_LANES;
        let whole = length / width;
        let asks = whole.div_ceil(ASKING);
        let ahead = ahead.in_parts(rows * asks);
        for row in 0..rows {
            let start = InRow::<S>::new(start, row, length);
            let steps = W::in_row(simd, &mut links.iter(), row, length);
            let out = out.as_mut().map_or(&mut [][..], |out| &mut out[row * length..(row + 1) * length]);
            let (outs, last) = out.split_at_mut((whole * width).min(out.len()));
            let outs = S::as_mut_simd_f32s(outs).0.as_chunks_mut().0;
            let mut bunch = |i: usize| {
                if i.is_multiple_of(ASKING) {
                    ahead.ask(row * asks + i / ASKING);
                }
                let x = W::bunch(simd, &steps, start.bunches[i], i);
                if let Some(out) = outs.get_mut(i) {
                    *out = x;
                }
                x
            };
            let mut all = None;
            for from in (0..length).step_by(PIECE) {
                let until = length.min(from + PIECE);
                let bunches = from / width..until / width;
                let rest = if until == length { whole * width..length } else { 0..0 };
                let mut lanes = [J::start(); LANES];
                let mut part = None;
                if width == LANES {
                    // By value, so that they stay in registers.
                    let mut kept = [simd.splat_f32s(J::start()); BUNCH];
                    for i in bunches {
                        kept = each(kept, bunch(i), |a, b| J::joint(simd, a, b));
                    }
                    if rest.is_empty() {
                        part = Some(joined::<S, J>(simd, kept));
                    } else {
                        lanes.copy_from_slice(bytemuck::cast_slice(&kept));
                    }
                } else {
                    let lanes = S::as_mut_simd_f32s(&mut lanes).0.as_chunks_mut().0;
                    for i in bunches {
                        let lane = i % lanes.len();
                        lanes[lane] = each(lanes[lane], bunch(i), |a, b| J::joint(simd, a, b));
                    }
                }
                if !rest.is_empty() {
                    let x = W::bunch_of_rest(simd, &steps, start.filled_up(simd));
                    let x = &bytemuck::cast_slice(&x)[..rest.len()];
                    last.copy_from_slice(&x[..last.len()]);
                    for (lane, &x) in lanes[rest.start % LANES..].iter_mut().zip(x) {
                        *lane = J::join(*lane, x);
                    }
                }
                let part = part.unwrap_or_else(|| join_lanes::<f32, J>(lanes));
                all = Some(all.map_or(part, |all| J::join(all, part)));
            }
            if let Some((_, folded)) = &mut folded {
                folded[row] = all.unwrap_or(J::start());
            }
        }
    }
}

/// Combines lanes pairwise, as [`join_lanes`] does, in registers as long as there are several.
#[inline(always)]
fn joined<S: Simd, J: Joint>(simd: S, lanes: Bunch<S>) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    let two = |x, y| J::joint(simd, x, y);
    let one = two(two(two(a, e), two(c, g)), two(two(b, f), two(d, h)));
    let (mut lanes, mut width) = ([J::start(); LANES / BUNCH], LANES / BUNCH / 2);
    lanes.copy_from_slice(bytemuck::cast_slice(&[one]));
    while width > 0 {
        for i in 0..width {
            lanes[i] = J::join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
