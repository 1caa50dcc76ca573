//! Training that was saved and loaded goes on bit for bit.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Line, device};
use wgrad_autograd::Backward;
use wgrad_io::{Metadata, from_bytes, to_bytes};
use wgrad_nn::{Module, Param};
use wgrad_optim::{Adam, AdamW, Optimizer, Rule, Sgd};
use wgrad_tensor::{Device, ErrorKind, Tensor};

fn train<R: Rule>(model: &Line, optimizer: &mut Optimizer<R>, steps: std::ops::Range<usize>) {
    for step in steps {
        optimizer.step(model.loss(step).backward().unwrap()).unwrap();
    }
}

/// The state after a trip through a file's bytes.
fn stored(state: &[(String, Tensor)], device: &Device) -> Vec<(String, Tensor)> {
    from_bytes(&to_bytes(state, &Metadata::new()).unwrap(), device).unwrap().tensors
}

fn resumes<R: Rule>(new: impl Fn(Vec<Param>) -> Optimizer<R>) {
    let device = device();
    let whole = Line::new(&device);
    train(&whole, &mut new(whole.parameters()), 0..10);

    let first = Line::new(&device);
    let mut optimizer = new(first.parameters());
    train(&first, &mut optimizer, 0..4);
    let (model_state, optimizer_state) = (stored(&first.state(), &device), stored(&optimizer.state(), &device));

    let elsewhere = common::device();
    let second = Line::new(&elsewhere);
    second.load_state(&model_state).unwrap();
    let mut optimizer = new(second.parameters());
    optimizer.load_state(&optimizer_state).unwrap();
    assert_eq!(optimizer.steps(), 4);
    train(&second, &mut optimizer, 4..10);
    assert_eq!(second.bits(), whole.bits());
}

#[test]
fn every_optimizer_resumes_bit_for_bit() {
    resumes(|params| Sgd::new(params, 0.05));
    resumes(|params| Sgd::new(params, 0.05).momentum(0.9).nesterov(true).weight_decay(0.01));
    resumes(|params| Adam::new(params, 0.05).weight_decay(0.01));
    resumes(|params| AdamW::new(params, 0.05));
}

#[test]
fn a_state_before_the_first_step_is_a_state() {
    let device = device();
    let model = Line::new(&device);
    let state = AdamW::new(model.parameters(), 0.1).state();
    let mut optimizer = AdamW::new(model.parameters(), 0.1);
    train(&model, &mut optimizer, 0..2);
    optimizer.load_state(&state).unwrap();
    assert_eq!(optimizer.steps(), 0);
}

#[test]
fn a_parameter_that_joins_late_starts_from_one() {
    let device = device();
    let model = Line::new(&device);
    let mut optimizer = Adam::new(model.parameters(), 0.125).eps(0.0);
    model.bias.freeze(true);
    train(&model, &mut optimizer, 0..3);
    model.bias.freeze(false);
    let before = model.bias.tensor().to_vec::<f32>().unwrap();
    train(&model, &mut optimizer, 3..4);
    let after = model.bias.tensor().to_vec::<f32>().unwrap();
    for (after, before) in after.iter().zip(before) {
        assert!(((after - before).abs() - 0.125).abs() < 1e-6, "its first step is the learning rate");
    }
    let counts: Vec<u32> =
        optimizer.state().iter().filter(|(name, _)| name.ends_with(".step")).map(|(_, t)| t.item().unwrap()).collect();
    assert_eq!(counts, [4, 1]);
}

#[test]
fn another_optimizers_state_changes_nothing_and_every_difference_is_listed() {
    let device = device();
    let model = Line::new(&device);
    let mut sgd = Sgd::new(model.parameters(), 0.1).momentum(0.9);
    train(&model, &mut sgd, 0..1);
    let mut state = sgd.state();
    state.retain(|(name, _)| name != "bias.step");
    let mut optimizer = AdamW::new(model.parameters(), 0.1);
    train(&model, &mut optimizer, 0..3);
    let before: Vec<Vec<u8>> = optimizer.state().iter().map(|(_, tensor)| tensor.to_bytes().unwrap()).collect();
    let error = optimizer.load_state(&state).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let said =
        ["missing: weight.exp_avg [2, 2] f32", "missing: bias.step [] u32", "unexpected: weight.momentum_buffer"];
    assert!(said.iter().all(|part| error.message().contains(part)), "{error}");
    let after: Vec<Vec<u8>> = optimizer.state().iter().map(|(_, tensor)| tensor.to_bytes().unwrap()).collect();
    assert_eq!(after, before);
}
