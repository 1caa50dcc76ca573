//! Layers, initialisers and model state of wgrad, as plain structs.
//!
//! A model is a struct whose fields are layers or other models; [`Module`], which a derive implements, finds the
//! [`Param`]s and [`Buffer`]s in it by name. A [`Layer`] is a module with a `forward` from one tensor to one tensor.

// The derive names this crate by its outside name, here as well.
extern crate self as wgrad_nn;

mod buffer;
mod fail;
pub mod init;
mod layer;
mod layers;
mod mode;
mod module;
mod param;
mod scope;
mod state;
mod summary;

pub use buffer::Buffer;
pub use layer::Layer;
pub use layers::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Function, LayerNorm, Linear, MaxPool2d,
    Pair, Sequential,
};
pub use mode::Mode;
pub use module::{Module, Part, Visitor};
pub use param::Param;
pub use scope::Scope;
pub use state::{LoadError, Mismatch};
pub use summary::{Row, Summary, summary};
pub use wgrad_nn_derive::Module;

/// The derive for the `wgrad` crate to export as `wgrad::nn::Module`: what it generates names `::wgrad::nn`, so that a
/// model's crate needs no other dependency.
#[doc(hidden)]
pub mod facade {
    pub use wgrad_nn_derive::FacadeModule as Module;
}
