//! Plans: what shares a kernel, as text that is kept in `tests/plans/`, and how many kernels a training step starts.
//! `cargo xtask bless` writes the texts anew.

mod common;

use common::gpt::{GPT2_SMALL, Gpt, NANO, Sizes};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use wgrad::nn::Module;
use wgrad::plan::{Notes, Paper, Planned};
use wgrad::prelude::*;

/// A GPU that need not be there, with as few bindings as a browser may have.
fn paper() -> (Device, Arc<Notes>) {
    let paper = Paper::gpu(8);
    let notes = paper.notes();
    (Device::new(Planned::new(paper)), notes)
}

fn tensor(shape: &[usize], device: &Device) -> wgrad::Result<Tensor> {
    let tensor = Tensor::uniform(shape, 0.0, 1.0, DType::F32, device);
    tensor.eval()?;
    Ok(tensor)
}

/// Compares a plan with the text that is kept of it.
fn golden<'a>(name: &str, tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<String, Box<dyn Error>> {
    let text = wgrad::explain(tensors)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plans").join(format!("{name}.txt"));
    // Where the calls stand in this file is not part of what is kept.
    let text: String = text.lines().map(|line| without_line_numbers(line) + "\n").collect();
    if std::env::var_os("WGRAD_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text)?;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept.replace("\r\n", "\n") == text, "{name} is planned otherwise than {}:\n{text}", path.display());
    Ok(text)
}

fn without_line_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(".rs:") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        rest = after[1..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

fn kernels(plan: &str) -> usize {
    plan.lines().filter(|line| line.split_once(": ").is_some_and(|(number, _)| number.parse::<usize>().is_ok())).count()
}

/// A softmax of the last axis, written out.
fn softmax(x: &Tensor) -> Tensor {
    let powers = (x - x.detach().max_keepdim(-1)).exp();
    let share = powers.sum_keepdim(-1).reciprocal();
    powers * share
}

/// A layer norm of the last axis, written out but for weight and bias.
fn normal(x: &Tensor) -> Tensor {
    let centred = x - x.mean_keepdim(-1);
    let var = centred.square().mean_keepdim(-1);
    centred * (var + 1e-5).rsqrt()
}

/// A plan's text without the calls that it is made of.
fn without_calls(plan: &str) -> String {
    plan.lines().filter(|line| !line.trim_start().starts_with("from ")).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn rows_are_one_kernel_forward() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let x = tensor(&[32, 100], &device)?;
    let written_out = golden("softmax", [&softmax(&x)])?;
    assert_eq!(kernels(&written_out), 1);
    assert_eq!(without_calls(&wgrad::explain([&x.softmax(-1)])?), without_calls(&written_out));
    let (weight, bias) = (tensor(&[100], &device)?, tensor(&[100], &device)?);
    let written_out = normal(&x) * &weight + &bias;
    assert_eq!(kernels(&golden("layer_norm_written_out", [&written_out])?), 1);
    let standardized = x.standardize(-1, 1e-5) * &weight + &bias;
    assert_eq!(kernels(&golden("layer_norm", [&standardized])?), 1);
    assert_eq!(kernels(&golden("log_softmax", [&x.log_softmax(-1)])?), 1);
    let rms = &x * (x.square().mean_keepdim(-1) + 1e-6).rsqrt() * tensor(&[100], &device)?;
    assert_eq!(kernels(&golden("rms_norm", [&rms])?), 1);
    let own = (&x - x.min_keepdim(-1)) / (x.max_keepdim(-1) - x.min_keepdim(-1) + 1e-3) * x.abs().sum_keepdim(-1);
    assert_eq!(kernels(&golden("own_norm", [&own])?), 1);
    let labels = Tensor::zeros(32, DType::U32, &device);
    labels.eval()?;
    assert_eq!(kernels(&golden("cross_entropy", [&x.cross_entropy(&labels)])?), 2);
    Ok(())
}

#[test]
fn rows_are_at_most_three_kernels_backward() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let x = tensor(&[32, 100], &device)?.requires_grad();
    let g = tensor(&[32, 100], &device)?;
    let labels = Tensor::zeros(32, DType::U32, &device);
    labels.eval()?;
    let backward = |name: &str, y: &Tensor, leaves: &[&Tensor]| -> Result<usize, Box<dyn Error>> {
        y.eval()?;
        let gradients = if y.try_shape()?.is_empty() { y.backward()? } else { (y * &g).sum(..).backward()? };
        let gradients = leaves.iter().map(|leaf| gradients.get(leaf)).collect::<wgrad::Result<Vec<_>>>()?;
        Ok(kernels(&golden(name, &gradients)?))
    };
    assert!(backward("softmax_written_out_backward", &softmax(&x), &[&x])? <= 1);
    assert!(backward("softmax_backward", &x.softmax(-1), &[&x])? <= 1);
    assert!(backward("log_softmax_backward", &x.log_softmax(-1), &[&x])? <= 1);
    assert!(backward("cross_entropy_backward", &x.cross_entropy(&labels), &[&x])? <= 1);
    let norm = LayerNorm::new(100, &device);
    let leaves = norm.parameters();
    let leaves: Vec<Tensor> = leaves.iter().map(|parameter| parameter.tensor()).collect();
    assert!(backward("layer_norm_backward", &norm.forward(&x), &[&x, &leaves[0], &leaves[1]])? <= 3);
    let written_out = normal(&x) * &leaves[0] + &leaves[1];
    assert!(backward("layer_norm_written_out_backward", &written_out, &[&x, &leaves[0], &leaves[1]])? <= 3);
    let weight = tensor(&[100], &device)?.requires_grad();
    let rms = &x * (x.square().mean_keepdim(-1) + 1e-6).rsqrt() * &weight;
    assert!(backward("rms_norm_backward", &rms, &[&x, &weight])? <= 3);
    Ok(())
}

#[test]
fn a_block_of_norm_linear_and_gelu() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let x = tensor(&[8, 16, 64], &device)?.requires_grad();
    let (norm, linear) = (LayerNorm::new(64, &device), Linear::new(64, 256, &device));
    wgrad::eval_all(
        norm.parameters().iter().chain(&linear.parameters()).map(|p| p.tensor()).collect::<Vec<_>>().iter(),
    )?;
    let y = linear.forward(&norm.forward(&x)).gelu();
    assert_eq!(kernels(&golden("block", [&y])?), 2);
    y.eval()?;
    let g = tensor(&[8, 16, 256], &device)?;
    let gradients = (&y * g).sum(..).backward()?;
    let parameters = [norm.parameters(), linear.parameters()].concat();
    let mut wanted = vec![gradients.get(&x)?];
    for parameter in &parameters {
        wanted.push(gradients.get(&parameter.tensor())?);
    }
    assert!(kernels(&golden("block_backward", &wanted)?) <= 7);
    Ok(())
}

#[test]
fn a_product_is_written_once_for_all_that_follows_it() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let [q, k, v, g] = [(); 4].map(|()| tensor(&[2, 3, 16, 8], &device));
    let (q, k, v) = (q?.requires_grad(), k?.requires_grad(), v?.requires_grad());
    let y = (q.matmul(&k.transpose(-2, -1)) / 8f64.sqrt()).softmax(-1).matmul(&v);
    y.eval()?;
    let gradients = (&y * &g?).sum(..).backward()?;
    let wanted = [&q, &k, &v].map(|leaf| gradients.get(leaf)).into_iter().collect::<wgrad::Result<Vec<_>>>()?;
    assert!(kernels(&golden("attention_backward", &wanted)?) <= 7);
    Ok(())
}

#[test]
fn what_follows_a_product_is_in_its_kernel() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let (x, w, b) = (tensor(&[32, 64], &device)?, tensor(&[64, 16], &device)?, tensor(&[16], &device)?);
    let residual = tensor(&[32, 16], &device)?;
    let y = (x.matmul(&w) + &b).gelu() + &residual;
    assert_eq!(kernels(&golden("linear_gelu_residual", [&y])?), 1);
    Ok(())
}

#[test]
fn views_are_read_through() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let x = tensor(&[4, 6, 10], &device)?;
    let z = (&x * 2.0).permute([2, 0, 1]).slice(0, 1..7).flip([1]).reshape([6, 24]) + 1.0;
    assert_eq!(kernels(&golden("views", [&z])?), 1);
    // Two readers in different orders share what is written once.
    let square = x.square();
    let (a, b) = (square.sum(0), square.permute([1, 0, 2]).reshape([6, 40]).softmax(-1));
    assert_eq!(kernels(&golden("two_readers", [&a, &b])?), 3);
    Ok(())
}

#[test]
fn padding_is_read_through() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let (x, y) = (tensor(&[4, 6], &device)?, tensor(&[6, 10], &device)?);
    let z = x.pad(&[(1, 1), (1, 3)], 0.5).flip(1) * &y;
    assert_eq!(kernels(&golden("padding", [&z])?), 1);
    // Gradients of slices are padding. Those of three parts of one product are added in one kernel.
    let (x, w) = (tensor(&[32, 16], &device)?, tensor(&[16, 24], &device)?.requires_grad());
    let [q, k, v] = &x.matmul(&w).split(8, -1)[..] else { return Err("24 is three times 8".into()) };
    let y = q.matmul(&k.t()).matmul(v);
    y.eval()?;
    let gradients = y.square().sum(..).backward()?;
    assert_eq!(kernels(&golden("split_backward", [&gradients.get(&w)?])?), 7);
    Ok(())
}

#[test]
fn numbers_from_nothing_are_made_where_they_are_read() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let x = tensor(&[4, 6], &device)?;
    let mask = Tensor::bernoulli([4, 6], 0.5, &device);
    assert_eq!(kernels(&golden("dropout", [&mask.where_(&x, 0.0)])?), 1);
    let index = Tensor::zeros([3], DType::U32, &device);
    index.eval()?;
    assert_eq!(kernels(&golden("one_hot", [&(index.one_hot(5).cast(DType::F32) * 2.0)])?), 1);
    Ok(())
}

/// The kernels of a whole training step: forward, backward, clipping and AdamW.
fn training_step(
    name: &str,
    parameters: Vec<Param>,
    device: &Device,
    notes: &Notes,
    loss: impl Fn() -> Tensor,
) -> wgrad::Result<usize> {
    let mut optimizer = AdamW::new(parameters, 1e-3);
    let mut kernels = 0;
    for _ in 0..3 {
        notes.take();
        let loss = loss();
        let (gradients, _) = clip_grad_norm(&loss.backward()?, 1.0)?;
        optimizer.step(gradients)?;
        device.sync()?;
        kernels = notes.take().iter().map(|run| run.kernels).sum();
    }
    println!("{name}: {kernels} kernels a training step");
    Ok(kernels)
}

fn gpt(name: &str, sizes: Sizes) -> wgrad::Result<usize> {
    let (device, notes) = paper();
    let model = Gpt::new(sizes, &device);
    let tokens = Tensor::zeros([2, 128], DType::U32, &device);
    let targets = Tensor::zeros([2, 128], DType::U32, &device);
    wgrad::eval_all([&tokens, &targets])?;
    let parameters = model.parameters();
    println!("{name}: {} parameters", parameters.len());
    training_step(name, parameters, &device, &notes, || model.forward(&tokens).cross_entropy(&targets))
}

#[derive(Module)]
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

#[test]
fn a_training_step_of_the_mnist_cnn_is_few_kernels() -> Result<(), Box<dyn Error>> {
    let (device, notes) = paper();
    let model = Cnn {
        conv1: Conv2d::new(1, 16, 3, &device).padding(1),
        conv2: Conv2d::new(16, 32, 3, &device).padding(1),
        fc1: Linear::new(1568, 128, &device),
        fc2: Linear::new(128, 10, &device),
    };
    let images = tensor(&[64, 1, 28, 28], &device)?;
    let labels = Tensor::zeros(64, DType::U32, &device);
    labels.eval()?;
    let kernels = training_step("MNIST CNN", model.parameters(), &device, &notes, || {
        let x = model.conv1.forward(&images).relu().max_pool2d(2);
        let x = model.conv2.forward(&x).relu().max_pool2d(2);
        let x = model.fc1.forward(&x.flatten(1..)).relu();
        model.fc2.forward(&x).cross_entropy(&labels)
    })?;
    assert!(kernels <= 60);
    Ok(())
}

#[test]
fn a_training_step_of_a_nano_gpt_is_few_kernels() -> Result<(), Box<dyn Error>> {
    assert!(gpt("nanoGPT", NANO)? <= 600);
    Ok(())
}

#[test]
fn a_training_step_of_gpt2_is_few_kernels() -> Result<(), Box<dyn Error>> {
    assert!(gpt("GPT-2 small", GPT2_SMALL)? <= 1150);
    Ok(())
}

/// What PyTorch saves for the backward pass of the same model on 1,024 tokens: `tests/saved_by_pytorch.py`.
const SAVED_BY_PYTORCH: usize = 1_432_915_972;

#[test]
fn the_memory_of_a_gpt2_step_is_bounded() -> Result<(), Box<dyn Error>> {
    let (device, notes) = paper();
    let model = Gpt::new(GPT2_SMALL, &device);
    let [tokens, targets] = [(); 2].map(|()| Tensor::zeros([1, 1024], DType::U32, &device));
    wgrad::eval_all([&tokens, &targets])?;
    let parameters = model.parameters();
    let bytes = parameters.iter().map(|p| p.meta().map(|meta| meta.bytes())).sum::<wgrad::Result<usize>>()?;
    let mut optimizer = AdamW::new(parameters, 1e-3);
    for _ in 0..2 {
        notes.take();
        let loss = model.forward(&tokens).cross_entropy(&targets);
        let (gradients, _) = clip_grad_norm(&loss.backward()?, 1.0)?;
        optimizer.step(gradients)?;
    }
    let peak = notes.take().iter().map(|run| run.peak_bytes).max().unwrap_or_default();
    let allowed = bytes + bytes + 2 * bytes + SAVED_BY_PYTORCH;
    let rows = [
        ("parameters", bytes),
        ("gradients", bytes),
        ("optimizer", 2 * bytes),
        ("activations that PyTorch saves", SAVED_BY_PYTORCH),
        ("together", allowed),
        ("most at once", peak),
    ];
    rows.iter().for_each(|(what, bytes)| println!("{what:<32}{:>10.1} MB", *bytes as f64 / 1e6));
    println!("that is {:.3} times as much", peak as f64 / allowed as f64);
    assert!(peak as f64 <= 1.15 * allowed as f64);
    Ok(())
}

#[test]
fn casts_on_the_way_into_a_product() -> Result<(), Box<dyn Error>> {
    let (device, _) = paper();
    let (x, bias) = (tensor(&[32, 64], &device)?, tensor(&[48], &device)?);
    let weight = tensor(&[48, 64], &device)?.cast(DType::F16);
    weight.eval()?;
    let y = x.matmul(&weight.cast(DType::F32).t()) + bias;
    assert_eq!(kernels(&golden("cast_into_matmul", [&y])?), 1);
    Ok(())
}
