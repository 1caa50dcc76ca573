//! Programs after matrix products and convolutions, on every adapter against plain loops in f64.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::reference::reference;
use common::*;
use half::f16;
use wgrad_kernels::Gpu;
use wgrad_plan::Instruction::{Load, Product};
use wgrad_plan::{Backend, Operand};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::op::{Map, Window2d};

const F32: DType = DType::F32;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// relu(product + bias) + residual, and the sum before relu: two results.
fn bias_relu_residual(build: &mut Build, op: TestOp, shape: &[usize], op_operands: [Operand; 2], bias: &[isize]) {
    let length = shape.iter().zip(bias).map(|(&size, &stride)| (size - 1) * stride as usize).sum::<usize>() + 1;
    let term = build.input(&[length], F32);
    let term = window(&term, shape, bias, 0);
    let residual = build.input(shape, F32);
    let code = vec![
        Product(F32),
        Load(2, F32),
        build.row("add", &[0, 1], F32),
        build.row("relu", &[2], F32),
        Load(3, F32),
        build.row("add", &[3, 4], F32),
    ];
    let [first, second] = op_operands;
    build.op_then(op, shape, code, &[5, 2], vec![first, second, term, residual]);
}

fn check(gpu: &Gpu, build: &Build, data: &[Vec<f32>], product: &[f64], tolerance: f64, what: &str) {
    let inputs: Vec<_> = data.iter().map(|values| upload(gpu, values)).collect();
    let outputs = build.run(gpu, &inputs).unwrap();
    let all: Vec<Vec<f64>> = data.iter().map(|values| wide(values)).collect();
    let slices: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
    for (number, (output, expected)) in outputs.iter().zip(reference(build, &slices, product)).enumerate() {
        let what = format!("{gpu:?}: {what}, result {number}");
        assert_close(&read::<f32>(gpu, output).unwrap(), &expected, tolerance, &what);
    }
}

/// A product of whole operands.
fn product(a: &[f32], b: &[f32], [batch, rows, depth, columns]: [usize; 4], shared: bool) -> Vec<f64> {
    let mut out = Vec::new();
    for i in 0..batch * rows * columns {
        let (row, column) = (i / columns, i % columns);
        let start = if shared { 0 } else { row / rows * depth * columns };
        let terms = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[start + k * columns + column]));
        out.push(terms.sum());
    }
    out
}

#[test]
fn products_with_bias_activation_and_residual() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (sizes, shared) in [
            ([1, 1, 1, 1], false),
            ([1, 5, 3, 7], false),
            ([1, 70, 33, 66], false),
            ([3, 20, 9, 40], false),
            // One right operand for all batches, as a layer has it.
            ([6, 30, 17, 50], true),
            ([5, 1, 12, 9], true),
            ([2, 700, 8, 1030], true),
            // Depths that are cut in slices.
            ([1, 3, 5000, 4], false),
            ([2, 20, 4001, 24], true),
            ([1, 9, 70_000, 8], false),
        ] {
            let [batch, rows, depth, columns] = sizes;
            let mut build = Build::default();
            let x = build.input(&[batch, rows, depth], F32);
            let count = if shared { depth * columns } else { batch * depth * columns };
            let y = build.input(&[count], F32);
            let step = if shared { 0 } else { (depth * columns) as isize };
            let y = window(&y, &[batch, depth, columns], &[step, columns as isize, 1], 0);
            let shape = [batch, rows, columns];
            bias_relu_residual(&mut build, TestOp::Matmul, &shape, [x, y], &[0, 0, 1]);
            let data: Vec<Vec<f32>> =
                [batch * rows * depth, count, columns, batch * rows * columns].map(|count| dice.floats(count)).into();
            let expected = product(&data[0], &data[1], sizes, shared);
            check(gpu, &build, &data, &expected, 3e-6 * (depth as f64).sqrt(), &format!("{sizes:?} {shared}"));
        }
    }
}

#[test]
fn rows_that_are_not_evenly_apart_stay_batches() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        // [batch, rows] of the left operand are [rows, batch] in memory; in the second case there is a gap.
        for (strides, length) in [([12, 60, 1], 60 * 7), ([100, 12, 1], 500)] {
            let (a, b) = (dice.floats(length), dice.floats(12 * 9));
            let mut build = Build::default();
            let (x, y) = (build.input(&[length], F32), build.input(&[12, 9], F32));
            let x = window(&x, &[5, 7, 12], &strides, 0);
            let y = window(&y, &[5, 12, 9], &[0, 9, 1], 0);
            let gathered: Vec<f32> = coordinates(&[5, 7, 12]).iter().map(|at| a[locate(&x, at)]).collect();
            build.op(TestOp::Matmul, vec![x, y], &[5, 7, 9], F32);
            let found = run::<f32>(gpu, &build, &[upload(gpu, &a), upload(gpu, &b)]);
            assert_close(&found, &product(&gathered, &b, [5, 7, 12, 9], true), 1e-5, &format!("{gpu:?} {strides:?}"));
        }
    }
}

#[test]
fn convolutions_with_bias_activation_and_residual() {
    let mut dice = Dice::new();
    let plain = Window2d { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    for gpu in gpus() {
        for (window, images, channels, outs, size) in [
            (plain, 2, 3, 20, 9),
            (Window2d { groups: 2, ..plain }, 3, 4, 6, 5),
            // Deep enough for slices.
            (plain, 1, 600, 4, 3),
        ] {
            let per_group = channels / window.groups;
            let (input, weight) = ([images, channels, size, size], [outs, per_group, 3, 3]);
            let shape = [images, outs, size, size];
            let mut build = Build::default();
            let operands = [build.input(&input, F32), build.input(&weight, F32)];
            bias_relu_residual(&mut build, TestOp::Conv2d(window), &shape, operands, &[0, 1, 0, 0]);
            let data: Vec<Vec<f32>> = [input.iter().product(), weight.iter().product(), outs, shape.iter().product()]
                .map(|count: usize| dice.floats(count))
                .into();
            let per_out = outs / window.groups;
            let at = |c: &Vec<usize>| -> f64 {
                let [n, o, y, x] = c[..] else { return 0.0 };
                let inside = |place: usize, tap: usize| (place + tap).checked_sub(1).filter(|&at| at < size);
                let mut sum = 0.0;
                for tap in coordinates(&[per_group, 3, 3]) {
                    if let (Some(row), Some(column)) = (inside(y, tap[1]), inside(x, tap[2])) {
                        let channel = o / per_out * per_group + tap[0];
                        let from = ((n * channels + channel) * size + row) * size + column;
                        let weight = ((o * per_group + tap[0]) * 3 + tap[1]) * 3 + tap[2];
                        sum += f64::from(data[0][from]) * f64::from(data[1][weight]);
                    }
                }
                sum
            };
            let expected: Vec<f64> = coordinates(&shape).iter().map(at).collect();
            check(gpu, &build, &data, &expected, 1e-4, &format!("{input:?} {weight:?}"));
        }
    }
}

#[test]
fn narrow_results_and_f64() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for depth in [20, 6000] {
            let (a, b) = (dice.floats(5 * depth), dice.floats(depth * 7));
            let mut build = Build::default();
            let (x, y) = (build.input(&[5, depth], F32), build.input(&[depth, 7], F32));
            let code = vec![
                Product(F32),
                build.constant(0.0),
                build.row("gt", &[0, 1], DType::Bool),
                build.compute(Map::Cast, &[0], DType::F16, &[]),
            ];
            build.op_then(TestOp::Matmul, &[5, 7], code, &[2, 3], vec![x, y]);
            let outputs = build.run(gpu, &[upload(gpu, &a), upload(gpu, &b)]).unwrap();
            let expected = product(&a, &b, [1, 5, depth, 7], false);
            let halves: Vec<f32> = read::<f16>(gpu, &outputs[1]).unwrap().into_iter().map(f32::from).collect();
            assert_close(&halves, &expected, 1e-3, &format!("{gpu:?} {depth}"));
            for ((&bit, half), sum) in read::<bool>(gpu, &outputs[0]).unwrap().iter().zip(halves).zip(expected) {
                assert!(bit == (half > 0.0) && (bit == (sum > 0.0) || sum.abs() < 1e-3), "{gpu:?}: {bit} of {sum}");
            }
        }
        if gpu.describe().f64 {
            let doubles: Vec<f64> = (0..900).map(|_| f64::from(dice.float()) * 1.000_000_1).collect();
            let mut build = Build::default();
            let x = build.input(&[30, 30], DType::F64);
            let third = wgrad_tensor::dtype::Scalar::Float(1.0 / 3.0);
            let code = vec![
                Product(DType::F64),
                build.compute(Map::Constant, &[], DType::F64, &[third]),
                build.row("mul", &[0, 1], DType::F64),
            ];
            build.op_then(TestOp::Matmul, &[30, 30], code, &[2], vec![x.clone(), x]);
            let found = run::<f64>(gpu, &build, &[upload(gpu, &doubles)]);
            for (i, found) in found.iter().enumerate() {
                let sum: f64 = (0..30).map(|k| doubles[i / 30 * 30 + k] * doubles[k * 30 + i % 30]).sum();
                assert!((found - sum / 3.0).abs() < 1e-13, "{gpu:?}: {found} not {}", sum / 3.0);
            }
        }
    }
}
