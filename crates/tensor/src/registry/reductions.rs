//! Samples of reductions.

use super::{Array, Kind, Order, Sample, Spec};
use crate::tensor::Tensor;

/// An input, the axes to reduce.
const CASES: &[(&[usize], &[usize])] = &[
    (&[3, 5], &[1]),
    (&[3, 5], &[0]),
    (&[2, 3, 4], &[1]),
    (&[2, 3, 4], &[0, 2]),
    (&[2, 3, 2], &[0, 1, 2]),
    (&[7], &[0]),
    (&[1, 1], &[0]),
    (&[4, 1003], &[1]),
    (&[1003, 4], &[0]),
    (&[66_001, 2], &[1]),
    (&[300_007], &[0]),
];

type Method = fn(&Tensor, Vec<usize>) -> Tensor;

pub(super) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for &(shape, axes) in CASES {
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        let n = count as f64;
        let mut add = |op, method: Method, combine: fn(&[f64]) -> f64, order| {
            let axes = axes.to_vec();
            let axes_too = axes.clone();
            all.push(
                Sample::new(
                    op,
                    vec![Spec::float(shape)],
                    move |x| method(&x[0], axes.clone()),
                    move |x| over(&x[0], &axes_too, combine),
                )
                .order(order)
                .tolerance(2e-6 * n.sqrt().clamp(1.0, 50.0)),
            );
        };
        add("sum", |x, axes| x.sum(axes), |v| v.iter().sum(), Order::Second);
        add("mean", |x, axes| x.mean(axes), |v| v.iter().sum::<f64>() / v.len() as f64, Order::Second);
        add("max", |x, axes| x.max(axes), |v| v.iter().copied().fold(f64::MIN, f64::max), Order::Second);
        add("min", |x, axes| x.min(axes), |v| v.iter().copied().fold(f64::MAX, f64::min), Order::Second);
        add(
            "max_with_indices",
            |x, axes| x.max_with_indices(axes).0,
            |v| v.iter().copied().fold(f64::MIN, f64::max),
            Order::Second,
        );
        add("argmax", |x, axes| x.max_with_indices(axes).1, |v| position(v, f64::gt), Order::None);
        add("argmin", |x, axes| x.min_with_indices(axes).1, |v| position(v, f64::lt), Order::None);
        if count < 20 {
            add("prod", |x, axes| x.prod(axes), |v| v.iter().product(), Order::Second);
            if count > 1 {
                add("var", |x, axes| x.var(axes, 1), variance, Order::Second);
            }
        }
    }
    for (op, method, empty) in [("sum", (|x, axes| x.sum(axes)) as Method, 0.0), ("prod", |x, axes| x.prod(axes), 1.0)]
    {
        all.push(Sample::new(
            op,
            vec![Spec::float(&[3, 0])],
            move |x| method(&x[0], vec![1]),
            move |_| Array { shape: vec![3], data: vec![empty; 3] },
        ));
    }
    for (op, method, combine) in [
        ("sum", (|x, axes| x.sum(axes)) as Method, (|v| v.iter().sum()) as fn(&[f64]) -> f64),
        ("max", |x, axes| x.max(axes), |v| v.iter().copied().fold(f64::MIN, f64::max)),
        ("argmin", |x, axes| x.min_with_indices(axes).1, |v| position(v, f64::lt)),
    ] {
        let input = Spec::of(&[5, 33], Kind::Int(-4, 4));
        all.push(
            Sample::new(op, vec![input], move |x| method(&x[0], vec![1]), move |x| over(&x[0], &[1], combine))
                .order(Order::None),
        );
    }
    for (op, method, combine) in [
        ("any", (|x, axes| x.any(axes)) as Method, (|v| f64::from(u8::from(v.contains(&1.0)))) as fn(&[f64]) -> f64),
        ("all", |x, axes| x.all(axes), |v| f64::from(u8::from(!v.contains(&0.0)))),
    ] {
        let input = Spec::of(&[9, 2], Kind::Bool);
        all.push(
            Sample::new(op, vec![input], move |x| method(&x[0], vec![1]), move |x| over(&x[0], &[1], combine))
                .order(Order::None),
        );
    }
    all
}

/// Combines the elements along `axes`, which vanish.
fn over(x: &Array, axes: &[usize], combine: fn(&[f64]) -> f64) -> Array {
    let kept: Vec<usize> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let outer: Vec<usize> = kept.iter().map(|&axis| x.shape[axis]).collect();
    let inner: Vec<usize> = axes.iter().map(|&axis| x.shape[axis]).collect();
    Array::from_fn(&outer, |p| {
        let mut position = vec![0; x.shape.len()];
        kept.iter().zip(p).for_each(|(&axis, &at)| position[axis] = at);
        let elements = Array::from_fn(&inner, |q| {
            axes.iter().zip(q).for_each(|(&axis, &at)| position[axis] = at);
            x.at(&position)
        });
        combine(&elements.data)
    })
}

fn position(v: &[f64], better: fn(&f64, &f64) -> bool) -> f64 {
    let mut best = 0;
    for (i, x) in v.iter().enumerate() {
        if better(x, &v[best]) {
            best = i;
        }
    }
    best as f64
}

fn variance(v: &[f64]) -> f64 {
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (v.len() as f64 - 1.0)
}
