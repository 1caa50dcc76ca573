//! Deep learning on any GPU: one codebase for Vulkan, Metal, DX12, WebGPU and the CPU.
//!
//! ```
//! use wgrad::prelude::*;
//!
//! # fn main() -> wgrad::Result<()> {
//! let device = wgrad::device::cpu();
//! let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device).requires_grad();
//! let loss = (2.0 * &x + 1.0).square().mean(..);
//! let gradients = loss.backward()?;
//! assert_eq!(gradients.get(&x)?.to_vec::<f32>()?, [3.0, 5.0, 7.0, 9.0]);
//! # Ok(())
//! # }
//! ```
//!
//! Tensor arithmetic never fails: what does not fit gives a failed tensor, and reading it gives the [`Error`], with the
//! line at fault. The map of the crates stands in `ARCHITECTURE.md`.

/// The examples of the guides are tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../CONTRIBUTING.md")]
    struct Contributing;
}

pub mod device;
mod memory;
mod profile;

pub use memory::MemoryReport;
pub use profile::profile;
pub use wgrad_plan::Profile;
pub use wgrad_tensor::device::stats;

pub use wgrad_autograd as autograd;
pub use wgrad_data as data;
pub use wgrad_io as io;
pub use wgrad_optim as optim;
pub use wgrad_plan as plan;
pub use wgrad_tensor as tensor;
pub use wgrad_tensor::{
    DType, Device, Element, Error, ErrorKind, Result, Scalar, Shape, Tensor, elementwise, eval_all, explain, no_grad,
};

/// Layers, and what models are made of.
pub mod nn {
    pub use wgrad_nn::facade::Module;
    pub use wgrad_nn::*;
}

/// What most programs need.
pub mod prelude {
    pub use crate::data::{DataLoader, Dataset};
    pub use crate::device;
    pub use crate::io::SaveLoad;
    pub use crate::nn::{
        Activation, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Layer, LayerNorm, Linear, MaxPool2d,
        Module, Param, Sequential,
    };
    pub use crate::optim::{Adam, AdamW, Schedule, Sgd, clip_grad_norm};
    pub use wgrad_autograd::{Backward, Gradients, checkpoint, grad, value_and_grad};
    pub use wgrad_tensor::{DType, Device, Tensor, no_grad};
}
