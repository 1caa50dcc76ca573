//! Parts of a model by name: the derive, parameters, state.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod common;

use common::{device, random, values};
use std::sync::Arc;
use wgrad_nn::{BatchNorm2d, Buffer, Dropout, Layer, Linear, LoadError, Mode, Module, Param, Scope};
use wgrad_tensor::{DType, Device, ErrorKind, Tensor};

#[derive(Module)]
struct Block {
    r#in: Linear,
    norm: Option<BatchNorm2d>,
    width: usize,
    label: String,
}

#[derive(Module)]
struct Model<H> {
    blocks: Vec<Block>,
    pair: (Param, Arc<Linear>),
    two: [Linear; 2],
    head: H,
    #[module(skip)]
    _spare: Param,
}

#[derive(Module)]
struct Wrapper(Linear, f64, Box<dyn Layer>);

#[derive(Module)]
struct Nothing;

fn param(size: usize, device: &Device) -> Param {
    Param::new(Tensor::zeros(size, DType::F32, device))
}

fn block(norm: bool, device: &Device) -> Block {
    let norm = norm.then(|| BatchNorm2d::new(2, device));
    Block { r#in: Linear::new(2, 2, device), norm, width: 2, label: "a block".to_string() }
}

fn model(device: &Device) -> Model<Wrapper> {
    let linear = || Linear::new(2, 1, device).without_bias();
    Model {
        blocks: vec![block(true, device), block(false, device)],
        pair: (param(3, device), Arc::new(linear())),
        two: [linear(), linear()],
        head: Wrapper(linear(), 0.5, Box::new(Linear::new(1, 1, device))),
        _spare: param(100, device),
    }
}

const PARAMETERS: [&str; 12] = [
    "blocks.0.in.weight",
    "blocks.0.in.bias",
    "blocks.0.norm.weight",
    "blocks.0.norm.bias",
    "blocks.1.in.weight",
    "blocks.1.in.bias",
    "pair.0",
    "pair.1.weight",
    "two.0.weight",
    "two.1.weight",
    "head.0.weight",
    "head.2.weight",
];

fn names<T>(named: &[(String, T)]) -> Vec<&str> {
    named.iter().map(|(name, _)| &name[..]).collect()
}

#[test]
fn the_derive_finds_every_parameter_by_its_path() {
    let device = device();
    let model = model(&device);
    let mut expected = PARAMETERS.to_vec();
    expected.push("head.2.bias");
    assert_eq!(names(&model.named_parameters()), expected);
    assert_eq!(names(&model.named_buffers()), ["blocks.0.norm.running_mean", "blocks.0.norm.running_var"]);
    assert_eq!(model.count_parameters(), 4 + 2 + 2 + 2 + 4 + 2 + 3 + 2 + 2 + 2 + 2 + 1 + 1);
    assert!(Nothing.parameters().is_empty());
    assert_eq!((model.blocks[0].width, &model.blocks[0].label[..], model.head.1), (2, "a block", 0.5));
}

#[test]
fn a_walk_tells_parameters_and_layers_their_names() {
    let device = device();
    let model = model(&device);
    let inner = &model.blocks[1].r#in;
    assert_eq!((inner.weight.name(), inner.scope.name()), (None, None));
    model.parameters();
    let named = || (inner.weight.name().unwrap().to_string(), inner.scope.name().unwrap().to_string());
    assert_eq!(named(), ("blocks.1.in.weight".to_string(), "blocks.1.in".to_string()));
    // Walking a part of the model does not shorten its names.
    assert_eq!(names(&inner.named_parameters()), ["weight", "bias"]);
    assert_eq!(named().0, "blocks.1.in.weight");
}

#[derive(Module)]
struct Tied {
    first: Linear,
    second: Linear,
}

#[test]
fn tied_parameters_are_one_parameter_with_two_names_in_the_state() {
    let device = device();
    let first = Linear::new(3, 3, &device).without_bias();
    let tied = Tied { second: first.clone(), first };
    assert_eq!(names(&tied.named_parameters()), ["first.weight"]);
    assert_eq!(tied.count_parameters(), 9);
    assert_eq!(&*tied.second.weight.name().unwrap(), "first.weight");
    assert_eq!(&*tied.second.scope.name().unwrap(), "second");

    let state = tied.state();
    assert_eq!(names(&state), ["first.weight", "second.weight"]);
    let ones = Tensor::ones([3, 3], DType::F32, &device);
    tied.load_state(&[("second.weight".to_string(), ones)]).unwrap();
    assert_eq!(values(&tied.first.weight.tensor()), [1.0; 9]);
    tied.load_state(&state).unwrap();
    assert_ne!(values(&tied.first.weight.tensor()), [1.0; 9]);
}

#[test]
fn a_state_makes_another_model_equal() {
    let device = device();
    let (a, b) = (model(&device), model(&device));
    a.blocks[0].norm.as_ref().unwrap().running_mean.set(random(&[2], &device));
    let state = a.state();
    assert!(state.iter().all(|(_, tensor)| !tensor.is_tracked()));
    assert_eq!(names(&state)[..12], PARAMETERS);
    b.load_state(&state).unwrap();
    for ((name, x), (_, y)) in state.iter().zip(b.state()) {
        assert_eq!(values(x), values(&y), "{name}");
    }
    assert!(b.parameters().iter().all(|param| param.tensor().is_tracked()));
}

#[test]
fn a_state_that_does_not_fit_changes_nothing_and_says_all() {
    let device = device();
    let model = model(&device);
    let before: Vec<_> = model.state().iter().map(|(_, tensor)| values(tensor)).collect();
    let mut state = model.state();
    state.retain(|(name, _)| name != "pair.0" && name != "two.0.weight");
    for (name, tensor) in &mut state {
        *tensor = match &name[..] {
            "two.1.weight" => Tensor::zeros([2, 2], DType::F32, &device),
            "head.2.bias" => Tensor::zeros(1, DType::F64, &device),
            _ => tensor.ones_like(),
        };
    }
    state.push(("spare".to_string(), Tensor::zeros(1, DType::F32, &device)));
    let error = model.load_state(&state).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(
        error.message(),
        "the state does not fit the model\
         \n  missing: pair.0\
         \n  missing: two.0.weight\
         \n  unexpected: spare\
         \n  wrong shape: two.1.weight is [1, 2] in the model, [2, 2] in the state\
         \n  wrong dtype: head.2.bias is f32 in the model, f64 in the state"
    );
    assert_eq!(error.location().unwrap().file(), file!());
    let typed = std::error::Error::source(&error).unwrap().downcast_ref::<LoadError>().unwrap();
    assert_eq!(typed.missing, ["pair.0", "two.0.weight"]);
    assert_eq!(typed.wrong_shape[0].found.shape[..], [2, 2]);
    let after: Vec<_> = model.state().iter().map(|(_, tensor)| values(tensor)).collect();
    assert_eq!(before, after);
}

#[test]
fn values_that_cannot_be_computed_change_nothing() {
    let device = device();
    let linear = Linear::new(1, 2, &device);
    let before = values(&linear.bias.as_ref().unwrap().tensor());
    let far = Tensor::new([5u32], &device);
    let weight = Tensor::zeros([2, 1], DType::F32, &device).embedding(&far).reshape([1, 1]).expand([2, 1]);
    let bias = Tensor::ones(2, DType::F32, &device);
    let state = [("weight".to_string(), weight), ("bias".to_string(), bias)];
    assert_eq!(linear.load_state(&state).unwrap_err().kind(), ErrorKind::Index);
    assert_eq!(values(&linear.bias.as_ref().unwrap().tensor()), before);
}

#[test]
fn moving_keeps_values_names_and_ties() {
    let (here, there) = (device(), device());
    let first = Linear::new(3, 3, &here).without_bias();
    let tied = Tied { second: first.clone(), first };
    let before = values(&tied.first.weight.tensor());
    tied.to_device(&there).unwrap();
    assert!(tied.parameters().iter().all(|param| param.device() == there));
    assert_eq!(values(&tied.second.weight.tensor()), before);
    assert!(tied.second.weight.tensor().is_tracked());
    // A state from another device is moved to where the parameters are.
    let elsewhere = vec![("first.weight".to_string(), Tensor::ones([3, 3], DType::F32, &here))];
    tied.load_state(&elsewhere).unwrap();
    assert_eq!((tied.first.weight.device(), values(&tied.first.weight.tensor())), (there, vec![1.0; 9]));
}

#[test]
fn freezing_stops_gradients_and_resumes_them() {
    let device = device();
    let linear = Linear::new(2, 2, &device);
    let same = |a: Tensor, b: Tensor| Arc::ptr_eq(a.edge().node(), b.edge().node());
    assert!(same(linear.weight.tensor(), linear.weight.tensor()));
    linear.freeze(true);
    assert!(linear.parameters().iter().all(|param| param.is_frozen() && !param.tensor().is_tracked()));
    linear.weight.set(Tensor::ones([2, 2], DType::F32, &device)).unwrap();
    assert!(!linear.weight.tensor().is_tracked());
    linear.freeze(false);
    assert!(linear.weight.tensor().is_tracked() && linear.weight.tensor().edge().node().is_leaf());
    assert_eq!(values(&linear.weight.tensor()), [1.0; 4]);
}

#[test]
fn a_parameter_keeps_its_shape_dtype_and_device() {
    let device = device();
    let param = param(3, &device);
    let refused = |tensor: Tensor| param.set(tensor).unwrap_err().kind();
    assert_eq!(refused(Tensor::zeros(4, DType::F32, &device)), ErrorKind::Shape);
    assert_eq!(refused(Tensor::zeros(3, DType::F64, &device)), ErrorKind::DType);
    assert_eq!(refused(Tensor::zeros(3, DType::F32, &common::device())), ErrorKind::Device);
    assert_eq!(refused(common::failed(&device).0), ErrorKind::Shape);
    let taken = param.tensor();
    param.set(param.tensor() + 1.0).unwrap();
    assert_eq!((values(&taken), values(&param.tensor())), (vec![0.0; 3], vec![1.0; 3]));
    assert!(param.tensor().edge().node().is_leaf());
}

#[test]
fn a_buffer_carries_errors_on_and_can_be_repaired() {
    let device = device();
    let buffer = Buffer::new(Tensor::zeros(3, DType::F32, &device));
    let line = line!() + 1;
    buffer.set(Tensor::zeros(4, DType::F32, &device));
    let error = common::error(&buffer.tensor());
    assert_eq!((error.message(), error.location().unwrap().line()), ("the buffer is [3] f32", line));
    buffer.set(Tensor::ones(3, DType::F32, &device));
    assert_eq!(values(&buffer.tensor()), [1.0; 3]);

    // A value that only fails when it is computed is met when the next one replaces it.
    let far = Tensor::new([5u32, 5, 5], &device);
    buffer.set(Tensor::zeros(2, DType::F32, &device).unsqueeze(1).embedding(&far).squeeze(-1));
    buffer.update(|old| old + 1.0);
    assert_eq!(common::error(&buffer.tensor()).kind(), ErrorKind::Index);
}

#[test]
fn train_and_eval_reach_every_layer() {
    #[derive(Module)]
    struct Inner {
        dropout: Dropout,
        own: Mode,
        scope: Scope,
    }
    let model = vec![Inner { dropout: Dropout::new(0.5), own: Mode::default(), scope: Scope::default() }];
    assert!(model[0].dropout.mode.is_training());
    model.eval();
    assert!(!model[0].dropout.mode.is_training() && !model[0].own.is_training());
    model.train();
    assert!(model[0].dropout.mode.is_training() && model[0].own.is_training());
    assert_eq!(model[0].scope.name().as_deref(), Some("0"));
}
