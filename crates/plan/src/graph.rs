//! The part of the graph that an evaluation computes, by its structure alone: what plans are made from, and found by.

use crate::collect::{Collected, fresh_marks, place};
use smallvec::SmallVec;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::Arc;
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::ids::{IdHasher, IdMap};
use wgrad_tensor::node::Edge;
use wgrad_tensor::op::{Meta, Metas, OpRef};
use wgrad_tensor::{Error, ErrorKind, Result};

/// What the planner sees: ops with their attributes, shapes, dtypes, who reads whom, and which results are asked for.
/// It holds no buffer and no number that an op was called with.
#[derive(Debug)]
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
    pub metas: Metas,
    pub sources: SmallVec<[Source; 2]>,
    /// The call before which it is not to be computed.
    pub not_before: usize,
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

/// A graph with what changes from one evaluation to the next.
pub(crate) struct Recorded<'c> {
    collected: &'c Collected,
    words: Vec<u64>,
    /// Has seen all ops.
    ops: IdHasher,
    /// Where in the words each call starts, and where the results asked for stand.
    starts: Vec<usize>,
    wanted: Range<usize>,
    pub scalars: Vec<Scalar>,
    inputs: Vec<Input>,
    givers: Vec<Giver>,
    /// The input on the buffer at an address.
    at_address: IdMap<usize, usize>,
}

/// A value that is there already.
struct Input {
    meta: Meta,
    buffer: Buffer,
}

/// A node that has its values already.
struct Giver {
    /// Which of its outputs are read, and as which inputs.
    given: SmallVec<[(usize, usize); 1]>,
    /// A call that reads it, and as which argument.
    read_by: (usize, usize),
    /// How many arguments refer to it.
    edges: usize,
}

/// The structure of a graph, by which its plan is found: ops with their attributes; and as words who reads whom, how many
/// numbers each call has, which results are asked for, and the inputs' shapes and dtypes. The shapes of all else follow.
#[derive(Debug)]
pub(crate) struct Structure {
    ops: Vec<OpRef>,
    words: Vec<u64>,
}

/// Records what was collected.
///
/// # Errors
/// The error of a failed ancestor.
pub(crate) fn record(collected: &Collected) -> Result<Recorded<'_>> {
    let calls = &collected.marks;
    let given = fresh_marks(collected.edges);
    let mut recorded = Recorded {
        collected,
        words: Vec::with_capacity(2 * (collected.nodes.len() + collected.edges) + collected.wanted.len()),
        ops: IdHasher::default(),
        starts: Vec::with_capacity(collected.nodes.len()),
        wanted: 0..0,
        scalars: Vec::with_capacity(collected.nodes.len()),
        inputs: Vec::with_capacity(collected.edges / 4),
        givers: Vec::with_capacity(collected.edges / 4),
        at_address: IdMap::default(),
    };
    for (call, node) in collected.nodes.iter().enumerate() {
        feed(node.op(), &mut recorded.ops);
        recorded.starts.push(recorded.words.len());
        node.with_inputs(|edges| {
            recorded.words.push((node.scalars().len() as u64) << 32 | edges.len() as u64);
            recorded.words.push(collected.not_before(node) as u64);
            for (argument, edge) in edges.iter().enumerate() {
                let source = match place(edge.node(), calls) {
                    Some(from) => Source::Call(from, edge.output()),
                    None => Source::Input(recorded.input(edge, &given, (call, argument))?),
                };
                recorded.words.push(source.word());
            }
            Ok(())
        })?;
        recorded.scalars.extend_from_slice(node.scalars());
    }
    // Without their count, the last of them could pass for the first input's dtype.
    recorded.words.push(collected.wanted.len() as u64);
    recorded.wanted.start = recorded.words.len();
    for edge in &collected.wanted {
        if let Some(call) = place(edge.node(), calls) {
            recorded.words.push(Source::Call(call, edge.output()).word());
        }
    }
    recorded.wanted.end = recorded.words.len();
    for Input { meta, .. } in &recorded.inputs {
        recorded.words.extend([meta.dtype as u64, meta.shape.len() as u64]);
        recorded.words.extend(meta.shape.iter().map(|&size| size as u64));
    }
    Ok(recorded)
}

/// What tells ops apart, mostly.
fn feed(op: &OpRef, hasher: &mut IdHasher) {
    match op {
        OpRef::Row(op) => {
            hasher.write_usize(std::ptr::from_ref(op.row).addr());
            hasher.write_u64(op.number.map_or(0, |place| 1 + u64::from(place)));
        }
        OpRef::Static(op) => op.feed(hasher),
        OpRef::Shared(op) => op.feed(hasher),
    }
}

impl Structure {
    /// How many calls it has.
    pub fn calls(&self) -> usize {
        self.ops.len()
    }
}

impl Source {
    fn word(self) -> u64 {
        match self {
            Source::Input(input) => (input as u64) << 1 | 1,
            Source::Call(call, output) => (call as u64) << 24 | (output as u64) << 1,
        }
    }

    fn of(word: u64) -> Source {
        match word & 1 {
            1 => Source::Input((word >> 1) as usize),
            _ => Source::Call((word >> 24) as usize, (word as usize >> 1) & 0x7f_ffff),
        }
    }
}

impl Recorded<'_> {
    /// The input that an edge refers to.
    fn input(&mut self, edge: &Edge, given: &Range<u64>, read_by: (usize, usize)) -> Result<usize> {
        let (node, meta) = (edge.node(), edge.meta()?);
        let giver = match place(node, given) {
            Some(giver) => {
                self.givers[giver].edges += 1;
                giver
            }
            None => {
                node.set_mark(given.start + self.givers.len() as u64);
                self.givers.push(Giver { given: SmallVec::new(), read_by, edges: 1 });
                self.givers.len() - 1
            }
        };
        if let Some((_, input)) = self.givers[giver].given.iter().find(|(output, _)| *output == edge.output()) {
            return Ok(*input);
        }
        let buffer = edge.buffer()?.ok_or_else(|| {
            Error::new(ErrorKind::Value, "evaluate", "a value that was to be there is not; was it let go?")
        })?;
        // Two nodes may share one buffer, as a tensor and its detached twin do. Of those that do not, only the node and this
        // line know.
        let input = self.inputs.len();
        let input = match Arc::strong_count(&buffer) {
            ..=2 => input,
            _ => {
                let known = self.at_address.entry(Arc::as_ptr(&buffer).cast::<()>().addr()).or_insert(input);
                if self.inputs.get(*known).is_some_and(|other| other.meta != *meta) {
                    *known = input;
                }
                *known
            }
        };
        if input == self.inputs.len() {
            self.inputs.push(Input { meta: meta.clone(), buffer });
        }
        self.givers[giver].given.push((edge.output(), input));
        Ok(input)
    }

    /// A number that graphs of one structure share.
    pub fn hash(&self) -> u64 {
        let mut hasher = self.ops;
        self.words.iter().for_each(|&word| hasher.write_u64(word));
        hasher.finish()
    }

    /// Whether the graph is of this structure.
    pub fn is(&self, structure: &Structure) -> bool {
        let nodes = &self.collected.nodes;
        self.words == structure.words
            && nodes.len() == structure.ops.len()
            && nodes.iter().zip(&structure.ops).all(|(node, op)| match (node.op(), op) {
                (OpRef::Row(row), OpRef::Row(other)) => row == other,
                (op, other) => op.same(&**other),
            })
    }

    /// Its structure.
    pub fn structure(&self) -> Structure {
        let ops = self.collected.nodes.iter().map(|node| node.op().clone()).collect();
        Structure { ops, words: self.words.clone() }
    }

    /// What the planner sees of it.
    pub fn graph(&self) -> Graph {
        let mut number = 0;
        let calls = self.collected.nodes.iter().enumerate().map(|(call, node)| {
            let numbers = number..number + node.scalars().len();
            number = numbers.end;
            let sources = self.sources(call).collect();
            let not_before = self.words[self.starts[call] + 1] as usize;
            Call { op: node.op().clone(), metas: node.metas().into(), sources, not_before, numbers }
        });
        let inputs = self.inputs.iter().map(|input| input.meta.clone()).collect();
        Graph { calls: calls.collect(), inputs, wanted: self.wanted().collect() }
    }

    /// The inputs' buffers. Those that nobody else can ask for any more are taken from their nodes, so that their memory
    /// can be used again: the node has no handle, all ways to it are arguments in this graph, and none of those calls
    /// keeps what it read.
    pub fn hand_over(self) -> Vec<Buffer> {
        let nodes = &self.collected.nodes;
        let keeps = self.keeps_inputs();
        let mut is_kept = vec![false; self.inputs.len()];
        for call in (0..nodes.len()).filter(|&call| keeps[call]) {
            for source in self.sources(call) {
                if let Source::Input(input) = source {
                    is_kept[input] = true;
                }
            }
        }
        for giver in &self.givers {
            let (call, argument) = giver.read_by;
            nodes[call].with_inputs(|edges| {
                let node = edges[argument].node();
                let is_alone = node.handles() == 0 && Arc::strong_count(node) == giver.edges;
                if is_alone && giver.given.iter().all(|&(_, input)| !is_kept[input]) {
                    // The inputs hold the buffers as well.
                    node.donate();
                }
            });
        }
        self.inputs.into_iter().map(|input| input.buffer).collect()
    }

    /// Which calls hold on to what they read even when the evaluation is done: those that keep it for a walk back, and
    /// those without a value that somebody may still ask for.
    fn keeps_inputs(&self) -> Vec<bool> {
        let nodes = &self.collected.nodes;
        let [mut is_wanted, mut keeps] = [(); 2].map(|()| vec![false; nodes.len()]);
        let mut readers = vec![0; nodes.len()];
        let from_calls = |source| match source {
            Source::Call(call, _) => Some(call),
            Source::Input(_) => None,
        };
        (0..nodes.len()).flat_map(|call| self.sources(call)).filter_map(from_calls).for_each(|call| readers[call] += 1);
        self.wanted().for_each(|(call, _)| is_wanted[call] = true);
        for (call, node) in nodes.iter().enumerate().rev() {
            // Its other references are the collected one and those of its readers here.
            let known_elsewhere = || Arc::strong_count(node) > readers[call] + 1;
            keeps[call] = if is_wanted[call] { node.keeps_inputs() } else { keeps[call] || known_elsewhere() };
            if keeps[call] {
                self.sources(call).filter_map(from_calls).for_each(|source| keeps[source] = true);
            }
        }
        keeps
    }

    /// What a call reads.
    fn sources(&self, call: usize) -> impl Iterator<Item = Source> {
        let start = self.starts[call];
        let count = self.words[start] as u32 as usize;
        self.words[start + 2..][..count].iter().map(|&word| Source::of(word))
    }

    /// The results asked for.
    fn wanted(&self) -> impl Iterator<Item = (usize, usize)> {
        self.words[self.wanted.clone()].iter().filter_map(|&word| match Source::of(word) {
            Source::Call(call, output) => Some((call, output)),
            Source::Input(_) => None,
        })
    }
}
