//! The part of the graph that an evaluation computes, by its structure alone: what plans are made from, and found by.

use crate::collect::Collected;
use crate::ids::IdMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::node::Edge;
use wgrad_tensor::op::{Meta, OpRef};
use wgrad_tensor::{Error, ErrorKind, Result};

/// The structure: ops with their attributes, shapes, dtypes, who reads whom, and which results are asked for. Two equal
/// graphs have the same plan. It holds no buffer and no number that an op was called with.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Graph {
    /// The recorded calls, each after those that it reads.
    pub calls: Vec<Call>,
    /// Values that are there already.
    pub inputs: Vec<Meta>,
    /// The results asked for: a call and which of its outputs.
    pub wanted: Vec<(usize, usize)>,
}

/// One recorded call.
#[derive(Debug)]
pub(crate) struct Call {
    pub op: OpRef,
    pub metas: Vec<Meta>,
    pub sources: Vec<Source>,
    /// The place of its numbers among all.
    pub numbers: Range<usize>,
}

/// Where an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An output of a call.
    Call(usize, usize),
    /// A value that is there already.
    Input(usize),
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        self.sources == other.sources
            && self.metas == other.metas
            && self.numbers == other.numbers
            && self.op.same(&*other.op)
    }
}
impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.op.feed(state);
        self.metas.hash(state);
        self.sources.hash(state);
        self.numbers.len().hash(state);
    }
}

/// A graph with what changes from one evaluation to the next.
pub(crate) struct Recorded {
    pub graph: Graph,
    pub buffers: Vec<Buffer>,
    pub scalars: Vec<Scalar>,
    /// The inputs on the buffer at an address.
    shared: IdMap<usize, Vec<usize>>,
}

/// The structure of what was collected.
///
/// # Errors
/// The error of a failed ancestor.
pub(crate) fn record(collected: &Collected) -> Result<Recorded> {
    let mut places: IdMap<(u64, usize), Source> = IdMap::default();
    let mut recorded = Recorded {
        graph: Graph { calls: Vec::with_capacity(collected.nodes.len()), inputs: Vec::new(), wanted: Vec::new() },
        buffers: Vec::new(),
        scalars: Vec::new(),
        shared: IdMap::default(),
    };
    for node in &collected.nodes {
        let sources = node.with_inputs(|edges| {
            edges.iter().map(|edge| recorded.source(edge, &mut places)).collect::<Result<Vec<_>>>()
        })?;
        let start = recorded.scalars.len();
        recorded.scalars.extend(node.scalars());
        let call = recorded.graph.calls.len();
        for output in 0..node.metas().len() {
            places.insert((node.id(), output), Source::Call(call, output));
        }
        recorded.graph.calls.push(Call {
            op: node.op().clone(),
            metas: node.metas().to_vec(),
            sources,
            numbers: start..recorded.scalars.len(),
        });
    }
    for edge in &collected.wanted {
        if let Source::Call(call, output) = recorded.source(edge, &mut places)? {
            recorded.graph.wanted.push((call, output));
        }
    }
    Ok(recorded)
}

impl Recorded {
    fn source(&mut self, edge: &Edge, places: &mut IdMap<(u64, usize), Source>) -> Result<Source> {
        let key = (edge.node().id(), edge.output());
        if let Some(&source) = places.get(&key) {
            return Ok(source);
        }
        let buffer = edge.buffer()?.ok_or_else(|| {
            Error::new(ErrorKind::Value, "evaluate", "a value that was to be there is not; was it let go?")
        })?;
        // Two nodes may share one buffer, as a tensor and its detached twin do.
        let meta = edge.meta()?;
        let address = Arc::as_ptr(&buffer).cast::<()>().addr();
        let known = self.shared.entry(address).or_default();
        let input = match known.iter().find(|&&input| self.graph.inputs[input] == *meta) {
            Some(&input) => input,
            None => {
                known.push(self.buffers.len());
                self.graph.inputs.push(meta.clone());
                self.buffers.push(buffer);
                self.buffers.len() - 1
            }
        };
        places.insert(key, Source::Input(input));
        Ok(Source::Input(input))
    }
}
