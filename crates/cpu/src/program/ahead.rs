//! What a tile reads and writes, asked for while the tile before it is computed: programs of several steps walk their
//! memory too jerkily for processors to find out by themselves what comes next.

use super::compile::{Compiled, Register, Source};
use std::ops::Range;

/// Programs that touch fewer bytes find them in the caches.
const FAR: usize = 2 << 20;
/// Programs with fewer steps walk steadily.
const STEPS: usize = 3;

/// How memory is asked for ahead of time.
#[derive(Debug)]
pub struct Ahead {
    /// The registers that are computed, in order.
    pub steps: Vec<usize>,
    /// The bytes asked for before each of them. Asked for all at once, they would be waited for.
    share: usize,
}

impl Ahead {
    /// Shares what a tile needs evenly among the steps of the tile before; `sizes` are those of the elements of results.
    /// `None` where that does not pay.
    pub fn new(compiled: &Compiled<'_>, sizes: &[usize], order: &[usize], places: usize, tile: usize) -> Option<Self> {
        let registers = &compiled.registers;
        let reads = registers.iter().filter(|register| is_read(register)).map(|register| register.dtype.size());
        let place: usize = reads.chain(sizes.iter().copied()).sum();
        let is_step = |&i: &usize| registers[i].per_row || registers[i].source.is_computed();
        let steps: Vec<usize> = order.iter().copied().filter(is_step).collect();
        let pays = steps.len() >= STEPS && places.saturating_mul(place) >= FAR;
        let share = (tile * place).div_ceil(steps.len().max(1)).next_multiple_of(64).max(64);
        pays.then_some(Ahead { steps, share })
    }

    /// The memory of the next tile, share by share; `outs` are the results from there on.
    pub fn of<'t>(
        &self,
        compiled: &'t Compiled<'_>,
        next: &'t Range<usize>,
        outs: &'t [&mut [u8]],
        sizes: &'t [usize],
    ) -> impl Iterator<Item = &'t [u8]> {
        let reads = compiled.registers.iter().filter_map(|register| match &register.source {
            Source::Load(load) if is_read(register) => Some(load.slice(next.clone())),
            _ => None,
        });
        let writes = outs.iter().zip(sizes).map(|(out, size)| &out[..next.len() * size]);
        let share = self.share;
        reads.chain(writes).flat_map(move |bytes| bytes.chunks(share))
    }
}

/// Whether a register's tiles are read from memory where they lie.
fn is_read(register: &Register<'_>) -> bool {
    !register.per_row && matches!(register.source, Source::Load(_)) && register.source.lies()
}
