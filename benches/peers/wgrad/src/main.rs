//! The works in wgrad, on the CPU or on a GPU: `peer-wgrad [cpu|vulkan]`.

#[path = "../../../../tests/common/gpt.rs"]
#[allow(dead_code, reason = "tests train GPTs of other sizes")]
mod gpt;
#[path = "../../../../examples/train_mnist/model.rs"]
#[allow(dead_code, reason = "the example also trains another network")]
mod model;
#[path = "../../protocol.rs"]
mod protocol;

use gpt::{Gpt, Sizes};
use model::{Architecture, network};
use protocol::*;
use wgrad::prelude::*;

const WORKS: &[Named<Device>] = &[
    ("chain", chain),
    ("softmax", softmax),
    ("layer_norm", layer_norm),
    ("sum", sum),
    ("matmul", matmul),
    ("gradient", gradient),
    ("mnist_cnn", mnist_cnn),
    ("gpt", gpt),
    ("tiny_adds", tiny_adds),
];

fn main() -> Outcome<()> {
    let device = match std::env::args().nth(1).as_deref() {
        None => device::cpu(),
        Some(name) => device::named(name)?,
    };
    let about = device.describe();
    serve(format!("wgrad on {} {}", about.name, about.driver).trim_end(), &device, WORKS)
}

fn tensor(name: &str, shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_vec(numbers(name, shape.iter().product()), shape, device)
}

/// Work whose result is a tensor.
fn evaluating(mut compute: impl FnMut() -> Tensor + 'static) -> Outcome<Work> {
    Ok(Box::new(move |show| {
        let result = compute();
        if show {
            return Ok(result.to_vec()?);
        }
        result.eval()?;
        result.device().sync()?;
        Ok(Vec::new())
    }))
}

fn chain(device: &Device) -> Outcome<Work> {
    let x = tensor("chain.x", &[4 << 20], device);
    evaluating(move || ((&x * &x * &x * 0.044715 + &x) * 0.797_884_6).tanh().add(1.0) * &x * 0.5 + &x)
}

fn softmax(device: &Device) -> Outcome<Work> {
    let x = tensor("softmax.x", &[4096, 1024], device);
    evaluating(move || x.softmax(-1))
}

fn layer_norm(device: &Device) -> Outcome<Work> {
    let x = tensor("layer_norm.x", &[4096, 768], device);
    let norm = LayerNorm::new(768, device);
    norm.load_state(&[
        ("weight".to_owned(), tensor("layer_norm.weight", &[768], device)),
        ("bias".to_owned(), tensor("layer_norm.bias", &[768], device)),
    ])?;
    norm.freeze(true);
    evaluating(move || norm.forward(&x))
}

fn sum(device: &Device) -> Outcome<Work> {
    let x = tensor("sum.x", &[16 << 20], device) + 1.0;
    x.eval()?;
    Ok(Box::new(move |_| Ok(vec![x.sum(..).item()?])))
}

fn matmul(device: &Device) -> Outcome<Work> {
    let [a, b] = ["matmul.a", "matmul.b"].map(|name| tensor(name, &[1024, 1024], device));
    evaluating(move || a.matmul(&b))
}

fn gradient(device: &Device) -> Outcome<Work> {
    let [a, b] = ["gradient.a", "gradient.b"].map(|name| tensor(name, &[256, 256], device).requires_grad());
    Ok(Box::new(move |_| {
        let gradients = a.matmul(&b).relu().sum(..).backward()?;
        let mut values = gradients.get(&a)?.to_vec()?;
        values.extend(gradients.get(&b)?.to_vec::<f32>()?);
        Ok(values)
    }))
}

/// Gives the parameters of `model` what they start as.
fn initialise(model: &(impl Module + ?Sized), device: &Device) -> Outcome<()> {
    for (name, parameter) in model.named_parameters() {
        if !name.contains("norm") {
            let shape = &parameter.meta()?.shape[..];
            parameter.set(Tensor::from_vec(initial(&name, shape), shape, device))?;
        }
    }
    Ok(())
}

fn mnist_cnn(device: &Device) -> Outcome<Work> {
    let images = tensor("mnist_cnn.images", &[MNIST_BATCH, 1, 28, 28], device);
    let labels = Tensor::from_vec(indices("mnist_cnn.labels", MNIST_BATCH, 10), MNIST_BATCH, device);
    let model = network(Architecture::Cnn, device);
    initialise(&model, device)?;
    model.eval(); // no dropout
    let mut optimizer = Adam::new(model.parameters(), LEARNING_RATE);
    Ok(Box::new(move |_| {
        let loss = model.forward(&images).cross_entropy(&labels);
        optimizer.step(loss.backward()?)?;
        device_finishes(&loss)
    }))
}

fn gpt(device: &Device) -> Outcome<Work> {
    let sizes = Sizes {
        vocabulary: GPT_VOCABULARY,
        context: GPT_CONTEXT,
        width: GPT_WIDTH,
        heads: GPT_HEADS,
        layers: GPT_LAYERS,
    };
    let [tokens, targets] = ["gpt.tokens", "gpt.targets"].map(|name| {
        let values = indices(name, GPT_BATCH * GPT_CONTEXT, GPT_VOCABULARY);
        Tensor::from_vec(values, [GPT_BATCH, GPT_CONTEXT], device)
    });
    let model = Gpt::new(sizes, device);
    initialise(&model, device)?;
    let mut optimizer = AdamW::new(model.parameters(), LEARNING_RATE);
    Ok(Box::new(move |_| {
        let loss = model.forward(&tokens).cross_entropy(&targets);
        optimizer.step(loss.backward()?)?;
        device_finishes(&loss)
    }))
}

/// The loss, once all of the step is done.
fn device_finishes(loss: &Tensor) -> Outcome<Vec<f32>> {
    loss.device().sync()?;
    Ok(vec![loss.item()?])
}

fn tiny_adds(device: &Device) -> Outcome<Work> {
    let step = Tensor::new(TINY, device);
    let start = step.zeros_like();
    start.eval()?;
    Ok(Box::new(move |_| {
        let mut x = start.clone();
        let mut values = Vec::new();
        for _ in 0..TINY_ADDS {
            x = x + &step;
            values = x.to_vec()?;
        }
        Ok(values)
    }))
}
