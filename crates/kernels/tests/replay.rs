//! A plan that runs again: what is kept between runs must not show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wgrad_kernels::{Choice, Gpu, adapters};
use wgrad_plan::{Backend, Instruction, Program, Work};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::{Compute, Meta, Metas, Op, OpRef, Product, Reduction};

/// `sum(neg(x))` of each row of four, over and over.
fn plan(steps: usize) -> Build {
    let mut build = Build::default();
    let x = build.input(&[4, 4], DType::F32);
    for _ in 0..steps {
        let code = vec![Instruction::Load(0, DType::F32), build.row("neg", &[0], DType::F32)];
        build.map(&[4, 4], code, &[1], vec![x.clone()]);
        let negative = build.whole(*build.plan.outputs.last().unwrap());
        build.reduce(Reduction::Sum, &[1], negative);
    }
    build
}

#[test]
fn the_same_plan_meets_other_buffers_and_other_devices() {
    let build = plan(3);
    let mut held = Vec::new();
    for round in 0..6u8 {
        for gpu in gpus() {
            let value = f32::from(round);
            let outputs = build.run(gpu, &[upload(gpu, &[value; 16])]).unwrap();
            for pair in outputs.chunks(2) {
                assert_eq!(read::<f32>(gpu, &pair[0]).unwrap(), [-value; 16]);
                assert_eq!(read::<f32>(gpu, &pair[1]).unwrap(), [-4.0 * value; 4]);
            }
            // Now the next run finds the same buffers free, now others.
            if round % 2 == 0 {
                held.push((gpu, value, outputs));
            }
        }
    }
    for (gpu, value, outputs) in held {
        assert_eq!(read::<f32>(gpu, &outputs[0]).unwrap(), [-value; 16]);
    }
}

static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// A matrix product that counts how often its shape is asked for, which lowering does.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Watched;

impl Op for Watched {
    fn name(&self) -> Cow<'static, str> {
        "watched".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        LOOKS.fetch_add(1, Relaxed);
        Ok(Metas::from([inputs[0].clone()]))
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Matmul(Product::default())
    }
}

#[test]
fn a_step_is_lowered_once() {
    for gpu in gpus() {
        let mut build = Build::default();
        let (x, y) = (build.input(&[2, 2], DType::F32), build.input(&[2, 2], DType::F32));
        let code = vec![Instruction::Product(DType::F32), build.row("neg", &[0], DType::F32)];
        let then = Program { shape: [2, 2].into(), row_axes: 0, code, stores: vec![1] };
        let result = build.value(&[2, 2], DType::F32);
        let op = OpRef::Shared(Arc::new(Watched));
        build.step(Work::Op { op, scalars: 0..0, then: Some(then) }, vec![x, y], vec![result]);
        let before = LOOKS.load(Relaxed);
        for factor in [1.0f32, 2.0, 3.0] {
            let inputs = [upload(gpu, &[1.0f32, 2.0, 3.0, 4.0]), upload(gpu, &[factor, 0.0, 0.0, factor])];
            assert_eq!(run::<f32>(gpu, &build, &inputs), [1.0, 2.0, 3.0, 4.0].map(|x: f32| -x * factor));
        }
        assert_eq!(LOOKS.load(Relaxed), before + 1);
    }
}

#[test]
fn numbers_and_windows_change_from_run_to_run() {
    let mut dice = Dice::new();
    let mut build = Build::default();
    let x = build.input(&[64], DType::F32);
    let factor = build.constant(0.0);
    let code = vec![Instruction::Load(0, DType::F32), factor, build.row("mul", &[0, 1], DType::F32)];
    build.scalars.push(Scalar::Int(0));
    let mut part = window(&x, &[16], &[1], 0);
    part.starts = vec![(build.scalars.len() - 1, 2)];
    build.map(&[16], code, &[2], vec![part]);
    for gpu in gpus() {
        let data = dice.floats(64);
        let input = upload(gpu, &data);
        // Windows that start at multiples of four are read in fours.
        for start in [0, 2, 3, 3, 0, dice.below(24), dice.below(24)] {
            let by = dice.float();
            build.scalars = vec![Scalar::Float(f64::from(by)), Scalar::Int(start as i64)];
            let expected: Vec<f32> = data[2 * start..][..16].iter().map(|x| x * by).collect();
            assert_eq!(run::<f32>(gpu, &build, std::slice::from_ref(&input)), expected, "from {start} by {by}");
        }
    }
}

#[test]
fn a_bad_index_is_found_in_each_run_alone() {
    let mut build = Build::default();
    let (x, index) = (build.input(&[3], DType::F32), build.input(&[1], DType::U32));
    for _ in 0..2 {
        build.op(TestOp::Gather(0), vec![x.clone(), index.clone()], &[1], DType::F32);
    }
    // Devices of its own: an error comes with the next read, whoever reads.
    for adapter in adapters() {
        let gpu = Gpu::open(&Choice::Index(adapter.index)).unwrap();
        let x = upload(&gpu, &[1.0f32, 2.0, 3.0]);
        for index in [0u32, 7, 2, 9, 1] {
            let outputs = build.run(&gpu, &[x.clone(), upload(&gpu, &[index])]).unwrap();
            for output in outputs {
                match read::<f32>(&gpu, &output) {
                    Ok(found) => assert_eq!(found, [index as f32 + 1.0]),
                    Err(error) => assert!(error.message().contains(&format!("index {index} ")), "{error}"),
                }
            }
        }
    }
}

#[test]
fn nothing_is_allocated_again() {
    for adapter in adapters() {
        let gpu = Gpu::open(&Choice::Index(adapter.index)).unwrap();
        let build = plan(200);
        let input = [upload(&gpu, &[1.0f32; 16])];
        let run = || drop(build.run(&gpu, &input).unwrap());
        run();
        let before = gpu.stats();
        run();
        let after = gpu.stats();
        assert_eq!((before.allocations, before.pipelines), (after.allocations, after.pipelines));
        assert_eq!(after.kernels, before.kernels + 400);
        pollster::block_on(gpu.sync()).unwrap();
        gpu.release_free_memory();
        assert_eq!((gpu.stats().buffers, gpu.stats().free_bytes), (1, 0), "a plan holds no buffers");
        run();
    }
}
