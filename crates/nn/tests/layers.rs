//! Every layer against its formula in double precision.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod common;

use common::{assert_close, device, mean, parameter, random, values, variance};
use wgrad_nn::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Layer, LayerNorm, Linear, MaxPool2d,
    Module, Sequential,
};
use wgrad_tensor::{DType, ErrorKind, Tensor};

#[test]
fn linear() {
    let device = device();
    for (rows, with_bias) in [(5, true), (1, false)] {
        let layer = Linear::new(7, 3, &device);
        let layer = if with_bias { layer } else { layer.without_bias() };
        let x = random(&[2, rows, 7], &device);
        let (w, b) = (parameter(&layer.weight), layer.bias.as_ref().map_or(vec![0.0; 3], parameter));
        let rows: Vec<f64> = values(&x)
            .chunks(7)
            .flat_map(|row| {
                (0..3).map(|o| b[o] + (0..7).map(|i| row[i] * w[o * 7 + i]).sum::<f64>()).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&values(&layer.forward(&x)), &rows);
    }
    assert_eq!(&Linear::new(4, 2, &device).forward(&random(&[4], &device)).shape()[..], [2]);
}

#[test]
fn conv2d_with_every_option() {
    let device = device();
    let layer = Conv2d::grouped(4, 6, [3, 2], 2, &device).stride([2, 1]).padding([1, 2]).dilation([1, 2]);
    let (h, w) = (7_isize, 5_isize);
    let x = random(&[2, 4, h as usize, w as usize], &device);
    let (xs, weight) = (values(&x), parameter(&layer.weight));
    let bias = parameter(layer.bias.as_ref().unwrap());
    let (oh, ow) = ((7 + 2 - 2 - 1) / 2 + 1, (5 + 4 - 2 - 1) + 1);
    let mut expected = Vec::new();
    for n in 0..2 {
        for o in 0..6 {
            for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                let mut sum = bias[o];
                for (c, kh, kw) in (0..2).flat_map(|c| (0..3).flat_map(move |a| (0..2).map(move |b| (c, a, b)))) {
                    let (row, column) = (i * 2 + kh - 1, j + kw * 2 - 2);
                    if (0..h).contains(&row) && (0..w).contains(&column) {
                        let channel = (o / 3) * 2 + c;
                        let at = ((n * 4 + channel) as isize * h + row) * w + column;
                        sum += xs[at as usize] * weight[((o * 2 + c) * 3 + kh as usize) * 2 + kw as usize];
                    }
                }
                expected.push(sum);
            }
        }
    }
    let y = layer.forward(&x);
    assert_eq!(&y.shape()[..], [2, 6, oh as usize, ow as usize]);
    assert_close(&values(&y), &expected);
}

#[test]
fn pooling_with_padding() {
    let device = device();
    let x = random(&[1, 2, 5, 4], &device);
    let xs = values(&x);
    let (mut largest, mut average) = (Vec::new(), Vec::new());
    for c in 0..2 {
        for (i, j) in (0..3_isize).flat_map(|i| (0..2_isize).map(move |j| (i, j))) {
            let window = (0..3_isize).flat_map(|a| (0..3_isize).map(move |b| (i * 2 + a - 1, j * 2 + b - 1)));
            let inside = window.filter(|&(r, k)| (0..5).contains(&r) && (0..4).contains(&k));
            let numbers: Vec<f64> = inside.map(|(r, k)| xs[((c * 5 + r) * 4 + k) as usize]).collect();
            largest.push(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            average.push(numbers.iter().sum::<f64>() / 9.0);
        }
    }
    assert_close(&values(&MaxPool2d::new(3).stride(2).padding(1).forward(&x)), &largest);
    assert_close(&values(&AvgPool2d::new(3).stride(2).padding(1).forward(&x)), &average);
    assert_eq!(&MaxPool2d::new((2, 4)).forward(&x).shape()[..], [1, 2, 2, 1]);
}

/// The numbers of each channel of `[n, c, h w]`.
fn by_channel(xs: &[f64], c: usize, inner: usize) -> Vec<Vec<f64>> {
    let channel = |i: usize| xs.chunks(inner).skip(i).step_by(c).flatten().copied().collect();
    (0..c).map(channel).collect()
}

#[test]
fn batch_norm_in_training_and_in_evaluation() {
    let device = device();
    let norm = BatchNorm2d::new(3, &device);
    norm.weight.as_ref().unwrap().set(Tensor::new([1.5f32, -2.0, 0.5], &device)).unwrap();
    norm.bias.as_ref().unwrap().set(Tensor::new([0.1f32, 0.2, 0.3], &device)).unwrap();
    let (weight, bias) = ([1.5, -2.0, 0.5], [0.1f32, 0.2, 0.3].map(f64::from));
    let (mut running_mean, mut running_var) = ([0.0; 3], [1.0; 3]);

    let expected = |x: &[f64], mean: &dyn Fn(usize) -> f64, var: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let one = |(at, x): (usize, &f64)| {
            let c = at / 20 % 3;
            (x - mean(c)) / (var(c) + 1e-5).sqrt() * weight[c] + bias[c]
        };
        x.iter().enumerate().map(one).collect()
    };
    for _ in 0..3 {
        let x = random(&[4, 3, 4, 5], &device) * 3.0 + 2.0;
        let (y, xs) = (norm.forward(&x), values(&x));
        let channels = by_channel(&xs, 3, 20);
        assert_close(&values(&y), &expected(&xs, &|c| mean(&channels[c]), &|c| variance(&channels[c], 0.0)));
        for c in 0..3 {
            running_mean[c] = 0.9 * running_mean[c] + 0.1 * mean(&channels[c]);
            running_var[c] = 0.9 * running_var[c] + 0.1 * variance(&channels[c], 1.0);
        }
        assert_close(&values(&norm.running_mean.tensor()), &running_mean);
        assert_close(&values(&norm.running_var.tensor()), &running_var);
    }
    norm.eval();
    let x = random(&[1, 3, 4, 5], &device);
    assert_close(&values(&norm.forward(&x)), &expected(&values(&x), &|c| running_mean[c], &|c| running_var[c]));
    assert_close(&values(&norm.running_mean.tensor()), &running_mean);
    assert!(!norm.running_mean.tensor().is_tracked());
}

#[test]
fn layer_norm_over_several_axes() {
    let device = device();
    let norm = LayerNorm::new([2, 3], &device);
    norm.weight.as_ref().unwrap().set(random(&[2, 3], &device)).unwrap();
    norm.bias.as_ref().unwrap().set(random(&[2, 3], &device)).unwrap();
    let (w, b) = (parameter(norm.weight.as_ref().unwrap()), parameter(norm.bias.as_ref().unwrap()));
    let x = random(&[4, 5, 2, 3], &device) * 2.0 + 1.0;
    let normal = |x: &[f64]| -> Vec<f64> {
        let (mean, root) = (mean(x), (variance(x, 0.0) + 1e-5).sqrt());
        x.iter().map(|x| (x - mean) / root).collect()
    };
    let plain: Vec<f64> = values(&x).chunks(6).flat_map(normal).collect();
    let scaled: Vec<f64> = plain.iter().enumerate().map(|(i, x)| x * w[i % 6] + b[i % 6]).collect();
    assert_close(&values(&norm.forward(&x)), &scaled);
    assert_close(&values(&norm.without_affine().forward(&x)), &plain);
}

#[test]
fn dropout_keeps_the_mean_and_follows_the_seed() {
    let device = device();
    let dropout = Dropout::new(0.3);
    let x = random(&[100, 200], &device) + 5.0;
    let xs = values(&x);
    let run = || values(&dropout.forward(&x));
    device.manual_seed(1);
    let (first, second) = (run(), run());
    for (y, x) in first.iter().zip(&xs) {
        assert!(*y == 0.0 || (y - x / 0.7).abs() < 1e-5);
    }
    let zeros = first.iter().filter(|y| **y == 0.0).count() as f64 / first.len() as f64;
    assert!((zeros - 0.3).abs() < 0.01, "{zeros}");
    assert!((mean(&first) - mean(&xs)).abs() < 0.1);
    assert_ne!(first, second);
    device.manual_seed(1);
    assert_eq!([run(), run()], [first, second]);
    dropout.eval();
    assert_eq!(run(), xs);
    assert_eq!(values(&Dropout::new(0.0).forward(&x)), xs);
    assert!(values(&Dropout::new(1.0).forward(&x)).iter().all(|y| *y == 0.0));
}

#[test]
fn embedding_picks_rows() {
    let device = device();
    let layer = Embedding::new(5, 3, &device);
    let rows = parameter(&layer.weight);
    let expected: Vec<f64> = [4, 0, 4, 1].iter().flat_map(|&i| rows[i * 3..i * 3 + 3].to_vec()).collect();
    let y = layer.forward(&Tensor::new([[4u32, 0], [4, 1]], &device));
    assert_eq!((&y.shape()[..], values(&y)), (&[2, 2, 3][..], expected));
    let far = layer.forward(&Tensor::new([5u32], &device));
    assert_eq!(far.to_vec::<f32>().unwrap_err().kind(), ErrorKind::Index);
}

#[test]
fn a_sequence_is_its_layers_in_order() {
    let device = device();
    let layers = Sequential::new().then(Activation::Tanh).then(Flatten::new()).then(Linear::new(6, 2, &device));
    let x = random(&[4, 2, 3], &device);
    let Some(last) = layers.layers().last() else { unreachable!() };
    assert_eq!(values(&layers.forward(&x)), values(&last.forward(&x.tanh().flatten(1..))));
    assert_eq!(values(&Sequential::new().forward(&x)), values(&x));
}

#[test]
fn activations_are_their_formulas() {
    let device = device();
    let x = random(&[50], &device) * 3.0;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| (1.0 + x.exp()).ln();
    let formulas: [(Activation, &dyn Fn(f64) -> f64); 8] = [
        (Activation::Relu, &|x| x.max(0.0)),
        (Activation::LeakyRelu(0.2), &|x| if x > 0.0 { x } else { 0.2 * x }),
        (Activation::Elu(1.5), &|x| if x > 0.0 { x } else { 1.5 * (x.exp() - 1.0) }),
        (Activation::Silu, &|x| x * sigmoid(x)),
        (Activation::Mish, &|x| x * softplus(x).tanh()),
        (Activation::Softplus, &softplus),
        (Activation::Sigmoid, &sigmoid),
        (Activation::Tanh, &f64::tanh),
    ];
    for (activation, formula) in formulas {
        let expected: Vec<f64> = values(&x).into_iter().map(formula).collect();
        assert_close(&values(&activation.forward(&x)), &expected);
    }
    let total: f64 = values(&x).iter().map(|x| x.exp()).sum();
    let expected: Vec<f64> = values(&x).iter().map(|x| x.exp() / total).collect();
    assert_close(&values(&Activation::Softmax(0).forward(&x)), &expected);
    let both = [Activation::Gelu, Activation::GeluTanh].map(|gelu| values(&gelu.forward(&x)));
    assert!(both[0].iter().zip(&both[1]).all(|(a, b)| (a - b).abs() < 2e-3));
}

#[test]
fn parameters_start_as_in_pytorch() {
    let device = device();
    let uniform = |xs: &[f64], bound: f64| {
        assert!(xs.iter().all(|x| x.abs() <= bound));
        let expected = bound * bound / 3.0;
        assert!((variance(xs, 0.0) / expected - 1.0).abs() < 0.1 && mean(xs).abs() < 0.1 * bound);
    };
    let linear = Linear::new(100, 500, &device);
    uniform(&parameter(&linear.weight), 0.1);
    uniform(&parameter(linear.bias.as_ref().unwrap()), 0.1);
    let conv = Conv2d::grouped(8, 500, [5, 5], 2, &device);
    uniform(&parameter(&conv.weight), 0.1);
    uniform(&parameter(conv.bias.as_ref().unwrap()), 0.1);
    let rows = parameter(&Embedding::new(100, 100, &device).weight);
    assert!(mean(&rows).abs() < 0.05 && (variance(&rows, 0.0) - 1.0).abs() < 0.05);
}

#[test]
fn initialisers_have_the_variance_they_promise() {
    use wgrad_nn::init;
    let device = device();
    // Fan-in 200, fan-out 300.
    let (shape, gain) = ([60, 40, 5], 2.0_f64.sqrt());
    let check = |tensor: Tensor, expected: f64| {
        let found = variance(&values(&tensor), 0.0);
        assert!((found / expected - 1.0).abs() < 0.05, "{found}, not {expected}");
    };
    check(init::kaiming_uniform(shape, gain, DType::F32, &device), 2.0 / 200.0);
    check(init::kaiming_normal(shape, gain, DType::F32, &device), 2.0 / 200.0);
    check(init::xavier_uniform(shape, 1.0, DType::F32, &device), 2.0 / 500.0);
    check(init::xavier_normal(shape, 1.0, DType::F32, &device), 2.0 / 500.0);
    check(init::uniform(shape, 1.0, 3.0, DType::F32, &device), 1.0 / 3.0);
    check(init::normal(shape, 1.0, 3.0, DType::F32, &device), 9.0);
    assert_eq!(values(&init::constant(2, 0.5, DType::F32, &device)), [0.5, 0.5]);
}
