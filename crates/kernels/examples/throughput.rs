//! How fast the best adapter runs common steps: `cargo run --release -p wgrad-kernels --example throughput`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement stops where something fails")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::*;
use std::time::Instant;
use wgrad_kernels::{Choice, Gpu, Tuning};
use wgrad_plan::{Backend, Instruction};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::op::{Map, Reduction, Window2d};
use wgrad_tensor::ops::table::{ADD, EXP};

fn time(gpu: &Gpu, name: &str, build: &Build, work: f64, unit: &str) {
    let inputs: Vec<_> = build
        .plan
        .inputs
        .iter()
        .map(|&value| gpu.upload(&vec![0; build.plan.values[value].bytes()]).unwrap())
        .collect();
    let once = || {
        let (start, before) = (Instant::now(), cpu_seconds());
        let outputs = build.run(gpu, &inputs).unwrap();
        pollster::block_on(gpu.sync()).unwrap();
        drop(outputs);
        (start.elapsed().as_secs_f64(), cpu_seconds() - before)
    };
    let first = once().0;
    let mut times: Vec<(f64, f64)> = (0..5).map(|_| once()).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (median, cpu) = times[2];
    let speed = work / median / 1e9;
    println!(
        "{name:32} {:9.3} ms (first {:7.1}, CPU {:8.2})  {speed:8.2} {unit}",
        median * 1e3,
        first * 1e3,
        cpu * 1e3
    );
}

/// CPU time of all threads so far, where the system tells: on a software adapter it is the work itself.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn main() {
    let tuning = match std::env::args().nth(2).as_deref() {
        Some("hardware") => Tuning::Hardware,
        Some("software") => Tuning::Software,
        _ => Tuning::Auto,
    };
    let gpu = pollster::block_on(Gpu::open_async(&Choice::Best, tuning)).unwrap();
    println!("{}", gpu.describe().name);
    let gpu = &gpu;
    let only = std::env::args().nth(1).unwrap_or_default();
    let wanted = |name: &str| name.contains(&only);

    for n in [64, 256, 512, 1024, 2048] {
        let name = format!("matmul {n}");
        for (turned, name) in [(false, name.clone()), (true, name + " transposed")] {
            if !wanted(&name) {
                continue;
            }
            let mut build = Build::default();
            let (x, y) = (build.input(&[n, n], DType::F32), build.input(&[n, n], DType::F32));
            let y = if turned { window(&y, &[n, n], &[1, n as isize], 0) } else { y };
            build.op(TestOp::Matmul, vec![x, y], &[n, n], DType::F32);
            time(gpu, &name, &build, 2.0 * (n as f64).powi(3), "GFLOP/s");
        }
    }
    for (m, k, n) in [(64, 9216, 128), (64, 128, 10), (128, 64, 9216), (1, 4096, 4096)] {
        let name = format!("matmul {m}x{k}x{n}");
        if wanted(&name) {
            let mut build = Build::default();
            let (x, y) = (build.input(&[m, k], DType::F32), build.input(&[k, n], DType::F32));
            build.op(TestOp::Matmul, vec![x, y], &[m, n], DType::F32);
            time(gpu, &name, &build, 2.0 * (m * k * n) as f64, "GFLOP/s");
        }
    }
    let window = Window2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    for (images, channels, size, outs) in [(64, 1, 28, 32), (64, 32, 26, 64)] {
        let (out, input) = ([images, outs, size - 2, size - 2], [images, channels, size, size]);
        let weight = [outs, channels, 3, 3];
        let work = 2.0 * (out.iter().product::<usize>() * channels * 9) as f64;
        for (op, first, second, result, kind) in [
            (TestOp::Conv2d(window), input, weight, out, "conv"),
            (TestOp::Conv2dInput(window), out, weight, input, "conv input"),
            (TestOp::Conv2dWeight(window), out, input, weight, "conv weight"),
        ] {
            let name = format!("{kind} {channels}->{outs} {size}");
            if wanted(&name) {
                let mut build = Build::default();
                let operands = vec![build.input(&first, DType::F32), build.input(&second, DType::F32)];
                build.op(op, operands, &result, DType::F32);
                time(gpu, &name, &build, work, "GFLOP/s");
            }
        }
    }
    for (shape, axes) in [([4096, 4096], vec![0, 1]), ([4096, 1024], vec![1]), ([4096, 1024], vec![0])] {
        let name = format!("sum {shape:?} over {axes:?}");
        if wanted(&name) {
            let mut build = Build::default();
            let x = build.input(&shape, DType::F32);
            build.reduce(Reduction::Sum, &axes, x);
            time(gpu, &name, &build, (shape[0] * shape[1] * 4) as f64, "GB/s");
        }
    }
    for (rows, length) in [(4096, 1024), (65_536, 64), (256, 50_000)] {
        let name = format!("softmax {rows} x {length}");
        if wanted(&name) {
            let mut build = Build::default();
            let x = build.input(&[rows, length], DType::F32);
            let code = vec![
                Instruction::Load(0, DType::F32),
                Instruction::Reduce(Reduction::Max, 0),
                build.row("sub", &[0, 1], DType::F32),
                build.row("exp", &[2], DType::F32),
                Instruction::Reduce(Reduction::Sum, 3),
                build.row("div", &[3, 4], DType::F32),
            ];
            build.rows(&[rows, length], 1, code, &[5], vec![x]);
            time(gpu, &name, &build, (rows * length * 8) as f64, "GB/s");
        }
    }
    for (name, map) in [("add 4M", &ADD), ("exp 4M", &EXP)] {
        if wanted(name) {
            let count = 4 << 20;
            let mut build = Build::default();
            let operands: Vec<_> = (0..map.arity).map(|_| build.input(&[count], DType::F32)).collect();
            let mut code: Vec<_> = (0..map.arity).map(|i| Instruction::Load(i, DType::F32)).collect();
            let arity = map.arity;
            code.push(build.compute(Map::Row(map), &(0..arity).collect::<Vec<_>>(), DType::F32, &[]));
            build.map(&[count], code, &[arity], operands);
            time(gpu, name, &build, (count * 4 * (arity + 1)) as f64, "GB/s");
        }
    }
    if wanted("empty") {
        let mut build = Build::default();
        let mut x = build.input(&[64], DType::F32);
        for _ in 0..100 {
            let code = vec![Instruction::Load(0, DType::F32), build.compute(Map::Row(&EXP), &[0], DType::F32, &[])];
            build.map(&[64], code, &[1], vec![x]);
            x = build.whole(build.plan.values.len() - 1);
        }
        time(gpu, "100 empty steps", &build, 100.0, "G steps/s");
    }
}
