//! Stretches of the graph that the walk back computes again.

use std::sync::Arc;
use wgrad_tensor::ids::{IdMap, IdSet};
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::scope::checkpointed;

/// Runs `f`, and keeps of what it computes only the result for the walk back, which computes all else again: less memory
/// for more time. PyTorch: `torch.utils.checkpoint.checkpoint`; here `f` is called once, since what it recorded is known.
///
/// Random numbers are the same the second time, so a dropout is the same dropout. What is computed from the result and
/// the gradients do not depend on it.
///
/// ```
/// # use wgrad_autograd::{Backward, checkpoint};
/// # use wgrad_tensor::{Result, Tensor};
/// # fn example(blocks: &[Box<dyn Fn(&Tensor) -> Tensor>], input: Tensor) -> Result<()> {
/// let mut x = input;
/// for block in blocks {
///     x = checkpoint(|| block(&x));
/// }
/// let gradients = x.square().mean(..).backward()?;
/// # Ok(()) }
/// ```
pub fn checkpoint<T>(f: impl FnOnce() -> T) -> T {
    checkpointed(f)
}

/// What a walk back computes again, by the numbers of the nodes that were recorded first.
#[derive(Default)]
pub(crate) struct Copies {
    made: IdMap<u64, Arc<Node>>,
    /// For each stretch, the number of the first node that was recorded for it again.
    first: IdMap<u64, u64>,
}

impl Copies {
    /// What the gradient rule of `node` sees for an edge: a copy, where both lie within one stretch and there is no value
    /// yet.
    pub fn seen(&mut self, node: &Node, edge: &Edge) -> Edge {
        let shared = node.checkpoint().filter(|_| node.checkpoint() == edge.node().checkpoint());
        let Some(stretch) = shared.filter(|_| is_copied(edge.node())) else { return edge.clone() };
        let not_before = *self.first.entry(stretch).or_insert_with(Node::next_id);
        let within = |node: &Node| node.checkpoint() == Some(stretch) && is_copied(node);
        let mut open = vec![edge.node().clone()];
        let (mut needed, mut found) = (Vec::new(), IdSet::default());
        while let Some(node) = open.pop() {
            if self.made.contains_key(&node.id()) || !found.insert(node.id()) {
                continue;
            }
            node.with_inputs(|inputs| {
                open.extend(inputs.iter().map(Edge::node).filter(|input| within(input)).cloned());
            });
            needed.push(node);
        }
        needed.sort_unstable_by_key(|node: &Arc<Node>| node.id());
        for node in needed {
            let inputs = node.inputs().iter().map(|input| self.made_of(input)).collect();
            self.made.insert(node.id(), node.again(inputs, not_before));
        }
        self.made_of(edge)
    }

    /// The copy of an edge, or itself where there is none.
    fn made_of(&self, edge: &Edge) -> Edge {
        match self.made.get(&edge.node().id()) {
            Some(copy) => Edge::new(copy.clone(), edge.output()),
            None => edge.clone(),
        }
    }
}

/// Whether a node is computed again: not where its value is there anyway, nor a parameter.
fn is_copied(node: &Node) -> bool {
    !node.is_leaf() && node.is_pending()
}
