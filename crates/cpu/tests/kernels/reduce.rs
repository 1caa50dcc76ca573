//! Reductions.

use crate::harness::{Input, Probe, Random, assert_near, op, ravel, reduce, reduce_one, run, unravel, windows};
use wgrad_tensor::dtype::{DType, Element};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::op::{Extreme, Meta, Reduction};

/// Every subset of axes.
fn subsets(rank: usize) -> Vec<Vec<usize>> {
    (0..1 << rank).map(|mask| (0..rank).filter(|axis| mask >> axis & 1 == 1).collect()).collect()
}

fn folded(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().map(|(axis, &size)| if axes.contains(&axis) { 1 } else { size }).collect()
}

/// Groups row-major positions by the result they go to.
fn groups(shape: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let out = folded(shape, axes);
    let mut groups = vec![Vec::new(); out.iter().product()];
    for i in 0..shape.iter().product() {
        let index: Vec<usize> =
            unravel(shape, i).iter().zip(&out).map(|(&i, &size)| if size == 1 { 0 } else { i }).collect();
        groups[ravel(&out, &index)].push(i);
    }
    groups
}

const SHAPES: [&[usize]; 9] =
    [&[], &[1], &[9], &[70, 90], &[5, 300, 7], &[3, 2, 65, 200], &[100_003], &[2000, 33], &[64, 16, 8, 8]];

#[test]
fn sums_over_any_axes_of_any_window() {
    let mut random = Random::new();
    for shape in SHAPES {
        for axes in subsets(shape.len()) {
            let (out, groups) = (folded(shape, &axes), groups(shape, &axes));
            for (shape, strides, offset, len) in windows(&mut random, shape) {
                let input = Input::new(&random.floats(len), [len]).window(&shape, &strides, offset);
                let seen = input.seen::<f32>();
                let each = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
                    groups.iter().map(|group| group.iter().map(|&i| f(f64::from(seen[i]))).sum()).collect()
                };
                let found = reduce_one::<f32>(Reduction::Sum, &axes, &input, &out);
                assert_near(&found, &each(&|x| x), &each(&f64::abs), 2e-6);
            }
        }
    }
}

#[test]
fn extremes_products_and_whole_numbers() {
    let mut random = Random::new();
    for shape in SHAPES {
        for axes in subsets(shape.len()) {
            let (out, groups) = (folded(shape, &axes), groups(shape, &axes));
            for (shape, strides, offset, len) in windows(&mut random, shape) {
                let words = random.words(len);
                let input = Input::new(&words, [len]).window(&shape, &strides, offset);
                let seen = input.seen::<u32>();
                let each = |start: u32, f: fn(u32, u32) -> u32| -> Vec<u32> {
                    groups.iter().map(|group| group.iter().fold(start, |all, &i| f(all, seen[i]))).collect()
                };
                let reduce = |kind| reduce_one::<u32>(kind, &axes, &input, &out);
                assert_eq!(reduce(Reduction::Sum), each(0, u32::wrapping_add));
                assert_eq!(reduce(Reduction::Prod), each(1, u32::wrapping_mul));
                assert_eq!(reduce(Reduction::Max), each(0, u32::max));
                assert_eq!(reduce(Reduction::Min), each(u32::MAX, u32::min));
                // Few different values, so that there are equal ones.
                let few: Vec<i32> = words.iter().map(|&word| word as i32 % 5).collect();
                let input = Input::new(&few, [len]).window(&shape, &strides, offset);
                for kind in [Extreme::Max, Extreme::Min] {
                    check_extreme::<i32>(kind, &axes, &input, &groups, &out, |&x| (f64::from(x), false));
                }
            }
        }
    }
}

fn check_extreme<T: Element>(
    kind: Extreme,
    axes: &[usize],
    input: &Input,
    groups: &[Vec<usize>],
    out: &[usize],
    number: impl Fn(&T) -> (f64, bool),
) {
    let outputs = [Meta::new(out, T::DTYPE), Meta::new(out, DType::U32)];
    let found = run(op(Probe::Extreme(kind, axes.to_vec()), &[]), std::slice::from_ref(input), &outputs).unwrap();
    let (values, positions) = (T::from_bytes(&found[0]), u32::from_bytes(&found[1]));
    let seen = input.seen::<T>();
    for ((group, value), position) in groups.iter().zip(&values).zip(&positions) {
        let mut best = 0;
        for i in 1..group.len() {
            let ((x, x_nan), (y, y_nan)) = (number(&seen[group[i]]), number(&seen[group[best]]));
            let beyond = if kind == Extreme::Max { x > y } else { x < y };
            if !y_nan && (x_nan || beyond) {
                best = i;
            }
        }
        assert_eq!(*position as usize, best, "{kind:?} over {axes:?}");
        assert_eq!(T::to_bytes(&[*value]), T::to_bytes(&[seen[group[best]]]));
    }
}

#[test]
fn nan_wins_and_infinities_count() {
    let mut random = Random::new();
    for (shape, axes) in
        [(vec![40, 500], vec![1]), (vec![500, 40], vec![0]), (vec![6, 5, 4, 3], vec![1, 3]), (vec![90_000], vec![0])]
    {
        let len = shape.iter().product();
        let mut values = random.floats(len);
        for _ in 0..len / 100 {
            values[random.below(len)] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.below(3)];
        }
        let (input, out, groups) = (Input::new(&values, &*shape), folded(&shape, &axes), groups(&shape, &axes));
        for kind in [Extreme::Max, Extreme::Min] {
            check_extreme::<f32>(kind, &axes, &input, &groups, &out, |&x| (f64::from(x), x.is_nan()));
        }
        let found = reduce_one::<f32>(Reduction::Max, &axes, &input, &out);
        for (found, group) in found.iter().zip(&groups) {
            let exact = group
                .iter()
                .fold(f32::NEG_INFINITY, |all, &i| if all.is_nan() || values[i] <= all { all } else { values[i] });
            assert!(*found == exact || found.is_nan() && exact.is_nan(), "{found} for {exact}");
        }
    }
}

/// Windows of pooling: an image seen as overlapping squares.
#[test]
fn extremes_of_pooling_windows() {
    let mut random = Random::new();
    let (planes, h, w) = (60, 28, 30);
    for (size, step) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
        let (oh, ow) = ((h - size) / step + 1, (w - size) / step + 1);
        let shape = [planes, oh, ow, size, size];
        let strides = [h * w, step * w, step, w, 1].map(|stride| stride as isize);
        let input = Input::new(&random.floats(planes * h * w), [planes * h * w]).window(shape, &strides, 0);
        let (axes, out) = ([3, 4], folded(&shape, &[3, 4]));
        check_extreme::<f32>(Extreme::Max, &axes, &input, &groups(&shape, &axes), &out, |&x| (f64::from(x), false));
    }
}

#[test]
fn nothing_gives_the_identity() {
    for (shape, axes, out) in
        [(vec![0], vec![0], vec![1]), (vec![3, 0, 2], vec![1], vec![3, 1, 2]), (vec![0, 4], vec![1], vec![0, 1])]
    {
        let input = Input::new::<f32>(&[], &*shape);
        let count = out.iter().product();
        let reduce = |kind| reduce_one::<f32>(kind, &axes, &input, &out);
        assert_eq!(reduce(Reduction::Sum), vec![0.0; count]);
        assert_eq!(reduce(Reduction::Prod), vec![1.0; count]);
    }
}

/// Errors must not grow with the count.
#[test]
fn long_sums_stay_exact() {
    let mut random = Random::new();
    let count = 1 << 24;
    let values: Vec<f32> = random.floats(count).iter().map(|x| x + 2.0).collect();
    let exact: f64 = values.iter().map(|&x| f64::from(x)).sum();
    for (shape, axes) in [(vec![count], vec![0]), (vec![count / 4, 4], vec![0, 1])] {
        let input = Input::new(&values, &*shape);
        let found = reduce_one::<f32>(Reduction::Sum, &axes, &input, &vec![1; shape.len()]);
        assert!((f64::from(found[0]) / exact - 1.0).abs() < 2e-7, "{} for {exact}", found[0]);
    }
    // The worst case: every rounding goes the same way.
    let same = Input::new(&vec![0.1f32; count], [count]);
    let found = reduce_one::<f32>(Reduction::Sum, &[0], &same, &[1]);
    assert!((f64::from(found[0]) / (f64::from(0.1f32) * count as f64) - 1.0).abs() < 1e-6, "{}", found[0]);
    let columns = reduce_one::<f32>(Reduction::Sum, &[0], &Input::new(&values, [count / 4, 4]), &[1, 4]);
    for (column, found) in columns.iter().enumerate() {
        let exact: f64 = values.iter().skip(column).step_by(4).map(|&x| f64::from(x)).sum();
        assert!((f64::from(*found) / exact - 1.0).abs() < 2e-7, "{found} for {exact}");
    }
}

#[test]
fn doubles_and_refused_dtypes() {
    let mut random = Random::new();
    let values = random.doubles(50_000);
    let found = reduce_one::<f64>(Reduction::Sum, &[1], &Input::new(&values, [50, 1000]), &[50, 1]);
    for (found, row) in found.iter().zip(values.chunks(1000)) {
        assert!((found - row.iter().sum::<f64>()).abs() < 1e-11);
    }
    let (work, input) = reduce(Reduction::Sum, &[0], &Input::new(&[1u8, 2], [2]));
    let error = run(work, &input, &[Meta::new([1], DType::U8)]);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}
