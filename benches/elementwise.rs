//! A chain of ten elementwise operations.

use crate::target::{Target, check, values};
use criterion::Criterion;
use wgrad::Tensor;

fn chain(x: &Tensor, y: &Tensor) -> Tensor {
    let z = (x * y + 1.0).relu() * 0.5 - y;
    ((z.square() + 1.0).sqrt() * x).tanh()
}

fn chain_f64(x: f64, y: f64) -> f64 {
    let z = (x * y + 1.0).max(0.0) * 0.5 - y;
    ((z * z + 1.0).sqrt() * x).tanh()
}

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("chain_of_10");
    for target in targets {
        let count = if target.is_software { 1 << 18 } else { 1 << 22 };
        target.measure(&mut group, count, count, || {
            let (x, y) = (target.random(&[count], -2.0, 2.0, 1), target.random(&[count], -2.0, 2.0, 2));
            let expected: Vec<f64> = values(&x).into_iter().zip(values(&y)).map(|(x, y)| chain_f64(x, y)).collect();
            check("chain", 1e-5, values(&chain(&x, &y)).into_iter().zip(expected));
            move || vec![chain(&x, &y)]
        });
    }
}
