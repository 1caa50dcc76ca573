//! A device that only remembers: files need no arithmetic.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Runtime, Storage};
use wgrad_tensor::node::Edge;
use wgrad_tensor::{DType, Device, Error, ErrorKind, Result, Tensor};

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Storage for Bytes {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// While set, buffers of more than 64 bytes cannot be read.
pub type Broken = Arc<AtomicBool>;

#[derive(Debug)]
struct Memory {
    description: Description,
    broken: Broken,
}

impl Runtime for Memory {
    fn describe(&self) -> &Description {
        &self.description
    }
    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        Ok(Arc::new(Bytes(bytes.to_vec())))
    }
    fn evaluate(&self, _roots: &[Edge]) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "evaluate", "this device only remembers"))
    }
    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        let read = if self.broken.load(Ordering::SeqCst) && bytes > 64 {
            Err(Error::new(ErrorKind::DeviceLost, "read", "gone"))
        } else {
            let any: &dyn std::any::Any = &**buffer;
            any.downcast_ref::<Bytes>()
                .map(|data| data.0[..bytes].to_vec())
                .ok_or_else(|| Error::new(ErrorKind::Device, "read", "not this device's"))
        };
        Box::pin(std::future::ready(read))
    }
    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

pub fn device() -> Device {
    breakable().0
}

pub fn breakable() -> (Device, Broken) {
    let description = Description {
        name: "memory".into(),
        backend: "memory".into(),
        kind: "cpu".into(),
        driver: String::new(),
        f64: true,
        f16: true,
        subgroups: false,
        max_buffer: u64::MAX,
        max_bindings: 8,
    };
    let broken = Broken::default();
    (Device::new(Memory { description, broken: broken.clone() }), broken)
}

/// One tensor of every dtype, its bits chosen so that any rounding would show, and shapes of every kind.
pub fn one_of_each(device: &Device) -> Vec<(String, Tensor)> {
    use half::{bf16, f16};
    let f32s = [f32::NAN.to_bits() | 1, f32::NEG_INFINITY.to_bits(), (-0.0f32).to_bits(), 1, 0x7f7f_ffff, 0x3f80_0001];
    let f64s = [f64::NAN.to_bits() | 3, 1, f64::MAX.to_bits(), (-0.0f64).to_bits()];
    let tensors = [
        ("f32", Tensor::from_slice(&f32s.map(f32::from_bits), [2, 3], device)),
        ("f64", Tensor::from_slice(&f64s.map(f64::from_bits), [4, 1], device)),
        ("f16", Tensor::from_slice(&[0x7e01, 0xfc00, 1].map(f16::from_bits), [3], device)),
        ("bf16", Tensor::from_slice(&[0x7fc1, 0x8000, 1].map(bf16::from_bits), [1, 3, 1], device)),
        ("i32", Tensor::new([i32::MIN, -1, i32::MAX], device)),
        ("u32", Tensor::new(u32::MAX, device)),
        ("u8", Tensor::new([0u8, 1, 255], device)),
        ("bool", Tensor::new([[true, false], [false, true]], device)),
        ("empty", Tensor::from_slice::<f32>(&[], [3, 0], device)),
        ("names may be \"anything\" \\ ünïcödé", Tensor::new(1.5f32, device)),
    ];
    let held: Vec<DType> = tensors.iter().filter_map(|(_, tensor)| tensor.try_dtype().ok()).collect();
    assert!(DType::ALL.iter().all(|dtype| held.contains(dtype)), "a dtype has no sample");
    tensors.map(|(name, tensor)| (name.to_string(), tensor)).to_vec()
}

/// The file's tensors equal these bit for bit, whatever the order.
pub fn assert_same(found: &[(String, Tensor)], expected: &[(String, Tensor)]) {
    assert_eq!(found.len(), expected.len());
    for (name, tensor) in expected {
        let (_, loaded) = found.iter().find(|(other, _)| other == name).unwrap();
        assert_eq!(loaded.meta().unwrap(), tensor.meta().unwrap(), "{name}");
        assert_eq!(loaded.to_bytes().unwrap(), tensor.to_bytes().unwrap(), "{name}");
    }
}
