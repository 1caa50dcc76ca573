//! The works in candle, on the CPU. Softmax and layer norm are those that have gradients; candle's faster ones have none.

mod gpt;
#[path = "../../protocol.rs"]
mod protocol;

use candle_core::{Device, Tensor, Var};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d, linear, loss, ops,
};
use protocol::*;

const WORKS: &[Named<Device>] = &[
    ("chain", chain),
    ("softmax", softmax),
    ("layer_norm", layer_norm),
    ("sum", sum),
    ("matmul", matmul),
    ("gradient", gradient),
    ("mnist_cnn", mnist_cnn),
    ("gpt", gpt::training),
    ("tiny_adds", tiny_adds),
];

fn main() -> Outcome<()> {
    serve("candle 0.11.1", &Device::Cpu, WORKS)
}

fn tensor(name: &str, shape: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_vec(numbers(name, shape.iter().product()), shape, device)
}

/// Work whose result is a tensor, which is there when the call returns.
fn evaluating(mut compute: impl FnMut() -> candle_core::Result<Tensor> + 'static) -> Outcome<Work> {
    Ok(Box::new(move |show| {
        let result = compute()?;
        Ok(if show { result.flatten_all()?.to_vec1()? } else { Vec::new() })
    }))
}

fn chain(device: &Device) -> Outcome<Work> {
    let x = tensor("chain.x", &[4 << 20], device)?;
    evaluating(move || {
        let inner = (((&x * &x)? * &x)? * 0.044715)?;
        let gate = (((inner + &x)? * 0.797_884_6)?.tanh()? + 1.0)?;
        ((gate * &x)? * 0.5)? + &x
    })
}

fn softmax(device: &Device) -> Outcome<Work> {
    let x = tensor("softmax.x", &[4096, 1024], device)?;
    evaluating(move || ops::softmax(&x, 1))
}

fn layer_norm(device: &Device) -> Outcome<Work> {
    let x = tensor("layer_norm.x", &[4096, 768], device)?;
    let weight = tensor("layer_norm.weight", &[768], device)?;
    let bias = tensor("layer_norm.bias", &[768], device)?;
    evaluating(move || ops::layer_norm_slow(&x, &weight, &bias, 1e-5))
}

fn sum(device: &Device) -> Outcome<Work> {
    let x = (tensor("sum.x", &[16 << 20], device)? + 1.0)?;
    Ok(Box::new(move |_| Ok(vec![x.sum_all()?.to_scalar()?])))
}

fn matmul(device: &Device) -> Outcome<Work> {
    let a = tensor("matmul.a", &[1024, 1024], device)?;
    let b = tensor("matmul.b", &[1024, 1024], device)?;
    evaluating(move || a.matmul(&b))
}

fn gradient(device: &Device) -> Outcome<Work> {
    let a = Var::from_tensor(&tensor("gradient.a", &[256, 256], device)?)?;
    let b = Var::from_tensor(&tensor("gradient.b", &[256, 256], device)?)?;
    Ok(Box::new(move |_| {
        let gradients = a.matmul(&b)?.relu()?.sum_all()?.backward()?;
        let of = |x: &Var| gradients.get(x).ok_or("there is no gradient")?.flatten_all()?.to_vec1().map_err(Into::into);
        let mut values: Vec<f32> = of(&a)?;
        let more: Outcome<Vec<f32>> = of(&b);
        values.extend(more?);
        Ok(values)
    }))
}

/// Gives the parameters of a model what they start as.
fn initialise(parameters: &VarMap, device: &Device) -> Outcome<()> {
    for (name, parameter) in parameters.data().lock().map_err(|_| "a thread has failed")?.iter() {
        if !name.contains("norm") {
            let shape = parameter.dims();
            parameter.set(&Tensor::from_vec(initial(name, shape), shape, device)?)?;
        }
    }
    Ok(())
}

/// Adam with a weight decay, which is none for plain Adam.
fn adam(parameters: &VarMap, weight_decay: f64) -> candle_core::Result<AdamW> {
    AdamW::new(parameters.all_vars(), ParamsAdamW { lr: LEARNING_RATE, weight_decay, ..ParamsAdamW::default() })
}

struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    fn new(builder: &VarBuilder) -> candle_core::Result<Cnn> {
        let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Cnn {
            conv1: conv2d(1, 16, 3, padded, builder.pp("conv1"))?,
            conv2: conv2d(16, 32, 3, padded, builder.pp("conv2"))?,
            fc1: linear(1568, 128, builder.pp("fc1"))?,
            fc2: linear(128, 10, builder.pp("fc2"))?,
        })
    }

    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.conv1.forward(images)?.relu()?.max_pool2d(2)?;
        let x = self.conv2.forward(&x)?.relu()?.max_pool2d(2)?;
        self.fc2.forward(&self.fc1.forward(&x.flatten_from(1)?)?.relu()?)
    }
}

fn mnist_cnn(device: &Device) -> Outcome<Work> {
    let images = tensor("mnist_cnn.images", &[MNIST_BATCH, 1, 28, 28], device)?;
    let labels = Tensor::from_vec(indices("mnist_cnn.labels", MNIST_BATCH, 10), MNIST_BATCH, device)?;
    let parameters = VarMap::new();
    let model = Cnn::new(&VarBuilder::from_varmap(&parameters, candle_core::DType::F32, device))?;
    initialise(&parameters, device)?;
    let mut optimizer = adam(&parameters, 0.0)?;
    Ok(Box::new(move |_| {
        let loss = loss::cross_entropy(&model.forward(&images)?, &labels)?;
        optimizer.backward_step(&loss)?;
        Ok(vec![loss.to_scalar()?])
    }))
}

fn tiny_adds(device: &Device) -> Outcome<Work> {
    let step = Tensor::new(&TINY, device)?;
    let start = step.zeros_like()?;
    Ok(Box::new(move |_| {
        let mut x = start.clone();
        let mut values = Vec::new();
        for _ in 0..TINY_ADDS {
            x = (x + &step)?;
            values = x.to_vec1()?;
        }
        Ok(values)
    }))
}
