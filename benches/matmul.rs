//! Matrix products: squares, and the linear layers of the MNIST network.

use crate::target::{Target, check, some, values};
use criterion::Criterion;

/// Rows, depth and columns.
const SHAPES: [[usize; 3]; 7] = [
    [64, 64, 64],
    [128, 128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [64, 1568, 128],
    [64, 128, 10],
];

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("matmul");
    for target in targets {
        for [rows, depth, columns] in SHAPES {
            if target.is_software && rows > 256 {
                continue;
            }
            let flops = 2 * rows * depth * columns;
            target.measure(&mut group, format!("{rows}x{depth}x{columns}"), flops, || {
                let left = target.random(&[rows, depth], -1.0, 1.0, 1);
                let right = target.random(&[depth, columns], -1.0, 1.0, 2);
                let (a, b, found) = (values(&left), values(&right), values(&left.matmul(&right)));
                let expected = |at: usize| -> f64 {
                    (0..depth).map(|k| a[at / columns * depth + k] * b[k * columns + at % columns]).sum()
                };
                check("matmul", 1e-5 * depth as f64, some(rows * columns).map(|at| (found[at], expected(at))));
                move || vec![left.matmul(&right)]
            });
        }
    }
}
