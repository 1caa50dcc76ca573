//! Layers never panic: what does not fit shows where values are asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod common;

use common::{device, error, failed, random};
use wgrad_nn::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Function, Layer, LayerNorm, Linear,
    MaxPool2d, Module, Sequential, init,
};
use wgrad_tensor::{DType, Device, ErrorKind, Tensor};

fn every_layer(device: &Device) -> Vec<Box<dyn Layer>> {
    let mut layers: Vec<Box<dyn Layer>> = vec![
        Box::new(Linear::new(3, 4, device)),
        Box::new(Linear::new(3, 4, device).without_bias()),
        Box::new(Conv2d::new(3, 4, 3, device)),
        Box::new(Conv2d::grouped(4, 4, [3, 1], 2, device).without_bias()),
        Box::new(MaxPool2d::new(2)),
        Box::new(AvgPool2d::new((2, 3))),
        Box::new(BatchNorm2d::new(3, device)),
        Box::new(BatchNorm2d::new(3, device).without_affine()),
        Box::new(LayerNorm::new(3, device)),
        Box::new(LayerNorm::new([2, 3], device).without_affine()),
        Box::new(Dropout::new(0.5)),
        Box::new(Dropout::new(1.0)),
        Box::new(Embedding::new(5, 2, device)),
        Box::new(Flatten::new()),
        Box::new(Function::new("square", |x| x * x)),
        Box::new(Sequential::new().then(Linear::new(3, 3, device)).then(Dropout::new(0.1))),
    ];
    use Activation::*;
    let activations = [
        Relu,
        LeakyRelu(0.1),
        Elu(1.0),
        Gelu,
        GeluTanh,
        Silu,
        Mish,
        Softplus,
        Sigmoid,
        Tanh,
        Softmax(-1),
        LogSoftmax(-1),
    ];
    layers.extend(activations.into_iter().map(|activation| Box::new(activation) as Box<dyn Layer>));
    layers
}

#[test]
fn a_failed_input_gives_the_first_error() {
    let device = device();
    let (input, message) = failed(&device);
    for training in [true, false] {
        for (at, layer) in every_layer(&device).iter().enumerate() {
            if training {
                layer.train()
            } else {
                layer.eval()
            }
            assert_eq!(error(&layer.forward(&input)).to_string(), message, "layer {at}");
        }
    }
}

#[test]
fn any_shape_and_dtype_gives_a_tensor_and_no_panic() {
    let device = device();
    let shapes: [&[usize]; 8] = [&[], &[0], &[1], &[3], &[2, 3], &[0, 3, 0, 4], &[2, 3, 8, 8], &[1, 1, 1, 1, 1]];
    for shape in shapes {
        for dtype in [DType::F32, DType::F64, DType::I32, DType::Bool] {
            let input = Tensor::full(shape, 0, dtype, &device);
            every_layer(&device).iter().for_each(|layer| {
                layer.forward(&input);
            });
        }
    }
}

#[derive(Module)]
struct Model {
    blocks: Vec<Sequential>,
}

#[test]
fn an_error_names_the_users_line_and_the_layer() {
    let device = device();
    let inner = Sequential::new().then(Activation::Relu).then(Linear::new(4, 2, &device));
    let model = Model { blocks: vec![Sequential::new().then(inner)] };
    model.parameters();
    let x = random(&[2, 3], &device);
    let line = line!() + 1;
    let y = model.blocks[0].forward(&x);
    let error = error(&y);
    assert_eq!((error.kind(), error.op()), (ErrorKind::Shape, "matmul"));
    assert_eq!(error.location().map(|at| (at.file(), at.line())), Some((file!(), line)));
    assert!(error.to_string().contains("\n  in blocks.0.0.1"), "{error}");
    assert!(error.to_string().contains("inner sizes differ: 3 and 4\n  given [2, 3] f32, [2, 4] f32"), "{error}");

    // In a model of the user's own it is the line inside of it.
    let own = |x: &Tensor| (line!(), model.blocks[0].forward(x));
    let (line, y) = own(&x);
    assert_eq!(common::error(&y).location().map(|at| at.line()), Some(line));
}

#[test]
fn what_would_broadcast_silently_is_refused() {
    let device = device();
    let kind = |layer: &dyn Layer, shape: &[usize]| {
        let error = error(&layer.forward(&random(shape, &device)));
        assert!(error.location().unwrap().file().ends_with("failures.rs"));
        error.kind()
    };
    assert_eq!(kind(&LayerNorm::new(3, &device), &[2, 1]), ErrorKind::Shape);
    assert_eq!(kind(&BatchNorm2d::new(3, &device), &[2, 1, 4, 4]), ErrorKind::Shape);
    assert_eq!(kind(&BatchNorm2d::new(3, &device), &[2, 3, 4]), ErrorKind::Shape);
    assert_eq!(kind(&BatchNorm2d::new(3, &device), &[1, 3, 1, 1]), ErrorKind::Shape);
    assert_eq!(kind(&Dropout::new(1.5), &[2]), ErrorKind::Value);
    assert_eq!(kind(&Conv2d::grouped(4, 4, 3, 0, &device), &[1, 4, 8, 8]), ErrorKind::Shape);
    assert_eq!(kind(&Conv2d::grouped(4, 4, 3, 3, &device), &[1, 4, 8, 8]), ErrorKind::Shape);
    assert_eq!(error(&init::xavier_normal(3, 1.0, DType::F32, &device)).kind(), ErrorKind::Shape);
}

#[test]
fn an_input_that_does_not_fit_leaves_the_running_statistics_alone() {
    let device = device();
    let norm = BatchNorm2d::new(3, &device);
    norm.forward(&random(&[2, 5, 4, 4], &device));
    norm.forward(&failed(&device).0);
    norm.forward(&Tensor::zeros([2, 3, 4, 4], DType::F64, &device));
    assert_eq!(common::values(&norm.running_mean.tensor()), [0.0; 3]);
    assert_eq!(common::values(&norm.running_var.tensor()), [1.0; 3]);
}
