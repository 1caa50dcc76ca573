//! The derive as the `wgrad` crate exports it, for crates that know no other.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

extern crate self as wgrad;

mod common;

/// As the `wgrad` crate has it.
pub mod nn {
    pub use wgrad_nn::facade::Module;
    pub use wgrad_nn::*;
}

mod outside {
    use wgrad::nn::*;

    #[derive(Module)]
    pub struct Model<L> {
        pub layer: L,
        pub count: usize,
    }
}

#[test]
fn the_facade_derive_names_the_facade() {
    use nn::Module;
    let model = outside::Model { layer: nn::Linear::new(2, 3, &common::device()), count: 1 };
    assert_eq!((model.count_parameters(), model.count), (9, 1));
    assert_eq!(model.named_parameters()[1].0, "layer.bias");
}
