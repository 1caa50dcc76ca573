//! Samples of matrix products and convolutions.

use super::{Array, Kind, Order, Sample, Spec};
use crate::dtype::DType;
use crate::op::Window2d;
use crate::ops::pool::Pool2d;
use crate::tensor::Tensor;

/// The two shapes of a matrix product.
const MATMULS: &[(&[usize], &[usize])] = &[
    (&[3, 4], &[4, 5]),
    (&[1, 1], &[1, 1]),
    (&[2, 3, 4], &[4, 2]),
    (&[2, 3, 4], &[2, 4, 3]),
    (&[2, 1, 3, 2], &[3, 2, 3]),
    (&[4], &[4]),
    (&[4], &[4, 3]),
    (&[2, 3, 4], &[4]),
    (&[3, 0], &[0, 2]),
    (&[0, 3], &[3, 2]),
    (&[67, 129], &[129, 65]),
    (&[1, 300], &[300, 17]),
    (&[130, 3], &[3, 257]),
    (&[17, 1000], &[1000, 1]),
    (&[70_000, 2], &[2, 3]),
];

/// Input and weight of a linear map.
const LINEARS: &[(&[usize], &[usize])] = &[
    (&[3, 4], &[5, 4]),
    (&[4], &[3, 4]),
    (&[2, 3, 4], &[1, 4]),
    (&[2, 1, 3, 5], &[2, 5]),
    (&[2, 0, 3], &[4, 3]),
    (&[2, 3, 0], &[4, 0]),
    (&[5, 29, 67], &[65, 67]),
];

/// Input, weight, window.
const CONVOLUTIONS: &[(&[usize; 4], &[usize; 4], Window2d)] = &[
    (&[2, 2, 5, 4], &[3, 2, 3, 2], window([1, 1], [0, 0], [1, 1], 1)),
    (&[1, 1, 1, 1], &[1, 1, 1, 1], window([1, 1], [0, 0], [1, 1], 1)),
    (&[1, 3, 6, 5], &[2, 3, 3, 3], window([2, 1], [1, 2], [1, 1], 1)),
    (&[1, 2, 7, 6], &[2, 2, 2, 3], window([1, 2], [1, 0], [2, 1], 1)),
    (&[2, 4, 4, 4], &[6, 2, 3, 3], window([1, 1], [1, 1], [1, 1], 2)),
    (&[1, 3, 5, 5], &[3, 1, 3, 3], window([2, 2], [1, 1], [1, 1], 3)),
    (&[0, 2, 4, 4], &[3, 2, 3, 3], window([1, 1], [1, 1], [1, 1], 1)),
    (&[3, 16, 14, 13], &[33, 16, 3, 3], window([1, 1], [1, 1], [1, 1], 1)),
    (&[2, 1, 28, 28], &[16, 1, 3, 3], window([1, 1], [1, 1], [1, 1], 1)),
    (&[2, 5, 40, 9], &[7, 5, 1, 1], window([1, 1], [0, 0], [1, 1], 1)),
];

const fn window(stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2], groups: usize) -> Window2d {
    Window2d { stride, padding, dilation, groups }
}

pub(super) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for &(a, b) in MATMULS {
        let deep = a[a.len() - 1] as f64;
        let inputs = vec![Spec::float(a), Spec::float(b)];
        all.push(
            Sample::new("matmul", inputs, |x| x[0].matmul(&x[1]), |x| matmul(&x[0], &x[1]))
                .tolerance(2e-6 * deep.sqrt().max(1.0)),
        );
    }
    for &(x, weight) in LINEARS {
        let of = |x: &Array, weight: &Array| {
            let turned = Array::from_fn(&[weight.shape[1], weight.shape[0]], |p| weight.at(&[p[1], p[0]]));
            matmul(x, &turned)
        };
        let tolerance = 2e-6 * (weight[1] as f64).sqrt().max(1.0);
        let inputs = vec![Spec::float(x), Spec::float(weight)];
        let run = |x: &[Tensor]| x[0].linear(&x[1], None);
        all.push(Sample::new("linear", inputs, run, move |x| of(&x[0], &x[1])).tolerance(tolerance));
        // Rows that are no rows in memory, and a bias.
        let turned: Vec<usize> = x.iter().rev().copied().collect();
        let inputs = vec![Spec::float(&turned), Spec::float(weight), Spec::float(&weight[..1])];
        let run = |x: &[Tensor]| {
            let axes: Vec<isize> = (0..x[0].try_shape().map_or(0, |shape| shape.len() as isize)).rev().collect();
            x[0].permute(&axes[..]).linear(&x[1], Some(&x[2]))
        };
        let reference = move |x: &[Array]| {
            let sizes: Vec<usize> = x[0].shape.iter().rev().copied().collect();
            let product = of(&Array::from_fn(&sizes, |p| x[0].at(&p.iter().rev().copied().collect::<Vec<_>>())), &x[1]);
            Array::from_fn(&product.shape, |p| product.at(p) + x[2].data[p[p.len() - 1]])
        };
        all.push(Sample::new("linear", inputs, run, reference).tolerance(tolerance));
    }
    let whole = vec![Spec::of(&[5, 9], Kind::Int(-9, 9)), Spec::of(&[9, 3], Kind::Int(-9, 9))];
    all.push(Sample::new("matmul", whole, |x| x[0].matmul(&x[1]), |x| matmul(&x[0], &x[1])).order(Order::None));
    for dtype in [DType::U8, DType::F16, DType::BF16, DType::Bool] {
        // Small whole numbers are the same in all of them.
        let whole = Kind::Int(0, if dtype == DType::Bool { 1 } else { 9 });
        let cast = move |x: &Tensor, like: &Tensor| x.cast(dtype).cast(like.try_dtype().unwrap_or(DType::F32));
        for [a, b] in [[&[17usize, 9], &[9usize, 21]], [&[2, 33], &[33, 1]]] {
            let inputs = vec![Spec::of(a, whole), Spec::float(b)];
            let run = move |x: &[Tensor]| cast(&x[0], &x[1]).matmul(&x[1]);
            all.push(Sample::new("matmul", inputs, run, |x| matmul(&x[0], &x[1])).tolerance(2e-5));
            let inputs = vec![Spec::float(a), Spec::of(b, whole)];
            let run = move |x: &[Tensor]| x[0].matmul(&cast(&x[1].t(), &x[0]).t());
            all.push(Sample::new("matmul", inputs, run, |x| matmul(&x[0], &x[1])).tolerance(2e-5));
        }
        let (input, weight, window) = CONVOLUTIONS[2];
        let inputs = vec![Spec::of(input, whole), Spec::float(weight)];
        let run = move |x: &[Tensor]| cast(&x[0], &x[1]).conv2d(&x[1], window);
        all.push(Sample::new("conv2d", inputs, run, move |x| conv2d(&x[0], &x[1], window)).tolerance(2e-5));
    }
    for &(input, weight, window) in CONVOLUTIONS {
        let inputs = vec![Spec::float(input), Spec::float(weight)];
        let run = move |x: &[Tensor]| x[0].conv2d(&x[1], window);
        all.push(Sample::new("conv2d", inputs, run, move |x| conv2d(&x[0], &x[1], window)).tolerance(2e-5));
    }
    for (shape, pool) in [
        ([1, 2, 4, 6], Pool2d::from(2)),
        ([2, 1, 5, 5], Pool2d { size: [3, 2], stride: [2, 1], padding: [1, 1] }),
        ([3, 16, 28, 27], Pool2d::from(2)),
    ] {
        all.push(Sample::new(
            "max_pool2d",
            vec![Spec::float(&shape)],
            move |x| x[0].max_pool2d(pool),
            move |x| windows(&x[0], pool, f64::NEG_INFINITY, |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ));
        all.push(Sample::new(
            "avg_pool2d",
            vec![Spec::float(&shape)],
            move |x| x[0].avg_pool2d(pool),
            move |x| windows(&x[0], pool, 0.0, |v| v.iter().sum::<f64>() / v.len() as f64),
        ));
    }
    all
}

fn matmul(a: &Array, b: &Array) -> Array {
    // Vectors count as a row on the left and a column on the right, and lose that axis in the result.
    let left = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
    let right = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
    let (a2, b2) = (Array { shape: left, data: a.data.clone() }, Array { shape: right, data: b.data.clone() });
    let (ra, rb) = (a2.shape.len(), b2.shape.len());
    let (m, k, n) = (a2.shape[ra - 2], a2.shape[ra - 1], b2.shape[rb - 1]);
    let batch =
        crate::Shape::from(&a2.shape[..ra - 2]).broadcast(&crate::Shape::from(&b2.shape[..rb - 2])).unwrap_or_default();
    let shape: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
    let at = |x: &Array, batch: &[usize], i: usize, j: usize| {
        let own = x.shape.len() - 2;
        let position: Vec<usize> = batch[batch.len() - own..].iter().copied().chain([i, j]).collect();
        x.at(&position)
    };
    let product = Array::from_fn(&shape, |p| {
        let (batch, [i, j]) = p.split_at(p.len() - 2) else { return f64::NAN };
        (0..k).map(|l| at(&a2, batch, *i, l) * at(&b2, batch, l, *j)).sum()
    });
    let mut shape = product.shape;
    if b.shape.len() == 1 {
        shape.pop();
    }
    if a.shape.len() == 1 {
        shape.remove(shape.len() - 1 - usize::from(b.shape.len() != 1));
    }
    Array { shape, data: product.data }
}

fn conv2d(x: &Array, w: &Array, window: Window2d) -> Array {
    let (o, per_group, kh, kw) = (w.shape[0], w.shape[1], w.shape[2], w.shape[3]);
    let (h, width) = (x.shape[2], x.shape[3]);
    let shape = [x.shape[0], o, window.output(0, h, kh), window.output(1, width, kw)];
    Array::from_fn(&shape, |p| {
        let first = p[1] / (o / window.groups) * per_group;
        let mut sum = 0.0;
        for c in 0..per_group {
            for i in 0..kh {
                for j in 0..kw {
                    let row = (p[2] * window.stride[0] + i * window.dilation[0]).wrapping_sub(window.padding[0]);
                    let column = (p[3] * window.stride[1] + j * window.dilation[1]).wrapping_sub(window.padding[1]);
                    if row < h && column < width {
                        sum +=
                            x.at(&[p[0], first + c, row, column]) * w.data[((p[1] * per_group + c) * kh + i) * kw + j];
                    }
                }
            }
        }
        sum
    })
}

fn windows(x: &Array, pool: Pool2d, padding: f64, combine: fn(&[f64]) -> f64) -> Array {
    let (h, w) = (x.shape[2], x.shape[3]);
    let out = |i: usize, size: usize| (size + 2 * pool.padding[i] - pool.size[i]) / pool.stride[i] + 1;
    Array::from_fn(&[x.shape[0], x.shape[1], out(0, h), out(1, w)], |p| {
        let element = Array::from_fn(&pool.size, |q| {
            let row = (p[2] * pool.stride[0] + q[0]).wrapping_sub(pool.padding[0]);
            let column = (p[3] * pool.stride[1] + q[1]).wrapping_sub(pool.padding[1]);
            if row < h && column < w { x.at(&[p[0], p[1], row, column]) } else { padding }
        });
        combine(&element.data)
    })
}
