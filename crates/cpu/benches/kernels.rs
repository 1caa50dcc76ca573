//! How long single kernels take: the median of many runs, in milliseconds. An argument selects by name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a measurement may panic, and shares the tests' harness"
)]

#[path = "../tests/kernels/harness.rs"]
mod harness;

use harness::{Code, Input, Made, Probe, op, plan, reduce, run_plan};
use std::hint::black_box;
use std::time::{Duration, Instant};
use wgrad_cpu::Cpu;
use wgrad_plan::{Backend, Instruction, Program, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Extreme, Map, Meta, Random, Reduction, Window2d, Windows};
use wgrad_tensor::ops::table;
use wgrad_tensor::random::{philox, uniform_f32};
use wgrad_tensor::shape::Shape;

fn main() {
    let only = std::env::args().nth(1).filter(|name| !name.starts_with("--"));
    let threads = std::env::var("WGRAD_THREADS").ok().and_then(|count| count.parse().ok());
    let cpu = threads.map_or_else(Cpu::new, Cpu::with_threads);
    println!("{}; median, least and, of the calling thread, mean processor time", cpu.describe().name);
    for (name, (work, scalars), inputs, outputs) in cases() {
        if only.as_ref().is_some_and(|only| !name.contains(&**only)) {
            continue;
        }
        let plan = plan(work, &inputs, &outputs);
        let buffers: Vec<_> = inputs.iter().map(|input| cpu.upload(&input.bytes).unwrap()).collect();
        let run = || black_box(run_plan(&cpu, &plan, &buffers, &scalars).unwrap());
        (0..3).for_each(|_| drop(run()));
        let (started, used, mut times) = (Instant::now(), processor_time(), Vec::new());
        while times.len() < 10 || (started.elapsed() < Duration::from_millis(700) && times.len() < 2000) {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let mean = (processor_time() - used) / times.len() as f64;
        times.sort_by(f64::total_cmp);
        println!("{name:34} {:9.4} {:9.4} {mean:9.4}", times[times.len() / 2], times[0]);
    }
}

/// Milliseconds that this thread has run, where the system tells: on a busy machine, the only time that means something.
fn processor_time() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

type Case = (&'static str, Made, Vec<Input>, Vec<Meta>);

fn floats(shape: impl Into<Shape>) -> Input {
    let shape = shape.into();
    let values: Vec<f32> = (0..shape.count()).map(|i| uniform_f32(&philox(1, 2, i as u64)) * 2.0 - 1.0).collect();
    Input::new(&values, shape)
}

fn map(shape: &[usize], code: Vec<Instruction>) -> Made {
    let stores = vec![code.len() - 1];
    let program = Program { shape: Shape::from(shape), row_axes: 0, code, stores };
    (Work::Program(program), vec![Scalar::Bits(1), Scalar::Bits(2)])
}

fn load(i: usize) -> Instruction {
    Instruction::Load(i, DType::F32)
}

fn row(row: &'static Elementwise, args: &[usize]) -> Instruction {
    Instruction::Map { map: Map::Row(row), args: args.to_vec(), dtype: DType::F32, scalars: 0..0 }
}

fn f32s(shape: impl Into<Shape>) -> Vec<Meta> {
    vec![Meta::new(shape, DType::F32)]
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let n = 1 << 22;
    let flat = floats([n]);
    for (name, function) in [
        ("exp 4M", &table::EXP),
        ("log 4M", &table::LOG),
        ("tanh 4M", &table::TANH),
        ("sigmoid 4M", &table::SIGMOID),
        ("erf 4M", &table::ERF),
        ("sqrt 4M", &table::SQRT),
        ("relu 4M", &table::RELU),
        ("sin 4M", &table::SIN),
        ("log1p 4M", &table::LOG1P),
        ("floor 4M", &table::FLOOR),
    ] {
        cases.push((name, map(&[n], vec![load(0), row(function, &[0])]), vec![flat.clone()], f32s([n])));
    }
    cases.push((
        "add 4M",
        map(&[n], vec![load(0), load(1), row(&table::ADD, &[0, 1])]),
        vec![flat.clone(), flat.clone()],
        f32s([n]),
    ));
    let bias = floats([128]).window([n / 128, 128], &[0, 1], 0);
    let rows = floats([n / 128, 128]);
    cases.push((
        "add bias 32768x128",
        map(&[n / 128, 128], vec![load(0), load(1), row(&table::ADD, &[0, 1])]),
        vec![rows.clone(), bias],
        f32s([n / 128, 128]),
    ));
    let random = Instruction::Generate {
        map: Map::Random(Random::Uniform),
        layout: Layout::contiguous(&Shape::from([n])),
        dtype: DType::F32,
        scalars: 0..2,
    };
    cases.push(("uniform 4M", map(&[n], vec![random.clone()]), vec![], f32s([n])));
    let normal = Instruction::Generate {
        map: Map::Random(Random::Normal),
        layout: Layout::contiguous(&Shape::from([n])),
        dtype: DType::F32,
        scalars: 0..2,
    };
    cases.push(("normal 4M", map(&[n], vec![normal]), vec![], f32s([n])));
    let transposed = floats([2048, 2048]).window([2048, 2048], &[1, 2048], 0);
    cases.push(("copy transposed 2048", map(&[2048, 2048], vec![load(0)]), vec![transposed], f32s([2048, 2048])));
    let permuted = floats([64, 32, 2048]).window([64, 2048, 32], &[65536, 1, 2048], 0);
    cases.push(("copy 64x32x2048 permuted", map(&[64, 2048, 32], vec![load(0)]), vec![permuted], f32s([64, 2048, 32])));
    let heads = floats([12, 128, 4, 32]).window([12, 4, 128, 32], &[16384, 32, 128, 1], 0);
    cases.push(("copy heads", map(&[12, 4, 128, 32], vec![load(0)]), vec![heads], f32s([12, 4, 128, 32])));
    for (name, shape, axes) in [
        ("sum 16M", vec![1 << 24], vec![0]),
        ("sum rows 4096x1024", vec![4096, 1024], vec![1]),
        ("sum columns 4096x1024", vec![4096, 1024], vec![0]),
        ("sum n,h,w 64x16x28x28", vec![64, 16, 28, 28], vec![0, 2, 3]),
        ("sum columns 64x128", vec![64, 128], vec![0]),
        ("sum rows 64x10", vec![64, 10], vec![1]),
        ("sum rows 65536x10", vec![65536, 10], vec![1]),
    ] {
        let out: Vec<usize> =
            shape.iter().enumerate().map(|(i, &size)| if axes.contains(&i) { 1 } else { size }).collect();
        let (work, inputs) = reduce(Reduction::Sum, &axes, &floats(shape));
        cases.push((name, work(), inputs.into(), f32s(out)));
    }
    let (work, inputs) = reduce(Reduction::Max, &[1], &floats([4096, 1024]));
    cases.push(("max rows 4096x1024", work(), inputs.into(), f32s([4096, 1])));
    programs(&mut cases);
    for (name, planes, size) in [("pool 64x16x28", 1024, 28), ("pool 64x32x14", 2048, 14)] {
        let half = size / 2;
        let strides = [size * size, 2 * size, 2, size, 1].map(|stride| stride as isize);
        let input = floats([planes * size * size]).window([planes, half, half, 2, 2], &strides, 0);
        let outputs =
            vec![Meta::new([planes, half, half, 1, 1], DType::F32), Meta::new([planes, half, half, 1, 1], DType::U32)];
        cases.push((name, op(Probe::Extreme(Extreme::Max, vec![3, 4]), &[])(), vec![input], outputs));
    }
    let fold = Windows { axis: 2, size: 2, step: 2, dilation: 1 };
    cases.push((
        "fold columns 64x16x28",
        op(Probe::Fold(fold), &[])(),
        vec![floats([64 * 16, 28, 14, 2])],
        f32s([64 * 16, 28, 28]),
    ));
    let fold = Windows { axis: 1, size: 2, step: 2, dilation: 1 };
    cases.push((
        "fold rows 64x16x28",
        op(Probe::Fold(fold), &[])(),
        vec![floats([64 * 16, 14, 28, 2])],
        f32s([64 * 16, 28, 28]),
    ));
    for (name, [m, k, n]) in [
        ("matmul 512", [512; 3]),
        ("matmul 1024", [1024; 3]),
        ("matmul 64x1568x128", [64, 1568, 128]),
        ("matmul 64x128x10", [64, 128, 10]),
        ("matmul 1568x64x128", [1568, 64, 128]),
        ("matmul 1536x128x512", [1536, 128, 512]),
    ] {
        cases.push((name, op(Probe::Matmul, &[])(), vec![floats([m, k]), floats([k, n])], f32s([m, n])));
    }
    let keys = floats([48, 128, 32]).window([48, 32, 128], &[4096, 1, 32], 0);
    cases.push((
        "matmul 48 x 128x32x128 (nt)",
        op(Probe::Matmul, &[])(),
        vec![floats([48, 128, 32]), keys],
        f32s([48, 128, 128]),
    ));
    let weight = floats([128, 1568]).window([1568, 128], &[1, 1568], 0);
    cases.push((
        "matmul 64x1568x128 (nt)",
        op(Probe::Matmul, &[])(),
        vec![floats([64, 1568]), weight],
        f32s([64, 128]),
    ));
    let window = Window2d { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    for (name, n, c, o, size, k) in [
        ("conv 1-16 28", 64, 1, 16, 28, 3),
        ("conv 16-32 14", 64, 16, 32, 14, 3),
        ("conv 3-32 32", 32, 3, 32, 32, 3),
        ("conv 32-64 32", 32, 32, 64, 32, 3),
        ("conv 64-64 56", 4, 64, 64, 56, 3),
        ("conv 256-256 14", 4, 256, 256, 14, 3),
        ("conv 256-64 1x1 56", 4, 256, 64, 56, 1),
    ] {
        let window = Window2d { padding: [k / 2, k / 2], ..window };
        let (input, weight, output) = ([n, c, size, size], [o, c, k, k], [n, o, size, size]);
        let name = |part: &str| -> &'static str { Box::leak(format!("{name} {part}").into_boxed_str()) };
        cases.push((
            name("forward"),
            op(Probe::Conv2d(window), &[])(),
            vec![floats(input), floats(weight)],
            f32s(output),
        ));
        cases.push((
            name("input"),
            op(Probe::Conv2dInput(window), &[])(),
            vec![floats(output), floats(weight)],
            f32s(input),
        ));
        cases.push((
            name("weight"),
            op(Probe::Conv2dWeight(window), &[])(),
            vec![floats(output), floats(input)],
            f32s(weight),
        ));
    }
    let strided = Window2d { stride: [2, 2], ..window };
    cases.push((
        "conv 64-128 56 stride 2 forward",
        op(Probe::Conv2d(strided), &[])(),
        vec![floats([4, 64, 56, 56]), floats([128, 64, 3, 3])],
        f32s([4, 128, 28, 28]),
    ));
    let grouped = Window2d { groups: 128, ..window };
    cases.push((
        "conv depthwise 128 28 forward",
        op(Probe::Conv2d(grouped), &[])(),
        vec![floats([8, 128, 28, 28]), floats([128, 1, 3, 3])],
        f32s([8, 128, 28, 28]),
    ));
    let table = floats([1000, 128]);
    let which: Vec<u32> = (0..4096u64).map(|i| philox(3, 3, i)[0] % 1000).collect();
    let index = Input::new(&which, [4096]).window([4096, 128], &[1, 0], 0);
    cases.push(("embedding 4096x128", op(Probe::Gather(0), &[])(), vec![table.clone(), index], f32s([4096, 128])));
    let index = Input::new(&which.iter().flat_map(|&i| [i; 128]).collect::<Vec<_>>(), [4096, 128]);
    cases.push((
        "embedding gradient 4096x128",
        op(Probe::ScatterAdd(0), &[])(),
        vec![table, index, floats([4096, 128])],
        f32s([1000, 128]),
    ));
    cases
}

/// Programs with rows, chains and epilogues.
fn programs(cases: &mut Vec<Case>) {
    for (name, shape) in
        [("softmax 4096x1024", [4096, 1024]), ("softmax 65536x10", [65536, 10]), ("softmax 64x50257", [64, 50257])]
    {
        let mut code = Code::new(&shape, 1);
        let x = code.load(0, DType::F32);
        let most = code.reduce(Reduction::Max, x);
        let less = code.row(&table::SUB, &[x, most]);
        let power = code.row(&table::EXP, &[less]);
        let total = code.reduce(Reduction::Sum, power);
        let share = code.row(&table::RECIPROCAL, &[total]);
        let y = code.row(&table::MUL, &[power, share]);
        cases.push((name, code.storing(&[y])(), vec![floats(shape)], f32s(shape)));
    }
    let shape = [4096, 768];
    let mut code = Code::new(&shape, 1);
    let [x, weight, bias] = [0, 1, 2].map(|i| code.load(i, DType::F32));
    let (share, epsilon) = (code.constant(1.0 / 768.0, DType::F32), code.constant(1e-5, DType::F32));
    let total = code.reduce(Reduction::Sum, x);
    let mean = code.row(&table::MUL, &[total, share]);
    let apart = code.row(&table::SUB, &[x, mean]);
    let square = code.row(&table::MUL, &[apart, apart]);
    let squares = code.reduce(Reduction::Sum, square);
    let variance = code.row(&table::MUL, &[squares, share]);
    let safe = code.row(&table::ADD, &[variance, epsilon]);
    let scale = code.row(&table::RSQRT, &[safe]);
    let normal = code.row(&table::MUL, &[apart, scale]);
    let weighted = code.row(&table::MUL, &[normal, weight]);
    let y = code.row(&table::ADD, &[weighted, bias]);
    let affine = || floats([768]).window(shape, &[0, 1], 0);
    cases.push(("layer_norm 4096x768", code.storing(&[y])(), vec![floats(shape), affine(), affine()], f32s(shape)));
    let across = || floats([4096 * 768]).window([768, 4096], &[1, 768], 0);
    let mut code = Code::new(&[768, 4096], 1);
    let [x, y] = [0, 1].map(|i| code.load(i, DType::F32));
    let product = code.row(&table::MUL, &[x, y]);
    let sum = code.reduce(Reduction::Sum, product);
    cases.push(("sum columns of product 4096x768", code.storing(&[sum])(), vec![across(), across()], f32s([768])));
    let n = 1 << 22;
    let mut code = Code::new(&[n], 0);
    let x = code.load(0, DType::F32);
    let mut y = code.load(1, DType::F32);
    for i in 0..10 {
        y = code.row(if i % 2 == 0 { &table::MUL } else { &table::ADD }, &[x, y]);
    }
    cases.push(("chain of 10, 4M", code.storing(&[y])(), vec![floats([n]), floats([n])], f32s([n])));
    let mut code = Code::new(&[1 << 24], 1);
    let x = code.load(0, DType::F32);
    let square = code.row(&table::MUL, &[x, x]);
    let sum = code.reduce(Reduction::Sum, square);
    cases.push(("sum of squares 16M", code.storing(&[sum])(), vec![floats([1 << 24])], f32s([1])));
    for (name, [m, k, n]) in [("gelu(matmul 1024 + b)", [1024; 3]), ("gelu(matmul 4096x128x512 + b)", [4096, 128, 512])]
    {
        let mut code = Code::new(&[m, n], 0);
        let (product, bias) = (code.product(DType::F32), code.load(2, DType::F32));
        let z = code.row(&table::ADD, &[product, bias]);
        let gate = code.row(&table::SIGMOID, &[z]);
        let y = code.row(&table::MUL, &[z, gate]);
        let bias = floats([n]).window([m, n], &[0, 1], 0);
        cases.push((name, code.after(Probe::Matmul, &[y])(), vec![floats([m, k]), floats([k, n]), bias], f32s([m, n])));
    }
}
