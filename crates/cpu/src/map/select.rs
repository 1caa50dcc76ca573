//! `where`: one of two elements, as a bool says.

use crate::simd::vectorised;
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
    vectorised(each, (condition, yes, no, out));
}

#[inline(always)]
fn each<T: Pod>((condition, yes, no, out): (&[u8], &[T], &[T], &mut [T])) {
    for (((out, &condition), &yes), &no) in out.iter_mut().zip(condition).zip(yes).zip(no) {
        *out = if condition != 0 { yes } else { no };
    }
}
