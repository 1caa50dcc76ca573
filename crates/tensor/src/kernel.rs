//! Kernels as plain data, and the door through which ops from outside bring theirs.

use crate::dtype::Scalar;
use crate::error::Problem;
use crate::op::Meta;
use std::borrow::Cow;
use std::fmt::Debug;

/// A compute shader and how to call it.
///
/// Bindings of group 0, in this order: each input as `var<storage, read>`, each output as `var<storage, read_write>`,
/// then, where `params` is not empty, `var<uniform>` of that many bytes (a multiple of 16). All tensors are contiguous;
/// `u8`, `bool`, `f16` and `bf16` lie packed in `u32` words.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// What profiles and errors call it.
    pub label: Cow<'static, str>,
    /// The WGSL text.
    pub source: Cow<'static, str>,
    /// The entry point.
    pub entry: Cow<'static, str>,
    /// Values for the text's `override` constants.
    pub overrides: Vec<(Cow<'static, str>, f64)>,
    /// The uniform block's words.
    pub params: Vec<u32>,
    /// Workgroups to start along x, y, z.
    pub grid: [u32; 3],
}

/// An op from outside: its meaning on the CPU, and its kernel. Its text is compiled with run-time checks.
pub trait Custom: Debug + Send + Sync {
    /// Computes the outputs, all contiguous, in the dtypes that the op's shape rule gave.
    fn cpu(&self, inputs: &[HostView<'_>], scalars: &[Scalar], outputs: &mut [HostViewMut<'_>]) -> Result<(), Problem>;

    /// The kernel for these shapes; `None` where there is none, which is an error on a GPU.
    fn kernel(&self, inputs: &[Meta], outputs: &[Meta], scalars: &[Scalar]) -> Option<Kernel>;
}

/// A contiguous input in host memory.
#[derive(Clone, Copy, Debug)]
pub struct HostView<'a> {
    /// Shape and dtype.
    pub meta: &'a Meta,
    /// The elements' bytes, aligned for the dtype.
    pub bytes: &'a [u8],
}

/// A contiguous output in host memory, zeroed.
#[derive(Debug)]
pub struct HostViewMut<'a> {
    /// Shape and dtype.
    pub meta: &'a Meta,
    /// The elements' bytes, aligned for the dtype.
    pub bytes: &'a mut [u8],
}

impl<'a> HostView<'a> {
    /// The elements as `f32`; `None` if the dtype is another.
    pub fn as_slice<T: crate::dtype::Element + bytemuck::Pod>(&self) -> Option<&'a [T]> {
        (self.meta.dtype == T::DTYPE).then(|| bytemuck::try_cast_slice(self.bytes).ok()).flatten()
    }
}

impl HostViewMut<'_> {
    /// The elements as `T`; `None` if the dtype is another.
    pub fn as_slice_mut<T: crate::dtype::Element + bytemuck::Pod>(&mut self) -> Option<&mut [T]> {
        (self.meta.dtype == T::DTYPE).then(|| bytemuck::try_cast_slice_mut(self.bytes).ok()).flatten()
    }
}
