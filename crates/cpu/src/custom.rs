//! Ops from outside, which bring their meaning along.

use crate::step::Job;
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::kernel::{Custom, HostView, HostViewMut};
use wgrad_tensor::op::Meta;

/// Calls the op with contiguous inputs and zeroed outputs.
pub fn run(custom: &dyn Custom, scalars: &[Scalar], job: &mut Job<'_>) -> Result<(), Problem> {
    let metas: Vec<Meta> = job.inputs.views.iter().map(|view| Meta::new(&view.layout.shape, view.dtype)).collect();
    let inputs = job.inputs.views.iter().zip(&metas).map(|(view, meta)| {
        let bytes = view.contiguous_bytes()?;
        Ok(HostView { meta, bytes })
    });
    let inputs = inputs.collect::<Result<Vec<_>, Problem>>()?;
    if job.results.len() != job.metas.len() {
        return Err(Problem::new(ErrorKind::Value, "has other results than it needs"));
    }
    let outputs = job.results.iter_mut().zip(job.metas).map(|(bytes, meta)| {
        bytes.fill(0);
        HostViewMut { meta, bytes }
    });
    custom.cpu(&inputs, scalars, &mut outputs.collect::<Vec<_>>())
}
