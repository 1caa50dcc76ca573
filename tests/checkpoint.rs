//! Checkpointed stretches: the same numbers, less memory.

mod common;

use common::devices;
use wgrad::autograd::gradcheck_second_order;
use wgrad::nn::Module;
use wgrad::plan::{Paper, Planned};
use wgrad::prelude::*;

#[derive(Module)]
struct Block {
    norm: LayerNorm,
    widen: Linear,
    dropout: Dropout,
    narrow: Linear,
}

impl Block {
    fn new(width: usize, device: &Device) -> Block {
        Block {
            norm: LayerNorm::new(width, device),
            widen: Linear::new(width, 4 * width, device),
            dropout: Dropout::new(0.25),
            narrow: Linear::new(4 * width, width, device),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let wide = self.dropout.forward(&self.widen.forward(&self.norm.forward(x)).gelu());
        x + self.narrow.forward(&wide).softmax(-1)
    }
}

/// Blocks one after the other, each a stretch of its own or not.
fn run(blocks: &[Block], x: &Tensor, is_checkpointed: bool) -> Tensor {
    blocks.iter().fold(x.clone(), |x, block| match is_checkpointed {
        true => checkpoint(|| block.forward(&x)),
        false => block.forward(&x),
    })
}

/// The loss and all gradients, with the loss read first or not.
fn train(blocks: &[Block], x: &Tensor, is_checkpointed: bool, reads_first: bool) -> wgrad::Result<Vec<Vec<f32>>> {
    x.device().manual_seed(7);
    let loss = run(blocks, x, is_checkpointed).square().mean(..);
    let mut found = Vec::new();
    if reads_first {
        found.push(loss.to_vec()?);
    }
    let gradients = loss.backward()?;
    if !reads_first {
        found.push(loss.to_vec()?);
    }
    for parameter in blocks.iter().flat_map(Module::parameters) {
        found.push(gradients.get(&parameter.tensor())?.to_vec()?);
    }
    Ok(found)
}

#[test]
fn checkpointed_equals_plain() -> wgrad::Result<()> {
    for device in devices() {
        let blocks: Vec<Block> = (0..3).map(|_| Block::new(24, device)).collect();
        let x = Tensor::uniform([5, 24], -1.0, 1.0, DType::F32, device);
        for reads_first in [false, true] {
            let plain = train(&blocks, &x, false, reads_first)?;
            let again = train(&blocks, &x, true, reads_first)?;
            assert_eq!(plain.len(), again.len());
            for (number, (plain, again)) in plain.iter().zip(&again).enumerate() {
                let scale = plain.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
                let most = plain.iter().zip(again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(most <= 4e-6 * scale, "value {number} differs by {most} of {scale} on {device}");
            }
        }
    }
    Ok(())
}

#[test]
fn stretches_within_stretches_and_what_is_held_of_them() -> wgrad::Result<()> {
    let device = device::cpu_with_threads(2);
    let blocks: Vec<Block> = (0..2).map(|_| Block::new(16, &device)).collect();
    let x = Tensor::uniform([3, 16], -1.0, 1.0, DType::F32, &device);
    let plain = train(&blocks, &x, false, false)?;
    device.manual_seed(7);
    let mut held = Vec::new();
    let y = checkpoint(|| {
        let inner = checkpoint(|| blocks[0].forward(&x));
        held.push(inner.clone());
        blocks[1].forward(&inner)
    });
    let loss = y.square().mean(..);
    let gradients = loss.backward()?;
    let mut found = vec![loss.to_vec::<f32>()?];
    for parameter in blocks.iter().flat_map(Module::parameters) {
        found.push(gradients.get(&parameter.tensor())?.to_vec()?);
    }
    for (plain, found) in plain.iter().zip(&found) {
        assert!(plain.iter().zip(found).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs().max(1e-2)), "{plain:?} {found:?}");
    }
    assert!(held[0].to_vec::<f32>()?.iter().all(|x| x.is_finite()));
    Ok(())
}

#[test]
fn gradients_of_gradients_pass_through() -> wgrad::Result<()> {
    let device = device::cpu_with_threads(2);
    let x = Tensor::uniform([3, 4], -1.0, 1.0, DType::F64, &device);
    gradcheck_second_order(
        |inputs| checkpoint(|| (inputs[0].tanh() * &inputs[0]).softmax(-1)).square().sum(..),
        &[x],
        1e-6,
    )
}

#[test]
fn the_peak_falls() -> wgrad::Result<()> {
    let peak = |is_checkpointed| -> wgrad::Result<(usize, usize)> {
        let paper = Paper::gpu(8);
        let notes = paper.notes();
        let device = Device::new(Planned::new(paper));
        let blocks: Vec<Block> = (0..12).map(|_| Block::new(64, &device)).collect();
        let x = Tensor::ones([512, 64], DType::F32, &device);
        x.eval()?;
        let loss = run(&blocks, &x, is_checkpointed).square().mean(..);
        let gradients = loss.backward()?;
        let held = notes.held_bytes();
        notes.take();
        wgrad::eval_all(gradients.tensors().into_iter().chain([&loss]))?;
        let runs = notes.take();
        let kernels = runs.iter().map(|run| run.kernels).sum();
        Ok((runs.iter().map(|run| run.peak_bytes).max().unwrap_or_default() - held, kernels))
    };
    let ((plain, kernels), (again, more_kernels)) = (peak(false)?, peak(true)?);
    println!("peak beside the parameters: {plain} bytes with {kernels} kernels, {again} with {more_kernels}");
    // Of each block its result is kept, an eighth of what it computes for the walk back; gradients are the same.
    assert!(again * 5 < plain * 2, "{plain} bytes became {again}");
    assert!(more_kernels > kernels, "{kernels} kernels became {more_kernels}");
    Ok(())
}
