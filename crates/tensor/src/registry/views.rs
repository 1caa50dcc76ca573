//! Samples of what only moves elements.

use super::{Array, Order, Sample, Spec};
use crate::op::Windows;
use crate::tensor::Tensor;

pub(super) fn samples() -> Vec<Sample> {
    let mut all = vec![
        Sample::new(
            "reshape",
            vec![Spec::float(&[2, 3, 4])],
            |x| x[0].reshape([4, -1]),
            |x| Array { shape: vec![4, 6], data: x[0].data.clone() },
        ),
        Sample::new(
            "permute",
            vec![Spec::float(&[2, 3, 5])],
            |x| x[0].permute([2, 0, 1]),
            |x| Array::from_fn(&[5, 2, 3], |p| x[0].at(&[p[1], p[2], p[0]])),
        ),
        Sample::new(
            "permute",
            vec![Spec::float(&[257, 301])],
            |x| x[0].t(),
            |x| Array::from_fn(&[301, 257], |p| x[0].at(&[p[1], p[0]])),
        ),
        Sample::new(
            "expand",
            vec![Spec::float(&[3, 1])],
            |x| x[0].expand([2, 3, 4]),
            |x| Array::from_fn(&[2, 3, 4], |p| x[0].at(&[p[1], 0])),
        ),
        Sample::new(
            "slice",
            vec![Spec::float(&[4, 7])],
            |x| x[0].slice(1, 2..6),
            |x| Array::from_fn(&[4, 4], |p| x[0].at(&[p[0], p[1] + 2])),
        ),
        Sample::new(
            "slice",
            vec![Spec::float(&[8, 2])],
            |x| x[0].slice_step(0, 1.., 3),
            |x| Array::from_fn(&[3, 2], |p| x[0].at(&[1 + 3 * p[0], p[1]])),
        ),
        Sample::new(
            "slice",
            vec![Spec::float(&[3, 2])],
            |x| x[0].slice(0, 1..1),
            |_| Array { shape: vec![0, 2], data: Vec::new() },
        ),
        Sample::new(
            "flip",
            vec![Spec::float(&[3, 4])],
            |x| x[0].flip([0, 1]),
            |x| Array::from_fn(&[3, 4], |p| x[0].at(&[2 - p[0], 3 - p[1]])),
        ),
        Sample::new(
            "reshape of windows",
            vec![Spec::float(&[4, 6])],
            |x| x[0].flip(0).t().slice_step(0, .., 2).reshape([2, -1]),
            |x| {
                let rows = Array::from_fn(&[3, 4], |p| x[0].at(&[3 - p[1], 2 * p[0]]));
                Array { shape: vec![2, 6], data: rows.data }
            },
        ),
        Sample::new(
            "unfold",
            vec![Spec::float(&[2, 9])],
            |x| x[0].unfold(1, 3, 2, 2),
            |x| Array::from_fn(&[2, 3, 3], |p| x[0].at(&[p[0], 2 * p[1] + 2 * p[2]])),
        ),
        Sample::new(
            "fold",
            vec![Spec::float(&[2, 3, 3])],
            |x| x[0].fold(Windows { axis: 1, size: 3, step: 2, dilation: 1 }, 8),
            |x| {
                Array::from_fn(&[2, 8], |p| {
                    let hits = (0..3).flat_map(|o| (0..3).map(move |k| (o, k)));
                    hits.filter(|(o, k)| 2 * o + k == p[1]).map(|(o, k)| x[0].at(&[p[0], o, k])).sum()
                })
            },
        ),
        Sample::new(
            "pad",
            vec![Spec::float(&[2, 3, 4])],
            |x| x[0].pad(&[(1, 0), (2, 3)], 0.5),
            |x| {
                Array::from_fn(&[2, 4, 9], |p| {
                    if p[1] >= 1 && (2..6).contains(&p[2]) { x[0].at(&[p[0], p[1] - 1, p[2] - 2]) } else { 0.5 }
                })
            },
        ),
        Sample::new(
            "pad",
            vec![Spec::float(&[0])],
            |x| x[0].pad(&[(2, 1)], 7.0),
            |_| Array { shape: vec![3], data: vec![7.0; 3] },
        ),
    ];
    all.push(cat(&[&[2, 3], &[1, 3], &[4, 3]], 0));
    all.push(cat(&[&[2, 3, 1], &[2, 1, 1], &[2, 0, 1]], 1));
    all.push(cat(&[&[5, 1][..]; 11], 1));
    all.push(Sample::new(
        "stack",
        vec![Spec::float(&[2, 3]), Spec::float(&[2, 3])],
        |x| x[0].unsqueeze(1).cat_with(&[&x[1].unsqueeze(1)], 1),
        |x| Array::from_fn(&[2, 2, 3], |p| x[p[1]].at(&[p[0], p[2]])),
    ));
    all.push(
        Sample::new(
            "cast",
            vec![Spec::within(&[300], -300.0, 300.0)],
            |x| x[0].cast(crate::DType::I32),
            |x| x[0].map(f64::trunc),
        )
        .order(Order::None),
    );
    all
}

fn cat(shapes: &[&[usize]], axis: usize) -> Sample {
    let inputs = shapes.iter().map(|shape| Spec::float(shape)).collect();
    Sample::new(
        "cat",
        inputs,
        move |x| {
            let others: Vec<&Tensor> = x[1..].iter().collect();
            x[0].cat_with(&others, axis as isize)
        },
        move |x| {
            let mut shape = x[0].shape.clone();
            shape[axis] = x.iter().map(|part| part.shape[axis]).sum();
            Array::from_fn(&shape, |p| {
                let mut p = p.to_vec();
                for part in x {
                    if p[axis] < part.shape[axis] {
                        let inner: Vec<usize> = p.clone();
                        // A part of size 1 along the axis is not broadcast here: position 0 is the only one left.
                        return part.at(&inner);
                    }
                    p[axis] -= part.shape[axis];
                }
                f64::NAN
            })
        },
    )
}
