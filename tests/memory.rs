//! Memory that must stay flat. Alone in its process: others' allocations would count.

use wgrad::prelude::*;

/// Resident memory in KiB, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok())
}

#[test]
fn a_thousand_forwards_in_training_mode_keep_memory_flat() -> wgrad::Result<()> {
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
