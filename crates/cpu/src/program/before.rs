//! What lay in the memory of results that take the place of operands, kept while they are written.

use super::compile::{Compiled, Source};
use crate::buffer::{Buffer, Pool};
use std::sync::Arc;
use wgrad_tensor::error::Problem;

/// For each result that is written over an operand, by its number, the operand's elements at some places.
#[derive(Debug, Default)]
pub struct Before(Vec<(usize, Buffer)>);

impl Before {
    /// Memory for so many places of each.
    pub fn new(compiled: &Compiled<'_>, places: usize, pool: &Arc<Pool>) -> Result<Self, Problem> {
        let kept = compiled.registers.iter().filter_map(|register| match register.source {
            Source::Before(result) => Some(pool.take(places * register.dtype.size()).map(|memory| (result, memory))),
            _ => None,
        });
        kept.collect::<Result<_, _>>().map(Before)
    }

    /// Keeps what is there now; `of` finds a result's part.
    pub fn keep<'r>(&mut self, of: impl Fn(usize) -> Option<&'r [u8]>) {
        for (result, memory) in &mut self.0 {
            if let Some(now) = of(*result) {
                memory[..now.len()].copy_from_slice(now);
            }
        }
    }

    /// What was kept of a result.
    pub fn of(&self, result: usize) -> &[u8] {
        self.0.iter().find(|(kept, _)| *kept == result).map_or(&[], |(_, memory)| memory)
    }
}
