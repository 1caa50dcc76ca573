//! What an evaluation computes: the pending nodes behind its roots, and which of their results are kept.

use std::mem::replace;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use wgrad_tensor::Result;
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::{Compute, Reduction};

/// The part of the graph that one evaluation computes.
#[derive(Default)]
pub(crate) struct Collected {
    /// The pending nodes, in the order in which they were recorded.
    pub nodes: Vec<Arc<Node>>,
    /// The outputs whose values are stored.
    pub wanted: Vec<Edge>,
    /// What the nodes are marked with, one after the other.
    pub marks: Range<u64>,
    /// The nodes' arguments, counted; perhaps some more.
    pub edges: usize,
    /// Pending nodes that have nothing to do with it.
    others: Vec<Arc<Node>>,
}

impl Collected {
    /// The place of the first node that a node may be computed with; 0 for all that is not computed again.
    pub fn not_before(&self, node: &Node) -> usize {
        match node.not_before() {
            0 => 0,
            first => self.nodes.partition_point(|node| node.id() < first),
        }
    }
}

/// Nodes that are still pending wait again, where somebody can still ask for them. The others go, each before those that it
/// reads: so none drags more along.
impl Drop for Collected {
    fn drop(&mut self) {
        self.wanted.clear();
        let Some(device) = self.nodes.first().map(|node| node.device().clone()) else { return };
        let mut again: Vec<(u64, Weak<Node>)> = Vec::new();
        for node in self.nodes.drain(..).rev().chain(self.others.drain(..).rev()) {
            if Arc::strong_count(&node) > 1 && node.is_pending() {
                again.push((node.id(), Arc::downgrade(&node)));
            }
        }
        again.sort_unstable_by_key(|(id, _)| *id);
        device.wait_again(again.into_iter().map(|(_, node)| node).collect());
    }
}

/// Marks for so many nodes that no node has had yet: what a marked node says is never taken for what an earlier
/// evaluation wrote there.
pub(crate) fn fresh_marks(count: usize) -> Range<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let first = NEXT.fetch_add(count as u64, Ordering::Relaxed);
    first..first + count as u64
}

/// The place that a node was marked with, where its mark is one of these.
pub(crate) fn place(node: &Node, marks: &Range<u64>) -> Option<usize> {
    let mark = node.mark();
    marks.contains(&mark).then(|| (mark - marks.start) as usize)
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
    let Some(first) = pending.first() else { return Ok(Collected::default()) };
    let waiting = first.node().device().take_pending();
    let mut marks = mark(&waiting);
    let (joined, edges) = joined(&waiting, &marks, &pending);
    let (mut nodes, mut others) = (Vec::with_capacity(waiting.len()), Vec::new());
    for (node, joined) in waiting.into_iter().zip(joined) {
        let list = if joined { &mut nodes } else { &mut others };
        list.push(node);
    }
    if !others.is_empty() {
        marks = mark(&nodes);
    }
    let [seen, looked_at] = [(); 2].map(|()| vec![false; nodes.len()]);
    let mut wanted = Wanted { edges: Vec::new(), marks, seen, looked_at };
    pending.iter().for_each(|root| wanted.add(root.node()));
    nodes.iter().filter(|node| node.handles() > 0).for_each(|node| wanted.add(node));
    for node in &nodes {
        keep_for_gradient(node, &mut wanted);
    }
    Ok(Collected { nodes, wanted: wanted.edges, marks: wanted.marks, edges, others })
}

/// Marks nodes one after the other.
fn mark(nodes: &[Arc<Node>]) -> Range<u64> {
    let marks = fresh_marks(nodes.len());
    nodes.iter().zip(marks.clone()).for_each(|(node, mark)| node.set_mark(mark));
    marks
}

/// Which nodes belong to the evaluation: those behind a root, and those behind something held that hangs together with
/// a root. And how many arguments all that were looked at have.
fn joined(nodes: &[Arc<Node>], marks: &Range<u64>, roots: &[&Edge]) -> (Vec<bool>, usize) {
    let mut edges = 0;
    let mut joined = vec![false; nodes.len()];
    roots.iter().filter_map(|root| place(root.node(), marks)).for_each(|root| joined[root] = true);
    for (at, node) in nodes.iter().enumerate().rev() {
        if !joined[at] {
            continue;
        }
        node.with_inputs(|inputs| {
            edges += inputs.len();
            inputs.iter().filter_map(|input| place(input.node(), marks)).for_each(|to| joined[to] = true);
        });
    }
    // What is held beside that, and what is behind it; and another node of the same component, itself at the component's
    // root. All that is behind a root counts as one node.
    let mut needed: Vec<bool> = nodes.iter().zip(&joined).map(|(node, joined)| !joined && node.handles() > 0).collect();
    let one = nodes.len();
    let mut towards: Vec<usize> = (0..=one).collect();
    for at in (0..nodes.len()).rev() {
        if !needed[at] {
            continue;
        }
        nodes[at].with_inputs(|inputs| {
            edges += inputs.len();
            for to in inputs.iter().filter_map(|input| place(input.node(), marks)) {
                needed[to] = !joined[to];
                let (a, b) = (component(&mut towards, at), component(&mut towards, if joined[to] { one } else { to }));
                towards[a] = b;
            }
        });
    }
    for at in (0..nodes.len()).filter(|&at| needed[at]) {
        joined[at] = component(&mut towards, at) == component(&mut towards, one);
    }
    (joined, edges)
}

/// The root of a node's component.
fn component(towards: &mut [usize], mut at: usize) -> usize {
    while towards[at] != at {
        towards[at] = towards[towards[at]];
        at = towards[at];
    }
    at
}

/// The results asked for.
struct Wanted {
    edges: Vec<Edge>,
    /// What the nodes are marked with; by their places, which were asked for, and which as values to keep.
    marks: Range<u64>,
    seen: Vec<bool>,
    looked_at: Vec<bool>,
}

impl Wanted {
    /// Asks for all outputs of a node: they are stored together.
    fn add(&mut self, node: &Arc<Node>) {
        if place(node, &self.marks).is_some_and(|at| !replace(&mut self.seen[at], true)) {
            self.edges.extend((0..node.metas().len()).map(|output| Edge::new(node.clone(), output)));
        }
    }
}

/// Marks what the gradient rule of a tracked node reads, so that the walk back computes nothing twice.
fn keep_for_gradient(node: &Arc<Node>, wanted: &mut Wanted) {
    if !node.keeps_inputs() {
        return;
    }
    if node.checkpoint().is_some() {
        // All that it reads is computed again, but for what comes from outside the stretch.
        let outside = |input: &&Edge| input.node().checkpoint() != node.checkpoint();
        return node.with_inputs(|inputs| inputs.iter().filter(outside).for_each(|input| wanted.add(&viewed(input))));
    }
    let reads = node.op().reads();
    if let Compute::Reduce(Reduction::Max | Reduction::Min, _) = node.op().compute() {
        // Its gradient looks for the elements that equal the result: they must have the same bits.
        node.with_inputs(|inputs| inputs.iter().for_each(|input| wanted.add(&viewed(input))));
        return wanted.add(node);
    }
    if reads.outputs {
        keep(node, wanted);
    }
    if reads.inputs {
        node.with_inputs(|inputs| inputs.iter().for_each(|input| keep(input.node(), wanted)));
    }
}

/// What a view looks at.
fn viewed(edge: &Edge) -> Arc<Node> {
    let mut node = edge.node().clone();
    while let (true, Compute::View | Compute::Pad(_)) = (node.is_pending(), node.op().compute()) {
        match node.with_inputs(|inputs| inputs.first().map(|input| input.node().clone())) {
            Some(base) => node = base,
            None => break,
        }
    }
    node
}

/// Keeps what is dear to compute again. What elementwise steps and views make of it, and numbers from nothing, the walk
/// back makes anew in the kernels that read them.
fn keep(node: &Arc<Node>, wanted: &mut Wanted) {
    let mut open = vec![node.clone()];
    while let Some(node) = open.pop() {
        if place(&node, &wanted.marks).is_none_or(|at| replace(&mut wanted.looked_at[at], true)) {
            continue;
        }
        match node.op().compute() {
            Compute::View | Compute::Pad(_) | Compute::Map(_) if node.checkpoint().is_none() && !ends_fold(&node) => {
                node.with_inputs(|inputs| open.extend(inputs.iter().map(|input| input.node().clone())));
            }
            _ => wanted.add(&node),
        }
    }
}

/// Whether elementwise steps with numbers make a value of a fold's result alone, as a mean is made of a sum: it takes no
/// more memory than that, and several kernels of the walk back would each make it anew.
fn ends_fold(node: &Arc<Node>) -> bool {
    let mut node = node.clone();
    for step in 0..=MOST_STEPS {
        let below = match node.op().compute() {
            Compute::Reduce(_, [_, ..]) => return step > 0,
            Compute::Map(_) | Compute::View if node.is_pending() => node.with_inputs(|inputs| match inputs {
                [input] if input.meta().is_ok_and(|meta| meta.shape.count() == node.metas()[0].shape.count()) => {
                    Some(input.node().clone())
                }
                _ => None,
            }),
            _ => None,
        };
        let Some(below) = below else { return false };
        node = below;
    }
    false
}

/// How far a fold is looked for: each step of a long chain asks.
const MOST_STEPS: usize = 8;
