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

impl<'t> Needed<'t> {
    /// What the next walk is to ask for.
    pub fn share(&mut self) -> SmallVec<[&'t [u8]; 4]> {
        let part = |bytes: &&'t [u8]| {
            let share = bytes.len().div_ceil(self.walks.max(1)).next_multiple_of(64);
            bytes.chunks(share.max(1)).nth(self.walk).unwrap_or_default()
        };
        let share = self.memory.iter().map(part).collect();
        self.walk += 1;
        share
    }
}

/// How many bytes of each piece of memory go to each of some parts.
pub fn per_part(memory: &[&[u8]], parts: usize) -> usize {
    let longest = memory.iter().map(|bytes| bytes.len()).max().unwrap_or(0);
    longest.div_ceil(parts.max(1)).next_multiple_of(64)
}

/// Asks for a part of some memory.
#[inline(always)]
pub fn ask(memory: &[&[u8]], part: usize, bytes: usize) {
    for memory in memory {
        if let Some(rest) = memory.get(part.saturating_mul(bytes)..) {
            prefetch(&rest[..bytes.min(rest.len())]);
        }
    }
}

/// Whether a register's tiles are read from memory where they lie.
fn is_read(register: &Register<'_>) -> bool {
    !register.per_row && matches!(register.source, Source::Load(_)) && register.source.lies()
}
