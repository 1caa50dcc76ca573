//! Concatenation, folding, and reading and adding through indices.

use crate::harness::{Input, Probe, Random, op, ravel, run, run_one, unravel, windows};
use half::f16;
use wgrad_tensor::dtype::{DType, Element};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::op::{Meta, Windows};

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

#[test]
fn concatenation() {
    let mut random = Random::new();
    for (axis, shapes) in [
        (0, vec![vec![3, 4], vec![1, 4], vec![0, 4]]),
        (1, vec![vec![500, 3, 20], vec![500, 7, 20]]),
        (2, vec![vec![4, 5, 1]; 9]),
        (0, vec![vec![50_000], vec![7], vec![40_000]]),
    ] {
        let parts: Vec<Vec<u8>> =
            shapes.iter().map(|shape| random.words(count(shape)).iter().map(|&x| x as u8).collect()).collect();
        let mut out = shapes[0].clone();
        out[axis] = shapes.iter().map(|shape| shape[axis]).sum();
        let mut exact = vec![0u8; count(&out)];
        let mut start = 0;
        for (shape, part) in shapes.iter().zip(&parts) {
            for (i, &value) in part.iter().enumerate() {
                let mut at = unravel(shape, i);
                at[axis] += start;
                exact[ravel(&out, &at)] = value;
            }
            start += shape[axis];
        }
        let inputs: Vec<Input> = shapes.iter().zip(&parts).map(|(shape, part)| Input::new(part, &**shape)).collect();
        assert_eq!(run_one::<u8>(op(Probe::Cat(axis), &[]), &inputs, &out), exact);
    }
}

#[test]
fn folding() {
    let mut random = Random::new();
    let cases: [(&[usize], Windows); 8] = [
        (&[10], Windows { axis: 0, size: 3, step: 2, dilation: 1 }),
        (&[64, 28, 28], Windows { axis: 2, size: 2, step: 2, dilation: 1 }),
        (&[64, 28, 28], Windows { axis: 1, size: 2, step: 2, dilation: 1 }),
        (&[30, 9, 31], Windows { axis: 2, size: 3, step: 2, dilation: 2 }),
        (&[5, 17, 4], Windows { axis: 1, size: 3, step: 1, dilation: 3 }),
        (&[7, 3], Windows { axis: 0, size: 2, step: 4, dilation: 1 }),
        (&[0, 8], Windows { axis: 1, size: 2, step: 2, dilation: 1 }),
        (&[6, 8], Windows { axis: 1, size: 8, step: 1, dilation: 1 }),
    ];
    for (out, windows) in cases {
        let Windows { axis, size, step, dilation } = windows;
        let positions = (out[axis] - (size - 1) * dilation - 1) / step + 1;
        let mut shape = out.to_vec();
        shape[axis] = positions;
        shape.push(size);
        let values: Vec<i32> = random.words(count(&shape)).iter().map(|&x| x as i32 >> 8).collect();
        let mut exact = vec![0; count(out)];
        for (i, &value) in values.iter().enumerate() {
            let mut at = unravel(&shape, i);
            let k = at.pop().unwrap();
            at[axis] = at[axis] * step + k * dilation;
            exact[ravel(out, &at)] += value;
        }
        assert_eq!(run_one::<i32>(op(Probe::Fold(windows), &[]), &[Input::new(&values, &*shape)], out), exact);
        let floats: Vec<f32> = values.iter().map(|&x| (x >> 8) as f32).collect();
        let found = run_one::<f32>(op(Probe::Fold(windows), &[]), &[Input::new(&floats, &*shape)], out);
        let rounded = exact.iter().zip(&found).all(|(&exact, &found)| (exact as f32 / 256.0 - found).abs() < 8.0);
        assert!(rounded);
    }
}

#[test]
fn gathering() {
    let mut random = Random::new();
    let cases: [(usize, &[usize], &[usize]); 6] = [
        (0, &[50], &[200]),
        (0, &[40, 33], &[500, 33]),
        (1, &[5, 7, 9], &[4, 20, 8]),
        (2, &[6, 5, 100], &[6, 5, 3]),
        (0, &[3, 4], &[0, 4]),
        (1, &[300, 10], &[300, 1]),
    ];
    for (axis, from, to) in cases {
        for (source, index) in windows(&mut random, from).into_iter().zip(windows(&mut random, to)) {
            let source = Input::new(&random.words(source.3), [source.3]).window(source.0, &source.1, source.2);
            let indices: Vec<u32> = random.words(index.3).iter().map(|&x| x % from[axis] as u32).collect();
            let index = Input::new(&indices, [index.3]).window(index.0, &index.1, index.2);
            let (all, which) = (source.seen::<u32>(), index.seen::<u32>());
            let exact: Vec<u32> = which
                .iter()
                .enumerate()
                .map(|(i, &index)| {
                    let mut at = unravel(to, i);
                    at[axis] = index as usize;
                    all[ravel(from, &at)]
                })
                .collect();
            assert_eq!(run_one::<u32>(op(Probe::Gather(axis), &[]), &[source, index], to), exact);
        }
    }
    // Rows of a table, as an embedding reads them.
    let table = random.floats(100 * 64);
    let which: Vec<i32> = random.words(700).iter().map(|&x| (x % 100) as i32).collect();
    let index = Input::new(&which, [700]).window([700, 64], &[1, 0], 0);
    let found = run_one::<f32>(op(Probe::Gather(0), &[]), &[Input::new(&table, [100, 64]), index], &[700, 64]);
    assert!(found.chunks(64).zip(&which).all(|(row, &i)| row == &table[i as usize * 64..][..64]));
}

#[test]
fn adding_through_indices() {
    let mut random = Random::new();
    let cases: [(usize, &[usize], &[usize]); 8] = [
        (0, &[50], &[2000]),
        (0, &[40, 33], &[500, 33]),
        (1, &[5, 7, 9], &[4, 20, 8]),
        (2, &[6, 5, 100], &[6, 5, 3]),
        (0, &[3, 4], &[0, 4]),
        (0, &[4000, 20], &[900, 20]),
        (1, &[64, 10], &[64, 1]),
        (0, &[70_000], &[70_000]),
    ];
    for (axis, to, from) in cases {
        let base: Vec<i32> = random.words(count(to)).iter().map(|&x| x as i32 >> 4).collect();
        let source: Vec<i32> = random.words(count(from)).iter().map(|&x| x as i32 >> 16).collect();
        let index: Vec<u32> = random.words(count(from)).iter().map(|&x| x % to[axis] as u32).collect();
        let mut exact = base.clone();
        for (i, &value) in source.iter().enumerate() {
            let mut at = unravel(from, i);
            at[axis] = index[i] as usize;
            exact[ravel(to, &at)] += value;
        }
        let inputs = [Input::new(&base, to), Input::new(&index, from), Input::new(&source, from)];
        assert_eq!(run_one::<i32>(op(Probe::ScatterAdd(axis), &[]), &inputs, to), exact);
    }
    // Whole rows, as an embedding's gradient adds them; the same row often.
    let source = random.floats(3000 * 24);
    let which: Vec<i32> = random.words(3000).iter().map(|&x| (x % 70) as i32).collect();
    let index: Vec<i32> = which.iter().flat_map(|&i| [i; 24]).collect();
    let inputs =
        [Input::new(&[0f32; 70 * 24], [70, 24]), Input::new(&index, [3000, 24]), Input::new(&source, [3000, 24])];
    let mut exact = vec![0f32; 70 * 24];
    for (row, &i) in source.chunks(24).zip(&which) {
        exact[i as usize * 24..][..24].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    assert_eq!(run_one::<f32>(op(Probe::ScatterAdd(0), &[]), &inputs, &[70, 24]), exact, "in ascending order");
}

#[test]
fn an_index_outside_its_axis_is_named() {
    let source = Input::new(&[1f32, 2.0, 3.0], [3]);
    let gather = |index: Input| run(op(Probe::Gather(0), &[]), &[source.clone(), index], &[Meta::new([2], DType::F32)]);
    let error = gather(Input::new(&[1u32, 3], [2])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Index);
    assert!(error.message().contains("index 3 is outside axis 0, which has 3 elements"), "{error}");
    assert!(gather(Input::new(&[-1i32, 0], [2])).unwrap_err().message().contains("index -1"));
    assert_eq!(gather(Input::new(&[0f32, 0.0], [2])).unwrap_err().kind(), ErrorKind::DType);
    let inputs = [source.clone(), Input::new(&[7u32], [1]), Input::new(&[1f32], [1])];
    let error = run(op(Probe::ScatterAdd(0), &[]), &inputs, &[Meta::new([3], DType::F32)]).unwrap_err();
    assert!(error.message().contains("index 7"));
    let halves = Input::new(&[f16::ONE; 3], [3]);
    let inputs = [halves.clone(), Input::new(&[0u32; 3], [3]), halves];
    let error = run(op(Probe::ScatterAdd(0), &[]), &inputs, &[Meta::new([3], DType::F16)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(f16::DTYPE, DType::F16);
}
