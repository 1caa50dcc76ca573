//! Optimizers, schedules and gradient clipping of wgrad.
//!
//! An [`Optimizer`] holds parameters and applies a [`Rule`], the formula of one step, to each of them: [`Sgd`],
//! [`Adam`] and [`AdamW`] are PyTorch's, and a rule of your own is one function. Steps are recorded like any other
//! arithmetic and run on the device of the parameters; nothing is read back.
//!
//! ```
//! use wgrad_autograd::Backward;
//! use wgrad_optim::{AdamW, Cosine, Schedule, clip_grad_norm};
//! # use wgrad_tensor::{Result, Tensor};
//! # fn example(model: impl wgrad_nn::Module, loss: impl Fn() -> Tensor) -> Result<()> {
//!
//! let schedule = Cosine { lr: 1e-3, min: 0.0, steps: 900 }.warm_up(100, 0.01);
//! let mut optimizer = AdamW::new(model.parameters(), 1e-3).weight_decay(0.1).decay_matrices_only();
//! for step in 0..1000 {
//!     optimizer.set_lr(schedule.lr(step));
//!     let (gradients, _norm) = clip_grad_norm(&loss().backward()?, 1.0)?;
//!     optimizer.step(gradients)?;
//! }
//! # Ok(())
//! # }
//! ```

mod adam;
mod clip;
mod optimizer;
mod schedule;
mod sgd;
mod state;

pub use adam::{Adam, AdamRule, AdamW};
pub use clip::clip_grad_norm;
pub use optimizer::{Optimizer, Rule, Step};
pub use schedule::{Constant, Cosine, Schedule, StepDecay, WarmUp};
pub use sgd::{Sgd, SgdRule};
