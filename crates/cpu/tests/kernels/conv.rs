//! Convolutions and their gradients.

use crate::harness::{Input, Probe, Random, assert_near, op, run, run_one};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::op::{Meta, Window2d};

struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    window: Window2d,
}

impl Case {
    fn output(&self) -> [usize; 4] {
        let size = |axis: usize| {
            let span = self.window.dilation[axis] * (self.weight[2 + axis] - 1) + 1;
            (self.input[2 + axis] + 2 * self.window.padding[axis] - span) / self.window.stride[axis] + 1
        };
        [self.input[0], self.weight[0], size(0), size(1)]
    }

    /// Calls `f` with the positions of output, input and weight of every product.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([n, c, h, w], [o, cg, kh, kw], [_, _, oh, ow]) = (self.input, self.weight, self.output());
        let Window2d { stride, padding, dilation, groups } = self.window;
        for (image, filter) in (0..n).flat_map(|n| (0..o).map(move |o| (n, o))) {
            for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                for channel in 0..cg {
                    for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                        let y = (oy * stride[0] + ky * dilation[0]).wrapping_sub(padding[0]);
                        let x = (ox * stride[1] + kx * dilation[1]).wrapping_sub(padding[1]);
                        if y < h && x < w {
                            let from = filter / (o / groups) * cg + channel;
                            f(
                                ((image * o + filter) * oh + oy) * ow + ox,
                                ((image * c + from) * h + y) * w + x,
                                ((filter * cg + channel) * kh + ky) * kw + kx,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |input, weight, stride, padding, dilation, groups| {
        cases.push(Case { input, weight, window: Window2d { stride, padding, dilation, groups } });
    };
    case([2, 1, 28, 28], [16, 1, 3, 3], [1, 1], [1, 1], [1, 1], 1);
    case([5, 16, 14, 14], [32, 16, 3, 3], [1, 1], [1, 1], [1, 1], 1);
    case([1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [0, 0], [1, 1], 1);
    case([3, 5, 9, 11], [7, 5, 3, 2], [1, 1], [0, 0], [1, 1], 1);
    case([2, 3, 13, 17], [4, 3, 5, 3], [2, 2], [2, 1], [1, 1], 1);
    case([2, 3, 13, 17], [4, 3, 5, 3], [3, 2], [2, 3], [1, 1], 1);
    case([2, 4, 12, 10], [6, 2, 3, 3], [1, 1], [1, 1], [1, 1], 2);
    case([2, 4, 12, 20], [8, 1, 3, 3], [1, 2], [1, 1], [1, 1], 4);
    case([2, 3, 15, 14], [5, 3, 3, 3], [1, 1], [2, 2], [2, 2], 1);
    case([2, 3, 15, 14], [5, 3, 3, 3], [2, 3], [2, 4], [3, 2], 1);
    case([2, 6, 8, 8], [10, 6, 1, 1], [1, 1], [0, 0], [1, 1], 1);
    case([2, 6, 9, 8], [10, 6, 1, 1], [2, 2], [0, 0], [1, 1], 1);
    case([1, 40, 7, 7], [50, 40, 3, 3], [1, 1], [1, 1], [1, 1], 1);
    case([1, 3, 40, 37], [24, 3, 7, 7], [2, 2], [3, 3], [1, 1], 1);
    case([2, 2, 5, 6], [3, 2, 3, 3], [1, 1], [4, 5], [1, 1], 1);
    case([2, 2, 1, 70], [3, 2, 1, 9], [1, 1], [0, 4], [1, 1], 1);
    case([0, 2, 5, 6], [3, 2, 3, 3], [1, 1], [1, 1], [1, 1], 1);
    case([40, 3, 6, 6], [9, 3, 3, 3], [1, 1], [1, 1], [1, 1], 1);
    case([1, 2, 6, 6], [3, 2, 2, 2], [5, 5], [0, 0], [1, 1], 1);
    cases
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Convolution, and both gradients, are sums over the same products.
#[test]
fn all_three_directions() {
    let mut random = Random::new();
    for case in cases() {
        let shapes = [case.output(), case.input, case.weight];
        let data = shapes.map(|shape| random.floats(shape.iter().product()));
        let inputs: Vec<Input> = data.iter().zip(shapes).map(|(data, shape)| Input::new(data, shape)).collect();
        let data: Vec<Vec<f64>> = data.iter().map(|data| wide(data)).collect();
        for target in 0..3 {
            let mut exact = vec![0.0; data[target].len()];
            let mut scale = vec![1e-3; data[target].len()];
            case.products(|output, input, weight| {
                let at = [output, input, weight];
                let term: f64 = (0..3).filter(|&i| i != target).map(|i| data[i][at[i]]).product();
                exact[at[target]] += term;
                scale[at[target]] += term.abs();
            });
            let (probe, operands) = match target {
                0 => (Probe::Conv2d(case.window), [inputs[1].clone(), inputs[2].clone()]),
                1 => (Probe::Conv2dInput(case.window), [inputs[0].clone(), inputs[2].clone()]),
                _ => (Probe::Conv2dWeight(case.window), [inputs[0].clone(), inputs[1].clone()]),
            };
            let found = run_one::<f32>(op(probe.clone(), &[]), &operands, &shapes[target]);
            println!("{:?} {:?} {:?} target {target}", case.input, case.weight, case.window);
            assert_near(&found, &exact, &scale, 2e-6);
            let double = operands.map(|x| Input::new(&wide(&x.seen::<f32>()), &**x.shape()));
            let found = run_one::<f64>(op(probe, &[]), &double, &shapes[target]);
            assert!(found.iter().zip(&exact).zip(&scale).all(|((x, y), scale)| (x - y).abs() <= 1e-14 * scale));
        }
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let window = Window2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    let inputs = [Input::new(&[0f32; 9], [1, 1, 3, 3]), Input::new(&[0f32; 4], [1, 1, 2, 2])];
    let error = run(op(Probe::Conv2d(window), &[]), &inputs, &[Meta::new([1, 1, 3, 3], DType::F32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    for broken in [
        Window2d { stride: [0, 1], ..window },
        Window2d { groups: 0, ..window },
        Window2d { dilation: [0, 0], ..window },
    ] {
        assert!(run(op(Probe::Conv2d(broken), &[]), &inputs, &[Meta::new([1, 1, 2, 2], DType::F32)]).is_err());
    }
    let inputs = [Input::new(&[0i32; 9], [1, 1, 3, 3]), Input::new(&[0i32; 4], [1, 1, 2, 2])];
    let error = run(op(Probe::Conv2d(window), &[]), &inputs, &[Meta::new([1, 1, 2, 2], DType::I32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
