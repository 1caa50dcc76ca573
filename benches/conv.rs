//! The convolutions of the MNIST network, forward and backward.

use crate::target::{Target, check, must, some, values};
use criterion::Criterion;
use wgrad::prelude::*;
use wgrad::tensor::op::Window2d;

/// Images of a batch.
const BATCH: usize = 64;
/// Channels in, channels out, and the side of the square images.
const SHAPES: [[usize; 3]; 2] = [[1, 16, 28], [16, 32, 14]];
const WINDOW: Window2d = Window2d { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

/// A 3x3 convolution of padded square images in plain loops. Images, weights and gradients are indexed as
/// `[image, channel, row, column]` and `[out, in, row, column]`.
struct Plain {
    channels: usize,
    outputs: usize,
    side: usize,
}

impl Plain {
    fn pixel(&self, values: &[f64], channels: usize, [image, channel, y, x]: [usize; 4]) -> f64 {
        // Rows and columns count from 1 here; those outside the image are zeros.
        let inside = (1..=self.side).contains(&y) && (1..=self.side).contains(&x);
        if inside { values[((image * channels + channel) * self.side + y - 1) * self.side + x - 1] } else { 0.0 }
    }

    fn weight(&self, weights: &[f64], [output, channel, i, j]: [usize; 4]) -> f64 {
        weights[((output * self.channels + channel) * 3 + i) * 3 + j]
    }

    /// One element of the result.
    fn output(&self, images: &[f64], weights: &[f64], at: usize) -> f64 {
        let [image, output, y, x] = place(at, [self.outputs, self.side, self.side]);
        let tap = |c, i, j| {
            self.pixel(images, self.channels, [image, c, y + i, x + j]) * self.weight(weights, [output, c, i, j])
        };
        taps(self.channels).map(|(c, i, j)| tap(c, i, j)).sum()
    }

    /// One element of the gradient for the images.
    fn image_gradient(&self, grads: &[f64], weights: &[f64], at: usize) -> f64 {
        let [image, channel, y, x] = place(at, [self.channels, self.side, self.side]);
        let tap = |o, i, j| {
            self.pixel(grads, self.outputs, [image, o, y + 2 - i, x + 2 - j]) * self.weight(weights, [o, channel, i, j])
        };
        taps(self.outputs).map(|(o, i, j)| tap(o, i, j)).sum()
    }

    /// One element of the gradient for the weights.
    fn weight_gradient(&self, grads: &[f64], images: &[f64], at: usize) -> f64 {
        let [output, channel, i, j] = place(at, [self.channels, 3, 3]);
        let mut sum = 0.0;
        for image in 0..BATCH {
            for (y, x) in (0..self.side).flat_map(|y| (0..self.side).map(move |x| (y, x))) {
                let grad = self.pixel(grads, self.outputs, [image, output, y + 1, x + 1]);
                sum += grad * self.pixel(images, self.channels, [image, channel, y + i, x + j]);
            }
        }
        sum
    }
}

/// The indices of the element at a row-major position, from the sizes of the last three axes.
fn place(at: usize, [b, c, d]: [usize; 3]) -> [usize; 4] {
    [at / (b * c * d), at / (c * d) % b, at / d % c, at % d]
}

fn taps(channels: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..channels * 9).map(|at| (at / 9, at / 3 % 3, at % 3))
}

/// Both gradients; what they are computed from is evaluated before, so that nothing else runs.
fn gradients(images: &Tensor, weights: &Tensor, grads: &Tensor) -> Vec<Tensor> {
    let (images, weights) = (images.requires_grad(), weights.requires_grad());
    let gradients = must((images.conv2d(&weights, WINDOW) * grads).sum(..).backward());
    vec![must(gradients.get(&images)), must(gradients.get(&weights))]
}

pub fn group(criterion: &mut Criterion, targets: &[Target]) {
    let mut group = criterion.benchmark_group("conv2d");
    for target in targets {
        for [channels, outputs, side] in SHAPES {
            let plain = Plain { channels, outputs, side };
            let size = format!("{BATCH}x{channels}x{side}x{side} to {outputs}");
            let flops = 2 * BATCH * outputs * side * side * channels * 9;
            let images = || target.random(&[BATCH, channels, side, side], -1.0, 1.0, 1);
            let weights = || target.random(&[outputs, channels, 3, 3], -1.0, 1.0, 2);
            let grads = || target.random(&[BATCH, outputs, side, side], -1.0, 1.0, 3);
            target.measure(&mut group, format!("{size}, forward"), flops, || {
                let (images, weights) = (images(), weights());
                let (i, w, found) = (values(&images), values(&weights), values(&images.conv2d(&weights, WINDOW)));
                let pairs = some(found.len()).map(|at| (found[at], plain.output(&i, &w, at)));
                check("conv2d", 1e-5 * channels as f64, pairs);
                move || vec![images.conv2d(&weights, WINDOW)]
            });
            target.measure(&mut group, format!("{size}, backward"), 2 * flops, || {
                let (images, weights, grads) = (images(), weights(), grads());
                let (i, w, g) = (values(&images), values(&weights), values(&grads));
                let found: Vec<Vec<f64>> = gradients(&images, &weights, &grads).iter().map(values).collect();
                let pairs = some(found[0].len()).map(|at| (found[0][at], plain.image_gradient(&g, &w, at)));
                check("gradient for the images", 1e-5 * outputs as f64, pairs);
                let pairs = some(found[1].len()).map(|at| (found[1][at], plain.weight_gradient(&g, &i, at)));
                check("gradient for the weights", 1e-6 * (BATCH * side * side) as f64, pairs);
                move || gradients(&images, &weights, &grads)
            });
        }
    }
}
