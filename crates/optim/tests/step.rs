//! One step at a time: what changes, what must not, and what errors say.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Line, device};
use wgrad_autograd::{Backward, Gradients};
use wgrad_nn::{Module, Param};
use wgrad_optim::{Adam, AdamW, Optimizer, Rule, Sgd, Step, clip_grad_norm};
use wgrad_tensor::{ErrorKind, Tensor};

#[test]
fn plain_descent_is_the_formula() {
    let device = device();
    let x = Param::new(Tensor::new([3.0f32, -4.0], &device));
    let mut optimizer = Sgd::new(vec![x.clone()], 0.25);
    optimizer.step(x.tensor().square().sum(..).backward().unwrap()).unwrap();
    assert_eq!(x.tensor().to_vec::<f32>().unwrap(), [1.5, -2.0]);
    optimizer.set_lr(0.5);
    optimizer.step(x.tensor().square().sum(..).backward().unwrap()).unwrap();
    assert_eq!(x.tensor().to_vec::<f32>().unwrap(), [0.0, 0.0]);
    assert_eq!((optimizer.lr(), optimizer.steps()), (0.5, 2));
    assert!(x.tensor().is_tracked());
}

#[test]
fn adams_first_step_is_the_learning_rate() {
    let device = device();
    for dtype in [wgrad_tensor::DType::F32, wgrad_tensor::DType::F64] {
        let x = Param::new(Tensor::new([30.0f64, -0.004, 0.0], &device).cast(dtype));
        let mut optimizer = Adam::new(vec![x.clone()], 0.125).eps(0.0);
        optimizer
            .step((x.tensor() * Tensor::new([5.0f64, -7.0, 1.0], &device).cast(dtype)).sum(..).backward().unwrap())
            .unwrap();
        let moved = x.tensor().cast(wgrad_tensor::DType::F64).to_vec::<f64>().unwrap();
        for (found, expected) in moved.iter().zip([29.875, 0.121, -0.125]) {
            assert!((found - expected).abs() < 1e-5, "{moved:?}");
        }
    }
}

#[test]
fn adamw_is_its_formula_in_tensor_operations_bit_for_bit() {
    let device = device();
    let start = Tensor::new([0.5f32, -1.25, 3e-3, 700.0, -0.1], &device);
    let x = Param::new(start.clone());
    let mut optimizer = AdamW::new(vec![x.clone()], 1e-2).weight_decay(0.1);
    let (mut param, mut mean, mut square) = (start.clone(), start.zeros_like(), start.zeros_like());
    for step in 1..5 {
        let pull = Tensor::new([0.3f32, -7.0, 1e-4, 0.0, 1.7], &device) * f64::from(step);
        optimizer.step((x.tensor() * &pull).sum(..).backward().unwrap()).unwrap();
        mean = mean.lerp(&pull, 1.0 - 0.9);
        square = square.lerp(&pull.square(), 1.0 - 0.999);
        let root = (1.0 - 0.999f64.powi(step)).sqrt();
        let divisor = square.sqrt() + 1e-8 * root;
        param = param * (1.0 - 1e-2 * 0.1) - &mean / divisor * (1e-2 * root / (1.0 - 0.9f64.powi(step)));
        assert_eq!(x.tensor().to_bytes().unwrap(), param.to_bytes().unwrap(), "after step {step}");
    }
}

#[test]
fn a_parameter_without_a_gradient_is_named_and_nothing_changes() {
    let device = device();
    let model = Line::new(&device);
    let mut optimizer = AdamW::new(model.parameters(), 0.1);
    let before = model.bits();
    let error = optimizer.step(model.weight.tensor().sum(..).backward().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoGradient);
    assert!(error.message().starts_with("no gradient for bias:"), "{error}");
    assert!(error.location().is_some_and(|at| at.file().ends_with("step.rs")), "{error}");
    assert_eq!((model.bits(), optimizer.steps()), (before.clone(), 0));

    model.bias.freeze(true);
    optimizer.step(model.weight.tensor().sum(..).backward().unwrap()).unwrap();
    let after = model.bits();
    assert!(after[..4].iter().zip(&before).all(|(after, before)| after != before));
    assert_eq!(after[4..], before[4..], "the frozen one stays");
}

#[test]
fn a_failed_gradient_changes_nothing_and_keeps_its_line() {
    let device = device();
    let model = Line::new(&device);
    let mut optimizer = Sgd::new(model.parameters(), 0.1).momentum(0.9);
    let before = model.bits();
    let gradients = model.loss(0).backward().unwrap();
    let misfit = Tensor::new([1.0f32; 7], &device);
    let error = optimizer.step(gradients.map(|gradient| gradient + &misfit)).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Shape, "add"));
    assert_eq!((model.bits(), optimizer.steps()), (before, 0));
}

#[test]
fn numbers_that_are_none_are_refused() {
    let device = device();
    let model = Line::new(&device);
    let mut optimizer = Sgd::new(model.parameters(), f64::NAN);
    let error = optimizer.step(model.loss(0).backward().unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Value, "the learning rate is NaN"));
    let error = Sgd::new(Vec::new(), 0.1).step(model.loss(0).backward().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
}

#[test]
fn a_rule_must_keep_the_shape() {
    struct Shrinks;
    impl Rule for Shrinks {
        fn kept(&self) -> &'static [&'static str] {
            &[]
        }
        fn update(&self, _step: Step, param: &Tensor, _gradient: &Tensor, _kept: &mut [Tensor]) -> Tensor {
            param.sum(0)
        }
    }
    let model = Line::new(&device());
    let mut optimizer = Optimizer::with_rule(Shrinks, model.parameters(), 0.1);
    let error = optimizer.step(model.loss(0).backward().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.message().contains("the update of weight, [2, 2] f32, came out as [2] f32"), "{error}");
}

#[test]
fn groups_have_their_own_decay_and_rate() {
    let device = device();
    let model = Line::new(&device);
    let zero = |model: &Line| {
        ((model.weight.tensor() * 0.0).sum(..) + (model.bias.tensor() * 0.0).sum(..)).backward().unwrap()
    };
    let mut optimizer = AdamW::new(model.parameters(), 0.5).decay_matrices_only().weight_decay(0.5);
    optimizer.step(zero(&model)).unwrap();
    assert_eq!(model.weight.tensor().to_vec::<f32>().unwrap(), [0.375, -0.75, 1.5, 0.1875]);
    assert_eq!(model.bias.tensor().to_vec::<f32>().unwrap(), [0.1, -0.3]);

    let model = Line::new(&device);
    let mut optimizer = Sgd::new(model.parameters(), 0.5)
        .lr_factor(0.5, |name, _| name == "weight")
        .lr_factor(0.0, |name, meta| name == "bias" && meta.shape.len() == 1);
    let sum = (model.weight.tensor().sum(..) + model.bias.tensor().sum(..)).backward().unwrap();
    optimizer.step(sum).unwrap();
    assert_eq!(model.weight.tensor().to_vec::<f32>().unwrap(), [0.25, -1.25, 1.75, 0.0]);
    assert_eq!(model.bias.tensor().to_vec::<f32>().unwrap(), [0.1, -0.3]);
}

#[test]
fn tied_parameters_step_once() {
    let device = device();
    let x = Param::new(Tensor::new([3.0f32], &device));
    let mut optimizer = Sgd::new(vec![x.clone(), x.clone()], 0.5);
    optimizer.step(x.tensor().square().sum(..).backward().unwrap()).unwrap();
    assert_eq!(x.tensor().to_vec::<f32>().unwrap(), [0.0]);
}

#[test]
fn clipping_scales_all_gradients_by_their_common_norm() {
    let device = device();
    let (x, y) = (Tensor::new([1.0f32, 2.0], &device).requires_grad(), Tensor::new(5.0f32, &device).requires_grad());
    let loss = (&x * Tensor::new([3.0f32, 0.0], &device)).sum(..) + &y * 4.0;
    let gradients = loss.backward().unwrap();
    let (clipped, norm) = clip_grad_norm(&gradients, 1.0).unwrap();
    assert_eq!(norm.item::<f32>().unwrap(), 5.0);
    assert!(clipped.get(&x).unwrap().allclose(&Tensor::new([0.6f32, 0.0], &device), 1e-6, 0.0).unwrap());
    assert!(clipped.get(&y).unwrap().allclose(&Tensor::new(0.8f32, &device), 1e-6, 0.0).unwrap());
    let (untouched, _) = clip_grad_norm(&gradients, 10.0).unwrap();
    assert_eq!(untouched.get(&x).unwrap().to_vec::<f32>().unwrap(), [3.0, 0.0]);
    assert_eq!(clip_grad_norm(&Gradients::default(), 1.0).unwrap_err().kind(), ErrorKind::NoGradient);
}
