//! Models: saved and loaded by name, and never half changed.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::device;
use wgrad_io::{Metadata, SaveLoad, save};
use wgrad_nn::{Module, Param, Visitor};
use wgrad_tensor::{Device, ErrorKind, Tensor};

struct Linear {
    weight: Param,
    bias: Param,
}

impl Module for Linear {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("weight", &self.weight);
        visitor.field("bias", &self.bias);
    }
}

fn linear(value: f32, device: &Device) -> Linear {
    let param = |tensor: Tensor| Param::new(tensor);
    Linear { weight: param(Tensor::new([[value; 3]; 2], device)), bias: param(Tensor::new([value; 2], device)) }
}

#[test]
fn a_model_takes_the_values_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("linear.safetensors");
    let device = device();
    linear(2.0, &device).save(&path).unwrap();
    let model = linear(0.0, &device);
    model.load(&path).unwrap();
    assert_eq!(model.weight.tensor().to_vec::<f32>().unwrap(), [2.0; 6]);
    assert_eq!(model.bias.tensor().to_vec::<f32>().unwrap(), [2.0; 2]);
    assert!(model.bias.tensor().is_tracked());
}

#[test]
fn another_models_file_changes_nothing_and_every_difference_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.safetensors");
    let device = device();
    let other = [
        ("weight".to_string(), Tensor::new([[1.0f32; 2]; 3], &device)),
        ("scale".to_string(), Tensor::new([1.0f32], &device)),
    ];
    save(&path, &other, &Metadata::new()).unwrap();
    let model = linear(7.0, &device);
    let error = model.load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    let said = ["other.safetensors", "missing: bias", "unexpected: scale", "weight is [2, 3] in the model, [3, 2]"];
    assert!(said.iter().all(|part| error.message().contains(part)), "{error}");
    assert!(error.location().is_some_and(|at| at.file().ends_with("module.rs")), "{error}");
    assert_eq!(model.weight.tensor().to_vec::<f32>().unwrap(), [7.0; 6]);
    assert_eq!(model.bias.tensor().to_vec::<f32>().unwrap(), [7.0; 2]);
}
