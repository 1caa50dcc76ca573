//! A device to measure, and how a measurement goes.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, SamplingMode, Throughput};
use std::fmt;
use wgrad::prelude::*;

/// A device, and what its measurements are called.
pub struct Target {
    pub device: Device,
    /// "cpu", or the backend: "vulkan", "gl#2".
    pub name: String,
    /// Whether it is a CPU that plays a GPU.
    pub is_software: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = self.device.describe();
        write!(f, "{}: {}", self.name, about.name)?;
        if about.kind != "cpu" {
            write!(f, ", {}, {}", about.kind, about.driver)?;
        }
        Ok(())
    }
}

/// The CPU, and every adapter that opens.
pub fn targets() -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for device in device::all() {
        let about = device.describe();
        let (backend, is_software) = (about.backend.clone(), about.kind == "software gpu");
        let before = targets.iter().filter(|target| target.device.describe().backend == backend).count();
        let name = if before == 0 { backend } else { format!("{backend}#{}", before + 1) };
        targets.push(Target { device, name, is_software });
    }
    targets
}

impl Target {
    /// Evaluated random numbers in `low..high`, the same on every device.
    pub fn random(&self, shape: &[usize], low: f64, high: f64, seed: u64) -> Tensor {
        self.device.manual_seed(seed);
        let tensor = Tensor::uniform(shape, low, high, DType::F32, &self.device);
        finish(std::slice::from_ref(&tensor));
        tensor
    }

    /// Measures what `prepare` gives: a call that records its results anew each time. `prepare` also checks it.
    pub fn measure<R: FnMut() -> Vec<Tensor>>(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        size: impl fmt::Display,
        work: usize,
        prepare: impl Fn() -> R,
    ) {
        // Calls differ too little in length for criterion's linear series of them.
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(work as u64));
        let mut run = None;
        group.bench_function(BenchmarkId::new(&self.name, size), |bencher| {
            // Not before: criterion calls this only for what its filter lets pass.
            let run = run.get_or_insert_with(&prepare);
            bencher.iter(|| finish(&run()));
        });
    }
}

/// Computes the tensors and waits until they are there.
pub fn finish(tensors: &[Tensor]) {
    must(wgrad::eval_all(tensors));
    if let Some(tensor) = tensors.first() {
        must(tensor.device().sync());
    }
}

/// The value; a benchmark that fails must not go on to be measured.
#[allow(clippy::panic, reason = "nothing can be measured after a failure")]
pub fn must<T>(result: wgrad::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// The elements, in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    must(tensor.to_vec::<f32>()).into_iter().map(f64::from).collect()
}

/// Holds results against what they should be.
pub fn check(what: &str, allowed: f64, pairs: impl IntoIterator<Item = (f64, f64)>) {
    for (found, expected) in pairs {
        // A comparison with NaN is false, so that a NaN stops the benchmark too.
        assert!((found - expected).abs() < allowed, "{what}: {found} is not {expected}");
    }
}

/// Some positions below `count`, first and last among them.
pub fn some(count: usize) -> impl Iterator<Item = usize> {
    let step = (count / 997).max(1);
    (0..count).step_by(step).chain([count - 1])
}
