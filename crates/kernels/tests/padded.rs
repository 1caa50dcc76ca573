//! Programs over windows that reach beyond their values, on every adapter against plain loops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::reference::reference;
use common::*;
use wgrad_plan::{Instruction, Operand};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::shape::Shape;

/// A value with numbers around it, once or twice, through random views.
fn random(build: &mut Build, dice: &mut Dice) -> Operand {
    let rank = 1 + dice.below(4);
    let shape: Vec<usize> = (0..rank).map(|_| [1, 2, 3, 4, 5, 8, 12][dice.below(7)]).collect();
    let mut x = build.input(&shape, DType::F32);
    for turn in 0..1 + dice.below(2) {
        // Amounts of four now and then, with which four elements may be read at once.
        let amount = |dice: &mut Dice| if dice.below(3) == 0 { 4 * dice.below(3) } else { dice.below(4) };
        let before: Vec<usize> = (0..rank).map(|_| amount(dice)).collect();
        let out: Vec<usize> = (0..rank).map(|axis| before[axis] + x.layout.shape[axis] + amount(dice)).collect();
        x = build.padded(&x, &before, &out, Scalar::Float(3.5 - turn as f64));
    }
    for _ in 0..dice.below(4) {
        let (axis, shape) = (dice.below(x.layout.shape.len()), x.layout.shape.clone());
        let with = |layout: &Layout, size: usize, stride: isize, by: isize| {
            let mut layout = Layout { shape: shape.with(axis, size), ..layout.clone() };
            layout.strides[axis] = stride;
            layout.offset = layout.offset.checked_add_signed(by).unwrap();
            layout
        };
        x = match dice.below(4) {
            0 => seen(&x, |layout| {
                let stride = layout.strides[axis];
                with(layout, shape[axis], -stride, (shape[axis] as isize - 1) * stride)
            }),
            1 => {
                let start = dice.below(shape[axis]);
                let (size, step) = (1 + dice.below(shape[axis] - start), 1 + dice.below(2));
                seen(&x, |layout| {
                    let stride = layout.strides[axis];
                    with(layout, size.div_ceil(step), stride * step as isize, start as isize * stride)
                })
            }
            2 => {
                let order: Vec<usize> = (0..shape.len()).map(|at| (at + 1) % shape.len()).collect();
                seen(&x, |layout| Layout {
                    shape: order.iter().map(|&axis| layout.shape[axis]).collect(),
                    strides: order.iter().map(|&axis| layout.strides[axis]).collect(),
                    offset: layout.offset,
                })
            }
            _ if shape.len() < 5 => {
                let more: Vec<usize> = std::iter::once(3).chain(shape.iter().copied()).collect();
                seen(&x, |layout| layout.expanded(&Shape::from(&more[..])))
            }
            _ => x,
        };
    }
    x
}

#[test]
fn maps_and_rows_read_through_padding() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for case in 0..80 {
            let mut build = Build::default();
            let x = random(&mut build, &mut dice);
            let shape = x.layout.shape.to_vec();
            let y = build.input(&shape, DType::F32);
            let mut code = vec![Instruction::Load(0, DType::F32), Instruction::Load(1, DType::F32)];
            code.push(build.row("mul", &[0, 1], DType::F32));
            let row_axes = case % 2 * (1 + dice.below(shape.len()));
            if row_axes > 0 {
                code.push(Instruction::Reduce(Reduction::Sum, 0));
                code.push(build.row("add", &[2, 3], DType::F32));
            }
            let stores = if row_axes > 0 { vec![3, 4] } else { vec![2] };
            build.rows(&shape, row_axes, code, &stores, vec![x.clone(), y]);
            let counts = [0, 1].map(|value| build.plan.values[value].shape.count());
            let data = counts.map(|count| dice.floats(count));
            let exact = data.each_ref().map(|data| data.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            let expected = reference(&build, &[&exact[0], &exact[1]], &[]);
            let outputs = build.run(gpu, &data.each_ref().map(|data| upload(gpu, data))).unwrap();
            for (output, expected) in outputs.iter().zip(&expected) {
                let found = read::<f32>(gpu, output).unwrap();
                assert_close(&found[..expected.len()], expected, 1e-4, &format!("{row_axes} row axes of {x:?}"));
            }
        }
    }
}

#[test]
fn slices_of_padding_start_where_numbers_say() {
    for gpu in gpus() {
        let mut build = Build::default();
        let x = build.input(&[3], DType::F32);
        // Three zeros on both sides, and of that four places.
        let mut x = build.padded(&x, &[3], &[9], Scalar::Float(0.0));
        x = seen(&x, |layout| Layout { shape: Shape::from([4]), ..layout.clone() });
        build.scalars.push(Scalar::Int(0));
        x.starts = vec![(1, 1)];
        x.padding.bounds[0].starts = vec![(1, 1)];
        build.map(&[4], vec![Instruction::Load(0, DType::F32)], &[0], vec![x]);
        let data = [1.0f32, 2.0, 3.0];
        let all = [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0];
        for start in [0, 2, 5, 1] {
            build.scalars[1] = Scalar::Int(start);
            let found: Vec<f32> = run(gpu, &build, &[upload(gpu, &data)]);
            assert_eq!(found[..4], all[start as usize..][..4], "from {start}");
        }
    }
}
