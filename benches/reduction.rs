//! Sums: of everything, of rows, of columns.

use crate::target::{Target, check, values};
use criterion::Criterion;

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("sum");
    for target in targets {
        let side = if target.is_software { 1024 } else { 4096 };
        target.measure(&mut group, format!("{side}x{side}, all"), side * side, || {
            let x = target.random(&[side, side], 0.0, 1.0, 1);
            let total: f64 = values(&x).iter().sum();
            check("sum", 1e-5 * total, values(&x.sum(..)).into_iter().map(|found| (found, total)));
            move || vec![x.sum(..)]
        });
        target.measure(&mut group, format!("{side}x{side}, rows"), side * side, || {
            let x = target.random(&[side, side], 0.0, 1.0, 2);
            let expected: Vec<f64> = values(&x).chunks(side).map(|row| row.iter().sum()).collect();
            check("sum of rows", 1e-5 * side as f64, values(&x.sum(1)).into_iter().zip(expected));
            move || vec![x.sum(1)]
        });
        target.measure(&mut group, format!("{side}x{side}, columns"), side * side, || {
            let x = target.random(&[side, side], 0.0, 1.0, 3);
            let mut expected = vec![0.0; side];
            for row in values(&x).chunks(side) {
                expected.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            check("sum of columns", 1e-5 * side as f64, values(&x.sum(0)).into_iter().zip(expected));
            move || vec![x.sum(0)]
        });
    }
}
