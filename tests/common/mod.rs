//! What several tests need: the devices, and random seeds that a failure names.

#![allow(dead_code, reason = "each test uses its part")]

pub mod gpt;

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use wgrad::tensor::registry::{Array, Spec};
use wgrad::{DType, Device, Tensor};

/// Every device: the CPU, and each adapter found. Says once which they are.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let devices = wgrad::device::all();
        for device in &devices {
            println!("testing on {device}");
        }
        if devices.len() == 1 {
            println!("testing on the CPU alone: no adapter was found");
        }
        devices
    })
}

/// A fresh seed for random inputs; `WGRAD_TEST_SEED` repeats one.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64 % 1_000_000);
        let seed = std::env::var("WGRAD_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(fresh);
        println!("WGRAD_TEST_SEED={seed}");
        seed
    })
}

/// The CPU, running each op as it is recorded.
pub fn unfused() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new(wgrad::plan::Planned::unfused(wgrad_cpu::Cpu::new()))).clone()
}

/// Random floats of a shape, as they are on a device and as they should be.
pub fn floats(shape: &[usize], stream: u64, device: &Device) -> (Tensor, Array) {
    let array = Spec::float(shape).draw(seed(), stream);
    (array.to_tensor(DType::F32, device), array)
}

/// Asserts that a tensor has these elements, up to `tolerance` times the largest of them.
#[track_caller]
pub fn assert_near(found: &Tensor, expected: &Array, tolerance: f64) -> wgrad::Result<()> {
    let found = Array::from_tensor(found)?;
    assert_eq!(found.shape, expected.shape);
    for (at, (&found, &exact)) in found.data.iter().zip(&expected.data).enumerate() {
        let near = found == exact || (found - exact).abs() <= tolerance * expected.scale();
        assert!(near, "element {at} is {found}, not {exact}");
    }
    Ok(())
}
