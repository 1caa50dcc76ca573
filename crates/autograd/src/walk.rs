//! The walk back over the graph.

use crate::checkpoint::Copies;
use smallvec::{SmallVec, smallvec};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use wgrad_tensor::error::Problem;
use wgrad_tensor::ids::{IdMap, IdSet};
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::{self, Call};
use wgrad_tensor::scope::{Origin, no_grad, with_origin};
use wgrad_tensor::{DType, Error, ErrorKind, Result, Tensor};

/// The gradient of a loss for every tensor it depends on that wants one.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    by_node: IdMap<u64, Tensor>,
}

impl Gradients {
    /// The gradient for `tensor`, a parameter's tensor or one made by [`Tensor::requires_grad`].
    ///
    /// # Errors
    /// [`ErrorKind::NoGradient`] where the loss does not depend on it: a missing gradient is not zero.
    #[track_caller]
    pub fn get(&self, tensor: &Tensor) -> Result<Tensor> {
        match self.by_node.get(&tensor.edge().node().id()) {
            Some(gradient) => Ok(gradient.clone()),
            None => Err(no_gradient(tensor)),
        }
    }

    /// Whether there is a gradient for `tensor`.
    pub fn contains(&self, tensor: &Tensor) -> bool {
        self.by_node.contains_key(&tensor.edge().node().id())
    }

    /// The same set with every gradient replaced by `f` of it.
    #[must_use]
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Gradients {
        Gradients { by_node: self.in_order().into_iter().map(|(id, gradient)| (id, f(gradient))).collect() }
    }

    /// Every gradient, in the order in which the walk recorded them: the same each time for the same graph.
    pub fn tensors(&self) -> Vec<&Tensor> {
        self.in_order().into_iter().map(|(_, gradient)| gradient).collect()
    }

    fn in_order(&self) -> Vec<(u64, &Tensor)> {
        let mut entries: Vec<_> = self.by_node.iter().map(|(&id, gradient)| (id, gradient)).collect();
        entries.sort_unstable_by_key(|(id, gradient)| (gradient.edge().node().id(), *id));
        entries
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_node.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }
}

#[track_caller]
fn no_gradient(tensor: &Tensor) -> Error {
    let what = match tensor.meta() {
        Ok(meta) => format!("{} {}", meta.shape, meta.dtype),
        Err(error) => return error,
    };
    let made = tensor.edge().node().origin().location;
    Error::new(ErrorKind::NoGradient, "grad", format!("the loss does not depend on this tensor, {what} made at {made}"))
}

/// Differentiating a loss.
pub trait Backward {
    /// The gradient of this scalar for every leaf it depends on. It consumes the graph: a second walk over it is an
    /// error. PyTorch: `Tensor.backward`.
    ///
    /// # Errors
    /// What went wrong on the way to the loss, a loss that is no scalar or depends on nothing that wants a gradient, an op
    /// without a gradient, and a graph that was consumed before.
    fn backward(&self) -> Result<Gradients>;

    /// As [`backward`](Backward::backward), and keeps the graph for another walk. PyTorch: `retain_graph=True`.
    ///
    /// # Errors
    /// As [`backward`](Backward::backward).
    fn backward_retain(&self) -> Result<Gradients>;
}

impl Backward for Tensor {
    #[track_caller]
    fn backward(&self) -> Result<Gradients> {
        let walked = tracked_ancestors(self)?;
        let gradients = no_grad(|| walk(self, &walked, None))?;
        for node in walked.iter().filter(|node| !node.is_leaf()) {
            node.consume();
        }
        Ok(gradients)
    }

    #[track_caller]
    fn backward_retain(&self) -> Result<Gradients> {
        let walked = tracked_ancestors(self)?;
        no_grad(|| walk(self, &walked, None))
    }
}

/// The gradients of a scalar for `inputs`, which may be any tensors it was computed from that are tracked. The results are
/// tracked themselves, so that gradients of gradients are had by calling this again. PyTorch: `torch.autograd.grad` with
/// `create_graph=True`.
///
/// # Errors
/// As [`Backward::backward`], and an input that the output does not depend on.
///
/// ```
/// # use wgrad_tensor::{DType, Result, Tensor};
/// # fn third_derivative(device: &wgrad_tensor::Device) -> Result<Tensor> {
/// let x = Tensor::new(2.0f32, device).requires_grad();
/// let y = x.exp() * &x;
/// let dy = &wgrad_autograd::grad(&y, &[&x])?[0];
/// let ddy = &wgrad_autograd::grad(dy, &[&x])?[0];
/// # Ok(ddy.clone()) }
/// ```
#[track_caller]
pub fn grad(output: &Tensor, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let walked = tracked_ancestors(output)?;
    let gradients = walk(output, &walked, Some(inputs))?;
    inputs.iter().map(|input| gradients.get(input)).collect()
}

/// The value of `f` at `inputs`, a scalar, and its gradients for them. JAX: `jax.value_and_grad`.
///
/// # Errors
/// As [`grad`].
#[track_caller]
pub fn value_and_grad(f: impl FnOnce(&[Tensor]) -> Tensor, inputs: &[&Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let leaves: Vec<Tensor> = inputs.iter().map(|input| input.requires_grad()).collect();
    let value = f(&leaves);
    let gradients = grad(&value, &leaves.iter().collect::<Vec<_>>())?;
    Ok((value, gradients))
}

/// Nodes of a walk for which there is room from the start.
const EXPECTED: usize = 512;

/// The tracked nodes that `output` is computed from, itself included, latest first.
#[track_caller]
fn tracked_ancestors(output: &Tensor) -> Result<Vec<Arc<Node>>> {
    let meta = output.meta()?;
    if meta.shape.count() != 1 {
        let message = format!("takes a scalar, not {}; sum or mean it first", meta.shape);
        return Err(Error::new(ErrorKind::Shape, "backward", message));
    }
    if !output.is_tracked() {
        return Err(Error::new(
            ErrorKind::NoGradient,
            "backward",
            "the loss depends on no parameter: nothing it was computed from wants a gradient",
        ));
    }
    let mut seen = IdSet::with_capacity_and_hasher(EXPECTED, BuildHasherDefault::default());
    let mut found = vec![output.edge().node().clone()];
    let mut next = 0;
    seen.insert(found[0].id());
    while next < found.len() {
        let node = found[next].clone();
        next += 1;
        if node.is_leaf() {
            continue;
        }
        if node.is_consumed() {
            return Err(origin_error(
                &node,
                Problem::new(
                    ErrorKind::GraphConsumed,
                    "an earlier backward consumed this part of the graph; use backward_retain there",
                ),
            ));
        }
        node.with_inputs(|inputs| {
            for input in inputs {
                let node = input.node();
                if node.is_tracked() && seen.insert(node.id()) {
                    found.push(node.clone());
                }
            }
        });
    }
    found.sort_unstable_by_key(|node| std::cmp::Reverse(node.id()));
    Ok(found)
}

/// Applies the gradient rules from the output down. With `targets`, only where a target can be reached.
fn walk(output: &Tensor, nodes: &[Arc<Node>], targets: Option<&[&Tensor]>) -> Result<Gradients> {
    let wanted = targets.map(|targets| descendants(nodes, targets));
    let is_wanted = |id: &u64| wanted.as_ref().is_none_or(|wanted| wanted.contains(id));
    let is_target = |node: &Node, edge: usize| match targets {
        Some(targets) => targets.iter().any(|t| t.edge().node().id() == node.id() && t.edge().output() == edge),
        None => node.is_leaf(),
    };
    let mut pending: IdMap<u64, Slots> = IdMap::default();
    add(&mut pending, output.edge(), output.ones_like(), output.edge().node().origin());
    let mut gradients = Gradients::default();
    let mut copies = Copies::default();
    for node in nodes {
        let Some(grads) = pending.remove(&node.id()) else { continue };
        for (edge, grad) in grads.iter().enumerate() {
            if let (true, Some(grad)) = (is_target(node, edge), grad) {
                gradients.by_node.insert(node.id(), grad.clone());
            }
        }
        if node.is_leaf() {
            continue;
        }
        let is_asked = |edge: &Edge| edge.node().is_tracked() && is_wanted(&edge.node().id());
        let inputs: Inputs = node.with_inputs(|edges| edges.iter().cloned().map(Tensor::from_edge).collect());
        if !inputs.iter().any(|input| is_asked(input.edge())) {
            continue;
        }
        for (input, gradient) in inputs.iter().zip(apply_rule(node, &inputs, &grads, &mut copies)?) {
            if is_asked(input.edge())
                && let Some(gradient) = gradient
            {
                add(&mut pending, input.edge(), gradient, node.origin());
            }
        }
    }
    Ok(gradients)
}

/// What a node is computed from.
type Inputs = SmallVec<[Tensor; 3]>;

/// One gradient for each of a node's inputs; an error if the rule leaves one out.
fn apply_rule(
    node: &Arc<Node>,
    inputs: &Inputs,
    grads: &[Option<Tensor>],
    copies: &mut Copies,
) -> Result<op::Gradients> {
    let reads = node.op().reads();
    let outputs = (0..node.metas().len()).map(|output| Edge::new(node.clone(), output));
    let gradients = if node.checkpoint().is_some() {
        // What is read is computed again.
        let mut seen = |edge: Edge, is_read| Tensor::from_edge(if is_read { copies.seen(node, &edge) } else { edge });
        let inputs: Inputs = inputs.iter().map(|input| seen(input.edge().clone(), reads.inputs)).collect();
        let outputs: SmallVec<[Tensor; 1]> = outputs.map(|output| seen(output, reads.outputs)).collect();
        gradient(node, &inputs, &outputs, grads)?
    } else {
        let outputs: SmallVec<[Tensor; 1]> = outputs.map(Tensor::from_edge).collect();
        gradient(node, inputs, &outputs, grads)?
    };
    for (i, input) in inputs.iter().enumerate() {
        if !input.is_tracked() {
            continue;
        }
        let (Some(Some(gradient)), Ok(meta)) = (gradients.get(i), input.meta()) else {
            let message = format!("has no gradient for input {i}");
            return Err(origin_error(node, Problem::new(ErrorKind::NotDifferentiable, message)));
        };
        let found = gradient.meta()?;
        if found != meta {
            let message = format!(
                "the gradient for input {i} is {} {}, the input {} {}",
                found.shape, found.dtype, meta.shape, meta.dtype
            );
            return Err(origin_error(node, Problem::new(ErrorKind::NotDifferentiable, message)));
        }
    }
    Ok(gradients)
}

/// What a node's rule says of these tensors.
fn gradient(node: &Node, inputs: &[Tensor], outputs: &[Tensor], grads: &[Option<Tensor>]) -> Result<op::Gradients> {
    let call = Call { inputs, scalars: node.scalars(), outputs, grads };
    with_origin(node.origin().clone(), || node.op().gradient(&call)).map_err(|problem| origin_error(node, problem))
}

/// What has arrived for each output of a node.
type Slots = SmallVec<[Option<Tensor>; 1]>;

/// Adds what a node gives for one that it was computed from.
fn add(pending: &mut IdMap<u64, Slots>, edge: &Edge, gradient: Tensor, origin: &Origin) {
    let slots = pending.entry(edge.node().id()).or_insert_with(|| smallvec![None; edge.node().metas().len()]);
    if let Some(slot) = slots.get_mut(edge.output()) {
        *slot = Some(match slot.take() {
            Some(sum) => with_origin(origin.clone(), || sum + gradient),
            None => gradient,
        });
    }
}

/// The nodes from which a target can be reached, targets included. `nodes` come latest first.
fn descendants(nodes: &[Arc<Node>], targets: &[&Tensor]) -> IdSet<u64> {
    let mut reached: IdSet<u64> = targets.iter().map(|target| target.edge().node().id()).collect();
    for node in nodes.iter().rev() {
        if node.with_inputs(|inputs| inputs.iter().any(|input| reached.contains(&input.node().id()))) {
            reached.insert(node.id());
        }
    }
    reached
}

/// An error of the call that a node recorded.
fn origin_error(node: &Node, problem: Problem) -> Error {
    let inputs = node.with_inputs(|inputs| inputs.iter().filter_map(|input| input.meta().ok().cloned()).collect());
    let origin = node.origin();
    Error::at(problem, node.op().name(), inputs, Some(origin.location), origin.scope.clone())
}

/// Whether gradients of this dtype can be checked by finite differences.
pub(crate) fn is_checkable(tensor: &Tensor) -> bool {
    tensor.try_dtype().is_ok_and(|dtype| dtype == DType::F64)
}
