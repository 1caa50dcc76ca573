//! Training runs: the same bits twice on one device, nearly the same course on every device.

mod common;

use common::devices;
use wgrad::data::{Batch, BatchDigits, DataLoader, SyntheticDigits};
use wgrad::prelude::*;

#[derive(Module)]
struct Cnn {
    conv: Conv2d,
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}

impl Cnn {
    fn new(device: &Device) -> Cnn {
        Cnn {
            conv: Conv2d::new(1, 4, 3, device).padding(1),
            fc1: Linear::new(4 * 7 * 7, 16, device),
            dropout: Dropout::new(0.25),
            fc2: Linear::new(16, 10, device),
        }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.conv.forward(images).relu().max_pool2d(4);
        let x = self.fc1.forward(&x.flatten(1..)).relu();
        self.fc2.forward(&self.dropout.forward(&x))
    }
}

/// The losses of some steps, and the weights after them.
fn train(device: &Device, steps: usize) -> wgrad::Result<(Vec<f32>, Vec<f32>)> {
    device.manual_seed(3);
    let model = Cnn::new(device);
    let mut optimizer = Adam::new(model.parameters(), 5e-3);
    let loader = DataLoader::new(SyntheticDigits::new(5, 320), BatchDigits::new(device)).batch_size(16).shuffle(1);
    let mut losses = Vec::new();
    for batch in (0..).flat_map(|epoch| loader.epoch(epoch)).take(steps) {
        let Batch { images, labels } = batch?;
        let loss = model.forward(&images).cross_entropy(&labels);
        optimizer.step(loss.backward()?)?;
        losses.push(loss.item()?);
    }
    Ok((losses, model.fc1.weight.tensor().to_vec()?))
}

/// One after the other in one test: they draw random numbers from the same devices.
#[test]
fn a_run_repeats_and_every_device_agrees() -> wgrad::Result<()> {
    let (expected, _) = train(&device::cpu(), 50)?;
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    assert!(mean(&expected[40..]) < 0.9 * mean(&expected[..10]), "the loss falls: {expected:?}");
    for device in devices() {
        let (losses, weights) = train(device, 50)?;
        let (again, weights_again) = train(device, 50)?;
        assert_eq!((losses.clone(), weights), (again, weights_again), "a run repeats bit for bit on {device}");
        let far = losses.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b).fold(0.0, f32::max);
        println!("{device}: losses differ from the CPU's by at most {far:.1e}");
        assert!(far < 1e-3, "{losses:?} and {expected:?} on {device}");
    }
    let one_thread = train(&device::cpu_with_threads(1), 20)?;
    assert_eq!(one_thread, train(&device::cpu_with_threads(3), 20)?, "threads do not change the bits");
    Ok(())
}
