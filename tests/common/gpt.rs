//! A GPT of plain layers, its attention written out.

use wgrad::nn::Module;
use wgrad::prelude::*;

/// Sizes of a GPT.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub vocabulary: usize,
    pub context: usize,
    pub width: usize,
    pub heads: usize,
    pub layers: usize,
}

/// The smallest GPT-2.
pub const GPT2_SMALL: Sizes = Sizes { vocabulary: 50_257, context: 1024, width: 768, heads: 12, layers: 12 };
/// The GPT that learns Shakespeare by the letter.
pub const NANO: Sizes = Sizes { vocabulary: 65, context: 256, width: 384, heads: 6, layers: 6 };

#[derive(Module)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    #[module(skip)]
    heads: usize,
}

#[derive(Module)]
struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

/// The model; its head is tied to the embedding of tokens.
#[derive(Module)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Attention {
    fn forward(&self, x: &Tensor) -> Tensor {
        let split = |x: Tensor| x.unflatten(-1, [self.heads as isize, -1]).transpose(1, 2);
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|linear| split(linear.forward(x)));
        let (Ok(shape), Ok(head)) = (x.try_shape(), q.try_shape()) else { return q };
        let time = shape[1];
        let mask = Tensor::arange(time, DType::I32, x.device());
        let later = mask.unsqueeze(0).gt(mask.unsqueeze(1));
        let scores = q.matmul(&k.transpose(-2, -1)) / (head[3] as f64).sqrt();
        let weights = later.where_(f64::NEG_INFINITY, scores).softmax(-1);
        self.output.forward(&weights.matmul(&v).transpose(1, 2).flatten(2..))
    }
}

impl Block {
    fn new(sizes: Sizes, device: &Device) -> Block {
        let linear = |from, to| Linear::new(from, to, device);
        let width = sizes.width;
        Block {
            norm1: LayerNorm::new(width, device),
            attention: Attention {
                query: linear(width, width),
                key: linear(width, width),
                value: linear(width, width),
                output: linear(width, width),
                heads: sizes.heads,
            },
            norm2: LayerNorm::new(width, device),
            widen: linear(width, 4 * width),
            narrow: linear(4 * width, width),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attention.forward(&self.norm1.forward(x));
        &x + self.narrow.forward(&self.widen.forward(&self.norm2.forward(&x)).gelu())
    }
}

impl Gpt {
    pub fn new(sizes: Sizes, device: &Device) -> Gpt {
        Gpt {
            tokens: Embedding::new(sizes.vocabulary, sizes.width, device),
            positions: Embedding::new(sizes.context, sizes.width, device),
            blocks: (0..sizes.layers).map(|_| Block::new(sizes, device)).collect(),
            norm: LayerNorm::new(sizes.width, device),
        }
    }

    /// `[batch, time]` tokens to `[batch, time, vocabulary]` logits.
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        let Ok(shape) = tokens.try_shape() else { return tokens.clone() };
        let place = Tensor::arange(shape[1], DType::U32, tokens.device());
        let mut x = self.tokens.forward(tokens) + self.positions.forward(&place);
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.norm.forward(&x).matmul(&self.tokens.weight.tensor().t())
    }
}
