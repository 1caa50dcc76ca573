//! Matrix products.

use crate::harness::{Input, Probe, Random, assert_near, op, run, run_one, windows};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::op::Meta;

/// The exact product, and the product of the magnitudes.
fn exact(batch: usize, [m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut out = (vec![0.0; batch * m * n], vec![0.0; batch * m * n]);
    for i in 0..batch * m {
        for l in 0..k {
            for j in 0..n {
                let term = a[i * k + l] * b[(i / m * k + l) * n + j];
                out.0[i * n + j] += term;
                out.1[i * n + j] += term.abs();
            }
        }
    }
    out
}

#[test]
fn products_of_every_window() {
    let mut random = Random::new();
    let cases = [
        (&[][..], [1, 1, 1]),
        (&[], [3, 5, 7]),
        (&[], [1, 300, 70]),
        (&[], [70, 300, 1]),
        (&[], [130, 257, 65]),
        (&[], [64, 784, 128]),
        (&[5], [17, 33, 9]),
        (&[3, 4], [40, 50, 60]),
        (&[200], [8, 8, 8]),
        (&[2, 1, 3], [1, 20, 31]),
        (&[], [4, 2, 4]),
        (&[7], [33, 1, 5]),
        (&[], [300, 310, 290]),
    ];
    for (batch, [m, k, n]) in cases {
        let count = batch.iter().product();
        let (left, right) = ([batch, &[m, k]].concat(), [batch, &[k, n]].concat());
        for (a, b) in windows(&mut random, &left).into_iter().zip(windows(&mut random, &right).into_iter().rev()) {
            let a = Input::new(&random.floats(a.3), [a.3]).window(a.0, &a.1, a.2);
            let b = Input::new(&random.floats(b.3), [b.3]).window(b.0, &b.1, b.2);
            let wide = |x: &Input| x.seen::<f32>().iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (exact, scale) = exact(count, [m, k, n], &wide(&a), &wide(&b));
            let found = run_one::<f32>(op(Probe::Matmul, &[]), &[a, b], &[batch, &[m, n]].concat());
            assert_near(&found, &exact, &scale, 1.2e-7 * k.max(2) as f64);
        }
    }
}

/// One right matrix for all: the left ones are a tall matrix.
#[test]
fn a_shared_right_matrix() {
    let mut random = Random::new();
    let (batch, [m, k, n]) = (6, [10, 64, 40]);
    let (a, b) = (random.floats(batch * m * k), random.floats(k * n));
    let repeated: Vec<f64> = (0..batch).flat_map(|_| b.iter().map(|&x| f64::from(x))).collect();
    let wide: Vec<f64> = a.iter().map(|&x| f64::from(x)).collect();
    let (exact, scale) = exact(batch, [m, k, n], &wide, &repeated);
    let inputs =
        [Input::new(&a, [2, 3, m, k]), Input::new(&b, [k * n]).window([2, 3, k, n], &[0, 0, n as isize, 1], 0)];
    assert_near(&run_one::<f32>(op(Probe::Matmul, &[]), &inputs, &[2, 3, m, n]), &exact, &scale, 2e-6);
}

#[test]
fn nothing_to_sum_is_zero() {
    for (left, right, out) in [([3, 0], [0, 4], [3, 4]), ([0, 3], [3, 4], [0, 4]), ([2, 3], [3, 0], [2, 0])] {
        let (a, b) = (vec![1f32; left[0] * left[1]], vec![1f32; right[0] * right[1]]);
        let found = run_one::<f32>(op(Probe::Matmul, &[]), &[Input::new(&a, left), Input::new(&b, right)], &out);
        assert_eq!(found, vec![0.0; out[0] * out[1]]);
    }
}

#[test]
fn doubles_and_whole_numbers() {
    let mut random = Random::new();
    let (batch, [m, k, n]) = (3, [31, 45, 22]);
    let (a, b) = (random.doubles(batch * m * k), random.doubles(batch * k * n));
    let (exact, _) = exact(batch, [m, k, n], &a, &b);
    let found = run_one::<f64>(
        op(Probe::Matmul, &[]),
        &[Input::new(&a, [batch, m, k]), Input::new(&b, [batch, k, n])],
        &[batch, m, n],
    );
    assert!(found.iter().zip(&exact).all(|(found, exact)| (found - exact).abs() < 1e-12));
    for (shape_a, shape_b) in [([batch, m, k], [batch, k, n]), ([1, 200, 300], [1, 300, 70])] {
        let a = random.words(shape_a.iter().product());
        let [_, m, k] = shape_a;
        let n = shape_b[2];
        let b = random.words(shape_b.iter().product());
        let inputs = [Input::new(&a, shape_a), Input::new(&b, shape_b)];
        let found = run_one::<u32>(op(Probe::Matmul, &[]), &inputs, &[shape_a[0], m, n]);
        for (i, &found) in found.iter().enumerate() {
            let (row, column) = (i / n, i % n);
            let exact = (0..k)
                .fold(0u32, |sum, l| sum.wrapping_add(a[row * k + l].wrapping_mul(b[(row / m * k + l) * n + column])));
            assert_eq!(found, exact);
        }
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let a = Input::new(&[1u8; 4], [2, 2]);
    let error = run(op(Probe::Matmul, &[]), &[a.clone(), a], &[Meta::new([2, 2], DType::U8)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let (a, b) = (Input::new(&[1f32; 4], [2, 2]), Input::new(&[1f32; 6], [3, 2]));
    let error = run(op(Probe::Matmul, &[]), &[a, b], &[Meta::new([2, 2], DType::F32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
}
