//! The search for the first kernel that makes a NaN or an infinity out of finite numbers.

use crate::backend::Backend;
use crate::padding::Bound;
use crate::plan::{Given, Plan};
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::{ErrorKind, Result};

/// Runs a plan with every value kept, and looks at all of them.
///
/// # Errors
/// The step that made a NaN or an infinity where everything that it read was finite.
pub(crate) fn run<B: Backend>(backend: &B, plan: &Plan, inputs: Vec<Buffer>, given: &Given<'_>) -> Result<Vec<Buffer>> {
    let mut all = plan.clone();
    all.outputs = plan.steps.iter().flat_map(|step| step.results.iter().copied()).collect();
    all.capacities.clear();
    for step in &mut all.steps {
        step.frees.clear();
        step.in_place.clear();
    }
    let made = backend.run(&all, inputs.clone(), given)?;
    let mut values: Vec<Option<Buffer>> = vec![None; plan.values.len()];
    for (&value, buffer) in plan.inputs.iter().zip(&inputs).chain(all.outputs.iter().zip(&made)) {
        values[value] = Some(buffer.clone());
    }
    let mut finite: Vec<Option<bool>> = vec![None; plan.values.len()];
    let mut is_finite = |value: usize| -> Result<bool> {
        if finite[value].is_none() {
            let (meta, buffer) = (&plan.values[value], &values[value]);
            let bytes = match buffer {
                Some(buffer) if meta.dtype.is_float() => read(backend, buffer, meta.bytes())?,
                _ => Vec::new(),
            };
            finite[value] = Some(all_finite(&bytes, meta.dtype));
        }
        Ok(finite[value].unwrap_or(true))
    };
    for step in &plan.steps {
        for &result in &step.results {
            if is_finite(result)? {
                continue;
            }
            let mut read_finite = true;
            for operand in &step.operands {
                let finite = |bound: &Bound| given.scalars.get(bound.number).is_none_or(|x| x.as_f64().is_finite());
                read_finite &= is_finite(operand.value)? && operand.padding.bounds.iter().all(finite);
            }
            if read_finite {
                let message = "made a NaN or an infinity out of finite numbers";
                return Err((given.origin)(step).error(Problem::new(ErrorKind::Value, message)));
            }
        }
    }
    let missing = || wgrad_tensor::Error::new(ErrorKind::Value, "run", "the plan does not compute one of its outputs");
    plan.outputs.iter().map(|&value| values[value].clone().ok_or_else(missing)).collect()
}

#[cfg(not(target_arch = "wasm32"))]
fn read<B: Backend>(backend: &B, buffer: &Buffer, bytes: usize) -> Result<Vec<u8>> {
    pollster::block_on(backend.read(buffer, bytes))
}

#[cfg(target_arch = "wasm32")]
fn read<B: Backend>(_backend: &B, _buffer: &Buffer, _bytes: usize) -> Result<Vec<u8>> {
    Err(wgrad_tensor::Error::new(ErrorKind::Unsupported, "read", "a browser does not wait; WGRAD_NAN needs that"))
}

fn all_finite(bytes: &[u8], dtype: DType) -> bool {
    let words = |size: usize, exponent: fn(&[u8]) -> bool| bytes.chunks_exact(size).all(exponent);
    match dtype {
        DType::F32 => words(4, |b| b.try_into().is_ok_and(|b| f32::from_le_bytes(b).is_finite())),
        DType::F64 => words(8, |b| b.try_into().is_ok_and(|b| f64::from_le_bytes(b).is_finite())),
        DType::F16 => words(2, |b| b.try_into().is_ok_and(|b| u16::from_le_bytes(b) & 0x7c00 != 0x7c00)),
        DType::BF16 => words(2, |b| b.try_into().is_ok_and(|b| u16::from_le_bytes(b) & 0x7f80 != 0x7f80)),
        _ => true,
    }
}
