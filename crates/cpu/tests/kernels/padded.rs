//! Windows that reach beyond their values.

use crate::harness::{Code, Input, Probe, Random, op, run, run_one};
use half::f16;
use std::slice::from_ref;
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Extreme, Meta, Reduction};
use wgrad_tensor::ops::table;
use wgrad_tensor::shape::Shape;

/// A random view of a window.
fn viewed(x: Input, random: &mut Random) -> Input {
    let (shape, axis) = (x.shape().clone(), random.below(x.shape().len()));
    let along = |layout: &Layout, size: usize, factor: isize, start: usize| {
        let mut seen = Layout { shape: shape.with(axis, size), ..layout.clone() };
        seen.strides[axis] *= factor;
        seen.offset = seen.offset.checked_add_signed(start as isize * layout.strides[axis]).unwrap();
        seen
    };
    let start = random.below(shape[axis]);
    let (size, step) = (1 + random.below(shape[axis] - start), 1 + random.below(2));
    match random.below(5) {
        0 => x.through(|layout| along(layout, shape[axis], -1, shape[axis] - 1)),
        1 => x.through(|layout| along(layout, size.div_ceil(step), step as isize, start)),
        2 => {
            let order: Vec<usize> = (0..shape.len()).map(|i| (i + 1) % shape.len()).collect();
            x.through(|layout| Layout {
                shape: order.iter().map(|&axis| layout.shape[axis]).collect(),
                strides: order.iter().map(|&axis| layout.strides[axis]).collect(),
                offset: layout.offset,
            })
        }
        3 if shape.len() < 5 => {
            let more: Shape = [3].into_iter().chain(shape.iter().copied()).collect();
            x.through(|layout| layout.expanded(&more))
        }
        // Windows of two that overlap.
        _ if shape[axis] > 1 && shape.len() < 5 => x.through(|layout| {
            let mut seen = along(layout, shape[axis] - 1, 1, 0);
            seen.shape = seen.shape.iter().copied().chain([2]).collect();
            seen.strides.push(layout.strides[axis]);
            seen
        }),
        _ => x,
    }
}

/// A value with numbers around it, once or twice, through random views; the numbers are the first two.
fn random_input<T: Element>(random: &mut Random, values: fn(&mut Random, usize) -> Vec<T>) -> Input {
    let rank = 1 + random.below(4);
    let shape: Vec<usize> = (0..rank).map(|_| [1, 2, 3, 5, 8, 40][random.below(6)]).collect();
    let values = values(random, shape.iter().product());
    let mut x = Input::new(&values, &shape[..]);
    for number in 0..1 + random.below(2) {
        let amounts: Vec<(usize, usize)> = (0..rank).map(|_| (random.below(4), random.below(4))).collect();
        x = x.padded(&amounts, number);
    }
    for _ in 0..random.below(4) {
        x = viewed(x, random);
    }
    x
}

#[test]
fn copies_of_padded_windows() {
    let mut random = Random::new();
    let copy = |x: &Input, numbers: [Scalar; 2]| {
        let mut code = Code::new(x.shape(), 0);
        code.numbers(&numbers);
        let load = code.load(0, x.dtype);
        code.storing(&[load])
    };
    for _ in 0..300 {
        let x = random_input(&mut random, Random::words);
        let found = run_one::<u32>(copy(&x, [Scalar::Int(77), Scalar::Int(88)]), from_ref(&x), x.shape());
        assert_eq!(found, x.seen_among(&[77, 88]), "{:?} {:?}", x.layout, x.padding);
        let bools = |random: &mut Random, count| random.words(count).iter().map(|x| x % 2 == 1).collect();
        let x = random_input::<bool>(&mut random, bools);
        let found = run_one::<bool>(copy(&x, [Scalar::Int(1), Scalar::Int(0)]), from_ref(&x), x.shape());
        assert_eq!(found, x.seen_among(&[true, false]));
        let halves = |random: &mut Random, count| random.floats(count).iter().map(|&x| f16::from_f32(x)).collect();
        let x = random_input::<f16>(&mut random, halves);
        let numbers = [Scalar::Float(0.5), Scalar::Float(f64::NEG_INFINITY)];
        let found = run_one::<f16>(copy(&x, numbers), from_ref(&x), x.shape());
        assert_eq!(found, x.seen_among(&[f16::from_f32(0.5), f16::NEG_INFINITY]));
        let x = random_input(&mut random, Random::doubles);
        let found = run_one::<f64>(copy(&x, [Scalar::Float(0.5), Scalar::Float(-1.0)]), from_ref(&x), x.shape());
        assert_eq!(found, x.seen_among(&[0.5, -1.0]));
    }
}

#[test]
fn long_padded_windows_are_cut_into_blocks() {
    let mut random = Random::new();
    for (shape, amounts) in [
        (&[70_000][..], &[(5, 1)][..]),
        (&[5, 7000], &[(1, 0), (3000, 2)]),
        (&[700, 33], &[(2, 900), (0, 0)]),
        (&[64, 3, 30, 30], &[(0, 0), (0, 0), (1, 1), (1, 1)]),
        (&[1, 1], &[(400, 300), (50, 0)]),
        (&[3, 2000, 2], &[(0, 1), (4, 4), (1, 0)]),
    ] {
        let x = Input::new(&random.floats(shape.iter().product()), shape).padded(amounts, 0);
        let y = Input::new(&random.floats(x.shape().count()), x.shape().clone());
        let mut code = Code::new(x.shape(), 0);
        code.numbers(&[Scalar::Float(-3.0)]);
        let [a, b] = [0, 1].map(|operand| code.load(operand, DType::F32));
        let product = code.row(&table::MUL, &[a, b]);
        let exact: Vec<f32> = x.seen_among(&[-3.0f32]).iter().zip(y.seen::<f32>()).map(|(x, y)| x * y).collect();
        let shape = x.shape().clone();
        assert_eq!(run_one::<f32>(code.storing(&[product]), &[x, y], &shape), exact);
    }
}

#[test]
fn rows_of_padded_windows() {
    let mut random = Random::new();
    for _ in 0..300 {
        let x = random_input(&mut random, Random::floats);
        let shape = x.shape().clone();
        let row_axes = 1 + random.below(shape.len());
        let (outer, length) = (shape.len() - row_axes, shape[shape.len() - row_axes..].iter().product::<usize>());
        let seen = x.seen_among(&[0.5f32, -9.0]);
        let largest: Vec<f32> =
            seen.chunks(length).map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect();
        let less: Vec<f32> =
            seen.chunks(length).zip(&largest).flat_map(|(row, most)| row.iter().map(move |x| x - most)).collect();
        let program = |stores: usize| {
            let mut code = Code::new(&shape, row_axes);
            code.numbers(&[Scalar::Float(0.5), Scalar::Float(-9.0)]);
            let load = code.load(0, DType::F32);
            let most = code.reduce(Reduction::Max, load);
            let less = code.row(&table::SUB, &[load, most]);
            code.storing(&[most, less][..stores])
        };
        let metas = [Meta::new(&shape[..outer], DType::F32), Meta::new(&shape, DType::F32)];
        for stores in 1..=2 {
            // Where the window does not move along a row, there is one difference for each row only.
            let still = x.layout.strides[outer..]
                .iter()
                .chain(x.padding.bounds.iter().flat_map(|b| &b.layout.strides[outer..]));
            if stores == 2 && still.zip(shape[outer..].iter().cycle()).all(|(stride, size)| *stride == 0 || *size == 1)
            {
                continue;
            }
            let found = run(program(stores), from_ref(&x), &metas[..stores]).unwrap();
            for (found, exact) in found.iter().zip([&largest, &less]) {
                assert_eq!(f32::from_bytes(found), *exact, "{row_axes} of {:?} {:?}", x.layout, x.padding);
            }
        }
    }
}

#[test]
fn ops_take_no_padded_window() {
    let x = Input::new(&[0f32; 4], [4]).padded(&[(1, 1)], 0);
    let metas = [Meta::new([1], DType::F32), Meta::new([1], DType::U32)];
    let error = run(op(Probe::Extreme(Extreme::Max, vec![0]), &[Scalar::Int(0)]), &[x], &metas).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
}
