//! What each kernel of a stretch of a program costs.

use wgrad_plan::{KernelRun, Profile};
use wgrad_tensor::{DType, Device, Result, Tensor, eval_all};

/// Runs `work` and notes each kernel that `device` runs for it: what it computes, for which line and layer, how long it
/// took, what it moved and multiplied, and how near that comes to what the device is measured to do at best. It waits for
/// each kernel, so the whole takes longer than it would otherwise.
///
/// ```
/// # use wgrad::prelude::*;
/// # fn main() -> wgrad::Result<()> {
/// let device = device::cpu();
/// let x = Tensor::normal([64, 64], 0.0, 1.0, DType::F32, &device);
/// let (sum, profile) = wgrad::profile(&device, || x.matmul(&x).softmax(-1).sum(..).item::<f32>())?;
/// assert!((sum? - 64.0).abs() < 1e-3);
/// println!("{profile}");
/// assert!(profile.to_trace().contains("matmul"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What goes wrong while the device's own rates are measured.
pub fn profile<T>(device: &Device, work: impl FnOnce() -> T) -> Result<(T, Profile)> {
    let rates = rates(device)?;
    device.runtime().profile(true);
    let done = work();
    let kernels = runs(device);
    Ok((done, Profile { kernels, copy_rate: rates.0, multiply_rate: rates.1 }))
}

/// The noted kernels.
fn runs(device: &Device) -> Vec<KernelRun> {
    device.runtime().profile(false).downcast().map_or_else(|_| Vec::new(), |runs| *runs)
}

/// Bytes a second that the device copies and float operations a second of its matrix product: each the best of some.
fn rates(device: &Device) -> Result<(f64, f64)> {
    let long = Tensor::uniform([1 << 24], 0.0, 1.0, DType::F32, device);
    let square = Tensor::uniform([1024, 1024], 0.0, 1.0, DType::F32, device);
    eval_all([&long, &square])?;
    let best = |work: &dyn Fn() -> Tensor, rate: fn(&KernelRun) -> f64| -> Result<f64> {
        let mut best = 0.0;
        for _ in 0..4 {
            device.runtime().profile(true);
            let result = work();
            result.eval()?;
            best = runs(device).iter().map(rate).fold(best, f64::max);
        }
        Ok(best)
    };
    let copied = best(&|| &long + 1.0, |run| run.bytes as f64 / run.time.as_secs_f64().max(1e-12))?;
    let multiplied = best(&|| square.matmul(&square), |run| run.flops as f64 / run.time.as_secs_f64().max(1e-12))?;
    Ok((copied, multiplied))
}
