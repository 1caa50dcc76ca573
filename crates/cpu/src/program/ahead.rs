//! What a tile reads and writes, asked for while the tile before it is computed: programs of several steps walk their
//! memory too jerkily for processors to find out by themselves what comes next.

use super::compile::{Compiled, Register, Source};
use crate::buffer::prefetch;
use smallvec::SmallVec;
use std::ops::Range;

/// Programs that touch fewer bytes find them in the caches.
const FAR: usize = 2 << 20;
/// Programs with fewer walks over a tile walk steadily.
const WALKS: usize = 2;

/// How memory is asked for ahead of time.
#[derive(Debug)]
pub struct Ahead {
    /// How many registers are computed in walks over a tile: each asks for as much, since what is asked for all at once
    /// is waited for.
    walks: usize,
}

impl Ahead {
    /// Shares what a tile needs evenly among the walks over the tile before; `sizes` are those of the elements of results,
    /// `order` is that of computing. `None` where that does not pay.
    pub fn new(compiled: &Compiled<'_>, sizes: &[usize], order: &[usize], places: usize) -> Option<Self> {
        let registers = &compiled.registers;
        let reads = registers.iter().filter(|register| is_read(register)).map(|register| register.dtype.size());
        let place: usize = reads.chain(sizes.iter().copied()).sum();
        let walks = order.iter().filter(|&&i| registers[i].is_walk()).count();
        let pays = walks >= WALKS && places.saturating_mul(place) >= FAR;
        pays.then_some(Ahead { walks })
    }

    /// The memory that the next tile reads and writes; `outs` are the results from there on.
    pub fn of<'t>(
        &self,
        compiled: &'t Compiled<'_>,
        next: &Range<usize>,
        outs: &'t [&mut [u8]],
        sizes: &[usize],
    ) -> Needed<'t> {
        let reads = compiled.registers.iter().filter_map(|register| match &register.source {
            Source::Load(load) if is_read(register) => Some(load.slice(next.clone())),
            _ => None,
        });
        let writes = outs.iter().zip(sizes).map(|(out, size)| &out[..next.len() * size]);
        Needed { memory: reads.chain(writes).collect(), walks: self.walks, walk: 0 }
    }
}

/// Memory that is needed soon.
#[derive(Debug, Default)]
pub struct Needed<'t> {
    memory: SmallVec<[&'t [u8]; 4]>,
    walks: usize,
    walk: usize,
}

impl Needed<'_> {
    /// What the next walk is to ask for, in so many parts.
    pub fn share(&mut self) -> Share<'_> {
        let number = self.walk;
        self.walk += 1;
        Share { memory: &self.memory, number, of: self.walks }
    }
}

/// What one walk asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share<'x> {
    memory: &'x [&'x [u8]],
    number: usize,
    of: usize,
}

impl<'x> Share<'x> {
    /// The same in parts.
    pub fn in_parts(self, parts: usize) -> Parts<'x> {
        let longest = self.memory.iter().map(|bytes| bytes.len()).max().unwrap_or(0);
        let bytes = if longest == 0 { 0 } else { longest.div_ceil((self.of * parts).max(1)).next_multiple_of(64) };
        Parts { memory: self.memory, first: self.number * parts * bytes, bytes }
    }
}

/// What one walk asks for, bit by bit.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'x> {
    memory: &'x [&'x [u8]],
    first: usize,
    bytes: usize,
}

impl Parts<'_> {
    /// Asks for a part of each piece of memory.
    #[inline(always)]
    pub fn ask(&self, part: usize) {
        for memory in self.memory {
            if let Some(rest) = memory.get(self.first + part * self.bytes..) {
                prefetch(&rest[..self.bytes.min(rest.len())]);
            }
        }
    }
}

/// Whether a register's tiles are read from memory where they lie.
fn is_read(register: &Register<'_>) -> bool {
    !register.per_row && matches!(register.source, Source::Load(_)) && register.source.lies()
}
