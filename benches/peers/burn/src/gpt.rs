//! A training step of the GPT.

use crate::protocol::*;
use crate::{linear, parameter, training as train, whole_numbers};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear};
use burn::optim::AdamWConfig;
use burn::prelude::*;
use burn::tensor::activation::{gelu, softmax};

#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn new(name: &str, device: &Device) -> Block {
        let layer = |part: &str, inputs, outputs| linear(&format!("{name}.{part}"), inputs, outputs, device);
        let norm = || LayerNormConfig::new(GPT_WIDTH).init(device);
        Block {
            norm1: norm(),
            query: layer("attention.query", GPT_WIDTH, GPT_WIDTH),
            key: layer("attention.key", GPT_WIDTH, GPT_WIDTH),
            value: layer("attention.value", GPT_WIDTH, GPT_WIDTH),
            output: layer("attention.output", GPT_WIDTH, GPT_WIDTH),
            norm2: norm(),
            widen: layer("widen", GPT_WIDTH, 4 * GPT_WIDTH),
            narrow: layer("narrow", 4 * GPT_WIDTH, GPT_WIDTH),
        }
    }

    fn attention(&self, x: Tensor<3>, later: &Tensor<4, Bool>) -> Tensor<3> {
        let head = GPT_WIDTH / GPT_HEADS;
        let split = |layer: &Linear| -> Tensor<4> {
            layer.forward(x.clone()).reshape([GPT_BATCH, GPT_CONTEXT, GPT_HEADS, head]).swap_dims(1, 2)
        };
        let (q, k, v) = (split(&self.query), split(&self.key), split(&self.value));
        let scores = q.matmul(k.transpose()) / (head as f64).sqrt();
        let weights = softmax(scores.mask_fill(later.clone(), f32::NEG_INFINITY), 3);
        self.output.forward(weights.matmul(v).swap_dims(1, 2).flatten(2, 3))
    }

    fn forward(&self, x: Tensor<3>, later: &Tensor<4, Bool>) -> Tensor<3> {
        let x = x.clone() + self.attention(self.norm1.forward(x), later);
        x.clone() + self.narrow.forward(gelu(self.widen.forward(self.norm2.forward(x))))
    }
}

/// The head is tied to the embedding of tokens.
#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Gpt {
    fn new(device: &Device) -> Gpt {
        let embedding = |name: &str, count| {
            let mut embedding = EmbeddingConfig::new(count, GPT_WIDTH).init(device);
            embedding.weight = parameter(&format!("{name}.weight"), [count, GPT_WIDTH], device);
            embedding
        };
        Gpt {
            tokens: embedding("tokens", GPT_VOCABULARY),
            positions: embedding("positions", GPT_CONTEXT),
            blocks: (0..GPT_LAYERS).map(|i| Block::new(&format!("blocks.{i}"), device)).collect(),
            norm: LayerNormConfig::new(GPT_WIDTH).init(device),
        }
    }

    /// `[batch, time]` tokens to `[batch * time, vocabulary]` logits.
    fn forward(&self, tokens: Tensor<2, Int>, places: Tensor<2, Int>, later: &Tensor<4, Bool>) -> Tensor<2> {
        let mut x = self.tokens.forward(tokens) + self.positions.forward(places);
        for block in &self.blocks {
            x = block.forward(x, later);
        }
        self.norm.forward(x).flatten::<2>(0, 1).matmul(self.tokens.weight.val().transpose())
    }
}

pub fn training(device: &Device) -> Outcome<Work> {
    let device = device.clone().autodiff();
    let tokens = whole_numbers("gpt.tokens", [GPT_BATCH, GPT_CONTEXT], GPT_VOCABULARY, &device);
    let targets = whole_numbers("gpt.targets", [GPT_BATCH * GPT_CONTEXT], GPT_VOCABULARY, &device);
    let places: Tensor<2, Int> = Tensor::arange(0..GPT_CONTEXT as i64, &device).unsqueeze();
    let later: Vec<bool> = (0..GPT_CONTEXT * GPT_CONTEXT).map(|i| i % GPT_CONTEXT > i / GPT_CONTEXT).collect();
    let later: Tensor<4, Bool> = Tensor::from_data(TensorData::new(later, [1, 1, GPT_CONTEXT, GPT_CONTEXT]), &device);
    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
    train(Gpt::new(&device), optimizer, &device, move |model| {
        cross_entropy.forward(model.forward(tokens.clone(), places.clone(), &later), targets.clone())
    })
}
