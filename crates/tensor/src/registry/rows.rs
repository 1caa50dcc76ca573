//! Samples of the elementwise table: every row, on its own, broadcast, empty and long.

use super::{Array, Kind, Order, Sample, Spec};
use crate::dtype::{DType, Scalar};
use crate::elementwise::Elementwise;
use crate::ops::table::ROWS;
use crate::shape::Shape;

pub(super) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for row in ROWS {
        for shapes in shapes(row.arity) {
            all.push(sample(row, &shapes, domain(row)));
        }
        if row.dtypes.contains(&DType::I32) && !["neg", "abs", "sign"].contains(&row.name) {
            all.push(sample(row, &shapes(row.arity)[0], Kind::Index(9)));
        }
        if row.dtypes.contains(&DType::I32) {
            all.push(sample(row, &shapes(row.arity)[0], Kind::Int(-9, 9)));
        }
        for place in 0..row.arity as u8 {
            if row.arity > 1 && row.dtypes != [DType::Bool] {
                all.push(sample_with_number(row, place, domain(row), 0.7));
                all.push(sample_with_number(row, place, domain(row), 3.0));
            }
            if row.arity > 1 && row.dtypes.contains(&DType::I32) {
                all.push(sample_with_number(row, place, Kind::Int(-9, 9), -4.0));
            }
        }
    }
    all
}

fn shapes(arity: usize) -> Vec<Vec<Vec<usize>>> {
    match arity {
        1 => vec![vec![vec![3, 5]], vec![vec![]], vec![vec![0, 3]], vec![vec![70_001]]],
        3 => vec![
            vec![vec![3, 5], vec![3, 5], vec![3, 5]],
            vec![vec![2, 1, 3], vec![5, 1], vec![]],
            vec![vec![0, 3], vec![1, 3], vec![3]],
        ],
        _ => vec![
            vec![vec![3, 5], vec![3, 5]],
            vec![vec![2, 1, 3], vec![5, 1]],
            vec![vec![], vec![4]],
            vec![vec![0, 3], vec![1, 3]],
            vec![vec![66_001, 2], vec![2]],
        ],
    }
}

/// Where a row is defined and finite.
fn domain(row: &Elementwise) -> Kind {
    match row.name {
        _ if row.dtypes == [DType::Bool] => Kind::Bool,
        "log" | "log2" | "sqrt" | "rsqrt" | "reciprocal" | "pow" | "div" | "remainder" => Kind::Float(0.3, 3.0),
        "log1p" => Kind::Float(-0.8, 2.0),
        "asin" | "acos" => Kind::Float(-0.9, 0.9),
        "tan" => Kind::Float(-1.2, 1.2),
        "atan2" => Kind::Float(0.2, 2.0),
        _ => Kind::Float(-2.0, 2.0),
    }
}

fn sample(row: &'static Elementwise, shapes: &[Vec<usize>], kind: Kind) -> Sample {
    let inputs = shapes.iter().map(|shape| Spec::of(shape, kind)).collect();
    Sample::new(
        row.name,
        inputs,
        move |x| {
            let others: Vec<_> = x[1..].iter().collect();
            x[0].elementwise(row, &others)
        },
        move |x| loop_over(row, reference_dtype(kind), x),
    )
    .order(order(row, kind))
}

/// The row of tensors and one number.
fn sample_with_number(row: &'static Elementwise, place: u8, kind: Kind, number: f64) -> Sample {
    let inputs = vec![Spec::of(&[2, 3], kind); row.arity - 1];
    Sample::new(
        row.name,
        inputs,
        move |x| {
            let others: Vec<_> = x[1..].iter().collect();
            x[0].elementwise_number(row, &others, Scalar::Float(number), place)
        },
        move |x| {
            let mut inputs = x.to_vec();
            inputs.insert(place.into(), Array { shape: Vec::new(), data: vec![number] });
            loop_over(row, reference_dtype(kind), &inputs)
        },
    )
    .order(order(row, kind))
}

fn reference_dtype(kind: Kind) -> DType {
    match kind {
        Kind::Float(..) => DType::F64,
        Kind::Index(_) => DType::U32,
        Kind::Int(..) => DType::I32,
        Kind::Bool => DType::Bool,
    }
}

fn order(row: &Elementwise, kind: Kind) -> Order {
    match (kind, row.gradient) {
        (Kind::Float(..), Some(_)) => Order::Second,
        _ => Order::None,
    }
}

/// The row's own loop in f64 (or in integers, exact anyway), element by element.
fn loop_over(row: &Elementwise, dtype: DType, inputs: &[Array]) -> Array {
    let shape = inputs
        .iter()
        .fold(Shape::default(), |shape, input| shape.broadcast(&Shape::from(&input.shape[..])).unwrap_or_default());
    let run = (row.cpu)(dtype);
    Array::from_fn(&shape, |position| {
        let elements: Vec<[u64; 1]> = inputs
            .iter()
            .map(|input| {
                let bytes = Scalar::Float(input.at(position)).to_bytes(dtype);
                let mut word = [0u8; 8];
                word[..bytes.len()].copy_from_slice(&bytes);
                [u64::from_ne_bytes(word)]
            })
            .collect();
        let bytes: Vec<&[u8]> = elements.iter().map(|e| &bytemuck::cast_slice::<u64, u8>(e)[..dtype.size()]).collect();
        let mut out = [0u64];
        let result = if row.to_bool { DType::Bool } else { dtype };
        let out_bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut out)[..result.size()];
        if let Some(run) = run {
            run(&bytes, out_bytes);
        }
        match result {
            DType::F64 => f64::from_bits(out[0]),
            DType::I32 => f64::from(out[0] as u32 as i32),
            DType::U32 => f64::from(out[0] as u32),
            _ => f64::from(out[0] as u8),
        }
    })
}
