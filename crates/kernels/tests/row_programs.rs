//! Programs with rows on every adapter against plain loops in f64.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::reference::reference;
use common::*;
use half::f16;
use wgrad_kernels::Gpu;
use wgrad_plan::Instruction::{Load, Pick, Reduce};
use wgrad_plan::Operand;
use wgrad_tensor::ErrorKind;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::op::Map;
use wgrad_tensor::op::Reduction::{Max, Min, Sum};

const F32: DType = DType::F32;

/// Runs the only step of `build`, and compares every result in f32 with the plain loops. `data` is for each value given.
fn check(gpu: &Gpu, build: &Build, data: &[&[f32]], tolerance: f64, what: &str) {
    let inputs: Vec<_> = data.iter().map(|values| upload(gpu, values)).collect();
    let outputs = build.run(gpu, &inputs).unwrap();
    let wide: Vec<Vec<f64>> = data.iter().map(|values| values.iter().map(|&v| f64::from(v)).collect()).collect();
    let behind = |operand: &Operand| build.plan.inputs.iter().position(|&value| value == operand.value).unwrap();
    let slices: Vec<&[f64]> =
        build.plan.steps[0].operands.iter().map(|operand| wide[behind(operand)].as_slice()).collect();
    for (number, (output, expected)) in outputs.iter().zip(reference(build, &slices, &[])).enumerate() {
        let what = format!("{gpu:?}: {what}, result {number}");
        assert_close(&read::<f32>(gpu, output).unwrap(), &expected, tolerance, &what);
    }
}

/// exp(x - max) / sum of the same.
fn softmax(build: &mut Build, x: Operand) {
    let shape = x.layout.shape.to_vec();
    let code = vec![
        Load(0, F32),
        Reduce(Max, 0),
        build.row("sub", &[0, 1], F32),
        build.row("exp", &[2], F32),
        Reduce(Sum, 3),
        build.row("div", &[3, 4], F32),
    ];
    build.rows(&shape, 1, code, &[5], vec![x]);
}

/// Mean, variance, normalised elements with a factor and a term for each place of the row; keeps the mean and the
/// reciprocal deviation, of which one needs a further reduction: two reductions, three stores.
fn layer_norm(build: &mut Build, x: Operand, gain: Operand, bias: Operand) {
    let shape = x.layout.shape.to_vec();
    let length = *shape.last().unwrap() as f64;
    let code = vec![
        Load(0, F32),
        build.constant(1.0 / length.max(1.0)),
        Reduce(Sum, 0),
        build.row("mul", &[2, 1], F32),
        build.row("sub", &[0, 3], F32),
        build.row("mul", &[4, 4], F32),
        Reduce(Sum, 5),
        build.row("mul", &[6, 1], F32),
        build.constant(1e-5),
        build.row("add", &[7, 8], F32),
        build.row("rsqrt", &[9], F32),
        build.row("mul", &[4, 10], F32),
        Load(1, F32),
        Load(2, F32),
        build.row("mul", &[11, 12], F32),
        build.row("add", &[14, 13], F32),
    ];
    build.rows(&shape, 1, code, &[15, 3, 10], vec![x, gain, bias]);
}

fn lengths() -> [(usize, usize); 9] {
    [(3, 0), (5, 1), (70, 7), (9, 8), (2, 1023), (300, 65), (3, 5000), (1, 20_000), (0, 5)]
}

#[test]
fn softmax_of_every_length() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in lengths() {
            let mut build = Build::default();
            let x = build.input(&[rows, length], F32);
            softmax(&mut build, x);
            check(gpu, &build, &[&dice.floats(rows * length)], 3e-6, &format!("softmax of {rows} x {length}"));
        }
    }
}

#[test]
fn layer_norm_with_three_results() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in lengths() {
            let mut build = Build::default();
            let x = build.input(&[rows, length], F32);
            let one = |build: &mut Build| {
                let operand = build.input(&[length], F32);
                window(&operand, &[rows, length], &[0, 1], 0)
            };
            let (gain, bias) = (one(&mut build), one(&mut build));
            layer_norm(&mut build, x, gain, bias);
            let data = [dice.floats(rows * length), dice.floats(length), dice.floats(length)];
            let data: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
            check(gpu, &build, &data, 2e-5, &format!("layer_norm of {rows} x {length}"));
        }
    }
}

#[test]
fn rms_norm_of_a_difference() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in lengths() {
            let mut build = Build::default();
            let (x, y) = (build.input(&[rows, length], F32), build.input(&[rows], F32));
            let y = window(&y, &[rows, length], &[1, 0], 0);
            let code = vec![
                Load(0, F32),
                Load(1, F32),
                build.row("sub", &[0, 1], F32),
                build.row("mul", &[2, 2], F32),
                Reduce(Sum, 3),
                build.constant(1.0 / length.max(1) as f64),
                build.row("mul", &[4, 5], F32),
                build.constant(1e-6),
                build.row("add", &[6, 7], F32),
                build.row("rsqrt", &[8], F32),
                build.row("mul", &[2, 9], F32),
            ];
            // All, the normalised elements alone, and the mean of squares alone.
            for stores in [&[10, 6][..], &[10], &[6]] {
                build.plan.steps.clear();
                build.plan.outputs.clear();
                build.rows(&[rows, length], 1, code.clone(), stores, vec![x.clone(), y.clone()]);
                let data = [dice.floats(rows * length), dice.floats(rows)];
                check(gpu, &build, &[&data[0], &data[1]], 1e-5, &format!("{rows} x {length}, {stores:?}"));
            }
        }
    }
}

#[test]
fn windows_of_every_kind() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        // (shape, strides, offset, row axes) on a buffer of 6,000.
        for (shape, strides, offset, row_axes) in [
            (vec![40, 100], vec![1, 40], 0, 1),
            (vec![100, 40], vec![-40, -1], 3999, 1),
            (vec![7, 300], vec![3, 11], 5, 1),
            (vec![20, 33], vec![0, 1], 9, 1),
            (vec![20, 33], vec![1, 0], 9, 1),
            (vec![4, 5, 6, 50], vec![6, 24, 1, 120], 0, 2),
            (vec![4, 6, 5, 50], vec![1500, 250, 1, 5], 0, 2),
            (vec![3, 2, 500], vec![1, 1500, 3], 0, 2),
            (vec![1500, 4], vec![1, 1500], 0, 2),
            (vec![600], vec![2], 7, 1),
            (vec![30, 0, 5], vec![5, 5, 1], 0, 2),
        ] {
            let mut build = Build::default();
            let x = build.input(&[6000], F32);
            let x = window(&x, &shape, &strides, offset);
            // One load on the same buffer that does not move along the row.
            let mut still = strides.clone();
            still[shape.len() - row_axes..].fill(0);
            let y = window(&x, &shape, &still, 11.max(offset));
            let code = vec![
                Load(0, F32),
                Load(1, F32),
                Reduce(Max, 0),
                build.row("sub", &[0, 2], F32),
                build.row("exp", &[3], F32),
                build.row("mul", &[4, 1], F32),
                Reduce(Sum, 5),
                Reduce(Min, 4),
                build.row("add", &[7, 1], F32),
                build.row("mul", &[5, 6], F32),
            ];
            build.rows(&shape, row_axes, code, &[9, 6, 8], vec![x, y]);
            let data = dice.floats(6000);
            check(gpu, &build, &[&data], 1e-4, &format!("{shape:?} {strides:?} {row_axes}"));
        }
    }
}

#[test]
fn more_rows_than_a_grid_has_along_an_axis() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in [(70_001, 1), (70_001, 9), (66_000, 40)] {
            let mut build = Build::default();
            let x = build.input(&[rows, length], F32);
            softmax(&mut build, x);
            check(gpu, &build, &[&dice.floats(rows * length)], 3e-6, &format!("{rows} x {length}"));
        }
    }
}

#[test]
fn registers_of_a_row_are_reduced_as_repeated() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for length in [1, 6, 700, 20_000] {
            let mut build = Build::default();
            let (x, y) = (build.input(&[4, length], F32), build.input(&[4], F32));
            let y = window(&y, &[4, length], &[1, 0], 0);
            let code = vec![
                Load(0, F32),
                Load(1, F32),
                build.constant(0.001),
                Reduce(Sum, 1),
                Reduce(Sum, 2),
                Reduce(Max, 0),
                Reduce(Sum, 5),
            ];
            build.rows(&[4, length], 1, code, &[3, 4, 6], vec![x, y]);
            check(gpu, &build, &[&dice.floats(4 * length), &dice.floats(4)], 1e-5, &format!("{length}"));
        }
    }
}

#[test]
fn two_sums_down_the_columns() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, columns) in [(1, 5), (33, 7), (1000, 64), (5000, 3), (40_000, 20)] {
            let mut build = Build::default();
            let operands: Vec<Operand> =
                (0..2).map(|_| permuted(&build.input(&[rows, columns], F32), &[1, 0])).collect();
            let code = vec![
                Load(0, F32),
                Load(1, F32),
                build.row("mul", &[0, 1], F32),
                Reduce(Sum, 2),
                Reduce(Sum, 0),
                build.constant(0.5),
                build.row("mul", &[3, 5], F32),
            ];
            build.rows(&[columns, rows], 1, code, &[6, 4], operands);
            let data = [dice.floats(rows * columns), dice.floats(rows * columns)];
            let tolerance = 2e-6 * (rows as f64).sqrt();
            check(gpu, &build, &[&data[0], &data[1]], tolerance, &format!("{rows} x {columns}"));
        }
    }
}

#[test]
fn one_long_row() {
    let mut dice = Dice::new();
    let data = dice.floats(3_000_000);
    for gpu in gpus() {
        let mut build = Build::default();
        let x = build.input(&[data.len()], F32);
        let code = vec![Load(0, F32), build.row("mul", &[0, 0], F32), Reduce(Sum, 1), build.row("rsqrt", &[2], F32)];
        build.rows(&[data.len()], 1, code, &[2, 3], vec![x]);
        check(gpu, &build, &[&data], 3e-6, "squares");
        let mut build = Build::default();
        let x = build.input(&[data.len()], F32);
        softmax(&mut build, x);
        let outputs = build.run(gpu, &[upload(gpu, &data)]).unwrap();
        let found = read::<f32>(gpu, &outputs[0]).unwrap();
        let sum: f64 = data.iter().map(|&v| f64::from(v).exp()).sum();
        for (&found, &x) in found.iter().zip(&data) {
            let expected = f64::from(x).exp() / sum;
            assert!((f64::from(found) - expected).abs() < 1e-5 * expected, "{gpu:?}: {found} not {expected}");
        }
    }
}

fn cross_entropy(build: &mut Build, rows: usize, length: usize, dtype: DType) {
    let (x, index) = (build.input(&[rows, length], F32), build.input(&[rows], dtype));
    let index = window(&index, &[rows, length], &[1, 0], 0);
    let code = vec![
        Load(0, F32),
        Load(1, dtype),
        Reduce(Max, 0),
        build.row("sub", &[0, 2], F32),
        build.row("exp", &[3], F32),
        Reduce(Sum, 4),
        build.row("log", &[5], F32),
        build.row("sub", &[3, 6], F32),
        Pick([7, 1]),
        build.row("neg", &[8], F32),
    ];
    build.rows(&[rows, length], 1, code, &[9], vec![x, index]);
}

#[test]
fn log_softmax_at_an_index() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in [(1, 1), (70, 7), (5, 1000), (2, 40_000)] {
            let mut build = Build::default();
            cross_entropy(&mut build, rows, length, DType::U32);
            let x = dice.floats(rows * length);
            let index: Vec<u32> = (0..rows).map(|_| dice.below(length) as u32).collect();
            let outputs = build.run(gpu, &[upload(gpu, &x), upload(gpu, &index)]).unwrap();
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let places: Vec<f64> = index.iter().map(|&v| f64::from(v)).collect();
            let expected = reference(&build, &[&wide, &places], &[]);
            let what = format!("{gpu:?} {rows} x {length}");
            assert_close(&read::<f32>(gpu, &outputs[0]).unwrap(), &expected[0], 1e-5, &what);
        }
    }
}

#[test]
fn a_bad_pick_is_an_error_of_its_line() {
    for adapter in wgrad_kernels::adapters() {
        let gpu = Gpu::open(&wgrad_kernels::Choice::Index(adapter.index)).unwrap();
        for (length, bad) in [(3, 3), (3, -1), (40_000, 40_000)] {
            let mut build = Build::default();
            cross_entropy(&mut build, 2, length, DType::I32);
            let inputs = [upload(&gpu, &vec![0.5f32; 2 * length]), upload(&gpu, &[1, bad])];
            let output = build.run(&gpu, &inputs).unwrap().remove(0);
            let error = read::<f32>(&gpu, &output).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "{error}");
            let said = error.message();
            assert!(said.contains(&format!("index {bad} ")) && said.contains(&format!("size {length}")), "{error}");
            assert!(error.location().is_some_and(|at| at.file().ends_with("row_programs.rs")), "{error}");
        }
        let mut build = Build::default();
        cross_entropy(&mut build, 2, 0, DType::I32);
        let inputs = [upload::<f32>(&gpu, &[]), upload(&gpu, &[0, 0])];
        assert_eq!(build.run(&gpu, &inputs).unwrap_err().kind(), ErrorKind::Index);
    }
}

#[test]
fn whole_numbers_and_narrow_results() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in [(5, 1), (7, 30), (3, 999), (2, 30_000)] {
            let data: Vec<i32> = (0..rows * length).map(|_| dice.below(2001) as i32 - 1000).collect();
            let mut build = Build::default();
            let x = build.input(&[rows, length], DType::I32);
            let code = vec![
                Load(0, DType::I32),
                Reduce(Max, 0),
                build.row("sub", &[0, 1], DType::I32),
                Reduce(Sum, 2),
                // One byte for each place, one or two for each row.
                build.row("gt", &[2, 3], DType::Bool),
                build.row("gt", &[1, 3], DType::Bool),
                build.compute(Map::Cast, &[1], DType::F16, &[]),
                build.compute(Map::Cast, &[0], DType::F16, &[]),
            ];
            build.rows(&[rows, length], 1, code, &[2, 3, 5, 6], vec![x.clone()]);
            let wide: Vec<f64> = data.iter().map(|&v| f64::from(v)).collect();
            let expected = reference(&build, &[&wide], &[]);
            let same = |found: Vec<f64>, expected: &[f64]| assert_eq!(found, expected, "{gpu:?} {rows} x {length}");
            let ints = |buffer| read::<i32>(gpu, buffer).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
            let bools = |buffer| {
                let found = read::<bool>(gpu, buffer).unwrap();
                found.into_iter().map(|v| f64::from(u8::from(v))).collect::<Vec<_>>()
            };
            let halves = |buffer| read::<f16>(gpu, buffer).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
            let outputs = build.run(gpu, &[upload(gpu, &data)]).unwrap();
            same(ints(&outputs[0]), &expected[0]);
            same(ints(&outputs[1]), &expected[1]);
            same(bools(&outputs[2]), &expected[2]);
            same(halves(&outputs[3]), &expected[3]);
            // The same with narrow results of each place.
            build.plan.kept = wgrad_plan::Kept::default();
            let wgrad_plan::Work::Program(program) = &mut build.plan.steps[0].work else { panic!() };
            program.stores = vec![4, 3, 5, 7];
            for (value, meta) in [(1, (vec![rows, length], DType::Bool)), (4, (vec![rows, length], DType::F16))] {
                build.plan.values[value] = wgrad_tensor::op::Meta::new(meta.0.as_slice(), meta.1);
            }
            let expected = reference(&build, &[&wide], &[]);
            let outputs = build.run(gpu, &[upload(gpu, &data)]).unwrap();
            same(bools(&outputs[0]), &expected[0]);
            same(ints(&outputs[1]), &expected[1]);
            same(bools(&outputs[2]), &expected[2]);
            same(halves(&outputs[3]), &expected[3]);
        }
    }
}

#[test]
fn counts_through_windows() {
    for gpu in gpus() {
        for (shape, strides, offset) in [
            (vec![24], vec![1], 0),
            (vec![24], vec![1], 3),
            (vec![4, 8], vec![1, 4], 0),
            (vec![4, 8], vec![8, 1], 5),
            (vec![4, 8], vec![0, 1], 2),
            (vec![4, 8], vec![1, 0], 2),
            (vec![3, 5], vec![-5, -1], 14),
            (vec![2, 3, 4], vec![4, 8, 1], 0),
            (vec![6], vec![0], 9),
        ] {
            let layout =
                wgrad_tensor::layout::Layout { shape: shape.as_slice().into(), strides: strides.into(), offset };
            let count: usize = shape.iter().product();
            for row_axes in [0, 1] {
                let mut build = Build::default();
                let x = build.input(&shape, F32);
                let numbers = [Scalar::Float(5.0), Scalar::Float(-2.0)];
                let made = build.generate(Map::Arange, layout.clone(), F32, &numbers);
                let mut code = vec![Load(0, F32), made, build.row("add", &[0, 1], F32)];
                if row_axes == 1 {
                    code.extend([Reduce(Sum, 2), build.row("sub", &[2, 3], F32)]);
                }
                let last = code.len() - 1;
                build.rows(&shape, row_axes, code, &[1, last], vec![x]);
                let data: Vec<f32> = (0..count).map(|i| i as f32 * 100.0).collect();
                check(gpu, &build, &[&data], 1e-6, &format!("{layout:?} {row_axes}"));
            }
        }
    }
}
