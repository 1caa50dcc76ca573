//! What a training step costs beside its kernels: no new plan, no new pipeline, no new memory.

mod common;

use common::gpt::{Gpt, Sizes};
use common::seed;
use std::collections::BTreeSet;
use wgrad::device::Stats;
use wgrad::plan::Planned;
use wgrad::prelude::*;
#[cfg(feature = "gpu")]
use wgrad_kernels::{Gpu, Tuning};

/// Every device, opened anew, since what other tests do must not count; GPUs with either form of their kernels.
fn devices() -> Vec<Device> {
    let mut devices = vec![Device::new(Planned::new(wgrad_cpu::Cpu::new()))];
    #[cfg(feature = "gpu")]
    for adapter in device::adapters() {
        for tuning in [Tuning::Hardware, Tuning::Software] {
            match pollster::block_on(Gpu::open_async(&device::Choice::Index(adapter.index), tuning)) {
                Ok(gpu) => devices.push(Device::new(Planned::new(gpu))),
                Err(error) => println!("SKIPPED {adapter}: {error}"),
            }
        }
    }
    println!("testing on {devices:?}");
    devices
}

#[derive(Module)]
struct Mlp {
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}

const INPUTS: usize = 20;
const CLASSES: usize = 5;

struct Training {
    device: Device,
    model: Mlp,
    optimizer: AdamW,
}

impl Training {
    fn new(device: &Device) -> Training {
        let model = Mlp {
            fc1: Linear::new(INPUTS, 32, device),
            dropout: Dropout::new(0.25),
            fc2: Linear::new(32, CLASSES, device),
        };
        let optimizer = AdamW::new(model.parameters(), 1e-2);
        Training { device: device.clone(), model, optimizer }
    }

    /// The loss of a step on a batch of so many examples, and what the step cost.
    fn step(&mut self, batch: usize) -> wgrad::Result<(Tensor, Stats)> {
        let before = self.device.stats();
        let images: Vec<f32> = (0..batch * INPUTS).map(|i| (i as f32 * 0.37).sin()).collect();
        let labels: Vec<u32> = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let images = Tensor::from_slice(&images, [batch, INPUTS], &self.device);
        let labels = Tensor::from_slice(&labels, [batch], &self.device);
        let x = self.model.fc1.forward(&images).relu();
        let loss = self.model.fc2.forward(&self.model.dropout.forward(&x)).cross_entropy(&labels);
        let (gradients, _) = clip_grad_norm(&loss.backward()?, 1.0)?;
        self.optimizer.step(gradients)?;
        Ok((loss, since(before, self.device.stats())))
    }
}

/// What was counted from one moment to another; what is held, as it is at the second.
fn since(before: Stats, after: Stats) -> Stats {
    Stats {
        plans: after.plans - before.plans,
        evaluations: after.evaluations - before.evaluations,
        kernels: after.kernels - before.kernels,
        barriers: after.barriers - before.barriers,
        pipelines: after.pipelines - before.pipelines,
        bind_groups: after.bind_groups - before.bind_groups,
        submits: after.submits - before.submits,
        uploads: after.uploads - before.uploads,
        parameter_blocks: after.parameter_blocks - before.parameter_blocks,
        reads: after.reads - before.reads,
        allocations: after.allocations - before.allocations,
        ..after
    }
}

#[test]
fn a_training_step_repeats_what_is_there() -> wgrad::Result<()> {
    for device in &devices() {
        let mut training = Training::new(device);
        for number in 0..12 {
            match number {
                5 => training.optimizer.set_lr(3e-3),
                7 => device.manual_seed(11),
                _ => {}
            }
            let (_, cost) = training.step(32)?;
            if number > 0 {
                let repeated = (cost.plans, cost.pipelines, cost.allocations, cost.uploads, cost.reads);
                assert_eq!(repeated, (0, 0, 0, 2, 0), "step {number} on {device}: {cost:?}");
                assert!(cost.evaluations == 1 && cost.kernels > 0 && cost.parameter_blocks <= 1, "{cost:?}");
            }
            if number > 2 {
                assert_eq!(cost.bind_groups, 0, "by now step {number} binds what earlier steps bound on {device}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_loss_that_is_asked_for_is_one_read_and_nothing_else() -> wgrad::Result<()> {
    for device in &devices() {
        let mut training = Training::new(device);
        training.step(32)?;
        training.step(32)?.0.item::<f32>()?;
        let (loss, _) = training.step(32)?;
        let before = device.stats();
        loss.item::<f32>()?;
        let cost = since(before, device.stats());
        assert_eq!((cost.reads, cost.evaluations, cost.kernels, cost.allocations), (1, 0, 0, 0), "{device}: {cost:?}");
    }
    Ok(())
}

#[test]
fn barriers_are_counted_and_all_devices_are_counted_together() -> wgrad::Result<()> {
    for device in &devices() {
        let [a, b] = [(); 2].map(|()| Tensor::uniform([20, 20], -1.0, 1.0, DType::F32, device));
        wgrad::eval_all([&a, &b])?;
        let of = |results: &[&Tensor]| {
            let (before, all_before) = (device.stats(), wgrad::stats());
            wgrad::eval_all(results.iter().copied())?;
            let cost = since(before, device.stats());
            assert!(wgrad::stats().kernels >= all_before.kernels + cost.kernels, "on {device}");
            Ok((cost.kernels, cost.barriers))
        };
        let apart = of(&[&a.matmul(&b), &b.matmul(&a)])?;
        let in_turn = of(&[&a.matmul(&b).matmul(&a).matmul(&b)])?;
        let (m, n) = (a.matmul(&b), b.matmul(&a));
        let both = of(&[&m.matmul(&a), &n.matmul(&b)])?;
        assert_eq!([apart, in_turn, both], [(2, 0), (3, 2), (4, 1)], "kernels and barriers on {device}");
    }
    Ok::<(), wgrad::Error>(())
}

#[test]
fn what_a_device_did_still_counts_when_it_is_gone() -> wgrad::Result<()> {
    for device in devices() {
        let before = wgrad::stats();
        Tensor::uniform([3], -1.0, 1.0, DType::F32, &device).eval()?;
        let did = device.stats().kernels;
        drop(device);
        assert!(did > 0 && wgrad::stats().kernels >= before.kernels + did, "{did} of {:?}", wgrad::stats());
    }
    Ok(())
}

/// Batches of less than 32 examples, the largest first.
fn smaller_batches() -> impl Iterator<Item = usize> {
    let bits = seed().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let drawn = (1..7).map(|place| 2 + (bits.rotate_left(8 * place) % 30) as usize);
    let batches: BTreeSet<usize> = [17, 13, 5, 2].into_iter().chain(drawn).collect();
    batches.into_iter().rev()
}

/// Smaller batches after a whole one are planned and compile nothing.
fn compiles_nothing_for_less(
    whole: usize,
    device: &Device,
    mut step: impl FnMut(usize) -> wgrad::Result<Stats>,
) -> wgrad::Result<()> {
    // The first step also makes what later ones find.
    for _ in 0..2 {
        step(whole)?;
    }
    for batch in smaller_batches() {
        let cost = step(batch)?;
        assert!(cost.plans > 0 && cost.pipelines == 0, "{batch} on {device}: {cost:?}");
    }
    Ok(())
}

/// Sizes reach kernels as parameters, and so does how many invocations share a row. A batch of one example is another
/// matter: an axis of one place is none, and kernels walk fewer axes.
#[test]
fn a_smaller_batch_is_planned_but_compiles_nothing() -> wgrad::Result<()> {
    for device in &devices() {
        let mut training = Training::new(device);
        compiles_nothing_for_less(32, device, |batch| Ok(training.step(batch)?.1))?;
        for batch in [32, 17] {
            assert_eq!(training.step(batch)?.1.plans, 0, "plans are kept");
        }
    }
    Ok(())
}

#[test]
fn a_norm_over_a_smaller_batch_compiles_nothing() -> wgrad::Result<()> {
    for device in &devices() {
        let norm = BatchNorm2d::new(8, device);
        let step = |batch: usize| -> wgrad::Result<Stats> {
            let before = device.stats();
            let x = Tensor::from_slice(&vec![0.5f32; batch * 72], [batch, 8, 3, 3], device);
            let gradients = norm.forward(&x).square().sum(..).backward()?;
            gradients.tensors().into_iter().try_for_each(Tensor::eval)?;
            Ok(since(before, device.stats()))
        };
        compiles_nothing_for_less(32, device, step)?;
    }
    Ok(())
}

#[test]
fn a_wide_layer_over_a_smaller_batch_compiles_nothing() -> wgrad::Result<()> {
    for device in &devices() {
        let layer = Linear::new(1568, 128, device);
        let mut optimizer = Adam::new(layer.parameters(), 1e-3);
        let step = |batch: usize| -> wgrad::Result<Stats> {
            let before = device.stats();
            let x = Tensor::from_slice(&vec![0.5f32; batch * 1568], [batch, 1568], device);
            optimizer.step(layer.forward(&x).relu().sum(..).backward()?)?;
            Ok(since(before, device.stats()))
        };
        compiles_nothing_for_less(64, device, step)?;
    }
    Ok(())
}

#[test]
fn another_attribute_is_another_plan() -> wgrad::Result<()> {
    for device in &devices() {
        let x = Tensor::from_slice(&[1.0f32; 16], [4, 4], device);
        let plans = |y: Tensor| -> wgrad::Result<u64> {
            let before = device.stats();
            y.eval()?;
            Ok(since(before, device.stats()).plans)
        };
        let found = [
            plans(x.sum(0))?,
            plans(x.sum(1))?,
            plans(x.sum(0))?,
            plans(x.sum(1))?,
            plans(&x * 2.0)?,
            plans(&x * 3.0)?,
        ];
        assert_eq!(found, [1, 1, 0, 0, 1, 0], "on {device}");
    }
    Ok(())
}

#[test]
fn free_memory_goes_back() -> wgrad::Result<()> {
    for device in &devices() {
        let before = device.stats();
        let x = Tensor::from_slice(&vec![1.0f32; 100_000], [100_000], device);
        let held = device.stats();
        assert!(held.bytes >= before.bytes + 400_000 && held.buffers > before.buffers, "{device}: {held:?}");
        device.sync()?;
        drop(x);
        assert!(device.stats().free_bytes >= 400_000, "{device}: {:?}", device.stats());
        device.release_free_memory();
        let after = device.stats();
        assert!(after.free_bytes == 0 && after.bytes <= before.bytes, "{device}: {before:?} {after:?}");
    }
    Ok(())
}

/// A quarter of GPT-2 small in each direction but the number of heads and layers.
const QUARTER: Sizes = Sizes { vocabulary: 12_564, context: 256, width: 192, heads: 12, layers: 12 };
/// What PyTorch saves for its backward pass: `tests/saved_by_pytorch.py 12564 256 192 12 12`.
const SAVED_BY_PYTORCH: u64 = 89_600_004;

/// tests/plans.rs plans this for a GPT-2 small; here it is what devices have.
#[test]
fn the_memory_of_a_training_step_is_bounded() -> wgrad::Result<()> {
    let mut devices = vec![Device::new(Planned::new(wgrad_cpu::Cpu::new()))];
    #[cfg(feature = "gpu")]
    devices.push(Device::new(Planned::new(Gpu::noop()?)));
    for device in &devices {
        let model = Gpt::new(QUARTER, device);
        let parameters = model.parameters();
        let sizes = parameters.iter().map(|p| p.meta().map(|meta| meta.bytes() as u64));
        let bytes = sizes.sum::<wgrad::Result<u64>>()?;
        let mut optimizer = AdamW::new(parameters, 1e-3);
        let tokens = Tensor::from_slice(&[1u32; 256], [1, 256], device);
        for _ in 0..2 {
            let loss = model.forward(&tokens).cross_entropy(&tokens);
            let (gradients, _) = clip_grad_norm(&loss.backward()?, 1.0)?;
            optimizer.step(gradients)?;
        }
        let (peak, allowed) = (device.stats().peak_bytes, 4 * bytes + SAVED_BY_PYTORCH);
        let ratio = peak as f64 / allowed as f64;
        println!("{device}: {:.1} MB at once, {ratio:.3} of {:.1} MB", peak as f64 / 1e6, allowed as f64 / 1e6);
        assert!(ratio <= 1.15, "{:?}", device.stats());
    }
    Ok(())
}
