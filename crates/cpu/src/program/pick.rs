//! One element of each row, as an index says.

use super::compile::Side;
use crate::index::outside;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};

/// How rows are indexed.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    signed: bool,
    /// Where the row starts among the program's axes, for errors.
    axis: usize,
    length: usize,
}

impl Pick {
    /// Picks from rows of `length` places.
    pub fn new(index: DType, axis: usize, length: usize) -> Result<Self, Problem> {
        let signed = match index {
            DType::I32 => true,
            DType::U32 => false,
            dtype => return Err(Problem::new(ErrorKind::DType, format!("takes indices of i32 or u32, not {dtype}"))),
        };
        Ok(Pick { signed, axis, length })
    }

    /// The places that the indices of some rows say, if all lie within their rows.
    pub fn places<'a>(&self, index: &'a [u8]) -> Result<&'a [u32], Problem> {
        let index: &[u32] = bytemuck::try_cast_slice(index).unwrap_or_default();
        // A negative index is a huge one without its sign.
        let limit = self.length.min(if self.signed { 1 << 31 } else { usize::MAX });
        match index.iter().find(|&&i| i as usize >= limit) {
            Some(&bad) => Err(outside(bad, self.signed, self.axis, self.length)),
            None => Ok(index),
        }
    }

    /// Picks from a tile of whole rows.
    pub fn pick(&self, x: &[u8], index: &[u8], side: Side, out: &mut [u8]) -> Result<(), Problem> {
        let index = self.places(index)?;
        let rows = index.len();
        let size = out.len() / rows.max(1);
        for (row, (&place, out)) in index.iter().zip(out.chunks_exact_mut(size.max(1))).enumerate() {
            let at = match side {
                Side::Along => row * self.length + place as usize,
                Side::Across => place as usize * rows + row,
            };
            out.copy_from_slice(&x[at * size..(at + 1) * size]);
        }
        Ok(())
    }
}
