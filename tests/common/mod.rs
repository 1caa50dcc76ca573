//! What several tests need: the devices, and random seeds that a failure names.

#![allow(dead_code, reason = "each test uses its part")]

pub mod gpt;

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use wgrad::Device;

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
