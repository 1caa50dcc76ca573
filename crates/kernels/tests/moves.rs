//! Steps that move or add elements, on every adapter against plain Rust.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use wgrad_plan::{Backend, Instruction};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::op::Windows;

fn random_bytes(dice: &mut Dice, count: usize, dtype: DType) -> Vec<u8> {
    let bytes = (0..count * dtype.size()).map(|_| dice.bits() as u8);
    if dtype == DType::Bool { bytes.map(|b| b & 1).collect() } else { bytes.collect() }
}

fn element(bytes: &[u8], at: usize, dtype: DType) -> Vec<u8> {
    bytes[at * dtype.size()..][..dtype.size()].to_vec()
}

fn flat(shape: &[usize], at: &[usize]) -> usize {
    shape.iter().zip(at).fold(0, |flat, (&size, &at)| flat * size + at)
}

fn first_bytes(gpu: &wgrad_kernels::Gpu, build: &Build, inputs: &[wgrad_tensor::device::Buffer]) -> Vec<u8> {
    let outputs = build.run(gpu, inputs).unwrap();
    pollster::block_on(gpu.read(&outputs[0], outputs[0].bytes())).unwrap()
}

#[test]
fn pads_every_dtype() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for dtype in DType::ALL.into_iter().filter(|&dtype| dtype != DType::F64 || gpu.describe().f64) {
            for (shape, before, after) in [
                (vec![5], vec![2], vec![1]),
                (vec![3, 4], vec![0, 1], vec![0, 2]),
                (vec![3, 4], vec![1, 0], vec![2, 0]),
                (vec![2, 3, 5], vec![1, 0, 3], vec![0, 0, 0]),
                (vec![2, 3, 4, 3], vec![0, 0, 1, 1], vec![0, 0, 1, 2]),
                (vec![4, 8], vec![0, 4], vec![3, 4]),
                (vec![1], vec![0], vec![6]),
            ] {
                let out: Vec<usize> = shape.iter().zip(&before).zip(&after).map(|((s, b), a)| s + b + a).collect();
                let bytes = random_bytes(&mut dice, shape.iter().product(), dtype);
                let value = if dtype == DType::Bool { Scalar::Int(1) } else { Scalar::Int(7) };
                let mut build = Build::default();
                let x = build.input(&shape, dtype);
                let x = build.padded(&x, &before, &out, value);
                build.map(&out, vec![Instruction::Load(0, dtype)], &[0], vec![x]);
                let expected: Vec<u8> = coordinates(&out)
                    .iter()
                    .flat_map(|at| {
                        let inner: Vec<usize> = at.iter().zip(&before).map(|(a, b)| a.wrapping_sub(*b)).collect();
                        let inside = inner.iter().zip(&shape).all(|(i, s)| i < s);
                        if inside { element(&bytes, flat(&shape, &inner), dtype) } else { value.to_bytes(dtype) }
                    })
                    .collect();
                let found = first_bytes(gpu, &build, &[gpu.upload(&bytes).unwrap()]);
                assert_eq!(found, expected, "{}: {dtype} {shape:?} {before:?}", gpu.describe().name);
            }
        }
    }
}

#[test]
fn concatenates_any_number_of_every_dtype() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for dtype in DType::ALL {
            for (inputs, axis) in [(1, 0), (2, 0), (3, 1), (2, 2), (9, 1), (100, 0), (70, 2)] {
                let shapes: Vec<Vec<usize>> = (0..inputs)
                    .map(|_| {
                        let mut shape = vec![2, 3, 3];
                        shape[axis] = dice.below(4);
                        shape
                    })
                    .collect();
                let mut out = vec![2, 3, 3];
                out[axis] = shapes.iter().map(|shape| shape[axis]).sum();
                let data: Vec<Vec<u8>> =
                    shapes.iter().map(|shape| random_bytes(&mut dice, shape.iter().product(), dtype)).collect();
                let mut build = Build::default();
                let operands = shapes.iter().map(|shape| build.input(shape, dtype)).collect();
                build.op(TestOp::Cat(axis), operands, &out, dtype);
                let buffers: Vec<_> = data.iter().map(|bytes| gpu.upload(bytes).unwrap()).collect();
                let expected: Vec<u8> = coordinates(&out)
                    .iter()
                    .flat_map(|at| {
                        let (mut at, mut number) = (at.clone(), 0);
                        while at[axis] >= shapes[number][axis] {
                            at[axis] -= shapes[number][axis];
                            number += 1;
                        }
                        element(&data[number], flat(&shapes[number], &at), dtype)
                    })
                    .collect();
                let found = first_bytes(gpu, &build, &buffers);
                assert_eq!(found, expected, "{}: {inputs} of {dtype} along {axis}", gpu.describe().name);
            }
        }
    }
}

#[test]
fn gathers_every_dtype_through_windows() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for dtype in DType::ALL {
            // (source buffer, source window, index shape, index strides, axis)
            for (length, shape, strides, index_shape, index_strides, axis) in [
                (12, vec![12], vec![1], vec![5], vec![1], 0),
                (12, vec![3, 4], vec![4, 1], vec![7, 4], vec![4, 1], 0),
                (12, vec![3, 4], vec![4, 1], vec![3, 2], vec![2, 1], 1),
                (12, vec![4, 3], vec![1, 4], vec![2, 3], vec![3, 1], 0),
                (24, vec![2, 3, 4], vec![12, 4, 1], vec![2, 5, 3], vec![15, 3, 1], 1),
                // One index for a whole row, as an embedding has it.
                (24, vec![6, 4], vec![4, 1], vec![9, 4], vec![1, 0], 0),
                (24, vec![6, 4], vec![4, 1], vec![0, 4], vec![4, 1], 0),
            ] {
                let bytes = random_bytes(&mut dice, length, dtype);
                let places: Vec<u32> = (0..40).map(|_| dice.below(shape[axis]) as u32).collect();
                let mut build = Build::default();
                let (x, index) = (build.input(&[length], dtype), build.input(&[40], DType::U32));
                let (x, index) = (window(&x, &shape, &strides, 0), window(&index, &index_shape, &index_strides, 0));
                build.op(TestOp::Gather(axis), vec![x.clone(), index.clone()], &index_shape, dtype);
                let expected: Vec<u8> = coordinates(&index_shape)
                    .iter()
                    .flat_map(|at| {
                        let mut from = at.clone();
                        from[axis] = places[locate(&index, at)] as usize;
                        element(&bytes, locate(&x, &from), dtype)
                    })
                    .collect();
                let found = first_bytes(gpu, &build, &[gpu.upload(&bytes).unwrap(), upload(gpu, &places)]);
                assert_eq!(found, expected, "{}: {dtype} {shape:?} by {index_shape:?}", gpu.describe().name);
            }
        }
    }
}

#[test]
fn scatters_in_order() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (base_shape, index_shape, axis) in [
            (vec![5], vec![40], 0),
            (vec![1], vec![3000], 0),
            (vec![300], vec![1], 0),
            (vec![4, 6], vec![9, 6], 0),
            (vec![4, 6], vec![4, 1], 1),
            (vec![70_001, 3], vec![70_001, 2], 1),
            (vec![1001, 3], vec![70_001, 3], 0),
            (vec![5, 7, 4], vec![3, 10, 4], 1),
            (vec![5, 7, 4], vec![5, 10, 2], 1),
            (vec![5, 7, 4], vec![2, 3, 6], 2),
            (vec![5, 4], vec![0, 4], 0),
            (vec![5, 4], vec![6, 0], 0),
        ] {
            let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
            let (base, source) = (dice.floats(count(&base_shape)), dice.floats(count(&index_shape)));
            let places: Vec<i32> = source.iter().map(|_| dice.below(base_shape[axis]) as i32).collect();
            let mut build = Build::default();
            let operands = vec![
                build.input(&base_shape, DType::F32),
                build.input(&index_shape, DType::I32),
                build.input(&index_shape, DType::F32),
            ];
            build.op(TestOp::ScatterAdd(axis), operands, &base_shape, DType::F32);
            let mut expected = base.clone();
            for (number, mut at) in coordinates(&index_shape).into_iter().enumerate() {
                at[axis] = places[number] as usize;
                expected[flat(&base_shape, &at)] += source[number];
            }
            let found = run::<f32>(gpu, &build, &[upload(gpu, &base), upload(gpu, &places), upload(gpu, &source)]);
            // The order is fixed, so the sums are equal to the last bit.
            assert_eq!(found, expected, "{}: {base_shape:?} {index_shape:?} {axis}", gpu.describe().name);
        }
    }
}

#[test]
fn folds_windows_back() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        for (shape, axis, size, step, dilation) in [
            (vec![9], 0, 3, 1, 1),
            (vec![9], 0, 3, 3, 1),
            (vec![9], 0, 2, 4, 1),
            (vec![2, 11, 3], 1, 3, 2, 2),
            (vec![2, 3, 10], 2, 4, 1, 3),
            (vec![3, 5], 0, 3, 1, 1),
        ] {
            let positions = (shape[axis] - (size - 1) * dilation - 1) / step + 1;
            let windows = Windows { axis, size, step, dilation };
            let mut given = shape.clone();
            given[axis] = positions;
            given.push(size);
            let data = dice.floats(given.iter().product());
            let mut build = Build::default();
            let x = build.input(&given, DType::F32);
            build.op(TestOp::Fold(windows), vec![x], &shape, DType::F32);
            let mut expected = vec![0.0f64; shape.iter().product()];
            for (number, mut at) in coordinates(&given).into_iter().enumerate() {
                let k = at.pop().unwrap();
                at[axis] = at[axis] * step + k * dilation;
                expected[flat(&shape, &at)] += f64::from(data[number]);
            }
            let found = run::<f32>(gpu, &build, &[upload(gpu, &data)]);
            assert_close(&found, &expected, 1e-6, &format!("{}: {shape:?} {windows:?}", gpu.describe().name));
        }
    }
}
