//! Programs with rows.

use crate::harness::{Code, Input, Random, assert_near, run, windows};
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, Reduction};
use wgrad_tensor::ops::table;
use wgrad_tensor::shape::Shape;

/// Rows from none to many, short and long: they go through the program in different ways.
const SIZES: [(usize, usize); 17] = [
    (3, 0),
    (0, 5),
    (1, 1),
    (70, 1),
    (3, 7),
    (9000, 10),
    (33, 64),
    (130, 1023),
    (401, 1021),
    (5, 1024),
    (40, 2049),
    (3, 5000),
    (9, 8192),
    (4, 8193),
    (2, 40_000),
    (1, 300_000),
    (20, 9001),
];

fn f32s(shape: &[usize]) -> Meta {
    Meta::new(shape, DType::F32)
}

/// An input of random floats for each kind of window that moves along the last axis.
fn inputs(random: &mut Random, shape: &[usize]) -> Vec<Input> {
    let mut windows = windows(random, shape);
    windows.retain(|(_, strides, ..)| strides.last() != Some(&0));
    let input = |(shape, strides, offset, len): (Shape, Vec<isize>, usize, usize)| {
        Input::new(&random.floats(len), [len]).window(shape, &strides, offset)
    };
    windows.into_iter().map(input).collect()
}

/// What an input sees, row by row.
fn rows_of(input: &Input, rows: usize) -> Vec<Vec<f64>> {
    let seen: Vec<f64> = input.seen::<f32>().iter().map(|&x| f64::from(x)).collect();
    (0..rows).map(|row| seen[row * seen.len() / rows..(row + 1) * seen.len() / rows].to_vec()).collect()
}

fn near(found: &[u8], exact: &[f64], tolerance: f64) {
    let scale: Vec<f64> = exact.iter().map(|x| x.abs().max(1.0)).collect();
    assert_near(&f32::from_bytes(found), exact, &scale, tolerance);
}

fn softmax(code: &mut Code) -> usize {
    let x = code.load(0, DType::F32);
    let most = code.reduce(Reduction::Max, x);
    let less = code.row(&table::SUB, &[x, most]);
    let power = code.row(&table::EXP, &[less]);
    let total = code.reduce(Reduction::Sum, power);
    code.row(&table::DIV, &[power, total])
}

#[test]
fn softmax_of_every_size_and_window() {
    let mut random = Random::new();
    for (rows, length) in SIZES {
        for x in inputs(&mut random, &[rows, length]) {
            let mut code = Code::new(&[rows, length], 1);
            let y = softmax(&mut code);
            let found = run(code.storing(&[y]), std::slice::from_ref(&x), &[f32s(&[rows, length])]).unwrap();
            let exact = rows_of(&x, rows).into_iter().flat_map(|row| {
                let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = row.iter().map(|x| (x - most).exp()).sum();
                row.into_iter().map(move |x| (x - most).exp() / total).collect::<Vec<_>>()
            });
            let exact: Vec<f64> = exact.collect();
            assert_near(&f32::from_bytes(&found[0]), &exact, &exact, 2e-6);
        }
    }
}

/// Two reductions one after the other, operands that repeat, and results of both kinds.
#[test]
fn layer_norm_with_weights_and_statistics() {
    let mut random = Random::new();
    for (rows, length) in SIZES.into_iter().filter(|&(_, length)| length > 0) {
        for x in inputs(&mut random, &[rows, length]) {
            let affine: Vec<Input> = (0..2)
                .map(|_| Input::new(&random.floats(length), [length]).window([rows, length], &[0, 1], 0))
                .collect();
            let mut code = Code::new(&[rows, length], 1);
            let [x_, weight, bias] = [0, 1, 2].map(|i| code.load(i, DType::F32));
            let share = code.constant(1.0 / length as f64, DType::F32);
            let epsilon = code.constant(1e-5, DType::F32);
            let total = code.reduce(Reduction::Sum, x_);
            let mean = code.row(&table::MUL, &[total, share]);
            let apart = code.row(&table::SUB, &[x_, mean]);
            let square = code.row(&table::MUL, &[apart, apart]);
            let squares = code.reduce(Reduction::Sum, square);
            let variance = code.row(&table::MUL, &[squares, share]);
            let safe = code.row(&table::ADD, &[variance, epsilon]);
            let scale = code.row(&table::RSQRT, &[safe]);
            let normal = code.row(&table::MUL, &[apart, scale]);
            let weighted = code.row(&table::MUL, &[normal, weight]);
            let y = code.row(&table::ADD, &[weighted, bias]);
            let outputs = [f32s(&[rows]), f32s(&[rows, length]), f32s(&[rows])];
            let inputs = [x.clone(), affine[0].clone(), affine[1].clone()];
            let found = run(code.storing(&[mean, y, scale]), &inputs, &outputs).unwrap();
            let (weight, bias) = (affine[0].seen::<f32>(), affine[1].seen::<f32>());
            let (mut means, mut ys, mut scales) = (vec![], vec![], vec![]);
            for row in rows_of(&x, rows) {
                let mean = row.iter().sum::<f64>() / length as f64;
                let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / length as f64;
                let scale = 1.0 / (variance + 1e-5).sqrt();
                let y = |(i, x): (usize, &f64)| (x - mean) * scale * f64::from(weight[i]) + f64::from(bias[i]);
                ys.extend(row.iter().enumerate().map(y));
                means.push(mean);
                scales.push(scale);
            }
            near(&found[0], &means, 1e-6);
            near(&found[2], &scales, 2e-3);
            // Rows that are all the same, or nearly, divide rounding errors by next to nothing.
            if scales.iter().all(|&scale| scale < 10.0) {
                near(&found[1], &ys, 1e-5);
            }
        }
    }
}

/// `log_softmax` at one place of each row; the indices are an operand with one element for each row.
#[test]
fn cross_entropy_picks_from_rows() {
    let mut random = Random::new();
    for (rows, length) in SIZES.into_iter().filter(|&(_, length)| length > 0) {
        for x in inputs(&mut random, &[rows, length]) {
            let places: Vec<u32> = (0..rows).map(|_| random.below(length) as u32).collect();
            let made = |dtype| {
                let mut code = Code::new(&[rows, length], 1);
                let x = code.load(0, DType::F32);
                let index = code.load(1, dtype);
                let most = code.reduce(Reduction::Max, x);
                let less = code.row(&table::SUB, &[x, most]);
                let power = code.row(&table::EXP, &[less]);
                let total = code.reduce(Reduction::Sum, power);
                let log = code.row(&table::LOG, &[total]);
                let y = code.row(&table::SUB, &[less, log]);
                let picked = code.pick(y, index);
                let same = code.pick(log, index);
                code.storing(&[picked, same, log])
            };
            let outputs = [f32s(&[rows]), f32s(&[rows]), f32s(&[rows])];
            let index = Input::new(&places, [rows]).window([rows, length], &[1, 0], 0);
            let found = run(made(DType::U32), &[x.clone(), index], &outputs).unwrap();
            let exact: Vec<(f64, f64)> = rows_of(&x, rows)
                .into_iter()
                .zip(&places)
                .map(|(row, &place)| {
                    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let log = row.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
                    (row[place as usize] - most - log, log)
                })
                .collect();
            near(&found[0], &exact.iter().map(|&(picked, _)| picked).collect::<Vec<_>>(), 2e-6);
            assert_eq!(found[1], found[2], "of one element for each row, there is nothing to choose");
            near(&found[2], &exact.iter().map(|&(_, log)| log).collect::<Vec<_>>(), 2e-6);
            if rows > 0 {
                let mut bad: Vec<i32> = places.iter().map(|&place| place as i32).collect();
                for wrong in [-1, length as i32] {
                    bad[random.below(rows)] = wrong;
                    let index = Input::new(&bad, [rows]).window([rows, length], &[1, 0], 0);
                    let error = run(made(DType::I32), &[x.clone(), index], &outputs).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Index);
                    let first = bad.iter().find(|&&i| i < 0 || i >= length as i32).unwrap();
                    let message = format!("index {first} is outside axis 1, which has {length} elements");
                    assert_eq!(error.message(), message);
                }
            }
        }
    }
}

/// Columns: the rows lie across, and have something in common with their neighbours.
#[test]
fn columns_are_walked_side_by_side() {
    let mut random = Random::new();
    for (columns, length) in [
        (768, 500),
        (10, 5000),
        (5000, 7),
        (1100, 90),
        (8, 30_000),
        (20_000, 1),
        (9, 0),
        (2, 3000),
        (3000, 2),
        (40, 25),
    ] {
        let count = columns * length;
        let across =
            |values: &[f32]| Input::new(values, [values.len()]).window([columns, length], &[1, columns as isize], 0);
        let [x, dy] = [(); 2].map(|()| across(&random.floats(count)));
        let mean = Input::new(&random.floats(columns), [columns]).window([columns, length], &[1, 0], 0);
        let factor = Input::new(&random.floats(length), [length]).window([columns, length], &[0, 1], 0);
        let places: Vec<u32> = (0..columns).map(|_| random.below(length.max(1)) as u32).collect();
        let index = Input::new(&places, [columns]).window([columns, length], &[1, 0], 0);
        let mut code = Code::new(&[columns, length], 1);
        let [x_, dy_, mean_, factor_] = [0, 1, 2, 3].map(|i| code.load(i, DType::F32));
        let index_ = code.load(4, DType::U32);
        let apart = code.row(&table::SUB, &[x_, mean_]);
        let product = code.row(&table::MUL, &[apart, dy_]);
        let weighted = code.row(&table::MUL, &[product, factor_]);
        let sum = code.reduce(Reduction::Sum, weighted);
        let less = code.row(&table::SUB, &[x_, sum]);
        let most = code.reduce(Reduction::Max, less);
        let twice = code.row(&table::ADD, &[most, most]);
        let stores = if length > 0 { vec![sum, twice, code.pick(less, index_)] } else { vec![sum, twice] };
        let outputs = vec![f32s(&[columns]); stores.len()];
        let inputs = [x.clone(), dy.clone(), mean.clone(), factor.clone(), index];
        let found = run(code.storing(&stores), &inputs, &outputs).unwrap();
        let [x, dy, mean, factor] = [x, dy, mean, factor].map(|input| rows_of(&input, columns));
        let (mut sums, mut scale, mut most, mut picked) = (vec![], vec![], vec![], vec![]);
        for row in 0..columns {
            let term = |i: usize| (x[row][i] - mean[row][i]) * dy[row][i] * factor[row][i];
            let sum: f64 = (0..length).map(term).sum();
            sums.push(sum);
            scale.push((0..length).map(|i| term(i).abs()).sum::<f64>() + 1.0);
            most.push(2.0 * x[row].iter().map(|x| x - sum).fold(f64::NEG_INFINITY, f64::max));
            picked.extend(x[row].get(places[row] as usize).map(|x| x - sum));
        }
        assert_near(&f32::from_bytes(&found[0]), &sums, &scale, 1e-6);
        if length > 0 {
            assert_near(&f32::from_bytes(&found[1]), &most, &scale, 1e-5);
            assert_near(&f32::from_bytes(&found[2]), &picked, &scale, 1e-5);
        } else {
            assert_eq!(f32::from_bytes(&found[1]), vec![f32::NEG_INFINITY; columns]);
        }
    }
}

/// A row over several axes, and a mean over everything.
#[test]
fn long_rows_are_shared_and_stay_exact() {
    let mut random = Random::new();
    let shapes: [(&[usize], usize); 6] = [
        (&[1_000_003], 1),
        (&[3, 100_000], 1),
        (&[30, 40, 50, 20], 4),
        (&[6, 300, 7, 11], 3),
        (&[50, 33, 9], 2),
        (&[2, 200, 5, 60], 2),
    ];
    for (shape, row_axes) in shapes {
        let (rows, length): (usize, usize) =
            (shape[..shape.len() - row_axes].iter().product(), shape[shape.len() - row_axes..].iter().product());
        let others = inputs(&mut random, shape).into_iter().rev();
        for (a, b) in inputs(&mut random, shape).into_iter().zip(others) {
            let mut code = Code::new(shape, row_axes);
            let [a_, b_] = [0, 1].map(|i| code.load(i, DType::F32));
            let share = code.constant(1.0 / length as f64, DType::F32);
            let apart = code.row(&table::SUB, &[a_, b_]);
            let square = code.row(&table::MUL, &[apart, apart]);
            let total = code.reduce(Reduction::Sum, square);
            let mean = code.row(&table::MUL, &[total, share]);
            let outputs = [f32s(&shape[..shape.len() - row_axes]), f32s(shape)];
            let found = run(code.storing(&[mean, apart]), &[a.clone(), b.clone()], &outputs).unwrap();
            let (a, b) = (rows_of(&a, rows), rows_of(&b, rows));
            let each = |i: usize| a[i].iter().zip(&b[i]).map(|(a, b)| a - b);
            let exact: Vec<f64> = (0..rows).map(|i| each(i).map(|x| x * x).sum::<f64>() / length as f64).collect();
            assert_near(&f32::from_bytes(&found[0]), &exact, &exact, 5e-7);
            near(&found[1], &(0..rows).flat_map(each).collect::<Vec<_>>(), 1e-6);
        }
    }
}

/// A register with one element for each row counts as often as the row is long.
#[test]
fn reductions_of_what_rows_have_once() {
    let mut random = Random::new();
    for (rows, length) in [(5, 7), (3, 0), (20, 1), (4, 3000), (2, 20_000), (300, 40)] {
        let values: Vec<u32> = random.words(rows);
        let x = Input::new(&values, [rows]).window([rows, length], &[1, 0], 0);
        let y = Input::new(&random.words(rows * length), [rows, length]);
        let mut code = Code::new(&[rows, length], 1);
        let [x_, y_] = [0, 1].map(|i| code.load(i, DType::U32));
        let kinds = [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min];
        let stores: Vec<usize> = [x_, y_].into_iter().flat_map(|x| kinds.map(|kind| code.reduce(kind, x))).collect();
        let found = run(code.storing(&stores), &[x.clone(), y.clone()], &vec![Meta::new([rows], DType::U32); 8]);
        let found: Vec<Vec<u32>> = found.unwrap().iter().map(|bytes| u32::from_bytes(bytes)).collect();
        for (input, found) in [x, y].iter().zip(found.chunks(4)) {
            let seen = input.seen::<u32>();
            for row in 0..rows {
                let row_of = || seen[row * length..(row + 1) * length].iter().copied();
                assert_eq!(found[0][row], row_of().fold(0, u32::wrapping_add));
                assert_eq!(found[1][row], row_of().fold(1, u32::wrapping_mul));
                assert_eq!(found[2][row], row_of().max().unwrap_or(0));
                assert_eq!(found[3][row], row_of().min().unwrap_or(u32::MAX));
            }
        }
    }
}

/// What a row has once, on either side of an operation, in rows that are short, long, and cut into pieces.
#[test]
fn elements_meet_rows_from_both_sides() {
    let mut random = Random::new();
    for (rows, length) in [(5, 100), (7, 200), (3, 20_000)] {
        let x = Input::new(&random.words(rows * length), [rows, length]);
        let once = Input::new(&random.words(rows), [rows]).window([rows, length], &[1, 0], 0);
        let mut code = Code::new(&[rows, length], 1);
        let [x_, once_] = [0, 1].map(|i| code.load(i, DType::U32));
        let less = code.map(Map::Row(&table::SUB), &[x_, once_], DType::U32);
        let more = code.map(Map::Row(&table::SUB), &[once_, x_], DType::U32);
        let whole = Meta::new([rows, length], DType::U32);
        let found = run(code.storing(&[less, more]), &[x.clone(), once.clone()], &[whole.clone(), whole]).unwrap();
        let of = |f: fn(u32, u32) -> u32| -> Vec<u32> {
            x.seen::<u32>().into_iter().zip(once.seen::<u32>()).map(|(x, y)| f(x, y)).collect()
        };
        assert_eq!(u32::from_bytes(&found[0]), of(u32::wrapping_sub));
        assert_eq!(u32::from_bytes(&found[1]), of(|x, y| y.wrapping_sub(x)));
    }
}

/// `rms_norm` of doubles, with numbers made from positions and a bool on the way, and a register stored twice.
#[test]
fn rows_of_other_dtypes_and_of_numbers_made() {
    let mut random = Random::new();
    for (rows, length) in [(7, 5), (40, 768), (3, 9000), (1, 70_000)] {
        let x = Input::new(&random.doubles(rows * length), [rows, length]);
        let mut code = Code::new(&[rows, length], 1);
        let f64s = |code: &mut Code, row, args: &[usize]| code.map(Map::Row(row), args, DType::F64);
        let x_ = code.load(0, DType::F64);
        let line = |strides: [isize; 2], offset| Layout {
            shape: [rows, length].into(),
            strides: strides.as_slice().into(),
            offset,
        };
        let range = [Scalar::Float(0.0), Scalar::Float(1.0)];
        let along = code.generate(Map::Arange, line([0, 1], 0), DType::F64, &range);
        let down = code.generate(Map::Arange, line([2, 0], 3), DType::F64, &range);
        let share = code.constant(1.0 / length as f64, DType::F64);
        let half = code.constant(length as f64 / 2.0, DType::F64);
        let early = code.map(Map::Row(&table::LT), &[along, half], DType::Bool);
        let chosen = code.map(Map::Where, &[early, x_, down], DType::F64);
        let square = f64s(&mut code, &table::MUL, &[chosen, chosen]);
        let total = code.reduce(Reduction::Sum, square);
        let mean = f64s(&mut code, &table::MUL, &[total, share]);
        let scale = f64s(&mut code, &table::RSQRT, &[mean]);
        let y = f64s(&mut code, &table::MUL, &[chosen, scale]);
        let [places, once, truth] = [
            Meta::new([rows, length], DType::F64),
            Meta::new([rows], DType::F64),
            Meta::new([rows, length], DType::Bool),
        ];
        let outputs = [places.clone(), once.clone(), truth, places.clone(), once, places];
        let found = run(code.storing(&[y, scale, early, y, down, x_]), std::slice::from_ref(&x), &outputs).unwrap();
        let seen = x.seen::<f64>();
        for row in 0..rows {
            let at =
                |i: usize| if (i as f64) < length as f64 / 2.0 { seen[row * length + i] } else { (2 * row + 3) as f64 };
            let scale = 1.0 / ((0..length).map(|i| at(i) * at(i)).sum::<f64>() / length as f64).sqrt();
            assert!((f64::from_bytes(&found[1])[row] / scale - 1.0).abs() < 1e-13);
            assert_eq!(f64::from_bytes(&found[4])[row], (2 * row + 3) as f64);
            let y = &f64::from_bytes(&found[0])[row * length..(row + 1) * length];
            assert!((0..length).all(|i| (y[i] - at(i) * scale).abs() < 1e-12 * (1.0 + y[i].abs())));
            let early = &bool::from_bytes(&found[2])[row * length..(row + 1) * length];
            assert!((0..length).all(|i| early[i] == ((i as f64) < length as f64 / 2.0)));
        }
        assert_eq!((&found[3], f64::from_bytes(&found[5])), (&found[0], seen));
    }
}

/// Like a batch norm's gradient: reductions over axes that do not lie together, with the result in that order too.
#[test]
fn permuted_rows_with_results_of_both_kinds() {
    let mut random = Random::new();
    for [n, c, plane] in [[4, 6, 49], [16, 3, 300], [3, 5, 9000], [2, 70, 1]] {
        let strides = [plane, c * plane, 1].map(|stride| stride as isize);
        let [x, dy] = [(); 2].map(|()| Input::new(&random.floats(n * c * plane), [n * c * plane]));
        let [x, dy] = [x, dy].map(|input| input.window([c, n, plane], &strides, 0));
        let mut code = Code::new(&[c, n, plane], 2);
        let [x_, dy_] = [0, 1].map(|i| code.load(i, DType::F32));
        let product = code.row(&table::MUL, &[x_, dy_]);
        let first = code.reduce(Reduction::Sum, dy_);
        let second = code.reduce(Reduction::Sum, product);
        let both = code.row(&table::MUL, &[x_, second]);
        let y = code.row(&table::ADD, &[both, first]);
        let outputs = [f32s(&[c]), f32s(&[c]), f32s(&[c, n, plane])];
        let found = run(code.storing(&[first, second, y]), &[x.clone(), dy.clone()], &outputs).unwrap();
        let (x, dy) = (rows_of(&x, c), rows_of(&dy, c));
        let first: Vec<f64> = dy.iter().map(|row| row.iter().sum()).collect();
        let second: Vec<f64> = x.iter().zip(&dy).map(|(x, dy)| x.iter().zip(dy).map(|(x, y)| x * y).sum()).collect();
        let scale = vec![(n * plane) as f64; c * n * plane];
        assert_near(&f32::from_bytes(&found[0]), &first, &scale[..c], 1e-6);
        assert_near(&f32::from_bytes(&found[1]), &second, &scale[..c], 1e-6);
        let y: Vec<f64> =
            (0..c).flat_map(|i| x[i].iter().map(|x| x * second[i] + first[i]).collect::<Vec<_>>()).collect();
        assert_near(&f32::from_bytes(&found[2]), &y, &scale, 3e-6);
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let x = Input::new(&[1u8, 2, 3], [3]);
    let mut code = Code::new(&[3], 1);
    let x_ = code.load(0, DType::U8);
    let sum = code.reduce(Reduction::Sum, x_);
    let error = run(code.clone().storing(&[sum]), std::slice::from_ref(&x), &[Meta::new([1], DType::U8)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // A result of the wrong size, an operand that is not there, and an index of another dtype.
    let error = run(code.clone().storing(&[x_]), std::slice::from_ref(&x), &[Meta::new([1], DType::U8)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let error = run(code.clone().storing(&[9]), std::slice::from_ref(&x), &[Meta::new([3], DType::U8)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let mut code = Code::new(&[3], 1);
    let x_ = code.load(0, DType::U8);
    let one = code.constant(1.0, DType::F32);
    let picked = code.pick(x_, one);
    let error = run(code.storing(&[picked]), &[x], &[Meta::new([1], DType::U8)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
}

/// Two reductions of different things at one go, also where rows are cut in pieces: neither may take the other's place.
#[test]
fn two_reductions_at_once() {
    let mut random = Random::new();
    for (rows, length) in SIZES.into_iter().chain([(182, 6), (300, 50)]).filter(|&(_, length)| length > 0) {
        for x in inputs(&mut random, &[rows, length]) {
            let mut code = Code::new(&[rows, length], 1);
            let x_ = code.load(0, DType::F32);
            let less = code.row(&table::NEG, &[x_]);
            let total = code.reduce(Reduction::Sum, less);
            let square = code.row(&table::MUL, &[x_, x_]);
            let more = code.row(&table::ABS, &[square]);
            let squares = code.reduce(Reduction::Sum, more);
            let found = run(code.storing(&[total, squares]), std::slice::from_ref(&x), &[f32s(&[rows]), f32s(&[rows])]);
            let found = found.unwrap();
            let all = rows_of(&x, rows);
            let totals: Vec<f64> = all.iter().map(|row| -row.iter().sum::<f64>()).collect();
            let squares: Vec<f64> = all.iter().map(|row| row.iter().map(|x| x * x).sum()).collect();
            let scale: Vec<f64> = all.iter().map(|row| row.iter().map(|x| x.abs()).sum::<f64>().max(1.0)).collect();
            assert_near(&f32::from_bytes(&found[0]), &totals, &scale, 1e-6);
            near(&found[1], &squares, 2e-6);
        }
    }
}
