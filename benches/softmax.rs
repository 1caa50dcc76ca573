//! Softmax over rows.

use crate::target::{Target, check, values};
use criterion::Criterion;

const COLUMNS: usize = 1024;

fn softmax_f64(row: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = row.iter().map(|x| x.exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("softmax");
    for target in targets {
        let rows = if target.is_software { 256 } else { 4096 };
        target.measure(&mut group, format!("{rows}x{COLUMNS}"), rows * COLUMNS, || {
            let x = target.random(&[rows, COLUMNS], -4.0, 4.0, 1);
            let expected: Vec<f64> = values(&x).chunks(COLUMNS).flat_map(softmax_f64).collect();
            // The largest share is about 1 / 128.
            check("softmax", 1e-7, values(&x.softmax(-1)).into_iter().zip(expected));
            move || vec![x.softmax(-1)]
        });
    }
}
