//! The time of each step.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use wgrad_plan::{Backend, Given, Instruction, Origin, Step};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::op::Reduction;

/// A map, a sum of its result, and a product.
fn three_steps() -> Build {
    let mut build = Build::default();
    let x = build.input(&[256, 256], DType::F32);
    let code = vec![Instruction::Load(0, DType::F32), build.row("exp", &[0], DType::F32)];
    build.map(&[256, 256], code, &[1], vec![x]);
    let exp = build.whole(build.plan.outputs[0]);
    build.reduce(Reduction::Sum, &[0, 1], exp.clone());
    build.op(TestOp::Matmul, vec![permuted(&exp, &[1, 0]), exp], &[256, 256], DType::F32);
    build
}

#[test]
fn a_watched_run_tells_the_time_of_each_step() {
    for gpu in gpus() {
        let build = three_steps();
        let input = upload(gpu, &Dice::new().floats(256 * 256));
        let expected: Vec<Vec<f32>> =
            build.run(gpu, std::slice::from_ref(&input)).unwrap().iter().map(|out| read(gpu, out).unwrap()).collect();
        let origin = |_: &Step| -> Origin { panic!("nothing is wrong") };
        let told = Mutex::new(Vec::new());
        let watch = |step: &Step, time: Duration| told.lock().unwrap().push((step.results[0], time));
        let inputs = [input];
        let begin = Instant::now();
        let outputs = gpu.run(
            &build.plan,
            inputs.to_vec(),
            &Given { scalars: &build.scalars, origin: &origin, watch: Some(&watch) },
        );
        let took = begin.elapsed();
        let found: Vec<Vec<f32>> = outputs.unwrap().iter().map(|out| read(gpu, out).unwrap()).collect();
        assert!(found == expected, "a watched run computes the same");
        let told = told.into_inner().unwrap();
        println!("{}: {told:?} of {took:?}", gpu.describe().name);
        let results: Vec<usize> = told.iter().map(|&(result, _)| result).collect();
        assert_eq!(results, build.plan.steps.iter().map(|step| step.results[0]).collect::<Vec<_>>());
        assert!(told.iter().all(|(_, time)| !time.is_zero()), "{told:?}");
        assert!(told.iter().map(|(_, time)| *time).sum::<Duration>() <= took, "{told:?} in {took:?}");
    }
}

/// More steps than one command buffer holds.
#[test]
fn a_long_run_is_timed_whole() {
    for gpu in gpus() {
        let mut build = Build::default();
        let mut operand = build.input(&[16], DType::F32);
        for _ in 0..300 {
            let code = vec![Instruction::Load(0, DType::F32), build.row("sin", &[0], DType::F32)];
            build.map(&[16], code, &[1], vec![operand]);
            operand = build.whole(*build.plan.outputs.last().unwrap());
        }
        let origin = |_: &Step| -> Origin { panic!("nothing is wrong") };
        let told = Mutex::new(Vec::new());
        let watch = |_: &Step, time: Duration| told.lock().unwrap().push(time);
        let inputs = [upload(gpu, &[1.0f32; 16])];
        let given = Given { scalars: &build.scalars, origin: &origin, watch: Some(&watch) };
        gpu.run(&build.plan, inputs.to_vec(), &given).unwrap();
        assert_eq!(told.lock().unwrap().len(), 300);
    }
}
