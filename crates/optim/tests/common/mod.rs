//! A small model to train.

#![allow(dead_code, reason = "not every test needs all of it")]

use wgrad_cpu::Cpu;
use wgrad_nn::{Module, Param, Visitor};
use wgrad_plan::Planned;
use wgrad_tensor::{Device, Tensor};

pub fn device() -> Device {
    Device::new(Planned::new(Cpu::new()))
}

pub struct Line {
    pub weight: Param,
    pub bias: Param,
}

impl Module for Line {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("weight", &self.weight);
        visitor.field("bias", &self.bias);
    }
}

impl Line {
    pub fn new(device: &Device) -> Line {
        let weight = Tensor::new([[0.5f32, -1.0], [2.0, 0.25]], device);
        Line { weight: Param::new(weight), bias: Param::new(Tensor::new([0.1f32, -0.3], device)) }
    }

    pub fn loss(&self, step: usize) -> Tensor {
        let inputs = Tensor::new([[1.0f32, 0.3 * step as f32], [-0.7, 2.0]], self.weight.tensor().device());
        (inputs.matmul(&self.weight.tensor()) + self.bias.tensor()).square().mean(..)
    }

    /// All numbers, by bits.
    pub fn bits(&self) -> Vec<u32> {
        let values = self.parameters().into_iter().flat_map(|param| param.tensor().to_vec::<f32>().unwrap());
        values.map(f32::to_bits).collect()
    }
}
