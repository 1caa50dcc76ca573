//! safetensors files of wgrad: bit-exact, checked, atomic.
//!
//! [`save`] and [`load`] move named tensors to and from a file; [`to_bytes`] and [`from_bytes`] do without files, as a
//! browser must. A model does both by itself through [`SaveLoad`]:
//!
//! ```no_run
//! use wgrad_io::SaveLoad;
//! # fn example(model: impl wgrad_nn::Module) -> wgrad_tensor::Result<()> {
//! model.save("model.safetensors")?;
//! model.load("model.safetensors")?;
//! # Ok(())
//! # }
//! ```
//!
//! The format is that of <https://github.com/huggingface/safetensors>, so files pass to and from PyTorch:
//!
//! ```text
//! u64, little-endian: bytes of the header
//! header: JSON, {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, .., "__metadata__": {..}}
//! data: the elements of one tensor after the other, row-major, little-endian, without gaps
//! ```
//!
//! A file is input from outside: nothing it says is believed before it is checked against the bytes that are there, and
//! whatever does not fit is an [`ErrorKind::File`](wgrad_tensor::ErrorKind::File) that names the file, what was expected
//! and what was found.

#[cfg(not(target_arch = "wasm32"))]
mod atomic;
mod file;
mod header;
#[cfg(not(target_arch = "wasm32"))]
mod module;

pub use file::{File, Metadata, from_bytes, to_bytes_async};
#[cfg(not(target_arch = "wasm32"))]
pub use file::{load, save, to_bytes};
#[cfg(not(target_arch = "wasm32"))]
pub use module::SaveLoad;
