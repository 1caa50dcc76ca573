//! How a reduction combines two elements, and how many are combined so that rounding errors stay small.

use crate::simd::{Kernel, vectorised};
use std::marker::PhantomData;
use wgrad_tensor::real::Number;

/// Elements that go through one set of lanes before they are combined.
pub const PIECE: usize = 8192;

/// A way to combine elements, in any order.
pub trait Join<T>: 'static {
    /// What changes nothing.
    fn start() -> T;
    /// Two elements combined.
    fn join(a: T, b: T) -> T;
}

/// The sum.
pub struct Sum;
/// The product.
pub struct Product;
/// The largest; NaN if there is one.
pub struct Largest;
/// The smallest; NaN if there is one.
pub struct Smallest;

/// A way to combine elements that takes one of them.
pub trait Contest<T>: Join<T> {
    /// Whether the first is taken and is not equal.
    fn beats(a: T, b: T) -> bool;
}

impl<T: Number> Contest<T> for Largest {
    #[inline(always)]
    fn beats(a: T, b: T) -> bool {
        a > b || (is_nan(a) && !is_nan(b))
    }
}

impl<T: Number> Contest<T> for Smallest {
    #[inline(always)]
    fn beats(a: T, b: T) -> bool {
        a < b || (is_nan(a) && !is_nan(b))
    }
}

/// Whether an element is not a number.
#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
#[inline(always)]
pub fn is_nan<T: Number>(x: T) -> bool {
    x != x
}

impl<T: Number> Join<T> for Sum {
    #[inline(always)]
    fn start() -> T {
        T::of(0.0)
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a.plus(b)
    }
}

impl<T: Number> Join<T> for Product {
    #[inline(always)]
    fn start() -> T {
        T::of(1.0)
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a.times(b)
    }
}

impl<T: Number> Join<T> for Largest {
    #[inline(always)]
    fn start() -> T {
        T::of(f64::NEG_INFINITY)
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a.larger(b)
    }
}

impl<T: Number> Join<T> for Smallest {
    #[inline(always)]
    fn start() -> T {
        T::of(f64::INFINITY)
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a.smaller(b)
    }
}

/// Combines parts pairwise as they come, like a binary counter: level `i` holds 2^i parts.
pub struct Cascade<T> {
    levels: [T; 64],
    count: u64,
}

impl<T: Number> Cascade<T> {
    /// No parts yet.
    pub fn new<J: Join<T>>() -> Self {
        Cascade { levels: [J::start(); 64], count: 0 }
    }

    /// Takes a part.
    #[inline]
    pub fn push<J: Join<T>>(&mut self, mut part: T) {
        let full = self.count.trailing_ones() as usize;
        for &level in &self.levels[..full] {
            part = J::join(level, part);
        }
        self.levels[full.min(63)] = part;
        self.count += 1;
    }

    /// All parts combined.
    pub fn finish<J: Join<T>>(&self) -> T {
        let used = u64::BITS - self.count.leading_zeros();
        let levels = self.levels.iter().enumerate().take(used as usize).filter(|(i, _)| self.count >> i & 1 == 1);
        levels.fold(J::start(), |all, (_, &level)| J::join(level, all))
    }
}

/// A [`Cascade`] of rows.
pub struct RowCascade<T> {
    levels: Vec<Vec<T>>,
    count: u64,
}

impl<T: Number> RowCascade<T> {
    /// No rows yet.
    pub fn new() -> Self {
        RowCascade { levels: Vec::new(), count: 0 }
    }

    /// Takes a row, and gives back memory for another.
    pub fn push<J: Join<T>>(&mut self, mut row: Vec<T>) -> Vec<T> {
        let full = self.count.trailing_ones() as usize;
        for level in &self.levels[..full] {
            join_rows::<T, J>(&mut row, level);
        }
        self.count += 1;
        match self.levels.get_mut(full) {
            Some(level) => std::mem::replace(level, row),
            None => {
                let other = row.clone();
                self.levels.push(row);
                other
            }
        }
    }

    /// Combines all rows into `out`.
    pub fn finish<J: Join<T>>(&self, out: &mut [T]) {
        out.fill(J::start());
        for (_, level) in self.levels.iter().enumerate().filter(|(i, _)| self.count >> i & 1 == 1) {
            join_rows::<T, J>(out, level);
        }
    }
}

/// Combines a row into another.
pub fn join_rows<T: Number, J: Join<T>>(all: &mut [T], row: &[T]) {
    vectorised(JoinRows::<T, J>(all, row, PhantomData));
}

struct JoinRows<'a, T, J>(&'a mut [T], &'a [T], PhantomData<J>);

impl<T: Number, J: Join<T>> Kernel for JoinRows<'_, T, J> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (all, &x) in self.0.iter_mut().zip(self.1) {
            *all = J::join(x, *all);
        }
    }
}

/// Combines a run of at most [`PIECE`] elements.
pub fn join_run<T: Number, J: Join<T>>(run: &[T]) -> T {
    vectorised(Lanes::<T, J>(run, PhantomData))
}

/// Accumulators side by side, enough that additions do not wait for each other.
pub const LANES: usize = 128;

/// Folds a run with many accumulators.
struct Lanes<'a, T, J>(&'a [T], PhantomData<J>);

impl<T: Number, J: Join<T>> Kernel for Lanes<'_, T, J> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let (chunks, rest) = self.0.as_chunks();
        let mut lanes = [J::start(); LANES];
        for chunk in chunks {
            lanes = joined::<T, J, LANES>(lanes, chunk);
        }
        if !rest.is_empty() {
            let mut last = [J::start(); LANES];
            last[..rest.len()].copy_from_slice(rest);
            lanes = joined::<T, J, LANES>(lanes, &last);
        }
        join_lanes::<T, J>(lanes)
    }
}

/// Combines one of several whole pieces, which is read in several places by turns: processors foresee several walks
/// through memory better than one, which they lose at the end of each page. A single piece is a run: what else walks over
/// so many elements combines them in a run's order, too.
pub fn join_piece<T: Number, J: Join<T>>(piece: &[T; PIECE]) -> T {
    vectorised(ByTurns::<T, J>(piece, PhantomData))
}

struct ByTurns<'a, T, J>(&'a [T; PIECE], PhantomData<J>);

impl<T: Number, J: Join<T>> Kernel for ByTurns<'_, T, J> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        const WALKS: usize = 4;
        const WIDTH: usize = LANES / WALKS;
        let walks: [&[[T; WIDTH]]; WALKS] =
            std::array::from_fn(|walk| self.0[walk * PIECE / WALKS..(walk + 1) * PIECE / WALKS].as_chunks().0);
        let mut lanes = [[J::start(); WIDTH]; WALKS];
        for i in 0..PIECE / LANES {
            for (lanes, walk) in lanes.iter_mut().zip(walks) {
                *lanes = joined::<T, J, WIDTH>(*lanes, &walk[i]);
            }
        }
        join_lanes::<T, J>(std::array::from_fn(|lane| lanes[lane / WIDTH][lane % WIDTH]))
    }
}

/// Combines accumulators pairwise.
#[inline(always)]
pub fn join_lanes<T: Number, J: Join<T>>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = J::join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Combines each lane with an element. Lanes that go by value, and never by a position that varies, stay in registers.
#[inline(always)]
fn joined<T: Number, J: Join<T>, const N: usize>(mut lanes: [T; N], elements: &[T; N]) -> [T; N] {
    for (lane, &x) in lanes.iter_mut().zip(elements) {
        *lane = J::join(*lane, x);
    }
    lanes
}
