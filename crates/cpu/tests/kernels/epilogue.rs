//! Programs after matrix products and convolutions.

use crate::harness::{Code, Input, Made, Probe, Random, assert_near, op, run, run_one};
use wgrad_tensor::dtype::{DType, Element};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::op::{Map, Meta, Window2d};
use wgrad_tensor::ops::table;

/// `z = product + bias`, and `z sigmoid(1.702 z) + residual`; the operands are those after the op's two.
fn activated(shape: &[usize], probe: Probe) -> impl Fn() -> Made + use<> {
    let mut code = Code::new(shape, 0);
    let product = code.product(DType::F32);
    let bias = code.load(2, DType::F32);
    let z = code.row(&table::ADD, &[product, bias]);
    let slope = code.constant(1.702, DType::F32);
    let steep = code.row(&table::MUL, &[z, slope]);
    let gate = code.row(&table::SIGMOID, &[steep]);
    let gated = code.row(&table::MUL, &[z, gate]);
    let residual = code.load(3, DType::F32);
    let y = code.row(&table::ADD, &[gated, residual]);
    code.after(probe, &[y, z])
}

/// Checks both results against the op's own, which other tests check.
fn check(random: &mut Random, probe: &Probe, operands: [Input; 2], shape: &[usize], bias: &Input) {
    let product = run_one::<f32>(op(probe.clone(), &[]), &operands, shape);
    let residual = Input::new(&random.floats(product.len()), shape);
    let [a, b] = operands;
    let inputs = [a, b, bias.clone(), residual.clone()];
    let outputs = [Meta::new(shape, DType::F32), Meta::new(shape, DType::F32)];
    let found = run(activated(shape, probe.clone()), &inputs, &outputs).unwrap();
    let sums = product.iter().zip(bias.seen::<f32>()).map(|(x, b)| f64::from(*x) + f64::from(b));
    let z: Vec<f64> = sums.collect();
    let scale: Vec<f64> = z.iter().zip(&product).map(|(z, &x)| z.abs() + f64::from(x.abs()) + 2.0).collect();
    assert_near(&f32::from_bytes(&found[1]), &z, &scale, 1e-5);
    let y = z.iter().zip(residual.seen::<f32>()).map(|(z, r)| z / (1.0 + (-1.702 * z).exp()) + f64::from(r));
    assert_near(&f32::from_bytes(&found[0]), &y.collect::<Vec<_>>(), &scale, 1e-5);
}

#[test]
fn after_matrix_products() {
    let mut random = Random::new();
    for (batch, [m, k, n]) in [
        (&[][..], [1, 1, 1]),
        (&[], [3, 5, 7]),
        (&[], [70, 300, 1]),
        (&[], [300, 310, 290]),
        (&[], [5000, 20, 130]),
        (&[], [40, 600, 3000]),
        (&[5], [17, 33, 9]),
        (&[200], [8, 8, 8]),
        (&[2, 2], [400, 200, 300]),
        (&[3], [0, 4, 5]),
        (&[2], [3, 0, 5]),
    ] {
        let (left, right, shape) = ([batch, &[m, k]].concat(), [batch, &[k, n]].concat(), [batch, &[m, n]].concat());
        let mut input = |shape: &[usize]| Input::new(&random.floats(shape.iter().product()), shape);
        let operands = [input(&left), input(&right)];
        let mut strides = vec![0; shape.len()];
        strides[shape.len() - 1] = 1;
        let bias = input(&[n]).window(&*shape, &strides, 0);
        check(&mut random, &Probe::Matmul, operands, &shape, &bias);
    }
}

/// One right matrix for a stack of left ones: the product is cut where it likes, the program must not notice.
#[test]
fn after_a_product_with_a_shared_matrix() {
    let mut random = Random::new();
    let [batch, m, k, n] = [30, 37, 64, 200];
    let left = Input::new(&random.floats(batch * m * k), [batch, m, k]);
    let right = Input::new(&random.floats(k * n), [k * n]).window([batch, k, n], &[0, n as isize, 1], 0);
    // A bias for each row of each matrix, backwards.
    let bias = Input::new(&random.floats(m), [m]).window([batch, m, n], &[0, -1, 0], m - 1);
    check(&mut random, &Probe::Matmul, [left, right], &[batch, m, n], &bias);
}

#[test]
fn after_convolutions_and_their_gradients() {
    let mut random = Random::new();
    let window = Window2d { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    for (batch, c, o, size, groups) in [(3, 4, 6, 9, 2), (1, 3, 70, 30, 1), (20, 16, 8, 14, 1)] {
        let window = Window2d { groups, ..window };
        let shapes = [[batch, o, size, size], [batch, c, size, size], [o, c / groups, 3, 3]];
        let data = shapes.map(|shape| Input::new(&random.floats(shape.iter().product()), shape));
        let [output, input, weight] = data;
        for (probe, operands, shape) in [
            (Probe::Conv2d(window), [input.clone(), weight.clone()], shapes[0]),
            (Probe::Conv2dInput(window), [output.clone(), weight], shapes[1]),
            (Probe::Conv2dWeight(window), [output, input], shapes[2]),
        ] {
            let bias = Input::new(&random.floats(shape[1]), [shape[1]]).window(shape, &[0, 1, 0, 0], 0);
            check(&mut random, &probe, operands, &shape, &bias);
        }
    }
}

/// Whole numbers, with a cast, so that the results have other dtypes than the product.
#[test]
fn after_products_of_other_dtypes() {
    let mut random = Random::new();
    let [m, k, n] = [90, 40, 500];
    let [a, b] = [m * k, k * n].map(|count| random.words(count).iter().map(|x| x % 1000).collect::<Vec<_>>());
    let mut code = Code::new(&[m, n], 0);
    let product = code.product(DType::U32);
    let more = code.map(Map::Row(&table::ADD), &[product, product], DType::U32);
    let wide = code.map(Map::Cast, &[more], DType::F64);
    let outputs = [DType::F64, DType::U32].map(|dtype| Meta::new([m, n], dtype));
    let inputs = [Input::new(&a, [m, k]), Input::new(&b, [k, n])];
    let found = run(code.after(Probe::Matmul, &[wide, product]), &inputs, &outputs).unwrap();
    let exact: Vec<u32> =
        (0..m * n).map(|i| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).fold(0, u32::wrapping_add)).collect();
    assert_eq!(u32::from_bytes(&found[1]), exact);
    assert_eq!(f64::from_bytes(&found[0]), exact.iter().map(|x| f64::from(x.wrapping_mul(2))).collect::<Vec<_>>());
}

/// Operands of other dtypes than the product are cast on the way in: windows, and what is repeated, too.
#[test]
fn operands_are_cast_on_the_way_in() {
    let mut random = Random::new();
    let (m, k, n) = (33, 20, 17);
    let a: Vec<u8> = (0..m * k).map(|_| random.below(256) as u8).collect();
    let b: Vec<f32> = random.floats(2 * k * n);
    let (mut code, shape) = (Code::new(&[2, m, n], 0), [2, m, n]);
    let product = code.product(DType::F64);
    let more = code.map(Map::Row(&table::ADD), &[product, product], DType::F64);
    // The same left matrix for both products, and the right ones the other way round.
    let left = Input::new(&a, [m, k]).window([2, m, k], &[0, k as isize, 1], 0);
    let right = Input::new(&b, [2, n, k]).window([2, k, n], &[(n * k) as isize, 1, k as isize], 0);
    let found = run(code.after(Probe::Matmul, &[more]), &[left, right], &[Meta::new(shape, DType::F64)]).unwrap();
    let exact = (0..2 * m * n).map(|i| {
        let (batch, row, column) = (i / (m * n), i / n % m, i % n);
        let term = |j: usize| f64::from(a[row * k + j]) * f64::from(b[(batch * n + column) * k + j]);
        2.0 * (0..k).map(term).sum::<f64>()
    });
    for (found, exact) in f64::from_bytes(&found[0]).into_iter().zip(exact) {
        assert!((found - exact).abs() <= 1e-9 * exact.abs().max(1.0), "{found} for {exact}");
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let inputs = [Input::new(&[1f32; 6], [2, 3]), Input::new(&[1f32; 6], [3, 2])];
    let output = [Meta::new([2, 2], DType::Bool)];
    let mut code = Code::new(&[2, 2], 0);
    let product = code.product(DType::Bool);
    let error = run(code.after(Probe::Matmul, &[product]), &inputs, &output).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "a product in a dtype without arithmetic");
    let mut code = Code::new(&[4], 0);
    let product = code.product(DType::F32);
    let error = run(code.after(Probe::Cat(0), &[product]), &inputs, &[Meta::new([4], DType::F32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value, "an op that no program follows");
}
