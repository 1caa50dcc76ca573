//! Running a model for long does not pile up what it recorded.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{device, random};
use std::sync::{Arc, Weak};
use wgrad_nn::{BatchNorm2d, Conv2d, Dropout, Layer, Sequential};
use wgrad_tensor::Tensor;

/// A thousand training passes whose outputs nobody reads: the running statistics alone ask for them.
#[test]
fn a_thousand_unread_training_passes_are_let_go() {
    let device = device();
    let model = Sequential::new()
        .then(Conv2d::new(1, 2, 3, &device))
        .then(BatchNorm2d::new(2, &device))
        .then(Dropout::new(0.5))
        .then(BatchNorm2d::new(2, &device));
    let mut passes: Vec<Weak<_>> = Vec::new();
    for _ in 0..1000 {
        let input = random(&[2, 1, 6, 6], &device);
        let output = model.forward(&input);
        passes.push(Arc::downgrade(input.edge().node()));
        passes.push(Arc::downgrade(output.edge().node()));
    }
    let alive = passes.iter().filter(|node| node.strong_count() > 0).count();
    assert!(alive <= 8, "{alive} of {} nodes are alive", passes.len());
}

/// The value that a step replaces is let go, with what it was computed from.
#[test]
fn replaced_parameters_are_let_go() {
    let device = device();
    let param = wgrad_nn::Param::new(random(&[4], &device));
    let first = Arc::downgrade(param.tensor().edge().node());
    for _ in 0..10 {
        let next: Tensor = param.tensor() * 0.9;
        param.set(next).unwrap();
        param.tensor().eval().unwrap();
    }
    assert!(first.upgrade().is_none());
}
