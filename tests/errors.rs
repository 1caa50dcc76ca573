//! Every class of error: recording never panics, reading gives an `Err` that names the op, the shapes and the caller's line.

#![allow(clippy::panic, reason = "a test may panic")]

mod common;

use common::devices;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wgrad::nn::{Activation, AvgPool2d, BatchNorm2d, Embedding, Flatten, LayerNorm, MaxPool2d};
use wgrad::prelude::*;
use wgrad::tensor::op::Window2d;
use wgrad::{Error, ErrorKind};

/// A bad index on a GPU shows at that device's next read, whoever reads: such tests run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asserts an error's class, what its text names, and that it points at `line` of this file.
#[track_caller]
fn check(error: &Error, kind: ErrorKind, names: &[&str], line: u32) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    let place = format!("{}:{line}", file!().rsplit('/').next().unwrap_or_default());
    for name in names.iter().copied().chain([&place[..]]) {
        assert!(text.contains(name), "the text does not name {name:?}:\n{text}");
    }
}

fn failure(tensor: &Tensor) -> Error {
    match tensor.to_bytes() {
        Ok(_) => panic!("{tensor:?} should have failed"),
        Err(error) => error,
    }
}

#[track_caller]
fn ones(shape: &[usize], device: &Device) -> Tensor {
    Tensor::ones(shape, DType::F32, device)
}

#[test]
fn shapes_that_do_not_fit() {
    let device = &device::cpu();
    let (a, b) = (ones(&[2, 3], device), ones(&[4, 5], device));

    let sum = &a + &b;
    let line = line!() - 1;
    check(&failure(&sum), ErrorKind::Shape, &["add", "[2, 3] f32", "[4, 5] f32"], line);

    let product = a.matmul(&b);
    let line = line!() - 1;
    check(&failure(&product), ErrorKind::Shape, &["matmul", "[2, 3] f32", "[4, 5] f32"], line);

    let mapped = a.linear(&b, None);
    let line = line!() - 1;
    check(&failure(&mapped), ErrorKind::Shape, &["matmul", "3 and 5", "[2, 3] f32", "[4, 5] f32"], line);
    let mapped = a.linear(&ones(&[3], device), None);
    let line = line!() - 1;
    check(&failure(&mapped), ErrorKind::Shape, &["linear", "two axes", "[2, 3] f32", "[3] f32"], line);

    let image = ones(&[1, 3, 8, 8], device);
    let mapped = image.conv2d(&ones(&[4, 2, 3, 3], device), Window2d::default());
    let line = line!() - 1;
    check(&failure(&mapped), ErrorKind::Shape, &["conv2d", "[1, 3, 8, 8]", "[4, 2, 3, 3]"], line);

    let joined = a.cat_with(&[&b], 0);
    let line = line!() - 1;
    check(&failure(&joined), ErrorKind::Shape, &["cat", "[2, 3]", "[4, 5]"], line);

    let reshaped = a.reshape([4, 2]);
    let line = line!() - 1;
    check(&failure(&reshaped), ErrorKind::Shape, &["reshape", "[2, 3]", "[4, 2]"], line);

    let scalar = a.item::<f32>().unwrap_err();
    assert_eq!(scalar.kind(), ErrorKind::Shape);
}

#[test]
fn axes_dtypes_and_values() {
    let device = &device::cpu();
    let a = ones(&[2, 3], device);

    let summed = a.sum(2);
    let line = line!() - 1;
    check(&failure(&summed), ErrorKind::Axis, &["sum", "axis 2", "[2, 3]"], line);

    let mixed = &a * &a.cast(DType::I32);
    let line = line!() - 1;
    check(&failure(&mixed), ErrorKind::DType, &["mul", "f32", "i32"], line);

    let narrow = a.cast(DType::F16).exp();
    let line = line!() - 1;
    check(&failure(&narrow), ErrorKind::DType, &["exp", "f16"], line);

    let halved = a.cast(DType::I32) * 0.5;
    let line = line!() - 1;
    check(&failure(&halved), ErrorKind::DType, &["0.5", "i32"], line);

    let outside = a.slice(0, 1..4);
    let line = line!() - 1;
    check(&failure(&outside), ErrorKind::Index, &["slice", "[2, 3]", "1..4"], line);

    let wrong = a.to_vec::<f64>().unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::DType);
    assert!(wrong.to_string().contains("f32"), "{wrong}");

    let ragged = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [2, 2], device);
    let line = line!() - 1;
    check(&failure(&ragged), ErrorKind::Shape, &["from_slice", "[2, 2]"], line);

    let chance = Tensor::bernoulli([2], 1.5, device);
    let line = line!() - 1;
    check(&failure(&chance), ErrorKind::Value, &["bernoulli", "1.5"], line);
}

#[test]
fn an_index_out_of_range_on_every_device() -> wgrad::Result<()> {
    let _alone = alone();
    for device in devices() {
        let rows = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], device);
        let index = Tensor::new([0u32, 7], device);
        let chosen = rows.index_select(0, &index);
        let line = line!() - 1;
        check(&failure(&chosen), ErrorKind::Index, &["gather", "7", "[2, 2]"], line);
        // It fails every time it is read, and the device goes on.
        assert_eq!(failure(&chosen).kind(), ErrorKind::Index, "on {device}");
        assert_eq!(rows.sum(..).item::<f32>()?, 10.0, "on {device}");

        let added = rows.scatter_add(0, &Tensor::new([[5i32, 0]], device), &Tensor::new([[1.0f32, 1.0]], device));
        let error = failure(&added);
        assert!(error.kind() == ErrorKind::Index && error.to_string().contains("scatter_add"), "on {device}: {error}");
        let negative = rows.gather(0, &Tensor::new([[-1i32, 0]], device));
        assert_eq!(failure(&negative).kind(), ErrorKind::Index, "on {device}");
    }
    Ok(())
}

#[test]
fn devices_and_adapters() {
    let (one, other) = (device::cpu(), device::cpu_with_threads(1));
    let mixed = ones(&[2], &one) + ones(&[2], &other);
    let line = line!() - 1;
    check(&failure(&mixed), ErrorKind::Device, &["add", "[2] f32", "CPU"], line);

    let absent = device::named("no adapter has this name").unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NoAdapter);
    assert!(absent.to_string().contains("no adapter has this name"), "{absent}");
}

#[test]
fn more_memory_than_there_is() -> wgrad::Result<()> {
    let _alone = alone();
    for device in devices() {
        let beyond = ones(&[1 << 40, 1 << 30], device);
        let line = line!() - 1;
        check(&failure(&beyond), ErrorKind::OutOfMemory, &["full"], line);

        // 4 EiB can be addressed, and are nowhere to be had.
        let large = ones(&[1 << 60], device);
        let error = failure(&large);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "on {device}: {error}");
        assert_eq!(ones(&[3], device).sum(..).item::<f32>()?, 3.0, "on {device}");
    }
    Ok(())
}

#[test]
fn an_error_goes_through_operators_and_keeps_its_line() {
    let device = &device::cpu();
    let bad = ones(&[2], device) - ones(&[3], device);
    let line = line!() - 1;
    let later = ((2.0 * &bad + 1.0).exp().sum(..) / 3).reshape([1]).softmax(0);
    check(&failure(&later), ErrorKind::Shape, &["sub", "[2] f32", "[3] f32"], line);
    assert!(later.try_shape().is_err());
    assert!(format!("{later}").contains("sub"), "printing shows the error");
    assert_eq!(later.eval().unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(later.mean(..).backward().unwrap_err().kind(), ErrorKind::Shape);
}

#[derive(Module)]
struct Two {
    first: Linear,
    second: Linear,
}

#[test]
fn an_error_names_the_line_through_two_layers() {
    let device = &device::cpu();
    let model = Two { first: Linear::new(4, 8, device), second: Linear::new(9, 2, device) };
    let _named = model.named_parameters();
    let forward = |x: &Tensor| {
        let hidden = model.first.forward(x).relu();
        (model.second.forward(&hidden), line!())
    };
    let (output, line) = forward(&ones(&[3, 4], device));
    check(&failure(&output), ErrorKind::Shape, &["matmul", "8 and 9", "[3, 8]", "[2, 9]", "second"], line);
}

#[test]
fn every_layer_hands_the_first_error_on() {
    let device = &device::cpu();
    let bad = ones(&[2, 3], device) + ones(&[4], device);
    let line = line!() - 1;
    let layers: Vec<Box<dyn Layer>> = vec![
        Box::new(Linear::new(3, 2, device)),
        Box::new(Conv2d::new(1, 2, 3, device)),
        Box::new(MaxPool2d::new(2)),
        Box::new(AvgPool2d::new(2)),
        Box::new(BatchNorm2d::new(3, device)),
        Box::new(LayerNorm::new([3], device)),
        Box::new(Dropout::new(0.5)),
        Box::new(Embedding::new(5, 3, device)),
        Box::new(Flatten::default()),
        Box::new(Activation::Relu),
    ];
    for layer in layers {
        check(&failure(&layer.forward(&bad)), ErrorKind::Shape, &["add", "[2, 3]", "[4]"], line);
    }
}

#[test]
fn gradients_that_are_not_to_be_had() -> wgrad::Result<()> {
    let device = &device::cpu();
    let x = ones(&[3], device).requires_grad();
    let unused = ones(&[3], device).requires_grad();
    let line = line!() - 1;
    let gradients = x.square().sum(..).backward()?;
    let missing = gradients.get(&unused).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NoGradient);
    assert!(missing.to_string().contains(&format!("errors.rs:{line}")), "{missing}");

    let loss = x.square().sum(..);
    loss.backward()?;
    let again = loss.backward().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::GraphConsumed);

    let kept = x.square().sum(..);
    let (first, second) = (kept.backward_retain()?, kept.backward()?);
    assert_eq!(first.get(&x)?.to_vec::<f32>()?, second.get(&x)?.to_vec::<f32>()?);

    let constant = ones(&[], device).backward().unwrap_err();
    assert_eq!(constant.kind(), ErrorKind::NoGradient);
    let vector = x.square().backward().unwrap_err();
    assert_eq!(vector.kind(), ErrorKind::Shape);
    assert!(vector.to_string().contains("[3]"), "{vector}");
    Ok(())
}

wgrad::elementwise! {
    /// `x^3`, of which nobody wrote the gradient.
    algebraic CUBE: cube(x) -> y { x * x * x } "x * x * x"
}

#[test]
fn an_op_without_a_gradient_fails_by_name() {
    let x = ones(&[3], &device::cpu()).requires_grad();
    let y = x.exp().elementwise(&CUBE, &[]);
    let line = line!() - 1;
    let error = y.sum(..).backward().unwrap_err();
    check(&error, ErrorKind::NotDifferentiable, &["cube", "[3] f32"], line);
}

#[test]
fn a_parameter_without_a_gradient_stops_the_step() -> wgrad::Result<()> {
    let device = &device::cpu();
    let model = Two { first: Linear::new(4, 8, device), second: Linear::new(8, 2, device) };
    let before = model.first.weight.tensor().to_vec::<f32>()?;
    let mut optimizer = Sgd::new(model.parameters(), 0.1);
    let loss = model.first.forward(&ones(&[3, 4], device)).sum(..);
    let error = optimizer.step(loss.backward()?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoGradient);
    assert!(error.to_string().contains("second.weight"), "{error}");
    assert_eq!(model.first.weight.tensor().to_vec::<f32>()?, before, "nothing is updated then");
    Ok(())
}

#[test]
fn a_corrupt_file() -> Result<(), Box<dyn std::error::Error>> {
    let device = &device::cpu();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("model.safetensors");
    let model = Linear::new(4, 2, device);
    model.save(&path)?;
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, &whole[..whole.len() - 5])?;
    let error = model.load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert!(error.to_string().contains("model.safetensors"), "{error}");

    std::fs::write(&path, &whole)?;
    let other = Linear::new(5, 2, device);
    let error = other.load(&path).unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::File && text.contains("[2, 5]") && text.contains("[2, 4]"), "{text}");
    Ok(())
}
