//! wgrad's GPU backend: runs plans on whatever wgpu reaches.
//!
//! [`Gpu`] is a [`wgrad_plan::Backend`]. A plan is *lowered* once to kernels over places. Each run makes of them a flat
//! list of dispatches (pipeline, buffers, parameters, grid), which is submitted in chunks; nothing waits before a value is
//! read. WGSL comes from `wgrad-shaders`; pipelines are cached by what decides their text, and sizes reach them as
//! parameters, so that a new shape compiles nothing.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic"))]

mod adapter;
mod device;
mod dispatch;
mod groups;
mod journal;
mod lower;
mod lowered;
mod memory;
mod params;
mod pipelines;
mod readback;
mod run;
mod saved;
mod sequence;
mod stats;
mod status;
mod timing;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use adapter::{Adapter, Choice, adapters_async};
pub use device::{Gpu, Tuning};
