//! A training step of the MNIST network: forward, loss, backward, Adam.

#[path = "../examples/train_mnist/model.rs"]
#[allow(dead_code, reason = "the example also trains another network")]
mod model;

use crate::target::{Target, check, must, values};
use criterion::Criterion;
use model::{Architecture, network};
use wgrad::prelude::*;

const BATCH: usize = 64;

struct Training {
    images: Tensor,
    labels: Tensor,
    model: Box<dyn Layer>,
    optimizer: Adam,
}

impl Training {
    fn new(target: &Target) -> Training {
        let images = target.random(&[BATCH, 1, 28, 28], -1.0, 1.0, 1);
        let labels: Vec<u32> = (0..BATCH as u32).map(|i| i * 7 % 10).collect();
        let labels = Tensor::from_slice(&labels, BATCH, &target.device);
        target.device.manual_seed(2);
        let model = network(Architecture::Cnn, &target.device);
        let optimizer = Adam::new(model.parameters(), 1e-3);
        Training { images, labels, model, optimizer }
    }

    fn step(&mut self) -> Tensor {
        let loss = self.model.forward(&self.images).cross_entropy(&self.labels);
        must(self.optimizer.step(must(loss.backward())));
        loss
    }

    /// The losses of the first steps.
    fn losses(&mut self) -> Vec<f64> {
        (0..8).flat_map(|_| values(&self.step())).collect()
    }
}

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("mnist_step");
    for target in targets {
        target.measure(&mut group, format!("{BATCH} images"), BATCH, || {
            let losses = Training::new(target).losses();
            // Before anything is learned, all ten digits are about as likely.
            check("the first loss", 0.5, [(losses[0], 10f64.ln())]);
            assert!(losses[7] < losses[0] - 0.05, "the loss does not fall: {losses:?}");
            if let Some(cpu) = targets.first().filter(|cpu| cpu.name != target.name) {
                check("the loss, beside the CPU's", 1e-3, losses.into_iter().zip(Training::new(cpu).losses()));
            }
            let mut training = Training::new(target);
            move || vec![training.step()]
        });
    }
}
