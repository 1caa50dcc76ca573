//! What an evaluation computes: the pending nodes behind its roots, and which of their results are kept.

use crate::ids::{IdMap, IdSet};
use std::sync::Arc;
use wgrad_tensor::Result;
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::{Compute, Reduction};

/// The part of the graph that one evaluation computes.
pub(crate) struct Collected {
    /// The pending nodes, in the order in which they were recorded.
    pub nodes: Vec<Arc<Node>>,
    /// The outputs whose values are stored.
    pub wanted: Vec<Edge>,
}

/// Collects the pending nodes behind `roots`. What somebody holds and shares an unevaluated ancestor joins, as does what
/// shares one with that; what the walk back will read is kept.
///
/// # Errors
/// The error of a failed root or ancestor.
pub(crate) fn collect(roots: &[Edge]) -> Result<Collected> {
    let mut pending = Vec::new();
    for root in roots {
        if root.buffer()?.is_none() {
            pending.push(root);
        }
    }
    let Some(first) = pending.first() else { return Ok(Collected { nodes: Vec::new(), wanted: Vec::new() }) };
    let held = first.node().device().held_pending();
    let mut found = Found::default();
    pending.iter().for_each(|root| found.add(root.node()));
    held.iter().for_each(|node| found.add(node));
    let joined: IdSet<usize> = pending.iter().map(|root| found.component(root.node())).collect();
    let mut wanted = Wanted::default();
    pending.iter().for_each(|root| wanted.add(root));
    for node in held.iter().filter(|node| joined.contains(&found.component(node))) {
        (0..node.metas().len()).for_each(|output| wanted.add(&Edge::new(node.clone(), output)));
    }
    let mut nodes = std::mem::take(&mut found.nodes);
    nodes.retain(|node| joined.contains(&found.component(node)));
    nodes.sort_unstable_by_key(|node| node.id());
    for node in &nodes {
        keep_for_gradient(node, &mut wanted);
    }
    Ok(Collected { nodes, wanted: wanted.edges })
}

/// Pending nodes, and which of them hang together.
#[derive(Default)]
struct Found {
    nodes: Vec<Arc<Node>>,
    places: IdMap<u64, usize>,
    /// Another node of the same component, itself at the component's root.
    towards: Vec<usize>,
}

#[derive(Default)]
struct Wanted {
    edges: Vec<Edge>,
    seen: IdSet<(u64, usize)>,
    /// What was asked for as a value to keep.
    looked_at: IdSet<(u64, usize)>,
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
        let mut open = Vec::new();
        self.place(node, &mut open);
        while let Some(at) = open.pop() {
            let node = self.nodes[at].clone();
            node.with_inputs(|inputs| {
                for input in inputs.iter().filter(|input| is_pending(input)) {
                    let to = self.place(input.node(), &mut open);
                    let (a, b) = (self.root(at), self.root(to));
                    self.towards[a] = b;
                }
            });
        }
    }

    fn place(&mut self, node: &Arc<Node>, open: &mut Vec<usize>) -> usize {
        let next = self.nodes.len();
        let at = *self.places.entry(node.id()).or_insert(next);
        if at == next {
            self.nodes.push(node.clone());
            self.towards.push(next);
            open.push(next);
        }
        at
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.towards[at] != at {
            self.towards[at] = self.towards[self.towards[at]];
            at = self.towards[at];
        }
        at
    }

    /// The component of a node that was added.
    fn component(&mut self, node: &Node) -> usize {
        let at = self.places.get(&node.id()).copied().unwrap_or_default();
        self.root(at)
    }
}

fn is_pending(edge: &Edge) -> bool {
    matches!(edge.buffer(), Ok(None))
}

/// Marks what the gradient rule of a tracked node reads, so that the walk back computes nothing twice.
fn keep_for_gradient(node: &Arc<Node>, wanted: &mut Wanted) {
    if !node.is_tracked() || node.is_leaf() || node.is_consumed() {
        return;
    }
    let reads = node.op().reads();
    if let Compute::Reduce(Reduction::Max | Reduction::Min, _) = node.op().compute() {
        // Its gradient looks for the elements that equal the result: they must have the same bits.
        node.with_inputs(|inputs| inputs.iter().for_each(|input| wanted.add(&viewed(input))));
        return wanted.add(&Edge::new(node.clone(), 0));
    }
    if reads.outputs {
        (0..node.metas().len()).for_each(|output| keep(&Edge::new(node.clone(), output), wanted));
    }
    if reads.inputs {
        node.with_inputs(|inputs| inputs.iter().for_each(|input| keep(input, wanted)));
    }
}

/// What a view looks at.
fn viewed(edge: &Edge) -> Edge {
    let mut edge = edge.clone();
    while let (true, Compute::View) = (is_pending(&edge), edge.node().op().compute()) {
        match edge.node().with_inputs(|inputs| inputs.first().cloned()) {
            Some(base) => edge = base,
            None => break,
        }
    }
    edge
}

/// Keeps what is dear to compute again. What elementwise steps and views make of it, and numbers from nothing, the walk
/// back makes anew in the kernels that read them.
fn keep(edge: &Edge, wanted: &mut Wanted) {
    let mut open = vec![edge.clone()];
    while let Some(edge) = open.pop() {
        if !is_pending(&edge) || !wanted.looked_at.insert((edge.node().id(), edge.output())) {
            continue;
        }
        match edge.node().op().compute() {
            Compute::View | Compute::Map(_) => edge.node().with_inputs(|inputs| open.extend(inputs.iter().cloned())),
            _ => wanted.add(&edge),
        }
    }
}
