//! Random graphs: views, dtypes, several outputs, shared nodes, tensors dropped, kept or evaluated half-way. What a
//! device computes, with all that shares kernels, against plain f64 loops; gradients against f64 without shared kernels.
//!
//! `WGRAD_GRAPHS` says how many, `WGRAD_GRAPH` repeats one by its numbers; `cargo xtask soak` runs many.

mod common;

use common::devices;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wgrad::prelude::*;
use wgrad::tensor::registry::Array;

/// Numbers that a graph is drawn from, one after the other; 0 when they are used up.
struct Draw<'a>(std::slice::Iter<'a, u16>);

impl Draw<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % end.max(1)
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// A tensor and what it should hold.
#[derive(Clone)]
struct Pair {
    tensor: Tensor,
    array: Array,
}

/// What became of a graph: its inputs that want gradients, and what is still held.
struct Built {
    leaves: Vec<Tensor>,
    held: Vec<Pair>,
}

/// Builds the graph that the numbers say, in one dtype on one device.
fn build(numbers: &[u16], float: DType, device: &Device) -> wgrad::Result<Built> {
    let mut draw = Draw(numbers.iter());
    let mut leaves = Vec::new();
    let mut held: Vec<Pair> = Vec::new();
    for number in 0..1 + draw.below(3) {
        let rank = 1 + draw.below(3);
        let shape: Vec<usize> = (0..rank).map(|_| *draw.pick(&[1, 2, 3, 5, 8])).collect();
        let seed = draw.below(1000) as f64;
        let mut place = 0.0;
        let array = Array::from_fn(&shape, |_| {
            place += 1.0;
            let noise = ((place + seed * 71.3 + number as f64 * 13.7).sin() * 43_758.545_312).fract();
            f64::from((noise * 1.5) as f32)
        });
        let tensor = array.to_tensor(float, device).requires_grad();
        leaves.push(tensor.clone());
        held.push(Pair { tensor, array });
    }
    for _ in 0..draw.below(24) {
        let at = draw.below(held.len());
        let x = held[at].clone();
        match draw.below(23) {
            0 => held.swap_remove(at),
            1 => {
                x.tensor.eval()?;
                continue;
            }
            choice => {
                let other = held[draw.below(held.len())].clone();
                held.push(step(choice, &x, &other, &mut draw)?);
                continue;
            }
        };
        if held.is_empty() {
            held.push(x);
        }
    }
    Ok(Built { leaves, held })
}

/// One more operation.
fn step(choice: usize, x: &Pair, other: &Pair, draw: &mut Draw<'_>) -> wgrad::Result<Pair> {
    let shape = x.array.shape.clone();
    let rank = shape.len();
    let axis = draw.below(rank);
    let (t, a) = (&x.tensor, &x.array);
    Ok(match choice {
        2 => pair(t.tanh(), a.map(f64::tanh)),
        3 => pair(t.sigmoid(), a.map(|x| 1.0 / (1.0 + (-x).exp()))),
        4 => pair(t * 0.5 - 0.25, a.map(|x| x * 0.5 - 0.25)),
        5 => pair(t.tanh().exp(), a.map(|x| x.tanh().exp())),
        6 => pair(t.sin() + t.cos(), a.map(|x| x.sin() + x.cos())),
        7 => match broadcast(&shape, &other.array.shape) {
            Some(to) => {
                let sum = Array::from_fn(&to, |p| a.at(p).tanh() * 0.7 + other.array.at(p));
                pair(t.tanh() * 0.7 + &other.tensor, sum)
            }
            None => pair(-t, a.map(|x| -x)),
        },
        8 => {
            let axes: Vec<usize> = (axis..rank).collect();
            let mean = reduce(a, &axes, |all| all.iter().sum::<f64>() / all.len() as f64);
            let centred = Array::from_fn(&shape, |p| a.at(p) - mean.at(p));
            let var = reduce(&centred, &axes, |all| all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64);
            let normal = Array::from_fn(&shape, |p| centred.at(p) / (var.at(p) + 0.05).sqrt());
            pair(t.standardize(axis.., 0.05), normal)
        }
        9 => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.rotate_left(1 + draw.below(rank));
            let sizes: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
            let moved = Array::from_fn(&sizes, |p| {
                let mut from = vec![0; rank];
                order.iter().zip(p).for_each(|(&axis, &at)| from[axis] = at);
                a.at(&from)
            });
            let order: Vec<isize> = order.iter().map(|&axis| axis as isize).collect();
            pair(t.permute(&order[..]), moved)
        }
        10 => {
            let flat = vec![a.data.len()];
            let sizes = if rank > 1 { flat } else { vec![1, a.data.len(), 1] };
            pair(t.reshape(sizes.clone()), Array { shape: sizes, data: a.data.clone() })
        }
        11 => {
            let flipped = Array::from_fn(&shape, |p| {
                let mut from = p.to_vec();
                from[axis] = shape[axis] - 1 - p[axis];
                a.at(&from)
            });
            pair(t.flip([axis as isize]), flipped)
        }
        12 if shape[axis] > 1 => {
            let start = draw.below(shape[axis] - 1);
            let mut sizes = shape.clone();
            sizes[axis] -= start;
            let cut = Array::from_fn(&sizes, |p| {
                let mut from = p.to_vec();
                from[axis] += start;
                a.at(&from)
            });
            pair(t.slice(axis as isize, start as isize..), cut)
        }
        13 | 14 => {
            let axes: Vec<usize> = if choice == 13 { vec![axis] } else { (0..=axis).collect() };
            let mean = reduce(a, &axes, |all| all.iter().sum::<f64>() / all.len() as f64);
            let axes: Vec<isize> = axes.iter().map(|&axis| axis as isize).collect();
            pair(t.mean_keepdim(&axes[..]), mean)
        }
        15 => {
            let powers = reduce(a, &[axis], |all| all.iter().map(|x| x.exp()).sum());
            let soft = Array::from_fn(&shape, |p| a.at(p).exp() / powers.at(p));
            pair(t.softmax(axis as isize), soft)
        }
        16 => {
            let largest = reduce(a, &[axis], |all| all.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            let less = Array::from_fn(&shape, |p| a.at(p) - largest.at(p));
            pair(t - t.max_keepdim(axis as isize), less)
        }
        17 if rank == 2 => {
            let product = Array::from_fn(&[shape[0], shape[0]], |p| {
                (0..shape[1]).map(|k| a.at(&[p[0], k]) * a.at(&[p[1], k])).sum::<f64>() * 0.1 + 0.5
            });
            pair(t.matmul(&t.t()) * 0.1 + 0.5, product)
        }
        17 if rank > 2 && a.data.len() > 4 => {
            let width = shape[rank - 1];
            let rows = (a.data.len() / width).min(2);
            let weight = t.reshape([-1, width as isize]).narrow(0, 0, rows);
            let sizes: Vec<usize> = shape[..rank - 1].iter().copied().chain([rows]).collect();
            let product = Array::from_fn(&sizes, |p| {
                let own = |k: usize| a.at(&p[..rank - 1].iter().copied().chain([k]).collect::<Vec<_>>());
                (0..width).map(|k| own(k) * a.data[p[rank - 1] * width + k]).sum::<f64>() * 0.1 + 0.5
            });
            pair(t.linear(&weight, None) * 0.1 + 0.5, product)
        }
        18 => {
            let index: Vec<u32> =
                reduce(a, &[axis], |all| (all.len() / 2) as f64).data.iter().map(|&i| i as u32).collect();
            let mut sizes = shape.clone();
            sizes[axis] = 1;
            let index = Tensor::from_vec(index, &sizes[..], t.device());
            let picked = reduce(a, &[axis], |all| all[all.len() / 2]);
            pair(t.tanh().gather(axis as isize, &index), picked.map(f64::tanh))
        }
        19 => {
            let mut sizes = shape.clone();
            sizes[axis] *= 2;
            let joined = Array::from_fn(&sizes, |p| {
                let mut from = p.to_vec();
                from[axis] %= shape[axis];
                if p[axis] < shape[axis] { a.at(&from) } else { -a.at(&from) }
            });
            pair(Tensor::cat(&[t, &-t], axis as isize)?, joined)
        }
        20 => {
            let count = a.data.len();
            // Quarters are exact, also where there are hundreds.
            let wave = Tensor::arange(count + 2, t.try_dtype()?, t.device()).narrow(0, 1, count) * 0.25;
            let mut place = 0.0;
            let other = Array::from_fn(&shape, |p| {
                place += 1.0;
                a.at(p) + (place * 0.25f64).cos()
            });
            let sizes: Vec<isize> = shape.iter().map(|&size| size as isize).collect();
            pair(t + wave.cos().reshape(sizes), other)
        }
        21 => {
            let amounts: Vec<(usize, usize)> = (axis..rank).map(|_| (draw.below(4), draw.below(4))).collect();
            let number = *draw.pick(&[0.25, 0.0, -1.5]);
            let around = |at: usize| at.checked_sub(axis).map_or((0, 0), |at| amounts[at]);
            let sizes: Vec<usize> = (0..rank).map(|at| around(at).0 + shape[at] + around(at).1).collect();
            let inside = |p: &[usize]| {
                let from = (0..rank).map(|at| p[at].checked_sub(around(at).0).filter(|&from| from < shape[at]));
                Some(a.at(&from.collect::<Option<Vec<usize>>>()?))
            };
            pair(t.pad(&amounts, number), Array::from_fn(&sizes, |p| inside(p).unwrap_or(number)))
        }
        _ => pair(t.square().tanh(), a.map(|x| (x * x).tanh())),
    })
}

fn pair(tensor: Tensor, array: Array) -> Pair {
    Pair { tensor, array }
}

/// The shape that both broadcast to.
fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y || y == 1 => Some(x),
            (1, y) => Some(y),
            _ => None,
        })
        .collect()
}

/// Folds axes, which stay with size 1.
fn reduce(a: &Array, axes: &[usize], fold: impl Fn(&[f64]) -> f64) -> Array {
    let kept: Vec<usize> = (0..a.shape.len()).map(|at| if axes.contains(&at) { 1 } else { a.shape[at] }).collect();
    let inner: Vec<usize> = (0..a.shape.len()).map(|at| if axes.contains(&at) { a.shape[at] } else { 1 }).collect();
    Array::from_fn(&kept, |p| {
        let all = Array::from_fn(&inner, |q| a.at(&p.iter().zip(q).map(|(p, q)| p + q).collect::<Vec<_>>()));
        fold(&all.data)
    })
}

/// Checks one graph on one device.
fn check(numbers: &[u16], device: &Device) -> wgrad::Result<Result<(), String>> {
    let built = build(numbers, DType::F32, device)?;
    for (at, pair) in built.held.iter().enumerate().rev() {
        let found = Array::from_tensor(&pair.tensor)?;
        if found.shape != pair.array.shape {
            return Ok(Err(format!("{device}: tensor {at} has shape {:?}, not {:?}", found.shape, pair.array.shape)));
        }
        if let Some(error) = differs(&found, &pair.array) {
            return Ok(Err(format!("{device}: tensor {at}, {error}")));
        }
    }
    let (found, expected) = (gradients(&built)?, gradients(&build(numbers, DType::F64, &common::unfused())?)?);
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                if let Some(error) = differs(found, expected) {
                    return Ok(Err(format!("{device}: gradient {at}, {error}")));
                }
            }
            (None, None) => {}
            _ => return Ok(Err(format!("{device}: gradient {at} is there on one device only"))),
        }
    }
    Ok(Ok(()))
}

fn differs(found: &Array, expected: &Array) -> Option<String> {
    let scale = expected.scale();
    let wrong = found
        .data
        .iter()
        .zip(&expected.data)
        .position(|(a, b)| (a - b).abs().is_nan() || (a - b).abs() > 2e-5 * scale)?;
    Some(format!("element {wrong}: {} where {} is right", found.data[wrong], expected.data[wrong]))
}

/// The gradient of what is held, for each input that it depends on.
fn gradients(built: &Built) -> wgrad::Result<Vec<Option<Array>>> {
    let tracked = built.held.iter().map(|pair| pair.tensor.sin().mean(..));
    let Some(loss) = tracked.reduce(|a, b| a + b) else { return Ok(Vec::new()) };
    let gradients = loss.backward_retain()?;
    built.leaves.iter().map(|leaf| gradients.get(leaf).ok().map(|g| Array::from_tensor(&g)).transpose()).collect()
}

/// Graphs that were computed wrongly once.
const FOUND: [&[u16]; 2] = [
    &[
        9807, 27824, 8121, 0, 13441, 0, 5723, 0, 174, 0, 0, 0, 1059, 14330, 6414, 0, 30952, 49266, 15076, 62714, 50150,
        16850, 52583, 57630, 22859, 24228, 60208, 2385, 22294, 14546, 6426, 17287, 29982, 24868, 12396, 33217, 52284,
        56431, 44263, 31880, 24257, 8279, 38054, 13768, 63042, 63623, 40632, 55499, 36846, 12932, 22239, 40570, 57052,
        60851, 11093, 18462, 59055, 36486, 62608, 53738, 34527, 48583, 27031, 42412, 24089, 24815, 34723, 503, 18131,
    ],
    &[
        9166, 33467, 0, 40724, 10064, 0, 14946, 0, 0, 5912, 0, 21507, 0, 0, 0, 30968, 0, 0, 18072, 19571, 0, 9165, 58,
        23399, 8731, 42423, 25035, 50826, 0, 0, 27625, 0, 0, 0, 10053, 0, 0, 0, 4740, 0, 0, 0, 1520, 0, 0, 31234,
        52663, 0, 1785, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
];

#[test]
fn graphs_that_were_wrong_once_are_right() -> wgrad::Result<()> {
    for device in devices() {
        for numbers in FOUND {
            assert_eq!(check(numbers, device)?, Ok(()));
        }
    }
    Ok(())
}

#[test]
fn random_graphs_compute_what_their_steps_do() {
    let cases = std::env::var("WGRAD_GRAPHS").ok().and_then(|count| count.parse().ok()).unwrap_or(100);
    if let Ok(numbers) = std::env::var("WGRAD_GRAPH") {
        let numbers: Vec<u16> = numbers.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        for device in devices() {
            let checked = check(&numbers, device).map_err(|error| error.to_string()).flatten();
            assert_eq!(checked, Ok(()));
        }
        return;
    }
    for device in devices() {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let graph = prop::collection::vec(any::<u16>(), 8..120);
        let result = TestRunner::new(config).run(&graph, |numbers| match check(&numbers, device) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(TestCaseError::fail(error)),
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        });
        println!("{device}: {cases} graphs");
        assert!(result.is_ok(), "{}", result.err().map(|error| error.to_string()).unwrap_or_default());
    }
}
