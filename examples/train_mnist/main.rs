//! Trains a network to read handwritten digits, on the CPU or on any GPU.
//!
//! `cargo run --release --example train_mnist -- --help` lists the options.

mod curves;
mod model;
mod show;

use clap::Parser;
use curves::Curves;
use indicatif::{ProgressBar, ProgressStyle};
use model::{Architecture, network};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use wgrad::data::{Batch, BatchDigits, Digit, FindMnist, InMemory, Mnist};
use wgrad::nn::summary;
use wgrad::prelude::*;

/// The mean and the standard deviation of MNIST's pixels.
const MEAN: f32 = 0.1307;
const DEVIATION: f32 = 0.3081;
/// How many losses are read from the device at a time: reading waits for it.
const READ_EVERY: usize = 16;

/// Trains a network to read handwritten digits.
#[derive(Parser)]
struct Options {
    /// auto (a GPU if there is one), cpu, gpu, or an adapter's number, kind, backend or name
    #[arg(long, default_value = "auto")]
    device: String,
    /// Which network
    #[arg(long, value_enum, default_value = "cnn")]
    model: Architecture,
    /// Directory with MNIST's four files, gzipped or not [default: the user's cache, else a download, else drawn digits]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Passes over the training digits [default: 10, or 0 with --load]
    #[arg(long)]
    epochs: Option<usize>,
    /// Digits in a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Learning rate, which falls along a cosine
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Seed of the weights, the order of digits and dropout
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where the best weights go
    #[arg(long, default_value = "train_mnist.safetensors")]
    save: PathBuf,
    /// Weights to start from; without --epochs they are only tested
    #[arg(long)]
    load: Option<PathBuf>,
    /// Where the curves go, as SVG; the numbers go beside it, as CSV
    #[arg(long, default_value = "train_mnist.svg")]
    curves: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let device = device::named(&options.device)?;
    println!("device: {device} ({})", device.describe().kind);

    let mnist = load_digits(options.data.as_deref(), options.seed)?;
    println!("data: {}", mnist.source);
    println!("      {} digits to train on, {} to test with", mnist.train.len(), mnist.test.len());

    device.manual_seed(options.seed);
    let model = network(options.model, &device);
    let example = Tensor::zeros([options.batch, 1, 28, 28], DType::F32, &device);
    println!("\n{}", summary(&*model, || model.forward(&example)));
    if let Some(path) = &options.load {
        model.load(path)?;
        println!("weights from {}", path.display());
    }

    let collate = BatchDigits::new(&device).normalize(MEAN, DEVIATION);
    let test = Arc::new(mnist.test);
    let test_loader = DataLoader::new(test.clone(), collate.clone()).batch_size(500).prefetch(2);
    let train_loader =
        DataLoader::new(mnist.train, collate).batch_size(options.batch).shuffle(options.seed).prefetch(2);

    let epochs = options.epochs.unwrap_or(if options.load.is_some() { 0 } else { 10 });
    let mut curves = Curves::default();
    let mut best = 0.0;
    if epochs == 0 {
        best = accuracy(&*model, &test_loader)?;
        println!("test accuracy {:.2} %", 100.0 * best);
    }
    let mut optimizer = Adam::new(model.parameters(), options.lr);
    let steps = epochs * train_loader.len();
    let schedule = wgrad::optim::Cosine { lr: options.lr, min: options.lr * 0.01, steps };
    for epoch in 1..=epochs {
        let start = Instant::now();
        let images = train_epoch(&*model, &train_loader, &mut optimizer, &schedule, epoch, &mut curves)?;
        let rate = images as f64 / start.elapsed().as_secs_f64();
        let accuracy = accuracy(&*model, &test_loader)?;
        curves.accuracies.push(accuracy);
        let better = accuracy > best;
        if better {
            best = accuracy;
            model.save(&options.save)?;
        }
        let note = if better { format!(", saved to {}", options.save.display()) } else { String::new() };
        println!(
            "epoch {epoch:2}: loss {:.4}, test accuracy {:.2} %, {rate:.0} images/s{note}",
            curves.mean_of_last(train_loader.len()),
            100.0 * accuracy,
        );
    }
    if epochs > 0 {
        curves.draw(&options.curves)?;
        println!("best test accuracy {:.2} %; curves in {}", 100.0 * best, options.curves.display());
    }
    show_some(&*model, &test, &device)?;
    Ok(())
}

/// MNIST from the directory, the cache or the web; else digits that are drawn here.
fn load_digits(directory: Option<&std::path::Path>, seed: u64) -> wgrad::Result<Mnist> {
    if let Some(directory) = directory {
        return Mnist::load(directory);
    }
    let bar = ProgressBar::new(0).with_style(style("{msg} {bar:30} {bytes}/{total_bytes}"));
    let progress = |name: &str, done: u64, total: Option<u64>| {
        bar.set_message(name.to_string());
        bar.set_length(total.unwrap_or(done));
        bar.set_position(done);
    };
    let mnist = Mnist::find(FindMnist::new().or_synthetic(seed, 10_000, 2_000).progress(progress));
    bar.finish_and_clear();
    mnist
}

/// One pass over the training digits. Gives how many there were.
fn train_epoch(
    model: &dyn Layer,
    loader: &DataLoader<InMemory<Digit>, BatchDigits>,
    optimizer: &mut Adam,
    schedule: &impl Schedule,
    epoch: usize,
    curves: &mut Curves,
) -> wgrad::Result<usize> {
    model.train();
    let bar = ProgressBar::new(loader.len() as u64)
        .with_style(style("epoch {prefix} {bar:30} {pos}/{len} {msg}"))
        .with_prefix(epoch.to_string());
    let start = Instant::now();
    let mut unread = Vec::new();
    let mut images = 0;
    for batch in loader.epoch(epoch as u64) {
        let Batch { images: digits, labels } = batch?;
        images += labels.try_shape()?.count();
        let loss = model.forward(&digits).cross_entropy(&labels);
        optimizer.set_lr(schedule.lr(optimizer.steps()));
        optimizer.step(loss.backward()?)?;
        unread.push(loss);
        if unread.len() == READ_EVERY {
            curves.read(&mut unread)?;
            let rate = images as f64 / start.elapsed().as_secs_f64();
            bar.set_message(format!("loss {:.4}, {rate:.0} images/s", curves.mean_of_last(READ_EVERY)));
        }
        bar.inc(1);
    }
    curves.read(&mut unread)?;
    bar.finish_and_clear();
    Ok(images)
}

/// The share of test digits that the model reads right.
fn accuracy(model: &dyn Layer, loader: &DataLoader<Arc<InMemory<Digit>>, BatchDigits>) -> wgrad::Result<f64> {
    model.eval();
    let (mut right, mut all) = (0, 0);
    for batch in loader.epoch(0) {
        let Batch { images, labels } = batch?;
        let read = no_grad(|| model.forward(&images).argmax(-1));
        right += read.eq(&labels).cast(DType::U32).sum(..).item::<u32>()?;
        all += labels.try_shape()?.count();
    }
    Ok(f64::from(right) / all as f64)
}

/// Shows the first test digits with what the model takes them for.
fn show_some(model: &dyn Layer, test: &InMemory<Digit>, device: &Device) -> wgrad::Result<()> {
    let digits: Vec<Digit> = test.items().iter().take(5).cloned().collect();
    model.eval();
    let batch = wgrad::data::Collate::collate(&BatchDigits::new(device).normalize(MEAN, DEVIATION), digits.clone())?;
    let chances = no_grad(|| model.forward(&batch.images).softmax(-1));
    let (certainty, read) = chances.max_with_indices(-1);
    print!("{}", show::side_by_side(&digits, &read.to_vec::<u32>()?, &certainty.to_vec::<f32>()?));
    Ok(())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
