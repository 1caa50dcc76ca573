//! Matrix products and convolutions on every adapter against f64.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use wgrad_plan::{Backend, Operand};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::op::Window2d;

/// A naive product of two windows.
fn product(a: &[f32], x: &Operand, b: &[f32], y: &Operand) -> Vec<f64> {
    let rank = x.layout.shape.len();
    let (rows, depth, columns) = (x.layout.shape[rank - 2], x.layout.shape[rank - 1], y.layout.shape[rank - 1]);
    let mut out = Vec::new();
    for batch in coordinates(&x.layout.shape[..rank - 2]) {
        for row in 0..rows {
            for column in 0..columns {
                let at = |k: usize| {
                    let left = a[locate(x, &[batch.as_slice(), &[row, k]].concat())];
                    let right = b[locate(y, &[batch.as_slice(), &[k, column]].concat())];
                    f64::from(left) * f64::from(right)
                };
                out.push((0..depth).map(at).sum());
            }
        }
    }
    out
}

#[test]
fn products_of_every_size_and_stride() {
    let mut dice = Dice::new();
    // (batch, rows, depth, columns)
    let mut sizes = vec![
        (vec![], 1, 1, 1),
        (vec![], 3, 5, 7),
        (vec![], 64, 64, 64),
        (vec![], 65, 17, 63),
        (vec![], 1, 300, 40),
        (vec![], 40, 300, 1),
        (vec![], 17, 2000, 18),
        (vec![], 20, 5000, 24),
        (vec![], 130, 33, 70),
        (vec![3], 20, 30, 25),
        (vec![2, 3], 33, 9, 18),
        (vec![0], 4, 4, 4),
        (vec![2], 0, 4, 4),
        (vec![2], 4, 0, 4),
        // Deeper than some drivers let a loop run.
        (vec![], 9, 70_000, 8),
    ];
    sizes.push((vec![24], 130, 21, 140));
    for _ in 0..6 {
        sizes.push((vec![1 + dice.below(3)], 1 + dice.below(90), 1 + dice.below(90), 1 + dice.below(90)));
    }
    for gpu in gpus() {
        for (batch, rows, depth, columns) in &sizes {
            let count: usize = batch.iter().product();
            let (a, b) = (dice.floats(count * rows * depth + 3), dice.floats(count * depth * columns + 3));
            let (rows, depth, columns) = (*rows, *depth, *columns);
            let strides = |sizes: [usize; 2], turned: bool| -> Vec<isize> {
                let mut all: Vec<isize> = Vec::new();
                let mut step = sizes[0] * sizes[1];
                for &size in batch.iter().rev() {
                    all.insert(0, step as isize);
                    step *= size;
                }
                all.extend(if turned { [1, sizes[0] as isize] } else { [sizes[1] as isize, 1] });
                all
            };
            for (left_turned, right_turned) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut build = Build::default();
                let (x, y) = (build.input(&[a.len()], DType::F32), build.input(&[b.len()], DType::F32));
                let shape = |m: usize, n: usize| [batch.as_slice(), &[m, n]].concat();
                let x = window(&x, &shape(rows, depth), &strides([rows, depth], left_turned), 3);
                let y = window(&y, &shape(depth, columns), &strides([depth, columns], right_turned), 2);
                build.op(TestOp::Matmul, vec![x.clone(), y.clone()], &shape(rows, columns), DType::F32);
                let found = run::<f32>(gpu, &build, &[upload(gpu, &a), upload(gpu, &b)]);
                let what = format!("{gpu:?} {batch:?} {rows}x{depth}x{columns} {left_turned} {right_turned}");
                assert_close(&found, &product(&a, &x, &b, &y), 3e-6 * (depth as f64).sqrt(), &what);
            }
        }
    }
}

#[test]
fn broadcast_batches_other_numbers_and_many_workgroups() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        // One right operand for all, rows in reverse.
        let (a, b) = (dice.floats(4 * 21 * 19), dice.floats(19 * 23));
        let mut build = Build::default();
        let (x, y) = (build.input(&[a.len()], DType::F32), build.input(&[b.len()], DType::F32));
        let x = window(&x, &[4, 21, 19], &[21 * 19, -19, 1], 20 * 19);
        let y = window(&y, &[4, 19, 23], &[0, 23, 1], 0);
        build.op(TestOp::Matmul, vec![x.clone(), y.clone()], &[4, 21, 23], DType::F32);
        let found = run::<f32>(gpu, &build, &[upload(gpu, &a), upload(gpu, &b)]);
        assert_close(&found, &product(&a, &x, &b, &y), 2e-5, &gpu.describe().name);

        let whole: Vec<i32> = (0..40 * 40).map(|_| dice.bits() as i32).collect();
        let mut build = Build::default();
        let x = build.input(&[40, 40], DType::I32);
        build.op(TestOp::Matmul, vec![x.clone(), x], &[40, 40], DType::I32);
        let at = |row: usize, column: usize| {
            (0..40).fold(0i32, |sum, k| sum.wrapping_add(whole[row * 40 + k].wrapping_mul(whole[k * 40 + column])))
        };
        let expected: Vec<i32> = (0..1600).map(|i| at(i / 40, i % 40)).collect();
        assert_eq!(run::<i32>(gpu, &build, &[upload(gpu, &whole)]), expected, "{}", gpu.describe().name);

        if gpu.describe().f64 {
            let doubles: Vec<f64> = (0..50 * 50).map(|_| f64::from(dice.float()) * 1.000_000_1).collect();
            let mut build = Build::default();
            let x = build.input(&[50, 50], DType::F64);
            build.op(TestOp::Matmul, vec![x.clone(), x], &[50, 50], DType::F64);
            let found = run::<f64>(gpu, &build, &[upload(gpu, &doubles)]);
            for (i, found) in found.iter().enumerate() {
                let expected: f64 = (0..50).map(|k| doubles[i / 50 * 50 + k] * doubles[k * 50 + i % 50]).sum();
                assert!((found - expected).abs() < 1e-13 * 50.0, "{}: {found} not {expected}", gpu.describe().name);
            }
        }
    }
}

#[test]
fn a_workgroup_for_each_of_many_batches() {
    let mut dice = Dice::new();
    // One adapter in both forms: it takes long where a CPU plays the GPU.
    for gpu in gpus().iter().take(2) {
        let many = dice.floats(70_000);
        let mut build = Build::default();
        let (x, y) = (build.input(&[70_000, 1, 1], DType::F32), build.input(&[4], DType::F32));
        let x = window(&x, &[70_000, 20, 8], &[1, 0, 0], 0);
        let y = window(&y, &[70_000, 8, 20], &[0, 0, 0], 1);
        build.op(TestOp::Matmul, vec![x, y], &[70_000, 20, 20], DType::F32);
        let found = run::<f32>(gpu, &build, &[upload(gpu, &many), upload(gpu, &[0.0f32, 0.25, 0.0, 0.0])]);
        let wrong = (0..found.len()).find(|&i| (found[i] - 2.0 * many[i / 400]).abs() > 1e-6);
        assert_eq!(wrong, None, "{}", gpu.describe().name);
    }
}

struct Shapes {
    input: [usize; 4],
    weight: [usize; 4],
    output: [usize; 4],
}

fn shapes(
    window: &Window2d,
    images: usize,
    channels: usize,
    size: [usize; 2],
    outs: usize,
    kernel: [usize; 2],
) -> Shapes {
    let out = |axis: usize| {
        let reach = window.dilation[axis] * (kernel[axis] - 1) + 1;
        (size[axis] + 2 * window.padding[axis] - reach) / window.stride[axis] + 1
    };
    Shapes {
        input: [images, channels, size[0], size[1]],
        weight: [outs, channels / window.groups, kernel[0], kernel[1]],
        output: [images, outs, out(0), out(1)],
    }
}

/// Calls `f` with the flat places (input, weight, output) of every product that a convolution sums.
fn each_product(window: &Window2d, shapes: &Shapes, mut f: impl FnMut(usize, usize, usize)) {
    let ([_, channels, height, width], [outs, per_group, kh, kw]) = (shapes.input, shapes.weight);
    let [images, _, oh, ow] = shapes.output;
    let per_out = outs / window.groups;
    for c in coordinates(&[images, outs, oh, ow, per_group, kh, kw]) {
        let [n, o, y, x, c, i, j] = c[..] else { return };
        let row = (y * window.stride[0] + i * window.dilation[0]).wrapping_sub(window.padding[0]);
        let column = (x * window.stride[1] + j * window.dilation[1]).wrapping_sub(window.padding[1]);
        if row < height && column < width {
            let channel = o / per_out * per_group + c;
            f(
                ((n * channels + channel) * height + row) * width + column,
                ((o * per_group + c) * kh + i) * kw + j,
                ((n * outs + o) * oh + y) * ow + x,
            );
        }
    }
}

#[test]
fn convolutions_and_their_gradients() {
    let mut dice = Dice::new();
    let plain = Window2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    let cases = [
        (plain, 2, 3, [7, 9], 4, [3, 3]),
        (plain, 1, 1, [1, 1], 1, [1, 1]),
        (Window2d { padding: [1, 1], ..plain }, 3, 4, [9, 14], 20, [3, 3]),
        (Window2d { stride: [2, 3], padding: [2, 1], ..plain }, 2, 3, [11, 10], 5, [3, 2]),
        (Window2d { dilation: [2, 3], padding: [3, 2], ..plain }, 2, 2, [12, 13], 3, [3, 3]),
        (Window2d { groups: 4, padding: [1, 0], ..plain }, 2, 8, [6, 5], 12, [3, 2]),
        (Window2d { groups: 6, stride: [2, 2], padding: [1, 1], ..plain }, 2, 6, [8, 8], 6, [3, 3]),
        (Window2d { stride: [3, 3], ..plain }, 1, 2, [10, 11], 3, [2, 2]),
        (plain, 4, 9, [12, 12], 18, [3, 3]),
    ];
    for gpu in gpus() {
        for (window, images, channels, size, outs, kernel) in &cases {
            let shapes = shapes(window, *images, *channels, *size, *outs, *kernel);
            let count = |shape: &[usize; 4]| shape.iter().product::<usize>();
            let (x, w) = (dice.floats(count(&shapes.input)), dice.floats(count(&shapes.weight)));
            let g = dice.floats(count(&shapes.output));
            let mut out = vec![0.0; g.len()];
            let mut input_grad = vec![0.0; x.len()];
            let mut weight_grad = vec![0.0; w.len()];
            let mut most = 1.0f64;
            each_product(window, &shapes, |i, k, o| {
                out[o] += f64::from(x[i]) * f64::from(w[k]);
                input_grad[i] += f64::from(g[o]) * f64::from(w[k]);
                weight_grad[k] += f64::from(g[o]) * f64::from(x[i]);
            });
            most = most.max((images * shapes.output[2] * shapes.output[3]) as f64);
            for (op, first, second, shape, expected, data) in [
                (TestOp::Conv2d(*window), &shapes.input, &shapes.weight, &shapes.output, &out, [&x, &w]),
                (TestOp::Conv2dInput(*window), &shapes.output, &shapes.weight, &shapes.input, &input_grad, [&g, &w]),
                (TestOp::Conv2dWeight(*window), &shapes.output, &shapes.input, &shapes.weight, &weight_grad, [&g, &x]),
            ] {
                let what = format!("{}: {op:?} {:?}", gpu.describe().name, shapes.input);
                let mut build = Build::default();
                let operands = vec![build.input(first, DType::F32), build.input(second, DType::F32)];
                build.op(op, operands, shape, DType::F32);
                let found = run::<f32>(gpu, &build, &[upload(gpu, data[0]), upload(gpu, data[1])]);
                assert_close(&found, expected, 3e-6 * most.sqrt(), &what);
            }
        }
    }
}
