//! Layers, initialisers and model state of wgrad, as plain structs.
//!
//! A model is a struct whose fields are layers or other models; [`Module`], which a derive implements, finds the
//! [`Param`]s and [`Buffer`]s in it by name. A [`Layer`] is a module with a `forward` from one tensor to one tensor.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic"))]

mod buffer;
mod mode;
mod module;
mod param;
mod scope;
mod state;

pub use buffer::Buffer;
pub use mode::Mode;
pub use module::{Module, Part, Visitor};
pub use param::Param;
pub use scope::Scope;
pub use state::{LoadError, Mismatch};
