//! A training step of the GPT.

use crate::protocol::*;
use crate::{adam, initialise};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Embedding, Init, Linear, Module, Optimizer, VarBuilder, VarMap, embedding, linear, loss, ops};

/// candle's own layer norm gives no gradients.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    fn new(builder: VarBuilder) -> Result<LayerNorm> {
        let parameter = |name, value| builder.get_with_hints(GPT_WIDTH, name, Init::Const(value));
        Ok(LayerNorm { weight: parameter("weight", 1.0)?, bias: parameter("bias", 0.0)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm_slow(x, &self.weight, &self.bias, 1e-5)
    }
}

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
    fn new(builder: VarBuilder) -> Result<Block> {
        let attention = |name| linear(GPT_WIDTH, GPT_WIDTH, builder.pp("attention").pp(name));
        Ok(Block {
            norm1: LayerNorm::new(builder.pp("norm1"))?,
            query: attention("query")?,
            key: attention("key")?,
            value: attention("value")?,
            output: attention("output")?,
            norm2: LayerNorm::new(builder.pp("norm2"))?,
            widen: linear(GPT_WIDTH, 4 * GPT_WIDTH, builder.pp("widen"))?,
            narrow: linear(4 * GPT_WIDTH, GPT_WIDTH, builder.pp("narrow"))?,
        })
    }

    fn attention(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let split = |layer: &Linear| {
            layer.forward(x)?.reshape((GPT_BATCH, GPT_CONTEXT, GPT_HEADS, ()))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let scale = 1.0 / ((GPT_WIDTH / GPT_HEADS) as f64).sqrt();
        let scores = (q.matmul(&k.t()?)? * scale)?.broadcast_add(mask)?;
        let mixed = ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        self.output.forward(&mixed.transpose(1, 2)?.flatten_from(2)?)
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention(&self.norm1.forward(x)?, mask)?)?;
        &x + self.narrow.forward(&self.widen.forward(&self.norm2.forward(&x)?)?.gelu_erf()?)?
    }
}

/// The head is tied to the embedding of tokens.
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    places: Tensor,
    /// 0 for what a token may look at, minus infinity for what comes later.
    mask: Tensor,
}

impl Gpt {
    fn new(builder: VarBuilder, device: &Device) -> Result<Gpt> {
        let later = |i: usize| if i % GPT_CONTEXT > i / GPT_CONTEXT { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..GPT_CONTEXT * GPT_CONTEXT).map(later).collect();
        Ok(Gpt {
            tokens: embedding(GPT_VOCABULARY, GPT_WIDTH, builder.pp("tokens"))?,
            positions: embedding(GPT_CONTEXT, GPT_WIDTH, builder.pp("positions"))?,
            blocks: (0..GPT_LAYERS).map(|i| Block::new(builder.pp("blocks").pp(i))).collect::<Result<_>>()?,
            norm: LayerNorm::new(builder.pp("norm"))?,
            places: Tensor::arange(0, GPT_CONTEXT as u32, device)?,
            mask: Tensor::from_vec(mask, (GPT_CONTEXT, GPT_CONTEXT), device)?,
        })
    }

    /// `[batch, time]` tokens to `[batch * time, vocabulary]` logits.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let mut x = self.tokens.forward(tokens)?.broadcast_add(&self.positions.forward(&self.places)?)?;
        for block in &self.blocks {
            x = block.forward(&x, &self.mask)?;
        }
        self.norm.forward(&x)?.flatten_to(1)?.matmul(&self.tokens.embeddings().t()?)
    }
}

pub fn training(device: &Device) -> Outcome<Work> {
    let count = GPT_BATCH * GPT_CONTEXT;
    let tokens = Tensor::from_vec(indices("gpt.tokens", count, GPT_VOCABULARY), (GPT_BATCH, GPT_CONTEXT), device)?;
    let targets = Tensor::from_vec(indices("gpt.targets", count, GPT_VOCABULARY), count, device)?;
    let parameters = VarMap::new();
    let model = Gpt::new(VarBuilder::from_varmap(&parameters, DType::F32, device), device)?;
    initialise(&parameters, device)?;
    let mut optimizer = adam(&parameters, 0.01)?;
    Ok(Box::new(move |_| {
        let loss = loss::cross_entropy(&model.forward(&tokens)?, &targets)?;
        optimizer.backward_step(&loss)?;
        Ok(vec![loss.to_scalar()?])
    }))
}
