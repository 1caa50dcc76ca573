//! Random numbers, which all devices draw alike. One test alone, since its seed and its draws are the devices' own: what
//! another test draws beside it would move the numbers.

use wgrad::prelude::*;

#[test]
fn random_numbers_are_the_same_on_every_device() -> wgrad::Result<()> {
    type Drawn = (Vec<u32>, Vec<f32>, Vec<f32>, Vec<u32>);
    let draw = |device: &Device| -> wgrad::Result<Drawn> {
        device.manual_seed(11);
        Ok((
            Tensor::random_bits([100], device).to_vec()?,
            Tensor::uniform([1000], 0.0, 1.0, DType::F32, device).to_vec()?,
            Tensor::normal([1000], 0.0, 1.0, DType::F32, device).to_vec()?,
            Tensor::randperm(50, device).to_vec()?,
        ))
    };
    let (bits, uniform, normal, order) = draw(&device::cpu_with_threads(2))?;
    assert_eq!(bits[0], wgrad::tensor::random::philox(11, 1, 0)[0]);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
    let mean = normal.iter().sum::<f32>() / 1000.0;
    assert!(mean.abs() < 0.15, "{mean}");
    for adapter in device::adapters() {
        let gpu = device::gpu(&device::Choice::Index(adapter.index))?;
        let found = draw(&gpu)?;
        assert_eq!((&found.0, &found.1, &found.3), (&bits, &uniform, &order), "on {gpu}");
        let far = found.2.iter().zip(&normal).map(|(a, b)| (a - b).abs() / b.abs().max(0.1)).fold(0.0, f32::max);
        assert!(far < 2e-5, "normals differ by {far} on {gpu}");
    }
    Ok(())
}
