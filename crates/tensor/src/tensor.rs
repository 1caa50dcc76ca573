//! The tensor: a user's handle on an output of a node.

use crate::device::Device;
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::node::{Edge, Edges, Node, Scalars};
use crate::op::{Compute, Meta, Metas, Op, OpRef};
use crate::ops::view::Alias;
use crate::scope::{self, Origin};
use crate::shape::Shape;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An array of numbers of one [`DType`] on one [`Device`], or the recipe for it.
///
/// Arithmetic only records; asking for values ([`to_vec`](Tensor::to_vec), [`item`](Tensor::item),
/// [`eval`](Tensor::eval)) computes. An operation whose inputs do not fit gives a *failed* tensor, as does everything
/// computed from it, and asking for values then gives the error, with the line at fault. Cloning is cheap: clones share
/// the data, which nothing ever writes to.
pub struct Tensor(Edge);

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Tensor::from_edge(self.0.clone())
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.0.node.handles.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The outputs of one recorded call.
pub(crate) struct Recorded(Arc<Node>);

impl Recorded {
    /// The output of an op that has one.
    pub fn one(self) -> Tensor {
        Tensor::of_new(self.0)
    }

    /// The outputs of an op that has `N`.
    pub fn all<const N: usize>(self) -> [Tensor; N] {
        let all = std::array::from_fn(|output| Tensor::from_edge(Edge { node: self.0.clone(), output }));
        drop(self.one());
        all
    }
}

/// The op of a node whose data was given.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Source(&'static str);

impl Op for Source {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0)
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Metas, Problem> {
        Ok(Metas::new())
    }
    fn compute(&self) -> Compute<'_> {
        Compute::Source
    }
}

impl Tensor {
    /// A handle on a node's output.
    pub fn from_edge(edge: Edge) -> Tensor {
        edge.node.handles.fetch_add(1, Ordering::AcqRel);
        Tensor(edge)
    }

    /// The handle that a new node has counted already.
    fn of_new(node: Arc<Node>) -> Tensor {
        Tensor(Edge { node, output: 0 })
    }

    /// Whether the two are one value of the graph, not merely equal.
    pub(crate) fn is(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0.node, &other.0.node) && self.0.output == other.0.output
    }

    /// The graph's reference to the same output.
    pub fn edge(&self) -> &Edge {
        &self.0
    }

    /// A tensor with data that is on the device already.
    #[track_caller]
    pub fn from_buffer(buffer: crate::device::Buffer, meta: Meta, device: &Device) -> Tensor {
        Tensor::source("from_buffer", device, Ok((buffer, meta)))
    }

    /// A tensor that carries an error: asking it, or what is computed from it, for values gives that error.
    #[track_caller]
    pub fn from_error(error: Error, device: &Device) -> Tensor {
        Tensor::source("error", device, Err(error))
    }

    #[track_caller]
    pub(crate) fn source(name: &'static str, device: &Device, data: Result<(crate::device::Buffer, Meta)>) -> Tensor {
        let origin = scope::origin(Location::caller());
        let op = OpRef::Shared(Arc::new(Source(name)));
        let mut node = Node::new(op, Scalars::new(), Edges::new(), device, origin);
        Tensor::of_new(match data {
            Ok((buffer, meta)) => {
                node.metas.push(meta);
                node.ready(buffer)
            }
            Err(error) => node.failed(error),
        })
    }

    /// Records a call of an op with one output.
    ///
    /// Errors are deferred: the result then is a failed tensor. This is the door for ops from outside.
    #[track_caller]
    pub fn apply(op: impl Into<OpRef>, inputs: &[&Tensor], scalars: Vec<Scalar>, device: &Device) -> Tensor {
        Tensor::record(op.into(), inputs, scalars.into(), device).one()
    }

    /// Records a call of an op with `N` outputs, as [`apply`](Tensor::apply) does of one.
    #[track_caller]
    pub fn apply_all<const N: usize>(
        op: impl Into<OpRef>,
        inputs: &[&Tensor],
        scalars: Vec<Scalar>,
        device: &Device,
    ) -> [Tensor; N] {
        Tensor::record(op.into(), inputs, scalars.into(), device).all()
    }

    #[track_caller]
    pub(crate) fn record(op: OpRef, inputs: &[&Tensor], scalars: Scalars, device: &Device) -> Recorded {
        let origin = scope::origin(Location::caller());
        let tracked = scope::is_recording() && inputs.iter().any(|input| input.0.node.tracked);
        let mut edges = Edges::with_capacity(inputs.len());
        inputs.iter().for_each(|input| edges.push(input.0.clone()));
        let metas = infer(&op, inputs, device, &origin);
        let mut node = Node::new(op, scalars, edges, device, origin);
        Recorded(match metas {
            Ok(metas) => {
                node.tracked = tracked && metas.iter().any(|meta| meta.dtype.is_float());
                node.metas = metas;
                node.wait()
            }
            Err(error) => node.failed(error),
        })
    }

    /// An op of one tensor.
    #[track_caller]
    pub(crate) fn unary(&self, op: impl Into<OpRef>) -> Tensor {
        self.unary_with(op, Vec::new())
    }

    /// An op of one tensor with numbers.
    #[track_caller]
    pub(crate) fn unary_with(&self, op: impl Into<OpRef>, scalars: Vec<Scalar>) -> Tensor {
        Tensor::apply(op, &[self], scalars, self.device())
    }

    /// A failed tensor of this call, or the failure that `self` carries already.
    #[track_caller]
    pub(crate) fn fail(&self, op: impl Into<Cow<'static, str>>, others: &[&Tensor], problem: Problem) -> Tensor {
        if let Some(failed) = std::iter::once(&self).chain(others).find(|t| t.0.node.error().is_some()) {
            return (*failed).clone();
        }
        let origin = scope::origin(Location::caller());
        let metas = std::iter::once(&self).chain(others).filter_map(|t| t.0.meta().ok().cloned()).collect();
        let error = Error::at(problem, op.into(), metas, Some(origin.location), origin.scope);
        Tensor::source("error", self.device(), Err(error))
    }

    /// The sizes of the axes.
    ///
    /// # Panics
    /// On a failed tensor, with the message that reading it gives; [`try_shape`](Tensor::try_shape) does not.
    #[track_caller]
    #[allow(clippy::panic, reason = "the one documented panic; library code calls try_shape")]
    pub fn shape(&self) -> Shape {
        match self.try_shape() {
            Ok(shape) => shape,
            Err(error) => panic!("{error}"),
        }
    }

    /// The sizes of the axes, or the error that the tensor carries.
    pub fn try_shape(&self) -> Result<Shape> {
        self.0.meta().map(|meta| meta.shape.clone())
    }

    /// Shape and dtype, or the error that the tensor carries.
    pub fn meta(&self) -> Result<&Meta> {
        self.0.meta()
    }

    /// The kind of number it holds, or the error that the tensor carries.
    pub fn try_dtype(&self) -> Result<DType> {
        self.0.meta().map(|meta| meta.dtype)
    }

    /// The device it is computed on.
    pub fn device(&self) -> &Device {
        &self.0.node.device
    }

    /// Whether a gradient can reach a parameter through it.
    pub fn is_tracked(&self) -> bool {
        self.0.node.tracked
    }

    /// The same values, cut from the graph: no gradient passes. PyTorch: `Tensor.detach`.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        self.alias(&Alias("detach"), false)
    }

    /// The same values as the start of a graph: gradients for it can be asked. PyTorch: `detach().requires_grad_()`.
    #[track_caller]
    pub fn requires_grad(&self) -> Tensor {
        if let Ok(dtype) = self.try_dtype()
            && !dtype.is_float()
        {
            let problem = Problem::new(ErrorKind::DType, "only floats have gradients");
            return self.fail("requires_grad", &[], problem);
        }
        self.alias(&Alias("requires_grad"), true)
    }

    #[track_caller]
    fn alias(&self, op: &'static Alias, leaf: bool) -> Tensor {
        let origin = scope::origin(Location::caller());
        let inputs = smallvec![self.0.clone()];
        let mut node = Node::new(OpRef::Static(op), Scalars::new(), inputs, self.device(), origin);
        (node.tracked, node.leaf) = (leaf, leaf);
        Tensor::of_new(match (self.0.meta(), self.0.buffer()) {
            (Ok(meta), Ok(buffer)) => {
                node.metas.push(meta.clone());
                match buffer {
                    Some(buffer) => node.ready(buffer),
                    None => node.wait(),
                }
            }
            (Err(error), _) | (_, Err(error)) => node.failed(error),
        })
    }

    /// Computes the value now. On a GPU this asks for the work and does not wait for it.
    pub fn eval(&self) -> Result<()> {
        eval_all([self])
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// What went wrong on the way here, and a `T` of another dtype.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        pollster::block_on(self.to_vec_async())
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// What went wrong on the way here, and a `T` of another dtype.
    pub async fn to_vec_async<T: Element>(&self) -> Result<Vec<T>> {
        let meta = self.0.meta()?;
        if meta.dtype != T::DTYPE {
            let problem = Problem::new(ErrorKind::DType, format!("the tensor holds {}, not {}", meta.dtype, T::DTYPE));
            return Err(self.read_error(problem));
        }
        Ok(T::from_bytes(&self.to_bytes_async().await?))
    }

    /// The elements' bytes in row-major order.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        pollster::block_on(self.to_bytes_async())
    }

    /// The elements' bytes in row-major order.
    pub async fn to_bytes_async(&self) -> Result<Vec<u8>> {
        let bytes = self.0.meta()?.bytes();
        self.eval()?;
        match self.0.buffer()? {
            Some(buffer) => self.device().runtime().read(&buffer, bytes).await,
            None => Err(self.read_error(Problem::new(ErrorKind::Unsupported, "the device computed no value"))),
        }
    }

    /// The one element of a tensor that has one.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn item<T: Element>(&self) -> Result<T> {
        pollster::block_on(self.item_async())
    }

    /// The one element of a tensor that has one.
    pub async fn item_async<T: Element>(&self) -> Result<T> {
        match self.to_vec_async().await?[..] {
            [item] => Ok(item),
            _ => Err(self.read_error(Problem::new(ErrorKind::Shape, "item takes a tensor of one element"))),
        }
    }

    fn read_error(&self, problem: Problem) -> Error {
        let origin = self.0.node.origin.clone();
        let inputs = self.0.meta().ok().cloned().into_iter().collect();
        Error::at(problem, "read".into(), inputs, Some(origin.location), origin.scope)
    }
}

/// The plan that evaluating these tensors of one device would carry out, as text: each kernel, what it computes, from
/// which lines, and what it writes. Polars: `LazyFrame::explain`.
///
/// # Errors
/// The error of a failed tensor.
pub fn explain<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<String> {
    let tensors: Vec<&Tensor> = tensors.into_iter().collect();
    let Some(first) = tensors.first() else { return Ok(String::new()) };
    let edges: Vec<Edge> = tensors.iter().map(|tensor| tensor.0.clone()).collect();
    first.device().runtime().plan_text(&edges)
}

/// Computes several tensors in one go. On a GPU this asks for the work and does not wait for it.
///
/// # Errors
/// The first error among them; the others are computed all the same.
pub fn eval_all<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
    let mut first_error = None;
    let mut by_device: Vec<(Device, Vec<Edge>)> = Vec::new();
    for tensor in tensors {
        match tensor.0.buffer() {
            Ok(Some(_)) => {}
            Ok(None) => match by_device.iter_mut().find(|(device, _)| device == tensor.device()) {
                Some((_, edges)) => edges.push(tensor.0.clone()),
                None => by_device.push((tensor.device().clone(), vec![tensor.0.clone()])),
            },
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    for (device, edges) in by_device {
        if let Err(error) = device.runtime().evaluate(&edges) {
            first_error = first_error.or(Some(error));
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Shape and dtype of every output; else the error of a failed input, or what is wrong with this call.
fn infer(op: &OpRef, inputs: &[&Tensor], device: &Device, origin: &Origin) -> Result<Metas> {
    let mut given = SmallVec::<[&Meta; 4]>::new();
    for input in inputs {
        given.push(input.meta()?);
    }
    let found = match inputs.iter().find(|input| input.device() != device) {
        Some(other) => {
            let there = other.device();
            let message = format!("tensors are on different devices, {device} and {there}; move one with to_device");
            Err(Problem::new(ErrorKind::Device, message))
        }
        None => op.infer(&given),
    };
    let fits = |metas: Metas| metas.iter().try_for_each(fits_in_memory).map(|()| metas);
    found.and_then(fits).map_err(|problem| {
        let given = given.iter().map(|&meta| meta.clone()).collect();
        Error::at(problem, op.name(), given, Some(origin.location), origin.scope.clone())
    })
}

/// Sizes beyond what any memory can address are refused where they arise, so that size arithmetic never overflows.
fn fits_in_memory(meta: &Meta) -> Result<(), Problem> {
    match meta.shape.checked_count().and_then(|count| count.checked_mul(meta.dtype.size())) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => {
            Err(Problem::new(ErrorKind::OutOfMemory, format!("{} {} is too large to address", meta.shape, meta.dtype)))
        }
    }
}
