//! Collecting elements that lie apart.

use crate::view::Walk;

/// Copies rows along the last of some axes, from row `first` of the whole grid on.
pub fn collect_rows<T: Copy>(elements: &[T], axes: &[(usize, isize)], base: isize, first: usize, mut out: &mut [T]) {
    let [outer @ .., (height, down), (width, across)] = axes else {
        let (_, stride) = axes.first().copied().unwrap_or((1, 0));
        return collect_run(elements, base, stride, out);
    };
    let mut walk = Walk::new(outer, base, first / height);
    let mut row = first % height;
    while !out.is_empty() {
        let rows = (height - row).min(out.len() / width);
        let (now, later) = std::mem::take(&mut out).split_at_mut(rows * width);
        let start = walk.step() + row as isize * down;
        match width {
            2 => narrow_rows::<T, 2>(elements, start, *down, *across, now),
            3 => narrow_rows::<T, 3>(elements, start, *down, *across, now),
            4 => narrow_rows::<T, 4>(elements, start, *down, *across, now),
            _ => {
                for (i, out) in now.chunks_mut(*width).enumerate() {
                    collect_run(elements, start + i as isize * down, *across, out);
                }
            }
        }
        (row, out) = (0, later);
    }
}

/// Copies rows of so few elements that a loop over each would be most of the work.
fn narrow_rows<T: Copy, const N: usize>(elements: &[T], start: isize, down: isize, across: isize, out: &mut [T]) {
    let rows = out.chunks_exact_mut(N);
    match (down, across) {
        (1, 0) => rows.zip(&elements[start as usize..]).for_each(|(out, &x)| out.fill(x)),
        (_, 0) => rows.enumerate().for_each(|(i, out)| out.fill(elements[(start + i as isize * down) as usize])),
        (_, 1) => rows.enumerate().for_each(|(i, out)| {
            let at = (start + i as isize * down) as usize;
            out.copy_from_slice(&elements[at..at + N]);
        }),
        _ => rows.enumerate().for_each(|(i, out)| {
            let at = start + i as isize * down;
            out.iter_mut().enumerate().for_each(|(j, out)| *out = elements[(at + j as isize * across) as usize]);
        }),
    }
}

/// Copies elements that lie `stride` apart.
#[inline]
pub fn collect_run<T: Copy>(elements: &[T], start: isize, stride: isize, out: &mut [T]) {
    match stride {
        1 => out.copy_from_slice(&elements[start as usize..start as usize + out.len()]),
        0 => out.fill(elements[start as usize]),
        _ if stride > 1 => {
            for (out, &x) in out.iter_mut().zip(elements[start as usize..].iter().step_by(stride as usize)) {
                *out = x;
            }
        }
        _ => {
            for (out, &x) in out.iter_mut().zip(elements[..=start as usize].iter().rev().step_by(stride.unsigned_abs()))
            {
                *out = x;
            }
        }
    }
}
