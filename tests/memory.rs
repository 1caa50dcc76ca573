//! Memory that must stay flat, and what it holds when it is used again. Alone in its process: others' allocations would
//! count.

use std::sync::{Mutex, PoisonError};
use wgrad::prelude::*;

/// One test at a time, for the same reason.
static ALONE: Mutex<()> = Mutex::new(());

/// Resident memory in KiB, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok())
}

/// 20,000 steps on each device take minutes; `WGRAD_STEPS` says how many to make.
fn steps() -> usize {
    std::env::var("WGRAD_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(400)
}

#[test]
fn training_keeps_buffers_bytes_and_resident_memory_flat() -> wgrad::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for device in &device::all() {
        let (fc1, fc2) = (Linear::new(784, 128, device), Linear::new(128, 10, device));
        let mut optimizer = Adam::new([fc1.parameters(), fc2.parameters()].concat(), 1e-3);
        let pixels: Vec<f32> = (0..64 * 784).map(|i| (i as f32 * 0.37).sin()).collect();
        let labels: Vec<u32> = (0..64).map(|i| i % 10).collect();
        let mut step = || -> wgrad::Result<f32> {
            let images = Tensor::from_slice(&pixels, [64, 784], device);
            let labels = Tensor::from_slice(&labels, [64], device);
            let loss = fc2.forward(&fc1.forward(&images).relu()).cross_entropy(&labels);
            optimizer.step(loss.backward()?)?;
            loss.item()
        };
        let first = step()?;
        for _ in 0..steps() / 4 {
            step()?;
        }
        let (before, resident_before) = (device.stats(), resident());
        let mut last = first;
        for _ in 0..steps() {
            last = step()?;
        }
        let (after, resident_after) = (device.stats(), resident());
        println!(
            "{device}, {} steps: {before:?}, {resident_before:?} KiB; then {after:?}, {resident_after:?} KiB",
            steps()
        );
        assert!(last < first, "the loss does not fall: {first}, then {last}");
        assert_eq!(before.plans, after.plans, "on {device}");
        // A GPU that falls behind has more small blocks of parameters and copies under way at once.
        let (buffers, bytes) = if device.describe().kind == "cpu" { (0, 0) } else { (4, 128 << 10) };
        assert!(after.allocations <= before.allocations + buffers, "on {device}");
        assert!(after.buffers <= before.buffers + buffers && after.bytes <= before.bytes + bytes, "on {device}");
        if let (Some(before), Some(after)) = (resident_before, resident_after) {
            assert!(after < before + 4_000, "{before} KiB grew to {after} KiB on {device}");
        }
    }
    Ok(())
}

#[test]
fn a_thousand_forwards_in_training_mode_keep_memory_flat() -> wgrad::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device::cpu_with_threads(1);
    let (norm, dropout) = (BatchNorm2d::new(4, &device), Dropout::new(0.5));
    let forward = || dropout.forward(&norm.forward(&Tensor::ones([8, 4, 16, 16], DType::F32, &device))).sum(..);
    for _ in 0..100 {
        forward();
    }
    let before = resident();
    for _ in 0..1_000 {
        forward();
    }
    let (Some(before), Some(after)) = (before, resident()) else {
        println!("this system does not tell its memory: nothing was checked");
        return Ok(());
    };
    // One forward holds about 128 KiB of activations; a thousand kept graphs would be over 100 MiB.
    assert!(after < before + 20_000, "{before} KiB grew to {after} KiB");
    assert!(norm.running_mean.tensor().to_vec::<f32>()?.iter().all(|mean| (mean - 1.0).abs() < 1e-5));
    Ok(())
}

#[test]
fn an_optimizer_step_has_no_second_copy_of_the_parameters() -> wgrad::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for device in &device::all() {
        let layers: Vec<Linear> = (0..10).map(|_| Linear::new(256, 256, device)).collect();
        let parameters: Vec<Param> = layers.iter().flat_map(|layer| layer.parameters()).collect();
        let mut optimizer = Adam::new(parameters, 1e-3);
        let x = Tensor::uniform([4, 256], -1.0, 1.0, DType::F32, device);
        x.eval()?;
        let mut step = || -> wgrad::Result<()> {
            let loss = layers.iter().fold(x.clone(), |x, layer| layer.forward(&x).tanh()).square().mean(..);
            optimizer.step(loss.backward()?)?;
            device.sync()
        };
        step()?;
        device.release_free_memory();
        device.reset_peak_memory();
        let before = device.stats();
        let held = before.bytes - before.free_bytes;
        step()?;
        let one_layer = 256 * 256 * 4;
        let more = device.stats().peak_bytes - held;
        // The gradients of ten layers and little else; new values beside the old ones would be thirty.
        assert!(more < 14 * one_layer, "{more} bytes more than the {held} held, on {device}");
    }
    Ok(())
}

#[test]
fn a_plan_runs_again_where_its_input_is_held_and_where_not() -> wgrad::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for device in &device::all() {
        let draw = || Tensor::uniform([64, 64], -1.0, 1.0, DType::F32, device);
        let weight = draw();
        weight.eval()?;
        // The second product finds the memory of the input free, where nobody holds that.
        let compute = |input: Tensor| {
            let hidden = input.matmul(&weight).relu();
            drop(input);
            hidden.matmul(&weight) + hidden.sum_keepdim(-1)
        };
        let plans = device.stats().plans;
        let mut first = None;
        for (round, is_held) in [false, true, true, false, true, false].into_iter().enumerate() {
            device.manual_seed(7);
            let input = draw();
            input.eval()?;
            let values = input.to_bytes()?;
            let held = is_held.then(|| input.clone());
            let result = compute(input).to_bytes()?;
            assert!(*first.get_or_insert(result.clone()) == result, "round {round} on {device} differs");
            if let Some(held) = held {
                assert!(held.to_bytes()? == values, "round {round} on {device} wrote over what is held");
            }
        }
        assert_eq!(device.stats().plans - plans, 1, "one plan serves all on {device}");
    }
    Ok(())
}

#[test]
fn a_failed_evaluation_leaves_errors_and_no_values() -> wgrad::Result<()> {
    // Whoever reads next from the device may get the error.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for device in &device::all() {
        let x = Tensor::ones([1000], DType::F32, device);
        x.eval()?;
        let index = Tensor::from_slice(&[5000u32], [1], device);
        let grown = x + 1.0;
        let chosen = (&grown * 2.0).gather(0, &index);
        let twice = &grown * &grown;
        let failed = wgrad::eval_all([&chosen, &twice]).is_err() | chosen.to_vec::<f32>().is_err();
        assert!(failed, "a bad index passes on {device}");
        assert!(twice.to_vec::<f32>().is_err() || twice.to_vec::<f32>()? == vec![4.0; 1000], "on {device}");
        assert!(grown.to_vec::<f32>().is_err() || grown.to_vec::<f32>()? == vec![2.0; 1000], "on {device}");
    }
    Ok(())
}
