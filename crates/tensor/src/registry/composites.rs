//! Samples of functions that are composed of others.

use super::{Array, Order, Sample, Spec};
use crate::tensor::Tensor;

pub(super) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for shape in [&[3, 5][..], &[1, 1], &[2, 3, 4], &[7, 1025]] {
        all.push(Sample::new(
            "softmax",
            vec![Spec::float(shape)],
            |x| x[0].softmax(-1),
            |x| {
                rows(&x[0], |row| {
                    let total = log_sum_exp(row);
                    row.iter().map(|v| (v - total).exp()).collect()
                })
            },
        ));
        all.push(Sample::new(
            "log_softmax",
            vec![Spec::float(shape)],
            |x| x[0].log_softmax(-1),
            |x| {
                rows(&x[0], |row| {
                    let total = log_sum_exp(row);
                    row.iter().map(|v| v - total).collect()
                })
            },
        ));
    }
    // Over the last axes, from the first given one on.
    for (shape, first) in [(&[4, 6][..], 1), (&[2, 3, 4], 1), (&[2, 3], 0), (&[3, 1], 1), (&[2, 1025], 1)] {
        all.push(Sample::new(
            "standardize",
            vec![Spec::float(shape)],
            move |x| x[0].standardize(first.., 0.05),
            move |x| {
                let length = shape[first..].iter().product();
                let data = x[0].data.chunks(length).flat_map(standardized).collect();
                Array { shape: shape.to_vec(), data }
            },
        ));
    }
    all.push(Sample::new(
        "standardize",
        vec![Spec::float(&[5, 3])],
        |x| x[0].standardize(0, 0.05).t(),
        |x| {
            let column = |c: usize| standardized(&(0..5).map(|r| x[0].data[3 * r + c]).collect::<Vec<_>>());
            Array { shape: vec![3, 5], data: (0..3).flat_map(column).collect() }
        },
    ));
    all.push(
        Sample::new(
            "logsumexp",
            vec![Spec::within(&[3, 4], -200.0, 200.0)],
            |x| x[0].logsumexp(-1),
            |x| Array { shape: vec![3], data: x[0].data.chunks(4).map(log_sum_exp).collect() },
        )
        .order(Order::First),
    );
    all.push(Sample::new(
        "cross_entropy",
        vec![Spec::float(&[6, 5]), Spec::index(&[6], 5)],
        |x| x[0].cross_entropy(&x[1]),
        |x| {
            let losses =
                x[0].data.chunks(5).zip(&x[1].data).map(|(row, &label)| log_sum_exp(row) - row[label as usize]);
            scalar(losses.sum::<f64>() / 6.0)
        },
    ));
    for (op, run, pointwise) in ACTIVATIONS {
        all.push(Sample::new(op, vec![Spec::within(&[5, 9], -4.0, 4.0)], |x| run(&x[0]), |x| x[0].map(*pointwise)));
    }
    for (op, run, pointwise) in LOSSES {
        let inputs = vec![Spec::within(&[4, 3], 0.05, 0.95), Spec::within(&[4, 3], 0.05, 0.95)];
        all.push(Sample::new(
            op,
            inputs,
            |x| run(&x[0], &x[1]),
            |x| {
                let sum: f64 = x[0].data.iter().zip(&x[1].data).map(|(&a, &b)| pointwise(a, b)).sum();
                scalar(sum / x[0].data.len() as f64)
            },
        ));
    }
    all
}

type Activation = (&'static str, fn(&Tensor) -> Tensor, fn(f64) -> f64);

static ACTIVATIONS: &[Activation] = &[
    ("gelu", Tensor::gelu, |x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))),
    ("gelu_tanh", Tensor::gelu_tanh, |x| {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
    }),
    ("silu", Tensor::silu, |x| x / (1.0 + (-x).exp())),
    ("leaky_relu", |x| x.leaky_relu(0.1), |x| if x > 0.0 { x } else { 0.1 * x }),
    ("elu", |x| x.elu(1.5), |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() }),
    ("softplus", Tensor::softplus, |x| x.exp().ln_1p()),
    ("log_sigmoid", Tensor::log_sigmoid, |x| -(-x).exp().ln_1p()),
    ("relu6", |x| (x * 2.0).relu6(), |x| (2.0 * x).clamp(0.0, 6.0)),
    ("hardsigmoid", Tensor::hardsigmoid, |x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
    ("mish", Tensor::mish, |x| x * x.exp().ln_1p().tanh()),
];

type Loss = (&'static str, fn(&Tensor, &Tensor) -> Tensor, fn(f64, f64) -> f64);

static LOSSES: &[Loss] = &[
    ("mse_loss", Tensor::mse_loss, |a, b| (a - b).powi(2)),
    ("l1_loss", Tensor::l1_loss, |a, b| (a - b).abs()),
    ("bce_loss", Tensor::bce_loss, |p, t| -(t * p.ln() + (1.0 - t) * (1.0 - p).ln())),
    ("bce_with_logits_loss", Tensor::bce_with_logits_loss, |x, t| x.exp().ln_1p() - x * t),
];

fn scalar(value: f64) -> Array {
    Array { shape: Vec::new(), data: vec![value] }
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::MIN, f64::max);
    largest + row.iter().map(|v| (v - largest).exp()).sum::<f64>().ln()
}

/// Less the mean, over the root of the variance and 0.05.
fn standardized(row: &[f64]) -> Vec<f64> {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row.len() as f64;
    row.iter().map(|v| (v - mean) / (var + 0.05).sqrt()).collect()
}

fn rows(x: &Array, f: impl Fn(&[f64]) -> Vec<f64>) -> Array {
    let length = x.shape.last().copied().unwrap_or(1);
    Array { shape: x.shape.clone(), data: x.data.chunks(length).flat_map(f).collect() }
}
