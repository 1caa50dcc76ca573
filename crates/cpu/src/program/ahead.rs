//! What a tile reads and writes, asked for while the tile before it is computed: rows are walked too jerkily for
//! processors to find out by themselves what comes next.

use super::compile::{Register, Source};
use super::rows::Rows;
use super::tile::Tile;

/// Programs that touch less than this find it in the caches.
const FAR: usize = 2 << 20;

/// How far ahead memory is asked for.
pub struct Ahead {
    /// The bytes asked for before each step of a tile. Asked for all at once, they would be waited for.
    share: usize,
}

impl Ahead {
    /// Shares what a tile needs evenly among the `steps` of the tile before.
    pub fn new(rows: &Rows<'_>, steps: usize) -> Self {
        let registers = &rows.compiled.registers;
        let loads = registers.iter().filter(|register| is_read(register)).map(|register| register.dtype.size());
        let place: usize = loads.chain(rows.sizes(&rows.full)).sum();
        let far = rows.tiling.rows.saturating_mul(rows.tiling.length).saturating_mul(place) >= FAR;
        let share = if far { (rows.tiling.longest() * place).div_ceil(steps.max(1)) } else { 0 };
        Ahead { share: share.next_multiple_of(64) }
    }

    /// The memory of the next tile, share by share; `full` are the results from there on.
    pub fn of<'t>(
        &self,
        rows: &'t Rows<'_>,
        next: &'t Tile<'_>,
        full: &'t [&mut [u8]],
    ) -> impl Iterator<Item = &'t [u8]> {
        let registers = rows.compiled.registers.iter();
        let reads = registers.filter_map(|register| match &register.source {
            Source::Load(load) if is_read(register) => Some(load.slice(next.places.clone())),
            _ => None,
        });
        let writes = full.iter().zip(&rows.full).map(|(out, &result)| {
            let size = rows.compiled.registers[rows.compiled.stores[result]].dtype.size();
            &out[..next.places.len() * size]
        });
        let share = self.share;
        reads.chain(writes).filter(move |_| share > 0).flat_map(move |bytes| bytes.chunks(share))
    }
}

/// Whether a register's tiles are read from memory where they lie.
fn is_read(register: &Register<'_>) -> bool {
    !register.per_row && matches!(register.source, Source::Load(_)) && register.source.lies()
}
