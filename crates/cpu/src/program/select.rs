//! `where`: one of two elements, as a bool says.

use crate::simd::{Kernel, vectorised};
use bytemuck::Pod;
use wgrad_tensor::elementwise::Loop;

/// The loop for elements of `size` bytes; its inputs are the condition, and what to take if it is true or false.
pub fn of_size(size: usize) -> Loop {
    match size {
        1 => select::<u8>,
        2 => select::<u16>,
        4 => select::<u32>,
        _ => select::<u64>,
    }
}

fn select<T: Pod>(inputs: &[&[u8]], out: &mut [u8]) {
    let [condition, yes, no] = *inputs else { return };
    let yes: &[T] = bytemuck::try_cast_slice(yes).unwrap_or_default();
    let no: &[T] = bytemuck::try_cast_slice(no).unwrap_or_default();
    let out: &mut [T] = bytemuck::try_cast_slice_mut(out).unwrap_or_default();
    vectorised(Select { condition, yes, no, out });
}

struct Select<'a, T> {
    condition: &'a [u8],
    yes: &'a [T],
    no: &'a [T],
    out: &'a mut [T],
}

impl<T: Pod> Kernel for Select<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (((out, &condition), &yes), &no) in self.out.iter_mut().zip(self.condition).zip(self.yes).zip(self.no) {
            *out = if condition != 0 { yes } else { no };
        }
    }
}
