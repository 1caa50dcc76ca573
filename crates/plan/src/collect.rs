//! What an evaluation computes: the pending nodes behind its roots, and which of their results are kept.

use std::collections::HashSet;
use std::sync::Arc;
use wgrad_tensor::Result;
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::Compute;

/// The part of the graph that one evaluation computes.
pub(crate) struct Collected {
    /// The pending nodes, in the order in which they were recorded.
    pub nodes: Vec<Arc<Node>>,
    /// The outputs whose values are stored.
    pub wanted: Vec<Edge>,
}

/// Collects the pending nodes behind `roots`. What somebody holds and shares an unevaluated ancestor joins; what the walk
/// back will read is kept.
///
/// # Errors
/// The error of a failed root or ancestor.
pub(crate) fn collect(roots: &[Edge]) -> Result<Collected> {
    let mut found = Found::default();
    let mut wanted = Wanted::default();
    for root in roots {
        if root.buffer()?.is_none() {
            found.add(root.node());
            wanted.add(root);
        }
    }
    let Some(device) = found.nodes.first().map(|node| node.device().clone()) else {
        return Ok(Collected { nodes: Vec::new(), wanted: Vec::new() });
    };
    for held in device.held_pending() {
        if found.seen.contains(&held.id()) || shares_ancestor(&held, &found) {
            found.add(&held);
            for output in 0..held.metas().len() {
                wanted.add(&Edge::new(held.clone(), output));
            }
        }
    }
    found.nodes.sort_unstable_by_key(|node| node.id());
    for node in &found.nodes {
        keep_for_gradient(node, &mut wanted);
    }
    Ok(Collected { nodes: found.nodes, wanted: wanted.edges })
}

#[derive(Default)]
struct Found {
    nodes: Vec<Arc<Node>>,
    seen: HashSet<u64>,
}

#[derive(Default)]
struct Wanted {
    edges: Vec<Edge>,
    seen: HashSet<(u64, usize)>,
}

impl Wanted {
    fn add(&mut self, edge: &Edge) {
        if is_pending(edge) && self.seen.insert((edge.node().id(), edge.output())) {
            self.edges.push(edge.clone());
        }
    }
}

impl Found {
    /// Adds a pending node with its pending ancestors.
    fn add(&mut self, node: &Arc<Node>) {
        if !self.seen.insert(node.id()) {
            return;
        }
        let mut stack = vec![node.clone()];
        while let Some(node) = stack.pop() {
            node.with_inputs(|inputs| {
                for input in inputs {
                    if is_pending(input) && self.seen.insert(input.node().id()) {
                        stack.push(input.node().clone());
                    }
                }
            });
            self.nodes.push(node);
        }
    }
}

fn is_pending(edge: &Edge) -> bool {
    matches!(edge.buffer(), Ok(None))
}

/// Whether a pending ancestor of `node` is found already.
fn shares_ancestor(node: &Arc<Node>, found: &Found) -> bool {
    let mut seen = HashSet::new();
    let mut stack = vec![node.clone()];
    while let Some(node) = stack.pop() {
        let meets = node.with_inputs(|inputs| {
            for input in inputs.iter().filter(|input| is_pending(input)) {
                if found.seen.contains(&input.node().id()) {
                    return true;
                }
                if seen.insert(input.node().id()) {
                    stack.push(input.node().clone());
                }
            }
            false
        });
        if meets {
            return true;
        }
    }
    false
}

/// Marks what the gradient rule of a tracked node reads, so that the walk back computes nothing twice.
fn keep_for_gradient(node: &Arc<Node>, wanted: &mut Wanted) {
    if !node.is_tracked() || node.is_leaf() || node.is_consumed() {
        return;
    }
    let reads = node.op().reads();
    if reads.outputs {
        for output in 0..node.metas().len() {
            wanted.add(&Edge::new(node.clone(), output));
        }
    }
    if reads.inputs {
        node.with_inputs(|inputs| inputs.iter().for_each(|input| keep(input, wanted)));
    }
}

/// Keeps a value; of a view or a generated tensor, what it is made of, since making it again costs nothing.
fn keep(edge: &Edge, wanted: &mut Wanted) {
    let mut edge = edge.clone();
    loop {
        match edge.node().op().compute() {
            Compute::View => match edge.node().with_inputs(|inputs| inputs.first().cloned()) {
                Some(base) => edge = base,
                None => return,
            },
            Compute::Map(_) if edge.node().with_inputs(<[Edge]>::is_empty) => return,
            _ => return wanted.add(&edge),
        }
    }
}
