//! Walks the registry of ops on every device: values against plain f64 loops, GPUs against the CPU, gradients of first and
//! second order against finite differences. A new op is covered by being registered.

mod common;

use common::{devices, seed};
use std::collections::BTreeSet;
use wgrad::autograd::{gradcheck, gradcheck_second_order};
use wgrad::prelude::*;
use wgrad::tensor::registry::{Array, Kind, Order, Sample, samples};

/// How the inputs lie in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    Contiguous,
    /// Transposed, backwards, and cut from something larger.
    Strided,
}

fn inputs(sample: &Sample, stream: u64) -> Vec<Array> {
    sample.inputs.iter().enumerate().map(|(i, spec)| spec.draw(seed(), stream * 16 + i as u64)).collect()
}

fn tensors(sample: &Sample, arrays: &[Array], float: DType, lie: Lie, device: &Device) -> Vec<Tensor> {
    let tensor = |(array, spec): (&Array, &wgrad::tensor::registry::Spec)| {
        let dtype = spec.dtype(float);
        match lie {
            Lie::Contiguous => array.to_tensor(dtype, device),
            Lie::Strided => strided(array, dtype, device),
        }
    };
    arrays.iter().zip(&sample.inputs).map(tensor).collect()
}

/// The same values through a window: axes reversed in memory, each backwards, with two more elements around.
fn strided(array: &Array, dtype: DType, device: &Device) -> Tensor {
    let rank = array.shape.len();
    let reversed: Vec<usize> = array.shape.iter().rev().map(|size| size + 2).collect();
    let larger = Array::from_fn(&reversed, |p| {
        let inside: Option<Vec<usize>> =
            p.iter().rev().zip(&array.shape).map(|(&at, &size)| (1..=size).contains(&at).then(|| size - at)).collect();
        inside.map_or(0.0, |inside| array.at(&inside))
    });
    let order: Vec<isize> = (0..rank as isize).rev().collect();
    let tensor = larger.to_tensor(dtype, device).permute(&order[..]).flip(..);
    (0..rank).fold(tensor, |tensor, axis| tensor.slice(axis as isize, 1..).slice(axis as isize, ..-1))
}

/// The largest error relative to the scale of the numbers in play; infinite where one is NaN and the other is not.
fn error(found: &Array, expected: &Array, scale: f64) -> f64 {
    let difference = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if a == b => 0.0,
        (false, false) => (a - b).abs() / scale,
        _ => f64::INFINITY,
    };
    found.data.iter().zip(&expected.data).map(difference).fold(0.0, f64::max)
}

#[test]
fn values_on_every_device() -> wgrad::Result<()> {
    let samples = samples();
    for device in devices() {
        let mut largest = (0.0, "");
        let mut failures = Vec::new();
        for (stream, sample) in samples.iter().enumerate() {
            let arrays = inputs(sample, stream as u64);
            let expected = (sample.reference)(&arrays);
            let scale = arrays.iter().map(Array::scale).fold(expected.scale(), f64::max);
            for lie in [Lie::Contiguous, Lie::Strided] {
                let result = (sample.run)(&tensors(sample, &arrays, DType::F32, lie, device));
                let what = format!("{} of {:?}, {lie:?}, on {device}", sample.op, sample.inputs);
                match Array::from_tensor(&result) {
                    Ok(found) if found.shape != expected.shape => {
                        failures.push(format!("{what}: shape {:?}, not {:?}", found.shape, expected.shape));
                    }
                    Ok(found) => {
                        let error = error(&found, &expected, scale);
                        if error > largest.0 {
                            largest = (error, sample.op);
                        }
                        if error > sample.tolerance {
                            failures.push(format!("{what}: off by {error:.2e}"));
                        }
                    }
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
            }
        }
        let ops: BTreeSet<_> = samples.iter().map(|sample| sample.op).collect();
        println!(
            "{device}: {} ops, {} samples, largest error {:.2e} ({})",
            ops.len(),
            2 * samples.len(),
            largest.0,
            largest.1
        );
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    Ok(())
}

#[test]
fn double_precision_on_the_cpu() -> wgrad::Result<()> {
    let device = device::cpu();
    for (stream, sample) in samples().iter().enumerate() {
        let arrays = inputs(sample, stream as u64);
        let expected = (sample.reference)(&arrays);
        let scale = arrays.iter().map(Array::scale).fold(expected.scale(), f64::max);
        let found = Array::from_tensor(&(sample.run)(&tensors(sample, &arrays, DType::F64, Lie::Strided, &device)))?;
        let error = error(&found, &expected, scale);
        assert!(error < 1e-11, "{} of {:?}: off by {error:.2e}", sample.op, sample.inputs);
    }
    Ok(())
}

/// Whether a sample is small enough for differences over each of its elements.
fn is_small(sample: &Sample, limit: usize) -> bool {
    sample.size() <= limit
}

/// The sample as a function of its float inputs alone.
fn of_floats<'a>(sample: &'a Sample, all: &'a [Tensor]) -> (Vec<Tensor>, impl Fn(&[Tensor]) -> Tensor + 'a) {
    let is_float = |i: usize| matches!(sample.inputs[i].kind, Kind::Float(..));
    let floats = (0..all.len()).filter(|&i| is_float(i)).map(|i| all[i].clone()).collect();
    let run = move |floats: &[Tensor]| {
        let mut floats = floats.iter();
        let mixed: Vec<Tensor> =
            (0..all.len()).filter_map(|i| if is_float(i) { floats.next() } else { Some(&all[i]) }.cloned()).collect();
        (sample.run)(&mixed)
    };
    (floats, run)
}

#[test]
fn gradients_against_differences() -> wgrad::Result<()> {
    let device = device::cpu();
    let (mut first, mut second) = (0, 0);
    let mut failures = Vec::new();
    for (stream, sample) in samples().iter().enumerate() {
        if sample.order == Order::None || !is_small(sample, 120) {
            continue;
        }
        let arrays = inputs(sample, stream as u64);
        let all = tensors(sample, &arrays, DType::F64, Lie::Contiguous, &device);
        let (floats, run) = of_floats(sample, &all);
        first += 1;
        if let Err(error) = gradcheck(&run, &floats, 1e-6) {
            failures.push(format!("{} of {:?}: {error}", sample.op, sample.inputs));
        }
        if sample.order == Order::Second && is_small(sample, 40) {
            second += 1;
            if let Err(error) = gradcheck_second_order(&run, &floats, 1e-5) {
                failures.push(format!("second order, {} of {:?}: {error}", sample.op, sample.inputs));
            }
        }
    }
    println!("gradients of {first} samples checked to first order, {second} to second order");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// A scalar that every element sways.
fn swayed(y: &Tensor) -> wgrad::Result<Tensor> {
    let shape = y.try_shape()?;
    let weight = (Tensor::arange(shape.count(), DType::F32, y.device()).reshape(&shape) * 0.7 + 0.3).cos();
    Ok((y * &weight + (y * 0.5).sin()).sum(..))
}

#[test]
fn gradients_on_every_device_equal_the_cpus() -> wgrad::Result<()> {
    for device in devices().iter().filter(|device| **device != device::cpu()) {
        let mut failures = Vec::new();
        let mut largest = (0.0, "");
        for (stream, sample) in samples().iter().enumerate() {
            if sample.order == Order::None || !is_small(sample, 20_000) {
                continue;
            }
            let arrays = inputs(sample, stream as u64);
            let gradients = |device: &Device| -> wgrad::Result<Vec<Array>> {
                let all = tensors(sample, &arrays, DType::F32, Lie::Contiguous, device);
                let (floats, run) = of_floats(sample, &all);
                let leaves: Vec<Tensor> = floats.iter().map(Tensor::requires_grad).collect();
                let gradients = swayed(&run(&leaves))?.backward()?;
                leaves.iter().map(|leaf| Array::from_tensor(&gradients.get(leaf)?)).collect()
            };
            let what = format!("{} of {:?} on {device}", sample.op, sample.inputs);
            match (gradients(device), gradients(&device::cpu())) {
                (Ok(found), Ok(expected)) => {
                    let scale = arrays.iter().chain(&expected).map(Array::scale).fold(1.0, f64::max);
                    let error = found.iter().zip(&expected).map(|(a, b)| error(a, b, scale)).fold(0.0, f64::max);
                    if error > largest.0 {
                        largest = (error, sample.op);
                    }
                    if error > 10.0 * sample.tolerance {
                        failures.push(format!("{what}: off by {error:.2e}"));
                    }
                }
                (Err(error), _) | (_, Err(error)) => failures.push(format!("{what}: {error}")),
            }
        }
        println!("{device}: gradients differ from the CPU's by at most {:.2e} ({})", largest.0, largest.1);
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
    Ok(())
}
