//! Reductions on every adapter against f64.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use wgrad_plan::{Backend, Operand};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::op::{Extreme, Reduction};

/// (the buffer's length, shape, strides, offset, axes)
type Case = (usize, Vec<usize>, Vec<isize>, usize, Vec<usize>);

fn cases() -> Vec<Case> {
    vec![
        (1, vec![], vec![], 0, vec![]),
        (7, vec![7], vec![1], 0, vec![0]),
        (35, vec![5, 7], vec![7, 1], 0, vec![1]),
        (35, vec![5, 7], vec![7, 1], 0, vec![0]),
        (35, vec![5, 7], vec![7, 1], 0, vec![0, 1]),
        (35, vec![7, 5], vec![1, 7], 0, vec![1]),
        (35, vec![5, 7], vec![7, 1], 0, vec![]),
        (60, vec![3, 4, 5], vec![20, 5, 1], 0, vec![0, 2]),
        (60, vec![3, 4, 5], vec![20, 5, 1], 0, vec![1]),
        (60, vec![3, 4, 5], vec![-20, 5, -1], 44, vec![0, 2]),
        (4, vec![3, 4, 5], vec![0, 1, 0], 0, vec![0, 2]),
        (4000, vec![1, 1000, 3], vec![9, 4, 1], 0, vec![1]),
        (100_003, vec![100_003], vec![1], 0, vec![0]),
        (200_000, vec![2, 100_000], vec![100_000, 1], 0, vec![1]),
        (200_000, vec![100_000, 2], vec![2, 1], 0, vec![0]),
        (300_000, vec![100_000, 3], vec![3, 1], 0, vec![1]),
        (66_000, vec![66_000, 1], vec![1, 1], 0, vec![1]),
        (24 * 900, vec![4, 30, 6, 30], vec![5400, 30, 900, 1], 0, vec![0, 1, 3]),
    ]
}

fn elements(operand: &Operand, axes: &[usize]) -> Vec<Vec<usize>> {
    let shape = &operand.layout.shape;
    let sizes = |reduced: bool| -> Vec<usize> {
        (0..shape.len()).map(|axis| if axes.contains(&axis) == reduced { shape[axis] } else { 1 }).collect()
    };
    let (kept, inner) = (coordinates(&sizes(false)), coordinates(&sizes(true)));
    let add = |a: &[usize], b: &[usize]| -> Vec<usize> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    kept.iter().map(|kept| inner.iter().map(|inner| locate(operand, &add(kept, inner))).collect()).collect()
}

#[test]
fn all_reductions_of_all_windows_in_f32() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (length, shape, strides, offset, axes) in cases() {
            let data = dice.floats(length);
            let buffer = upload(gpu, &data);
            for reduction in [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min] {
                let mut build = Build::default();
                let x = window(&build.input(&[length], DType::F32), &shape, &strides, offset);
                let places = elements(&x, &axes);
                build.reduce(reduction, &axes, x);
                let found = run::<f32>(gpu, &build, std::slice::from_ref(&buffer));
                let of = |places: &Vec<usize>| -> f64 {
                    let values = places.iter().map(|&at| f64::from(data[at]));
                    match reduction {
                        Reduction::Sum => values.sum(),
                        Reduction::Prod => values.product(),
                        Reduction::Max => values.fold(f64::NEG_INFINITY, f64::max),
                        Reduction::Min => values.fold(f64::INFINITY, f64::min),
                    }
                };
                let expected: Vec<f64> = places.iter().map(of).collect();
                let what = format!("{}: {reduction:?} {shape:?} {strides:?} over {axes:?}", gpu.describe().name);
                // The sum of n numbers in (-1, 1) is of the order of sqrt(n).
                let scale = (places[0].len() as f64).sqrt();
                assert_close(&found, &expected, 2e-6 * scale, &what);
            }
        }
    }
}

#[test]
fn a_long_sum_stays_exact() {
    for gpu in gpus() {
        let count = 3_000_000;
        let mut build = Build::default();
        let x = build.input(&[count], DType::F32);
        build.reduce(Reduction::Sum, &[0], x);
        let found = run::<f32>(gpu, &build, &[upload(gpu, &vec![0.1f32; count])]);
        let expected = f64::from(0.1f32) * count as f64;
        let error = (f64::from(found[0]) - expected).abs() / expected;
        assert!(error < 3e-6, "{}: {} instead of {expected}", gpu.describe().name, found[0]);
    }
}

#[test]
fn whole_numbers_f64_and_nothing() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        let ints: Vec<i32> = (0..5000).map(|_| dice.bits() as i32).collect();
        let unsigned: Vec<u32> = ints.iter().map(|&v| v as u32).collect();
        for reduction in [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min] {
            let mut build = Build::default();
            let x = build.input(&[50, 100], DType::I32);
            build.reduce(reduction, &[1], x);
            let expected: Vec<i32> = ints
                .chunks(100)
                .map(|row| {
                    let row = row.iter().copied();
                    match reduction {
                        Reduction::Sum => row.fold(0, i32::wrapping_add),
                        Reduction::Prod => row.fold(1, i32::wrapping_mul),
                        Reduction::Max => row.max().unwrap(),
                        Reduction::Min => row.min().unwrap(),
                    }
                })
                .collect();
            assert_eq!(
                run::<i32>(gpu, &build, &[upload(gpu, &ints)]),
                expected,
                "{} {reduction:?}",
                gpu.describe().name
            );
            let mut build = Build::default();
            let x = build.input(&[5000], DType::U32);
            build.reduce(reduction, &[0], x);
            let all = unsigned.iter().copied();
            let expected = match reduction {
                Reduction::Sum => all.fold(0, u32::wrapping_add),
                Reduction::Prod => all.fold(1, u32::wrapping_mul),
                Reduction::Max => all.max().unwrap(),
                Reduction::Min => all.min().unwrap(),
            };
            assert_eq!(
                run::<u32>(gpu, &build, &[upload(gpu, &unsigned)]),
                [expected],
                "{} {reduction:?}",
                gpu.describe().name
            );
            // No elements give what changes nothing; no outputs give nothing.
            let identity = match reduction {
                Reduction::Sum => 0.0,
                Reduction::Prod => 1.0,
                Reduction::Max => f32::NEG_INFINITY,
                Reduction::Min => f32::INFINITY,
            };
            let mut build = Build::default();
            let x = build.input(&[3, 0], DType::F32);
            build.reduce(reduction, &[1], x.clone());
            build.reduce(reduction, &[0], x);
            let outputs = build.run(gpu, &[upload::<f32>(gpu, &[])]).unwrap();
            assert_eq!(read::<f32>(gpu, &outputs[0]).unwrap(), [identity; 3]);
            assert_eq!(read::<f32>(gpu, &outputs[1]).unwrap(), []);
        }
        if gpu.describe().f64 {
            let doubles: Vec<f64> = (0..30_000).map(|_| f64::from(dice.float()) * 1.000_000_001).collect();
            for (reduction, expected) in [
                (Reduction::Sum, doubles.iter().sum::<f64>()),
                (Reduction::Max, doubles.iter().copied().fold(f64::MIN, f64::max)),
            ] {
                let mut build = Build::default();
                let x = build.input(&[30_000], DType::F64);
                build.reduce(reduction, &[0], x);
                let found = run::<f64>(gpu, &build, &[upload(gpu, &doubles)]);
                assert!((found[0] - expected).abs() < 1e-9, "{} {reduction:?}", gpu.describe().name);
            }
        }
    }
}

#[test]
fn nan_wins_and_the_first_of_equals() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (rows, length) in [(1, 5), (3, 70), (1, 10_000), (200, 33), (2, 5000), (1, 300_000), (300, 70_000)] {
            // Few distinct values, so that equal ones are there.
            let mut data: Vec<f32> = (0..rows * length).map(|_| dice.below(7) as f32 - 3.0).collect();
            for with_nan in [false, true] {
                if with_nan {
                    for _ in 0..2 {
                        let at = dice.below(data.len());
                        data[at] = f32::NAN;
                    }
                }
                for extreme in [Extreme::Max, Extreme::Min] {
                    let mut build = Build::default();
                    let x = build.input(&[rows, length], DType::F32);
                    let results = vec![build.value(&[rows, 1], DType::F32), build.value(&[rows, 1], DType::U32)];
                    let op = wgrad_tensor::op::OpRef::Shared(std::sync::Arc::new(TestOp::Extreme(extreme, vec![1])));
                    build.step(wgrad_plan::Work::Op { op, scalars: 0..0, then: None }, vec![x.clone()], results);

                    let reduction = if extreme == Extreme::Max { Reduction::Max } else { Reduction::Min };
                    build.reduce(reduction, &[1], x);
                    let outputs = build.run(gpu, &[upload(gpu, &data)]).unwrap();
                    let values = read::<f32>(gpu, &outputs[0]).unwrap();
                    let positions = read::<u32>(gpu, &outputs[1]).unwrap();
                    let reduced = read::<f32>(gpu, &outputs[2]).unwrap();
                    for (row, part) in data.chunks(length).enumerate() {
                        let mut best = 0;
                        for at in 1..length {
                            let wins =
                                if extreme == Extreme::Max { part[at] > part[best] } else { part[at] < part[best] };
                            if wins || (part[at].is_nan() && !part[best].is_nan()) {
                                best = at;
                            }
                        }
                        let what = format!("{}: {extreme:?} of {rows} x {length}", gpu.describe().name);
                        assert_eq!(positions[row] as usize, best, "{what}");
                        assert_eq!(values[row].to_bits(), part[best].to_bits(), "{what}");
                        assert!(reduced[row] == part[best] || reduced[row].is_nan() && part[best].is_nan(), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn many_long_reductions_are_walked_to_their_end() {
    for gpu in gpus() {
        // The last of 70,000 elements in each of 300 rows and columns.
        for (shape, axis) in [([300, 70_000], 1), ([70_000, 300], 0)] {
            let mut data = vec![0.0f32; 300 * 70_000];
            for i in 0..300 {
                let at = if axis == 1 { i * 70_000 + 69_999 } else { 69_999 * 300 + i };
                data[at] = i as f32;
            }
            let mut build = Build::default();
            let x = build.input(&shape, DType::F32);
            build.reduce(Reduction::Sum, &[axis], x);
            let found = run::<f32>(gpu, &build, &[upload(gpu, &data)]);
            assert!(found.iter().enumerate().all(|(i, &sum)| sum == i as f32), "{}", gpu.describe().name);
        }
    }
}
