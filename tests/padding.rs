//! Padding is read through: windows that reach beyond their values, against plain loops on every device.

mod common;

use common::{assert_near, devices, floats};
use wgrad::plan::Planned;
use wgrad::prelude::*;
use wgrad::tensor::registry::Array;

/// What padding shows: the element at a place less `before`, or the number.
fn padded(a: &Array, amounts: &[(usize, usize)], number: f64) -> Array {
    let sizes: Vec<usize> = a.shape.iter().zip(amounts).map(|(size, (before, after))| before + size + after).collect();
    Array::from_fn(&sizes, |p| {
        let from = p.iter().zip(amounts).map(|(at, (before, _))| at.checked_sub(*before));
        match from.collect::<Option<Vec<usize>>>() {
            Some(from) if from.iter().zip(&a.shape).all(|(at, size)| at < size) => a.at(&from),
            _ => number,
        }
    })
}

#[track_caller]
fn assert_is(found: &Tensor, expected: &Array) -> wgrad::Result<()> {
    assert_near(found, expected, 1e-5)
}

#[test]
fn elementwise_steps() -> wgrad::Result<()> {
    for device in devices() {
        for (shape, amounts) in [
            (&[5][..], &[(2, 1)][..]),
            (&[3, 4], &[(0, 0), (1, 2)]),
            (&[3, 8], &[(1, 2), (4, 8)]),
            (&[2, 3, 5], &[(1, 0), (0, 0), (0, 3)]),
            (&[1, 1, 70], &[(2, 0), (0, 3), (301, 1)]),
            (&[2, 300, 7], &[(0, 0), (5, 800), (0, 0)]),
        ] {
            let (x, a) = floats(shape, 0, device);
            let wide = padded(&a, amounts, -0.75);
            let (y, b) = floats(&wide.shape, 1, device);
            let p = x.pad(amounts, -0.75);
            assert_is(&p, &wide)?;
            assert_is(&(&p * 2.0 + &y), &Array::from_fn(&wide.shape, |p| wide.at(p) * 2.0 + b.at(p)))?;
            // The value itself is an elementwise step's, and padding that of another.
            let scaled = padded(&a.map(|x| x * 3.0), amounts, 1.5).map(|x| x - 1.0);
            assert_is(&((&x * 3.0).pad(amounts, 1.5) - 1.0), &scaled)?;
        }
    }
    Ok(())
}

#[test]
fn views_of_padding() -> wgrad::Result<()> {
    for device in devices() {
        let (x, a) = floats(&[4, 6], 2, device);
        let wide = padded(&a, &[(2, 1), (1, 3)], 0.5);
        let p = x.pad(&[(2, 1), (1, 3)], 0.5);
        for (rows, columns) in [(0..7, 0..10), (1..4, 0..3), (2..6, 1..7), (0..1, 9..10), (0..2, 0..10)] {
            let (first, length) = ([rows.start, columns.start], [rows.len(), columns.len()]);
            let cut = Array::from_fn(&length, |p| wide.at(&[p[0] + first[0], p[1] + first[1]]));
            let part = p.narrow(0, first[0], length[0]).narrow(1, first[1], length[1]);
            assert_is(&(&part * 1.0), &cut)?;
            let turned = Array::from_fn(&[length[1], length[0]], |p| cut.at(&[length[0] - 1 - p[1], p[0]]));
            assert_is(&(part.flip(0).t() + 0.0), &turned)?;
            assert_is(&part.flip([0, 1]).t().sum(..), &sum(&cut))?;
        }
        let every_second = Array::from_fn(&[4, 5], |p| wide.at(&[2 * p[0], 9 - 2 * p[1]]));
        assert_is(&-p.flip(1).slice_step(0, .., 2).slice_step(1, .., 2), &every_second.map(|x| -x))?;
        let flat = Array { shape: vec![70], data: wide.data.clone() };
        assert_is(&(p.reshape([70]) + 0.0), &flat)?;
        assert_is(&(p.reshape([7, 2, 5]) * 1.0).reshape([70]), &flat)?;
        // Padding of what was turned round or repeated before.
        let backwards = Array::from_fn(&[6, 4], |p| a.at(&[3 - p[1], p[0]]));
        assert_is(
            &-x.flip(0).t().pad(&[(1, 0), (0, 2)], 2.0),
            &padded(&backwards, &[(1, 0), (0, 2)], 2.0).map(|x| -x),
        )?;
        let (row, b) = floats(&[1, 3], 3, device);
        let many = Array::from_fn(&[5, 3], |p| b.at(&[0, p[1]]));
        let found = row.expand([5, 3]).pad(&[(1, 1), (0, 2)], -1.0);
        assert_is(&(&found + 1.0), &padded(&many, &[(1, 1), (0, 2)], -1.0).map(|x| x + 1.0))?;
        let around = padded(&many, &[(1, 1), (0, 2)], -1.0);
        assert_is(&found.slice(0, 0..2).softmax(1), &softmax(&Array::from_fn(&[2, 5], |p| around.at(p))))?;
    }
    Ok(())
}

fn sum(a: &Array) -> Array {
    Array { shape: vec![], data: vec![a.data.iter().sum()] }
}

fn softmax(a: &Array) -> Array {
    let width = a.shape[a.shape.len() - 1];
    let row = |row: &[f64]| {
        let all: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / all).collect::<Vec<_>>()
    };
    Array { shape: a.shape.clone(), data: a.data.chunks(width).flat_map(row).collect() }
}

#[test]
fn rows_of_padding() -> wgrad::Result<()> {
    for device in devices() {
        for (shape, amounts) in
            [(&[3, 5], &[(1, 0), (2, 2)]), (&[40, 90], &[(0, 3), (5, 60)]), (&[2, 9000], &[(1, 0), (300, 1)])]
        {
            let (x, a) = floats(shape, 4, device);
            let wide = padded(&a, amounts, 0.25);
            let p = x.pad(amounts, 0.25);
            let [rows, columns] = wide.shape[..] else { unreachable!() };
            let line = |at: usize| wide.data[at * columns..][..columns].iter();
            assert_is(&p.sum(1), &Array::from_fn(&[rows], |p| line(p[0]).sum()))?;
            let largest = |column: usize| (0..rows).map(|row| wide.at(&[row, column])).fold(f64::MIN, f64::max);
            assert_is(&p.max(0), &Array::from_fn(&[columns], |p| largest(p[0])))?;
            assert_is(&p.softmax(-1), &softmax(&wide))?;
            let spread = Array::from_fn(&wide.shape, |p| wide.at(p) - line(p[0]).sum::<f64>() / columns as f64);
            assert_is(&(&p - p.mean_keepdim(1)), &spread)?;
        }
    }
    Ok(())
}

#[test]
fn padding_of_padding() -> wgrad::Result<()> {
    for device in devices() {
        let (x, a) = floats(&[3, 4], 5, device);
        let (first, second, third) = ([(1, 0), (0, 2)], [(0, 2), (1, 1)], [(3, 1), (0, 4)]);
        let wide = padded(&padded(&padded(&a, &first, 1.5), &second, -2.5), &third, 3.5);
        let p = x.pad(&first, 1.5).pad(&second, -2.5).pad(&third, 3.5);
        assert_is(&(&p + 0.0), &wide)?;
        // With a window between that cuts some of the padding off again.
        let cut = padded(&a, &first, 1.5);
        let cut = Array::from_fn(&[3, 5], |p| cut.at(&[2 - p[0], p[1] + 1]));
        let p = x.pad(&first, 1.5).narrow(0, 0, 3).narrow(1, 1, 5).flip(0).pad(&third, 9.0);
        assert_is(&(&p * 2.0), &padded(&cut, &third, 9.0).map(|x| x * 2.0))?;
    }
    Ok(())
}

#[test]
fn windows_over_padding() -> wgrad::Result<()> {
    for device in devices() {
        let (x, a) = floats(&[2, 3, 7, 6], 6, device);
        let around = |number| padded(&a, &[(0, 0), (0, 0), (1, 1), (1, 1)], number);
        let pooled = |wide: &Array, fold: &dyn Fn(&mut dyn Iterator<Item = f64>) -> f64| {
            Array::from_fn(&[2, 3, 4, 3], |p| {
                let at = |i: usize| wide.at(&[p[0], p[1], 2 * p[2] + i / 3, 2 * p[3] + i % 3]);
                fold(&mut (0..9).map(at))
            })
        };
        let pool = wgrad::tensor::ops::pool::Pool2d { size: [3, 3], stride: [2, 2], padding: [1, 1] };
        let largest = pooled(&around(f64::NEG_INFINITY), &|all| all.fold(f64::NEG_INFINITY, f64::max));
        assert_is(&x.max_pool2d(pool), &largest)?;
        assert_is(&x.avg_pool2d(pool), &pooled(&around(0.0), &|all| all.sum::<f64>() / 9.0))?;
        let windows = x.pad(&[(1, 1), (1, 1)], f64::NEG_INFINITY).unfold(-2, 3, 2, 1).unfold(-2, 3, 2, 1);
        assert_is(&windows.max([-2, -1]), &largest)?;
    }
    Ok(())
}

#[test]
fn ops_that_need_their_operands_in_memory() -> wgrad::Result<()> {
    for device in devices() {
        let (x, a) = floats(&[3, 4], 7, device);
        let wide = padded(&a, &[(1, 1), (0, 2)], 0.5);
        let p = x.pad(&[(1, 1), (0, 2)], 0.5);
        let product = Array::from_fn(&[5, 5], |p| (0..6).map(|k| wide.at(&[p[0], k]) * wide.at(&[p[1], k])).sum());
        assert_is(&p.matmul(&p.t()), &product)?;
        let index = Tensor::new([0u32, 4, 2], device);
        assert_is(&p.index_select(0, &index), &Array::from_fn(&[3, 6], |p| wide.at(&[[0, 4, 2][p[0]], p[1]])))?;
        let both = Array::from_fn(&[5, 12], |p| wide.at(&[p[0], p[1] % 6]) * if p[1] < 6 { 1.0 } else { -1.0 });
        assert_is(&Tensor::cat(&[&p, &-&p], 1)?, &both)?;
        let (values, places) = p.t().max_with_indices([1]);
        let largest = |p: &[usize]| (0..5).map(|row| wide.at(&[row, p[0]])).fold(f64::MIN, f64::max);
        assert_is(&values, &Array::from_fn(&[6], largest))?;
        let first = |p: &[usize]| (0..5).position(|row| wide.at(&[row, p[0]]) == largest(p)).unwrap_or(9) as f64;
        assert_is(&places, &Array::from_fn(&[6], first))?;
        let (images, b) = floats(&[1, 1, 4, 4], 8, device);
        let (kernel, k) = floats(&[1, 1, 2, 2], 9, device);
        let b = padded(&b, &[(0, 0), (0, 0), (1, 0), (2, 1)], 1.0);
        let convolved = Array::from_fn(&[1, 1, 4, 6], |p| {
            (0..4).map(|i| b.at(&[0, 0, p[2] + i / 2, p[3] + i % 2]) * k.at(&[0, 0, i / 2, i % 2])).sum()
        });
        let window = wgrad::tensor::op::Window2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
        assert_is(&images.pad(&[(1, 0), (2, 1)], 1.0).conv2d(&kernel, window), &convolved)?;
    }
    Ok(())
}

#[test]
fn other_dtypes_and_values_from_nothing() -> wgrad::Result<()> {
    for device in devices() {
        let whole = Tensor::new([3i32, -4, 5], device).pad(&[(2, 1)], -7) * 2;
        assert_eq!(whole.to_vec::<i32>()?, [-14, -14, 6, -8, 10, -14]);
        let bools = Tensor::new([true, false], device).pad(&[(1, 2)], true);
        assert_eq!(bools.to_vec::<bool>()?, [true, true, false, true, true]);
        let chosen = bools.where_(Tensor::new([1.0f32, 2.0, 3.0, 4.0, 5.0], device), 0.0);
        assert_eq!(chosen.to_vec::<f32>()?, [1.0, 2.0, 0.0, 4.0, 5.0]);
        let halves = Tensor::new([1.0f32, 2.0], device).cast(DType::F16);
        let halves = halves.pad(&[(0, 3)], 0.5).cast(DType::F32) + 1.0;
        assert_eq!(halves.to_vec::<f32>()?, [2.0, 3.0, 1.5, 1.5, 1.5]);
        let x = Tensor::new([1.0f32, 2.0, 3.0, 4.0], device);
        let ones = Tensor::ones([2], DType::F32, device).pad(&[(1, 1)], 5.0) * &x;
        assert_eq!(ones.to_vec::<f32>()?, [5.0, 2.0, 3.0, 20.0]);
        let ramp = Tensor::arange(3, DType::F32, device).slice(0, 1..).pad(&[(0, 2)], -1.0) + &x;
        assert_eq!(ramp.to_vec::<f32>()?, [2.0, 4.0, 2.0, 3.0]);
        let empty = x.slice(0, 1..1).pad(&[(1, 2)], 8.0) + x.slice(0, ..3);
        assert_eq!(empty.to_vec::<f32>()?, [9.0, 10.0, 11.0]);
        let none = x.pad(&[(3, 3)], 1.0).slice(0, 2..2);
        assert_eq!((none.sum(..) + 1.0).to_vec::<f32>()?, [1.0]);
        assert_eq!((none * 2.0).to_vec::<f32>()?, [0.0; 0]);
    }
    Ok(())
}

#[test]
fn what_follows_a_product() -> wgrad::Result<()> {
    for device in devices() {
        let ((x, a), (w, b)) = (floats(&[9, 5], 10, device), floats(&[5, 12], 11, device));
        let (y, c) = floats(&[7, 9], 12, device);
        let around = padded(&c, &[(1, 1), (3, 0)], 0.5);
        let product = Array::from_fn(&[9, 12], |p| {
            (0..5).map(|k| a.at(&[p[0], k]) * b.at(&[k, p[1]])).sum::<f64>() + around.at(p)
        });
        assert_is(&(x.matmul(&w) + y.pad(&[(1, 1), (3, 0)], 0.5)), &product)?;
    }
    Ok(())
}

#[test]
fn nothing_is_computed_in_place_of_what_is_read_elsewhere() -> wgrad::Result<()> {
    for device in devices() {
        let count = 5000;
        let x = Tensor::from_vec((0..count).map(|i| i as f32).collect(), [count], device);
        x.eval()?;
        // As many elements as the value has, in order, but from one place before it on; and nobody else holds the value.
        let shifted = x.pad(&[(1, 0)], -1.0).unfold(0, 5, 5, 1) * 2.0;
        drop(x);
        let found = shifted.to_vec::<f32>()?;
        assert!((0..count).all(|i| found[i] == 2.0 * (i as f32 - 1.0)));
    }
    Ok(())
}

#[test]
fn gradients_pass_through() -> wgrad::Result<()> {
    for device in devices() {
        let x = Tensor::new([1.0f32, 2.0, 3.0], device).requires_grad();
        let w = Tensor::new([1.0f32, 10.0, 100.0, 1000.0], device);
        // Of the places 1 to 4 of five, two show the value.
        let loss = (x.pad(&[(2, 2)], 4.0).narrow(0, 1, 4).square() * &w).sum(..);
        let gradients = loss.backward()?;
        assert_eq!(gradients.get(&x)?.to_vec::<f32>()?, [20.0, 400.0, 6000.0]);
        assert_eq!(loss.item::<f32>()?, 16.0 + 10.0 + 400.0 + 9000.0);
    }
    Ok(())
}

#[test]
fn padding_costs_no_kernel() -> wgrad::Result<()> {
    let device = Device::new(Planned::new(wgrad_cpu::Cpu::new()));
    let kernels = |f: &dyn Fn() -> Tensor| -> wgrad::Result<u64> {
        let before = device.stats().kernels;
        f().eval()?;
        Ok(device.stats().kernels - before)
    };
    let [x, y, z] = [(); 3].map(|()| Tensor::ones([8, 6], DType::F32, &device));
    wgrad::eval_all([&x, &y, &z])?;
    let at = |x: &Tensor, start: usize| x.pad(&[(start, 12 - start)], 0.0);
    assert_eq!(kernels(&|| at(&x, 0) + at(&y, 6) + at(&z, 12))?, 1);
    assert_eq!(kernels(&|| x.pad(&[(1, 1), (2, 0)], 1.0).flip(0).softmax(-1))?, 1);
    assert_eq!(kernels(&|| x.pad(&[(1, 1)], 1.0).pad(&[(0, 1), (3, 0)], 2.0).sum(0) * 2.0)?, 1);
    assert_eq!(kernels(&|| x.pad(&[(1, 1)], 1.0))?, 1);
    // What two ops need in memory is written once.
    assert_eq!(
        kernels(&|| {
            let p = x.pad(&[(1, 1)], 1.0);
            p.matmul(&p.t())
        })?,
        2
    );
    Ok(())
}

#[test]
fn other_numbers_make_no_other_plan() -> wgrad::Result<()> {
    for device in devices() {
        let x = Tensor::new([1.0f32, 2.0, 3.0], device);
        let run = |number: f64, start: usize| (x.pad(&[(3, 3)], number).narrow(0, start, 5) * 1.0).to_vec::<f32>();
        let plan = |number: f64, start: usize| -> wgrad::Result<String> {
            wgrad::explain([&(x.pad(&[(3, 3)], number).narrow(0, start, 5) * 1.0)])
        };
        assert_eq!(run(0.0, 0)?, [0.0, 0.0, 0.0, 1.0, 2.0]);
        assert_eq!(run(7.0, 3)?, [1.0, 2.0, 3.0, 7.0, 7.0]);
        assert_eq!(run(-1.0, 1)?, [-1.0, -1.0, 1.0, 2.0, 3.0]);
        assert_eq!(plan(1.0, 0)?, plan(2.0, 4)?);
    }
    Ok(())
}
