//! The recorded graph: nodes, and the edges between them.
//!
//! An [`Edge`] is the graph's own reference to an output of a node; a [`Tensor`](crate::Tensor) is a user's handle on
//! one. A node counts its handles, so that an evaluation knows which results somebody can still ask for.
//!
//! What stays alive: a node keeps the nodes it is computed from until its value is there; a node that descends from a
//! parameter keeps them until the walk back has consumed it.

use crate::device::{Buffer, Device};
use crate::dtype::Scalar;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::op::{Meta, Metas, OpRef};
use crate::scope::{self, Origin};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One recorded call of an op.
pub struct Node {
    pub(crate) id: u64,
    pub(crate) op: OpRef,
    pub(crate) scalars: Scalars,
    pub(crate) metas: Metas,
    pub(crate) device: Device,
    pub(crate) origin: Origin,
    pub(crate) tracked: bool,
    pub(crate) leaf: bool,
    /// The checkpointed stretch that it belongs to; 0 where to none.
    checkpoint: u64,
    not_before: u64,
    /// Whether there is neither a value nor a failure: what `state` says, to be had without waiting for it.
    pending: AtomicBool,
    pub(crate) consumed: AtomicBool,
    pub(crate) handles: AtomicUsize,
    mark: AtomicU64,
    state: Mutex<State>,
}

struct State {
    inputs: Edges,
    results: Results,
}

enum Results {
    Pending,
    Ready(SmallVec<[Option<Buffer>; 1]>),
    Failed(Error),
    /// Its memory went to an evaluation that was the last to read it.
    Donated,
}

/// The graph's reference to one output of a node.
#[derive(Clone)]
pub struct Edge {
    pub(crate) node: Arc<Node>,
    pub(crate) output: usize,
}

/// What a node is computed from: mostly one or two, which then lie in the node itself. So do few numbers and results.
pub type Edges = SmallVec<[Edge; 2]>;
pub(crate) type Scalars = SmallVec<[Scalar; 1]>;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Node {
    /// A call that is pending, untracked, and known to nobody yet. Its one handle is that of the tensor it is made for.
    #[inline]
    pub(crate) fn new(op: OpRef, scalars: Scalars, inputs: Edges, device: &Device, origin: Origin) -> Node {
        Node {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            op,
            scalars,
            metas: Metas::new(),
            device: device.clone(),
            origin,
            tracked: false,
            leaf: false,
            checkpoint: scope::checkpoint(),
            not_before: 0,
            pending: AtomicBool::new(true),
            consumed: AtomicBool::new(false),
            handles: AtomicUsize::new(1),
            mark: AtomicU64::new(0),
            state: Mutex::new(State { inputs, results: Results::Pending }),
        }
    }

    /// Puts it into the graph; the device notes it.
    #[inline(always)]
    pub(crate) fn wait(self) -> Arc<Node> {
        let node = Arc::new(self);
        node.device.remember_pending(&node);
        node
    }

    /// Puts it into the graph with its value.
    pub(crate) fn ready(self, buffer: Buffer) -> Arc<Node> {
        self.settled(Results::Ready(smallvec![Some(buffer)]))
    }

    /// Puts it into the graph as one that has failed, without shapes and inputs.
    pub(crate) fn failed(mut self, error: Error) -> Arc<Node> {
        self.metas.clear();
        self.settled(Results::Failed(error))
    }

    fn settled(mut self, results: Results) -> Arc<Node> {
        self.pending = AtomicBool::new(false);
        self.state = Mutex::new(State { inputs: Edges::new(), results });
        Arc::new(self)
    }

    #[inline]
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that grows with every node: a node's inputs have smaller ones.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The op.
    #[inline]
    pub fn op(&self) -> &OpRef {
        &self.op
    }

    /// The numbers given to this call.
    #[inline]
    pub fn scalars(&self) -> &[Scalar] {
        &self.scalars
    }

    /// Shape and dtype of every output; none for a failed node.
    #[inline]
    pub fn metas(&self) -> &[Meta] {
        &self.metas
    }

    /// The device it is computed on.
    #[inline]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The user's line and layer.
    #[inline]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it descends from a tensor that wants a gradient.
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Whether it is itself a tensor that wants a gradient: walks back end here.
    #[inline]
    pub fn is_leaf(&self) -> bool {
        self.leaf
    }

    /// The checkpointed stretch that it was recorded in: what lies within is computed again for the walk back.
    #[inline]
    pub fn checkpoint(&self) -> Option<u64> {
        (self.checkpoint != 0).then_some(self.checkpoint)
    }

    /// For what is computed again: the number of a node before which it is not to be computed, or it would lie around
    /// from then on; 0 for all else.
    #[inline]
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// The number that is given to the next node, or to one soon after.
    pub fn next_id() -> u64 {
        NEXT_ID.load(Ordering::Relaxed)
    }

    /// The same call again, of these inputs, which are worth the same; not to be computed before the node with the number
    /// `not_before`.
    pub fn again(&self, inputs: Edges, not_before: u64) -> Arc<Node> {
        let (op, origin) = (self.op.clone(), self.origin.clone());
        let mut node = Node::new(op, self.scalars.clone(), inputs, &self.device, origin);
        node.metas = self.metas.clone();
        node.tracked = self.tracked && scope::is_recording();
        (node.checkpoint, node.not_before) = (0, not_before);
        node.handles = AtomicUsize::new(0);
        node.wait()
    }

    /// How many tensors refer to it.
    #[inline]
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
    }

    /// Whether a walk back has consumed it.
    #[inline]
    pub fn is_consumed(&self) -> bool {
        self.consumed.load(Ordering::Acquire)
    }

    /// Whether it keeps what it is computed from even when its value is there: for a walk back that may come.
    #[inline]
    pub fn keeps_inputs(&self) -> bool {
        self.tracked && !self.leaf && !self.is_consumed()
    }

    /// Marks it as consumed by a walk back: it no longer keeps what it was computed from once its value is there.
    pub fn consume(&self) {
        self.consumed.store(true, Ordering::Release);
        let mut state = self.state();
        let dropped = match state.results {
            Results::Pending => Edges::new(),
            _ => std::mem::take(&mut state.inputs),
        };
        drop(state);
        drop(dropped);
    }

    /// A number that an evaluation found it useful to keep here. Only one evaluation at a time sees a device's nodes.
    #[inline]
    pub fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Keeps a number here, for [`mark`](Node::mark).
    #[inline]
    pub fn set_mark(&self, mark: u64) {
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// Whether there is no value yet, and no failure.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// What it is computed from; nothing once that was let go.
    pub fn inputs(&self) -> Edges {
        self.state().inputs.clone()
    }

    /// Calls `f` with what it is computed from, without copying the list.
    #[inline]
    pub fn with_inputs<R>(&self, f: impl FnOnce(&[Edge]) -> R) -> R {
        f(&self.state().inputs)
    }

    /// The buffer of an output: `None` while pending.
    pub fn buffer(&self, output: usize) -> Result<Option<Buffer>> {
        if self.is_pending() {
            return Ok(None);
        }
        match &self.state().results {
            Results::Pending => Ok(None),
            Results::Ready(buffers) => Ok(buffers.get(output).cloned().flatten()),
            Results::Failed(error) => Err(error.clone()),
            Results::Donated => Err(self.donated()),
        }
    }

    /// The error, where it failed.
    pub fn error(&self) -> Option<Error> {
        if self.is_pending() {
            return None;
        }
        match &self.state().results {
            Results::Failed(error) => Some(error.clone()),
            Results::Donated => Some(self.donated()),
            Results::Pending | Results::Ready(_) => None,
        }
    }

    fn donated(&self) -> Error {
        let origin = self.origin.clone();
        let problem = Problem::new(ErrorKind::Value, "its memory went to the evaluation that was to replace it");
        Error::at(problem, self.op.name(), self.metas.to_vec(), Some(origin.location), origin.scope)
    }

    /// Lets go of its buffers, so that their memory can be used again: for the evaluation that holds the only ways to this
    /// node, and lets go of them. Where that evaluation fails, this node has failed.
    pub fn donate(&self) {
        let mut state = self.state();
        if matches!(state.results, Results::Ready(_)) {
            let buffers = std::mem::replace(&mut state.results, Results::Donated);
            drop(state);
            drop(buffers);
        }
    }

    /// Stores the buffer of an output. When all that is asked for is there, an untracked node lets go of its inputs.
    pub fn fulfil(&self, output: usize, buffer: Buffer) {
        let mut state = self.state();
        match &mut state.results {
            Results::Ready(buffers) => buffers[output] = Some(buffer),
            Results::Pending => {
                let mut buffers = smallvec![None; self.metas.len()];
                buffers[output] = Some(buffer);
                state.results = Results::Ready(buffers);
                self.pending.store(false, Ordering::Release);
            }
            Results::Failed(_) | Results::Donated => return,
        }
        let complete = matches!(&state.results, Results::Ready(buffers) if buffers.iter().all(Option::is_some));
        let done = complete && !self.keeps_inputs();
        let dropped = if done { std::mem::take(&mut state.inputs) } else { Edges::new() };
        drop(state);
        drop(dropped);
    }

    /// Stores why there will be no value. A value that is already there stays.
    pub fn fail(&self, error: Error) {
        let mut state = self.state();
        if !matches!(state.results, Results::Pending) {
            return;
        }
        state.results = Results::Failed(error);
        self.pending.store(false, Ordering::Release);
        let dropped = std::mem::take(&mut state.inputs);
        drop(state);
        drop(dropped);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state().results {
            Results::Pending => "pending",
            Results::Ready(_) => "ready",
            Results::Failed(_) => "failed",
            Results::Donated => "donated",
        };
        write!(f, "#{} {} {:?} {state}", self.id, self.op.name(), self.metas)
    }
}

/// Long chains are taken apart in a loop: recursion would overflow the stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut edges = std::mem::take(&mut self.state.get_mut().unwrap_or_else(PoisonError::into_inner).inputs);
        while let Some(edge) = edges.pop() {
            if let Some(mut node) = Arc::into_inner(edge.node) {
                edges.append(&mut node.state.get_mut().unwrap_or_else(PoisonError::into_inner).inputs);
            }
        }
    }
}

impl Edge {
    /// A reference to an output of `node`.
    pub fn new(node: Arc<Node>, output: usize) -> Edge {
        Edge { node, output }
    }

    /// The node.
    #[inline]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Which of its outputs.
    #[inline]
    pub fn output(&self) -> usize {
        self.output
    }

    /// Shape and dtype, or the error of a failed node.
    #[inline]
    pub fn meta(&self) -> Result<&Meta> {
        match self.node.metas.get(self.output) {
            Some(meta) => Ok(meta),
            None => Err(self.node.error().unwrap_or_else(|| {
                Error::new(ErrorKind::Value, "tensor", format!("the op has no output {}", self.output))
            })),
        }
    }

    /// The buffer; `None` while pending.
    pub fn buffer(&self) -> Result<Option<Buffer>> {
        self.node.buffer(self.output)
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.node, self.output)
    }
}
