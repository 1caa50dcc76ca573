//! Moving elements of any dtype: padding and concatenation.

use crate::program::splat;
use crate::step::Job;
use crate::threads::{self, TASK};
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::{ErrorKind, Problem};

/// Writes the operand at `before`, and `value` around it.
pub fn pad(before: &[usize], value: Scalar, job: &mut Job<'_>) -> Result<(), Problem> {
    let input = job.operand(0)?;
    let (from, to) = (&input.layout.shape, job.shape()?);
    let bytes = input.contiguous_bytes()?;
    let fits = from.len() == to.len()
        && before.len() == to.len()
        && (0..to.len()).all(|axis| before[axis].checked_add(from[axis]).is_some_and(|end| end <= to[axis]));
    if !fits {
        return Err(Problem::new(ErrorKind::Shape, "cannot hold its input at that place"));
    }
    // Axes after the last that grows are copied whole.
    let whole = (0..to.len()).rev().find(|&axis| from[axis] != to[axis]).map_or(0, |axis| axis + 1);
    let size = input.dtype.size();
    let element: usize = to[whole..].iter().product::<usize>() * size;
    let (outer, grows) = (whole.saturating_sub(1), whole > 0);
    let (source_row, target_row, skip) = match grows {
        true => (from[outer] * element, to[outer] * element, before[outer] * element),
        false => (element, element, 0),
    };
    let value = value.to_bytes(input.dtype);
    let out = job.result::<u8>(0)?;
    if out.is_empty() {
        return Ok(());
    }
    let rows = (TASK * size / target_row).max(1);
    threads::chunks(out, rows * target_row, |task, out| {
        for (i, out) in out.chunks_mut(target_row).enumerate() {
            match source(&from[..outer], &to[..outer], before, task * rows + i) {
                Some(row) => {
                    splat(&value, &mut out[..skip]);
                    out[skip..skip + source_row].copy_from_slice(&bytes[row * source_row..(row + 1) * source_row]);
                    splat(&value, &mut out[skip + source_row..]);
                }
                None => splat(&value, out),
            }
        }
    });
    Ok(())
}

/// The input's row that lies in row `index` of the output, if there is one.
fn source(from: &[usize], to: &[usize], before: &[usize], mut index: usize) -> Option<usize> {
    let (mut row, mut rows) = (0, 1);
    for axis in (0..to.len()).rev() {
        let place = (index % to[axis]).checked_sub(before[axis]).filter(|&place| place < from[axis])?;
        index /= to[axis];
        row += place * rows;
        rows *= from[axis];
    }
    Some(row)
}

/// Writes the operands one after the other along `axis`.
pub fn cat(axis: usize, job: &mut Job<'_>) -> Result<(), Problem> {
    let shape = job.shape()?;
    let wrong = || Problem::new(ErrorKind::Shape, "takes tensors that fit together along its axis");
    let size = job.operand(0)?.dtype.size();
    let inner: usize = shape.get(axis + 1..).ok_or_else(wrong)?.iter().product::<usize>() * size;
    let mut parts = Vec::with_capacity(job.inputs.views.len());
    for view in job.inputs.views {
        let fits = view.layout.shape.len() == shape.len()
            && view.dtype.size() == size
            && (0..shape.len()).all(|i| i == axis || view.layout.shape[i] == shape[i]);
        if !fits {
            return Err(wrong());
        }
        parts.push((view.contiguous_bytes()?, view.layout.shape[axis] * inner));
    }
    let row: usize = parts.iter().map(|&(_, bytes)| bytes).sum();
    let out = job.result::<u8>(0)?;
    if row != shape[axis] * inner {
        return Err(wrong());
    }
    if out.is_empty() {
        return Ok(());
    }
    if out.len() == row {
        // One row: cut within it.
        let mut rest = &mut *out;
        let mut tasks = Vec::new();
        for (bytes, _) in parts {
            let (now, later) = rest.split_at_mut(bytes.len());
            tasks.extend(bytes.chunks(TASK * size).zip(now.chunks_mut(TASK * size)));
            rest = later;
        }
        threads::for_each(tasks, |(from, to)| to.copy_from_slice(from));
        return Ok(());
    }
    let rows = (TASK * size / row).max(1);
    threads::chunks(out, rows * row, |task, out| {
        for (i, mut out) in out.chunks_mut(row).enumerate() {
            let i = task * rows + i;
            for &(bytes, len) in &parts {
                let (now, later) = out.split_at_mut(len);
                now.copy_from_slice(&bytes[i * len..(i + 1) * len]);
                out = later;
            }
        }
    });
    Ok(())
}
