//! Ops that consist of several steps compute what the steps compute one by one.

mod common;

use common::{assert_near, devices, floats, unfused};
use std::borrow::Cow;
use wgrad::ErrorKind;
use wgrad::prelude::*;
use wgrad::tensor::dtype::Scalar;
use wgrad::tensor::error::Problem;
use wgrad::tensor::op::Argument::{Input, Number, Part as Made};
use wgrad::tensor::op::{Compute, Meta, Metas, Op, Part, Parts, Reduction};
use wgrad::tensor::ops::table::{ADD, EXP, GT, MUL};
use wgrad::tensor::registry::Array;

/// The op with this number in [`LISTS`], which says that it gives this.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed {
    number: usize,
    gives: Metas,
}

impl Op for Listed {
    fn name(&self) -> Cow<'static, str> {
        "listed".into()
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Metas, Problem> {
        Ok(self.gives.clone())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Parts
    }
    fn parts(&self) -> Parts {
        match self.number {
            OUTPUTS => several(),
            number => LISTS[number].0().into(),
        }
    }
}

fn listed(number: usize, dtype: DType, shape: &[usize], inputs: &[&Tensor], numbers: &[f64]) -> Tensor {
    let op = Listed { number, gives: Metas::from_iter([Meta::new(shape, dtype)]) };
    Tensor::apply(op, inputs, numbers.iter().copied().map(Scalar::Float).collect(), inputs[0].device())
}

/// A list of parts, and the shape that they are said to give.
type List = (fn() -> Vec<Part>, &'static [usize]);

/// From the fourth on, they do not.
const LISTS: [List; 18] = [
    (whole, &[]),
    (|| vec![Part::Row(&GT, vec![Input(0), Number(0)])], &[4, 5]),
    (|| vec![Part::Sum(Input(0))], &[]),
    (Vec::new, &[2, 3]),
    (|| vec![Part::Sum(Input(2))], &[]),
    (|| vec![Part::Sum(Input(0))], &[2, 3]),
    (|| vec![Part::Row(&MUL, vec![Input(0)])], &[2, 3]),
    (|| vec![Part::Row(&EXP, vec![Made(0)])], &[2, 3]),
    (|| vec![Part::Row(&MUL, vec![Input(0), Number(1)])], &[2, 3]),
    (|| vec![Part::Row(&MUL, vec![Number(0), Number(0)])], &[2, 3]),
    (|| vec![Part::Row(&GT, vec![Input(0), Number(0)])], &[2, 3]),
    // Of other dtypes than the row takes, and of two.
    (|| vec![Part::Row(&GT, vec![Input(0), Number(0)]), Part::Row(&EXP, vec![Made(0)])], &[2, 3]),
    (|| vec![Part::Row(&GT, vec![Input(0), Number(0)]), Part::Row(&MUL, vec![Input(0), Made(0)])], &[2, 3]),
    // Of axes that are not there, are not in order, and of which there are two.
    (|| vec![Part::Fold(Reduction::Sum, vec![2], Input(0))], &[2, 3]),
    (|| vec![Part::Fold(Reduction::Sum, vec![1, 0], Input(0))], &[1, 1]),
    (|| vec![Part::Fold(Reduction::Sum, vec![1], Input(0)), Part::Row(&EXP, vec![Made(0)])], &[2, 3]),
    // Of truths, and the largest of nothing.
    (|| vec![Part::Row(&GT, vec![Input(0), Number(0)]), Part::Sum(Made(0))], &[]),
    (|| vec![Part::Fold(Reduction::Max, vec![1], Input(1))], &[2, 1]),
];

/// The number of [`several`].
const OUTPUTS: usize = LISTS.len();

/// Of `[rows, 7]`: the sum of each row, the largest of each column of `exp(x)`, and `x` again, by a fold of no axes.
fn several() -> Parts {
    let steps = vec![
        Part::Row(&EXP, vec![Input(0)]),
        Part::Fold(Reduction::Max, vec![0], Made(0)),
        Part::Fold(Reduction::Sum, vec![1], Input(0)),
        Part::Fold(Reduction::Sum, vec![], Input(0)),
    ];
    Parts { steps, outputs: vec![2, 1, 3] }
}

/// `exp(n1 x y) + 2 sum(x y) + n0`.
fn whole() -> Vec<Part> {
    vec![
        Part::Row(&MUL, vec![Input(0), Input(1)]),
        Part::Sum(Made(0)),
        Part::Row(&MUL, vec![Number(1), Made(0)]),
        Part::Row(&EXP, vec![Made(2)]),
        Part::Row(&ADD, vec![Made(3), Made(1)]),
        Part::Sum(Made(1)),
        Part::Row(&ADD, vec![Made(4), Made(5)]),
        Part::Row(&ADD, vec![Made(6), Number(0)]),
    ]
}

#[test]
fn parts_compute_what_they_say() -> wgrad::Result<()> {
    let unfused = unfused();
    for device in devices().iter().chain([&unfused]) {
        for rows in [3, 1, 0] {
            let ((x, a), (y, b)) = (floats(&[7, rows], 0, device), floats(&[7], 1, device));
            let found = listed(0, DType::F32, &[rows, 7], &[&x.t(), &y], &[0.75, -0.5]);
            let product = Array::from_fn(&[rows, 7], |p| a.at(&[p[1], p[0]]) * b.at(&[p[1]]));
            let sum: f64 = product.data.iter().sum();
            assert_near(&found, &product.map(|x| (-0.5 * x).exp() + sum + sum + 0.75), 1e-5)?;
        }
        let (x, a) = floats(&[4, 5], 2, device);
        let above = listed(1, DType::Bool, &[4, 5], &[&x], &[0.25]);
        assert_near(&above.cast(DType::F32), &a.map(|x| f64::from(x > 0.25)), 0.0)?;
    }
    Ok(())
}

#[test]
fn parts_give_several_outputs() -> wgrad::Result<()> {
    let unfused = unfused();
    let metas = |shapes: &[[usize; 2]]| shapes.iter().map(|&shape| Meta::new(shape, DType::F32)).collect::<Metas>();
    for device in devices().iter().chain([&unfused]) {
        let (x, a) = floats(&[5, 7], 3, device);
        let op = |gives| Listed { number: OUTPUTS, gives };
        let whole: [Tensor; 3] = Tensor::apply_all(op(metas(&[[5, 1], [1, 7], [5, 7]])), &[&x], Vec::new(), device);
        let sums = Array::from_fn(&[5, 1], |p| (0..7).map(|column| a.at(&[p[0], column])).sum());
        let largest = |p: &[usize]| (0..5).map(|row| a.at(&[row, p[1]]).exp()).fold(f64::MIN, f64::max);
        let [sum, max, same] = &whole;
        // One by one, the last first; and as what others are computed from.
        assert_near(same, &a, 0.0)?;
        assert_near(max, &Array::from_fn(&[1, 7], largest), 1e-5)?;
        assert_near(sum, &sums, 1e-5)?;
        let [sum, max, _] = Tensor::apply_all::<3>(op(metas(&[[5, 1], [1, 7], [5, 7]])), &[&x], Vec::new(), device);
        let both = Array::from_fn(&[5, 7], |p| sums.at(&[p[0], 0]) * largest(&[p[0], p[1]]));
        assert_near(&(sum * max), &both, 1e-5)?;
        // More than there are, fewer, and others.
        for gives in [&[[5, 1], [1, 7], [5, 7], [5, 7]][..], &[[5, 1], [1, 7]], &[[5, 7], [1, 7], [5, 1]]] {
            let error = Tensor::apply(op(metas(gives)), &[&x], Vec::new(), device).to_bytes().unwrap_err();
            assert!(error.to_string().contains("listed") && error.to_string().contains("parts.rs"), "{error}");
        }
    }
    Ok(())
}

#[test]
fn parts_that_do_not_fit_are_an_error() {
    for device in devices() {
        let (x, nothing) = (Tensor::ones([2, 3], DType::F32, device), Tensor::ones([2, 0], DType::F32, device));
        for (number, (_, shape)) in LISTS.iter().enumerate().skip(3) {
            let error = listed(number, DType::F32, shape, &[&x, &nothing], &[1.0]).to_bytes().unwrap_err();
            assert!(error.to_string().contains("listed") && error.to_string().contains("parts.rs"), "{error}");
        }
    }
}

#[test]
fn parts_have_no_gradient_and_say_so() {
    for device in devices() {
        let x = Tensor::ones([2, 3], DType::F32, device).requires_grad();
        let loss = listed(2, DType::F32, &[], &[&x], &[]);
        assert_eq!(loss.backward().unwrap_err().kind(), ErrorKind::NotDifferentiable);
    }
}
