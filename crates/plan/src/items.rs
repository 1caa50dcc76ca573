//! What there is to compute, once views and padding are seen through: items, which read each other's values through
//! windows.

mod parts;

use crate::graph::{Call, Graph, Source};
use crate::plan::ScalarRange;
use crate::read::{Link, Read, expanded, ordered, through, through_all, turned, with_axes_last};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Map, Meta, Metas, OpRef, Reduction};
use wgrad_tensor::row::RowOp;
use wgrad_tensor::shape::Shape;

/// One thing to compute.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub kind: Kind,
    /// The recorded call that it belongs to.
    pub call: usize,
    pub metas: Metas,
    pub reads: Vec<Read>,
    /// Of what is made of numbers alone: which of all numbers.
    pub numbers: ScalarRange,
    /// Whether it is made again wherever it is read, since it needs no value: numbers from nothing, and what two steps
    /// make of constants alone.
    pub is_free: bool,
}

/// What kind of thing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// An elementwise step.
    Map(Map),
    /// The elements of a window, in order.
    Copy,
    /// A fold of the last axes of its window, which are so many elements.
    Reduce(Reduction, usize),
    /// One element of each row of so many elements.
    Pick(usize),
    /// A matrix product or a convolution.
    Contraction,
    /// Any other op.
    Op,
}

/// Whose value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Base {
    /// An output of an item.
    Item(usize, usize),
    /// A value that is there already.
    Input(usize),
}

/// All items, each after those that it reads, and where the results asked for are.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    pub graph: &'a Graph,
    pub items: Vec<Item>,
    /// Where each item stands in the order of recording; items that are computed again stand right before their reader.
    pub rank: Vec<(usize, usize)>,
    /// How many items the graph itself has; what is computed again comes after them.
    pub graph_items: usize,
    pub wanted: Vec<Base>,
}

/// The items of a graph.
pub(crate) fn items(graph: &Graph) -> Items<'_> {
    let mut builder = Builder { graph, items: Vec::new(), of_call: vec![None; graph.calls.len()] };
    for (number, call) in graph.calls.iter().enumerate() {
        builder.call(number, call);
    }
    let recorded = builder.items.len();
    let wanted = graph.wanted.iter().map(|&(call, output)| {
        let read = builder.read(Source::Call(call, output));
        builder.in_order(read, call).base
    });
    let wanted: Vec<Base> = wanted.collect();
    turn_products(graph, &mut builder.items, &wanted);
    let graph_items = builder.items.len();
    let mut rank: Vec<(usize, usize)> = (0..graph_items).map(|item| (item, usize::MAX)).collect();
    for (copy, rank) in rank.iter_mut().enumerate().skip(recorded) {
        // What is asked for in another order than it is computed in comes right after that, with room between for what is
        // computed again.
        let from = builder.items[copy].reads.iter().filter_map(|read| match read.base {
            Base::Item(item, _) => Some(item + 1),
            Base::Input(_) => None,
        });
        *rank = (from.max().unwrap_or(0), usize::MAX / 2);
    }
    Items { graph, items: builder.items, rank, graph_items, wanted }
}

/// Computes a matrix product the other way round where only its transpose is copied from it: `(A B)^T = B^T A^T`.
fn turn_products(graph: &Graph, items: &mut [Item], wanted: &[Base]) {
    let mut readers = vec![0; items.len()];
    let read = items.iter().flat_map(|item| &item.reads).map(|read| read.base).chain(wanted.iter().copied());
    for base in read {
        if let Base::Item(item, _) = base {
            readers[item] += 1;
        }
    }
    for copy in 0..items.len() {
        let (Kind::Copy, [read @ Read { base: Base::Item(product, _), layout, .. }]) =
            (items[copy].kind, &items[copy].reads[..])
        else {
            continue;
        };
        let product = *product;
        let Some(order) = transposed(&items[product].metas[0].shape) else { continue };
        let is_matmul = matches!(graph.calls[items[product].call].op.compute(), Compute::Matmul(_));
        let transpose = ordered(&Layout::contiguous(&items[product].metas[0].shape), &order);
        if !is_matmul || readers[product] != 1 || !read.is_fixed() || *layout != transpose {
            continue;
        }
        let [left, right] = &items[product].reads[..] else { continue };
        items[product].reads = vec![turned(right, &order), turned(left, &order)];
        items[product].metas[0].shape = transpose.shape.clone();
        items[copy].reads[0].layout = Layout::contiguous(&transpose.shape);
        items[copy].reads[0].links.clear();
    }
}

/// The order of axes with the last two exchanged.
fn transposed(shape: &Shape) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    let [.., a, b] = &mut order[..] else { return None };
    std::mem::swap(a, b);
    Some(order)
}

struct Builder<'a> {
    graph: &'a Graph,
    items: Vec<Item>,
    of_call: Vec<Option<Made>>,
}

/// What became of a call.
#[derive(Clone)]
enum Made {
    Item(usize),
    Window(Read),
    /// What each of several outputs is.
    Outputs(Vec<Read>),
}

impl Builder<'_> {
    fn call(&mut self, number: usize, call: &Call) {
        let mut reads: Vec<Read> = call.sources.iter().map(|&source| self.read(source)).collect();
        let compute = call.op.compute();
        // Parts that do not fit are left as an op, which no backend computes: it says so.
        if let Compute::Parts = compute
            && let Some(outputs) = self.parts(number, call, &reads)
        {
            self.of_call[number] = Some(Made::Outputs(outputs));
            return;
        }
        if let OpRef::Row(RowOp { number: Some(place), .. }) = call.op {
            let dtype = reads.first().map_or(call.metas[0].dtype, |read| read.dtype);
            let constant = self.constant(number, call, 0, Meta::new(&call.metas[0].shape, dtype));
            reads.insert(usize::from(place).min(reads.len()), constant);
        }
        let mut metas = call.metas.clone();
        let kind = match compute {
            Compute::View | Compute::Pad(_) => {
                let window = match reads.pop() {
                    // Of an empty value, nothing but the number around it is seen.
                    Some(read) if matches!(compute, Compute::Pad(_)) && read.layout.shape.count() == 0 => {
                        self.constant(number, call, 0, Meta::new(&call.metas[0].shape, read.dtype))
                    }
                    Some(read) => self.view(number, call, read),
                    None => return,
                };
                self.of_call[number] = Some(Made::Window(window));
                return;
            }
            Compute::Map(map) => {
                let shape = &call.metas[0].shape;
                for read in reads.iter_mut().filter(|read| read.layout.shape != *shape) {
                    *read = expanded(read, shape);
                }
                Kind::Map(map)
            }
            Compute::Reduce(_, []) => Kind::Copy,
            Compute::Reduce(reduction, axes) => {
                let length = reads.first().map_or(0, |read| axes.iter().map(|&axis| read.layout.shape[axis]).product());
                reads = reads.iter().map(|read| with_axes_last(read, axes)).collect();
                Kind::Reduce(reduction, length)
            }
            Compute::Matmul(_) | Compute::Conv2d(_) | Compute::Conv2dInput(_) | Compute::Conv2dWeight(_) => {
                Kind::Contraction
            }
            _ => Kind::Op,
        };
        if let Compute::Matmul(product) = compute {
            reads =
                reads.into_iter().zip(product.turned).map(|(r, t)| self.matrix(r, t, product.flat, number)).collect();
            if let ([left, right], true) = (&reads[..], product.flat) {
                metas[0].shape = Shape::from([left.layout.shape[0], right.layout.shape[1]]);
            }
        }
        if matches!(kind, Kind::Contraction) {
            reads = reads.into_iter().map(|read| self.before_cast(read)).collect();
        }
        if matches!(kind, Kind::Contraction | Kind::Op) {
            let fit = |read| match compute.takes_windows() {
                true => self.within(read, number),
                false => self.in_order(read, number),
            };
            reads = reads.into_iter().map(fit).collect();
        }
        let is_free = matches!(kind, Kind::Map(_)) && reads.iter().all(|read| self.is_simple(read));
        let numbers = match kind {
            Kind::Map(Map::Constant | Map::Arange | Map::Random(_)) => call.numbers.clone(),
            _ => 0..0,
        };
        self.items.push(Item { kind, call: number, metas, reads, numbers, is_free });
        self.of_call[number] = Some(Made::Item(self.items.len() - 1));
    }

    /// One of a call's numbers as a value of its own.
    fn constant(&mut self, number: usize, call: &Call, which: usize, meta: Meta) -> Read {
        let at = call.numbers.start + which;
        let (kind, metas) = (Kind::Map(Map::Constant), Metas::from_iter([meta.clone()]));
        self.items.push(Item { kind, call: number, metas, reads: Vec::new(), numbers: at..at + 1, is_free: true });
        Read::whole(Base::Item(self.items.len() - 1, 0), &meta)
    }

    /// Whether it is a constant, or computed from constants in one step.
    fn is_simple(&self, read: &Read) -> bool {
        let constant = |read: &Read| match read.base {
            Base::Item(base, _) => matches!(self.items[base].kind, Kind::Map(Map::Constant)),
            Base::Input(_) => false,
        };
        let Base::Item(base, _) = read.base else { return false };
        let item = &self.items[base];
        item.is_free && (constant(read) || (!item.reads.is_empty() && item.reads.iter().all(constant)))
    }

    fn read(&self, source: Source) -> Read {
        match source {
            Source::Input(input) => Read::whole(Base::Input(input), &self.graph.inputs[input]),
            Source::Call(call, output) => match &self.of_call[call] {
                Some(Made::Window(read)) => read.clone(),
                Some(Made::Outputs(reads)) => reads[output].clone(),
                Some(Made::Item(item)) => Read::whole(Base::Item(*item, output), &self.graph.calls[call].metas[output]),
                // Calls stand after what they read.
                None => Read::whole(Base::Input(0), &self.graph.calls[call].metas[output]),
            },
        }
    }

    fn view(&mut self, number: usize, call: &Call, read: Read) -> Read {
        let link = Link::Call(number);
        let seen = through(self.graph, &read, &link).filter(|seen| self.is_readable(seen));
        if let Some(seen) = seen {
            return seen;
        }
        let copy = self.copy(read, number);
        through(self.graph, &copy, &link).unwrap_or_else(|| Read::whole(copy.base, &call.metas[0]))
    }

    /// An input of a matrix product as what is multiplied.
    fn matrix(&mut self, read: Read, is_turned: bool, is_flat: bool, call: usize) -> Read {
        let shape = &read.layout.shape;
        let mut matrix = read.clone();
        if let ([leading @ .., columns], true) = (&shape[..], is_flat && shape.len() != 2) {
            let flat = Link::Reshape(Shape::from([leading.iter().product(), *columns]));
            matrix = through(self.graph, &read, &flat).unwrap_or_else(|| {
                let copy = self.copy(read.clone(), call);
                through(self.graph, &copy, &flat).unwrap_or(copy)
            });
        }
        match transposed(&matrix.layout.shape) {
            Some(order) if is_turned => turned(&matrix, &order),
            _ => matrix,
        }
    }

    /// What a read was cast from, seen through the same window, where that has fewer bytes to read.
    fn before_cast(&self, read: Read) -> Read {
        let Base::Item(base, _) = read.base else { return read };
        match &self.items[base] {
            Item { kind: Kind::Map(Map::Cast), reads, .. }
                if read.is_within() && reads[0].dtype.size() < read.dtype.size() =>
            {
                through_all(self.graph, &reads[0], &read.links).unwrap_or(read)
            }
            _ => read,
        }
    }

    /// Whether a window is one that can be read. What is made wherever it is read has no end, and what is made from
    /// positions no offset that a number could move.
    fn is_readable(&self, read: &Read) -> bool {
        let Base::Item(base, _) = read.base else { return true };
        let item = &self.items[base];
        !item.is_free || read.is_fixed() || (read.is_within() && !is_made_from_positions(item))
    }

    /// The same elements as a whole value in order; copied where they are not.
    fn in_order(&mut self, read: Read, call: usize) -> Read {
        if let Some(Link::Call(pad)) = read.links.last()
            && let Some(copy) = self.copy_of_padded(*pad)
        {
            return copy;
        }
        let count = match read.base {
            Base::Item(item, output) => self.items[item].metas[output].shape.count(),
            Base::Input(input) => self.graph.inputs[input].shape.count(),
        };
        if read.is_linear(count) { read } else { self.copy(read, call) }
    }

    /// The same window on a value that it lies within: on a copy of what was padded last, if it was.
    fn within(&mut self, read: Read, call: usize) -> Read {
        for (at, link) in read.links.iter().enumerate().rev() {
            if let Link::Call(pad) = link
                && let Some(copy) = self.copy_of_padded(*pad)
            {
                let seen = through_all(self.graph, &copy, &read.links[at + 1..]);
                return seen.unwrap_or_else(|| self.copy(read, call));
            }
        }
        read
    }

    /// What a call gives, where it pads: a copy for all that need one.
    fn copy_of_padded(&mut self, call: usize) -> Option<Read> {
        if !matches!(self.graph.calls[call].op.compute(), Compute::Pad(_)) {
            return None;
        }
        let read = self.read(Source::Call(call, 0));
        if read.is_within() {
            return Some(read);
        }
        let copy = self.copy(read, call);
        self.of_call[call] = Some(Made::Window(copy.clone()));
        Some(copy)
    }

    fn copy(&mut self, read: Read, call: usize) -> Read {
        let meta = Meta::new(&read.layout.shape, read.dtype);
        let (kind, metas) = (Kind::Copy, Metas::from_iter([meta.clone()]));
        self.items.push(Item { kind, call, metas, reads: vec![read], numbers: 0..0, is_free: false });
        Read::whole(Base::Item(self.items.len() - 1, 0), &meta)
    }
}

/// Whether an item's elements follow from their positions.
pub(crate) fn is_made_from_positions(item: &Item) -> bool {
    matches!(item.kind, Kind::Map(Map::Arange | Map::Random(_)))
}
