//! The table of layers, to the letter.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{device, random};
use wgrad_nn::{
    Activation, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Layer, Linear, MaxPool2d, Module, Param, Sequential,
    summary,
};
use wgrad_tensor::{DType, Device, Tensor};

#[derive(Module)]
struct Cnn {
    features: Sequential,
    gain: Param,
    dropout: Dropout,
    head: Linear,
}

impl Cnn {
    fn new(device: &Device) -> Cnn {
        let features = Sequential::new()
            .then(Conv2d::new(1, 16, 3, device).padding(1))
            .then(BatchNorm2d::new(16, device))
            .then(Activation::Relu)
            .then(MaxPool2d::new(2))
            .then(Flatten::new());
        let gain = Param::new(Tensor::ones([], DType::F32, device));
        Cnn { features, gain, dropout: Dropout::new(0.5), head: Linear::new(16 * 14 * 14, 10, device) }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.features.forward(images) * self.gain.tensor();
        self.head.forward(&self.dropout.forward(&x))
    }
}

#[test]
fn a_summary_lists_layers_shapes_and_counts() {
    let device = device();
    let model = Cnn::new(&device);
    model.features.freeze(true);
    let images = random(&[8, 1, 28, 28], &device);
    let expected = "\
layer       kind         output           parameters
(model)     Cnn          -                         1
features    Sequential   [8, 3136]                 -
features.0  Conv2d       [8, 16, 28, 28]         160
features.1  BatchNorm2d  [8, 16, 28, 28]          32
features.2  Relu         [8, 16, 28, 28]           -
features.3  MaxPool2d    [8, 16, 14, 14]           -
features.4  Flatten      [8, 3136]                 -
dropout     Dropout      [8, 3136]                 -
head        Linear       [8, 10]              31,370
31,563 parameters: 31,371 trainable, 192 frozen; 123.4 KiB with buffers";
    assert_eq!(summary(&model, || model.forward(&images)).to_string(), expected);
    // Nothing was computed, and nothing was changed.
    assert!(images.edge().buffer().unwrap().is_none());
    assert!(model.dropout.mode.is_training());
    assert_eq!(common::values(&model.named_buffers()[0].1.tensor()), [0.0; 16]);
}

#[test]
fn a_summary_shows_where_forward_failed() {
    let device = device();
    let model = Cnn::new(&device);
    let images = random(&[8, 1, 30, 30], &device);
    let text = summary(&model, || model.forward(&images)).to_string();
    assert!(text.contains("features.3  MaxPool2d    [8, 16, 15, 15]           -"), "{text}");
    assert!(text.contains("head        Linear       -                    31,370"), "{text}");
    assert!(text.contains("forward failed: matmul: inner sizes differ"), "{text}");
}

#[test]
fn one_layer_has_a_summary_of_one_row() {
    let device = device();
    let summary = Linear::new(3, 2, &device).summary(&random(&[5, 3], &device));
    assert_eq!(
        summary.to_string(),
        "layer    kind    output  parameters\n\
         (model)  Linear  [5, 2]           8\n\
         8 parameters: 8 trainable, 0 frozen; 32 bytes with buffers"
    );
}

#[test]
fn tied_parameters_count_once() {
    #[derive(Module)]
    struct Tied {
        embed: Embedding,
        head: Linear,
    }
    let device = device();
    let embed = Embedding::new(10, 4, &device);
    let head = Linear { weight: embed.weight.clone(), bias: None, scope: Default::default() };
    let model = Tied { embed, head };
    let ids = Tensor::new([1u32, 2], &device);
    let summary = summary(&model, || model.head.forward(&model.embed.forward(&ids)));
    assert_eq!((summary.parameters, summary.rows[0].parameters, summary.rows[1].parameters), (40, 40, 0));
    assert_eq!(summary.rows[1].output.as_ref().map(|shape| shape.to_vec()), Some(vec![2, 10]));
}
