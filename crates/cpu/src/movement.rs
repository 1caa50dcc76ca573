//! Moving elements of any dtype: concatenation.

use crate::step::Job;
use crate::threads::{self, TASK};
use wgrad_tensor::error::{ErrorKind, Problem};

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
