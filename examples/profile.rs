//! What each kernel of a transformer block costs, forward and backward: `cargo run --release --example profile`.
//! It prints a table, and writes a trace that <https://ui.perfetto.dev> shows.

use clap::Parser;
use wgrad::prelude::*;

#[derive(Parser)]
#[command(about = "What each kernel of a transformer block costs, forward and backward.")]
struct Arguments {
    /// `auto`, `cpu`, or a part of an adapter's name.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Sequences in a batch.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Tokens in a sequence.
    #[arg(long, default_value_t = 128)]
    time: usize,
    /// Numbers for each token.
    #[arg(long, default_value_t = 384)]
    width: usize,
    /// Heads of attention.
    #[arg(long, default_value_t = 6)]
    heads: usize,
    /// Where the trace goes.
    #[arg(long, default_value = "profile.json")]
    trace: std::path::PathBuf,
}

#[derive(Module)]
struct Block {
    norm1: LayerNorm,
    query_key_value: Linear,
    output: Linear,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
    #[module(skip)]
    heads: usize,
}

impl Block {
    fn new(width: usize, heads: usize, device: &Device) -> Block {
        Block {
            norm1: LayerNorm::new(width, device),
            query_key_value: Linear::new(width, 3 * width, device),
            output: Linear::new(width, width, device),
            norm2: LayerNorm::new(width, device),
            widen: Linear::new(width, 4 * width, device),
            narrow: Linear::new(4 * width, width, device),
            heads,
        }
    }

    /// `[batch, time, width]` to the same.
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attend(&self.norm1.forward(x));
        &x + self.narrow.forward(&self.widen.forward(&self.norm2.forward(&x)).gelu())
    }

    fn attend(&self, x: &Tensor) -> Tensor {
        // [batch, time, 3 * width] to [3, batch, heads, time, head]
        let all = self.query_key_value.forward(x).unflatten(-1, [3, self.heads as isize, -1]).permute([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|part| all.narrow(0, part, 1).squeeze(0));
        let Ok(shape) = q.try_shape() else { return q };
        let place = Tensor::arange(shape[2], DType::I32, x.device());
        let later = place.unsqueeze(0).gt(place.unsqueeze(1));
        let scores = q.matmul(&k.transpose(-2, -1)) / (shape[3] as f64).sqrt();
        let weights = later.where_(f64::NEG_INFINITY, scores).softmax(-1);
        self.output.forward(&weights.matmul(&v).transpose(1, 2).flatten(2..))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { device, batch, time, width, heads, trace } = Arguments::parse();
    let device = match &*device {
        "auto" => device::best()?,
        "cpu" => device::cpu(),
        name => device::named(name)?,
    };
    device.manual_seed(1);
    let block = Block::new(width, heads, &device);
    let x = Tensor::normal([batch, time, width], 0.0, 1.0, DType::F32, &device);
    let step = || -> wgrad::Result<()> {
        let loss = block.forward(&x).square().mean(..);
        let gradients = loss.backward()?;
        let gradients: Vec<Tensor> = block
            .parameters()
            .iter()
            .map(|parameter| gradients.get(&parameter.tensor()))
            .collect::<wgrad::Result<_>>()?;
        wgrad::eval_all(gradients.iter().chain([&loss]))?;
        device.sync()
    };
    // The first run compiles kernels.
    step()?;
    let (done, profile) = wgrad::profile(&device, step)?;
    done?;
    println!("{device}: a block of width {width} with {heads} heads on {batch} x {time} tokens\n{profile}");
    profile.save_trace(&trace)?;
    println!("trace in {}", trace.display());
    Ok(())
}
