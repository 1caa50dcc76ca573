//! What laziness costs beside the kernels: recording a graph, finding its plan, replaying it and dropping it all; planning
//! it anew; and one tiny operation that is read at once.

#[path = "../tests/common/gpt.rs"]
#[allow(dead_code, reason = "tests also use other sizes")]
mod gpt;

use crate::target::{Target, must};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion};
use gpt::{GPT2_SMALL, Gpt};
use wgrad::nn::Module;
use wgrad::plan::{Paper, Planned};
use wgrad::prelude::*;

/// A training step of the smallest GPT-2 on a device that computes nothing, so that only the host's work is left: on
/// paper, which is the recording and the planning, and on wgpu's noop backend, which is all of it.
struct Step {
    model: Gpt,
    optimizer: AdamW,
    tokens: Tensor,
    targets: Tensor,
}

impl Step {
    fn new(device: &Device) -> Step {
        let model = Gpt::new(GPT2_SMALL, device);
        let optimizer = AdamW::new(model.parameters(), 1e-3);
        let [tokens, targets] = [(); 2].map(|()| Tensor::from_slice(&[0u32; 256], [2, 128], device));
        Step { model, optimizer, tokens, targets }
    }

    fn run(&mut self) -> wgrad::Result<()> {
        let loss = self.model.forward(&self.tokens).cross_entropy(&self.targets);
        let (gradients, _) = clip_grad_norm(&loss.backward()?, 1.0)?;
        self.optimizer.step(gradients)
    }
}

/// Measures the step, replayed and planned anew. On noop its buffers take memory as on any device: up to 5 GB.
fn step(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, device: &dyn Fn() -> Device) {
    {
        let mut step = Step::new(&device());
        let mut run = || must(step.run());
        run();
        group.bench_function(BenchmarkId::new(name, "gpt2 step, replayed"), |bencher| bencher.iter(&mut run));
    }
    group.bench_function(BenchmarkId::new(name, "gpt2 step, planned anew"), |bencher| {
        bencher.iter_batched_ref(|| Step::new(&device()), |step| must(step.run()), BatchSize::PerIteration);
    });
}

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("recording");
    let paper = || Device::new(Planned::new(Paper::gpu(8)));
    step(&mut group, "paper", &paper);
    #[cfg(feature = "gpu")]
    {
        // One device: kernels are compiled once, plans made anew by each runtime over it.
        let noop = must(wgrad_kernels::Gpu::noop());
        step(&mut group, "noop", &|| Device::new(Planned::new(noop.clone())));
    }
    for target in targets {
        let one = target.random(&[3], 0.0, 1.0, 1);
        let mut sum = target.random(&[3], 0.0, 1.0, 2);
        group.bench_function(BenchmarkId::new(&target.name, "add 3 numbers and read them"), |bencher| {
            bencher.iter(|| {
                sum = &sum + &one;
                must(sum.to_vec::<f32>())
            });
        });
    }
    group.finish();
}
