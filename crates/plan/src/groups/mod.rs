//! Which items share a kernel.
//!
//! Every item starts alone. In the order of recording, each is joined with the groups whose values it reads, where all of
//! them can run over one index space and no third group stands between them.

mod bits;
mod inline;
mod join;
mod less;

use crate::items::{Base, Item, Items, Kind};
use crate::read::{Read, with_axes_last};
use crate::space::Breaks;
use bits::Bits;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::ops::Range;
use wgrad_tensor::ids::IdSet;
use wgrad_tensor::op::Compute;

/// What a kernel computes.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Its items, in order.
    pub items: Vec<usize>,
    pub form: Form,
    /// Places of its index space.
    pub count: usize,
    /// Places of a row, where there are rows.
    pub row: Option<usize>,
    /// Where its index space breaks.
    pub breaks: Breaks,
    /// The call before which it is not to be computed.
    not_before: usize,
    /// The items that it comes after, as bits. Of each group among them, the one that marks it at least.
    before: Bits,
    /// The item that all groups that come after this one know of.
    mark: usize,
}

/// How a kernel works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Elementwise work, and reductions over rows.
    Program,
    /// A matrix product or convolution, and what becomes of its elements.
    Contraction,
    /// One op.
    Op,
}

/// All groups, and which one an item is in.
pub(crate) struct Groups {
    pub groups: Vec<Option<Group>>,
    pub of: Vec<usize>,
    /// Whether an item has one element for each row of its group.
    pub per_row: Vec<bool>,
}

/// Items that are looked at together. No kernel reaches across, so that a graph of any length is grouped in time and
/// memory that grow with its length alone.
const STRETCH: usize = 4096;

/// Groups the items. A kernel binds at most `bindings` buffers.
pub(crate) fn group(items: &mut Items<'_>, bindings: usize) -> Groups {
    let count = items.items.len();
    let mut grouping = Grouping::new(items, bindings);
    for start in (0..count).step_by(STRETCH) {
        let end = (start + STRETCH).min(count);
        grouping.stretch = start..end;
        grouping.extra = grouping.items.items.len();
        grouping.open.clear();
        for item in start..end {
            grouping.place(item);
        }
        // What had no rows when it was looked at may have some now.
        let all = grouping.opened();
        for &item in &all {
            grouping.join_sources(item);
        }
        grouping.join_siblings(&all);
        grouping.keep_less(&all);
        grouping.join_siblings(&grouping.opened());
        grouping.now = count;
        grouping.dissolve_too_large();
    }
    grouping.done
}

/// A group for each item.
pub(crate) fn alone(items: &mut Items<'_>) -> Groups {
    let count = items.items.len();
    let mut grouping = Grouping::new(items, usize::MAX);
    for item in 0..count {
        grouping.found(item);
    }
    grouping.done
}

/// Mostly few items.
type Few = SmallVec<[usize; 2]>;

/// The items that read each item.
fn readers(items: &Items<'_>) -> Vec<Few> {
    let mut readers = vec![Few::new(); items.items.len()];
    for (reader, item) in items.items.iter().enumerate() {
        for base in item.reads.iter().filter_map(|read| item_of(read.base)) {
            readers[base].push(reader);
        }
    }
    readers
}

fn item_of(base: Base) -> Option<usize> {
    match base {
        Base::Item(item, _) => Some(item),
        Base::Input(_) => None,
    }
}

struct Grouping<'g, 'a> {
    items: &'g mut Items<'a>,
    readers: Vec<Few>,
    wanted: IdSet<usize>,
    done: Groups,
    /// The item whose place is looked for; later ones have none yet.
    now: usize,
    /// The items that are looked at together, and from which number on there are copies made for them.
    stretch: Range<usize>,
    extra: usize,
    /// The groups of these.
    open: Vec<usize>,
    bindings: usize,
}

impl<'g, 'a> Grouping<'g, 'a> {
    fn new(items: &'g mut Items<'a>, bindings: usize) -> Self {
        let count = items.items.len();
        Grouping {
            readers: readers(items),
            wanted: items.wanted.iter().filter_map(|base| item_of(*base)).collect(),
            items,
            done: Groups { groups: vec![None; count], of: (0..count).collect(), per_row: vec![false; count] },
            now: 0,
            stretch: 0..count,
            extra: count,
            open: Vec::new(),
            bindings,
        }
    }

    fn item(&self, item: usize) -> &Item {
        &self.items.items[item]
    }

    /// Whether an item is among those that are looked at.
    fn is_open(&self, item: usize) -> bool {
        self.stretch.contains(&item) || item >= self.extra
    }

    /// The items that are looked at, and the copies made for them.
    fn opened(&self) -> Vec<usize> {
        self.stretch.clone().chain(self.extra..self.items.items.len()).collect()
    }

    /// The number of an open item among the open ones.
    fn bit(&self, item: usize) -> usize {
        if item < self.stretch.end { item - self.stretch.start } else { item - self.extra + STRETCH }
    }

    /// Gives an item a group of its own, and joins that with the groups it reads from, the latest first.
    fn place(&mut self, item: usize) {
        self.now = item;
        if let Some(pick) = self.as_pick(item) {
            let source = pick.reads.first().and_then(|read| item_of(read.base));
            let gather = std::mem::replace(&mut self.items.items[item], pick);
            self.found(item);
            if !source.is_some_and(|source| self.join(self.done.of[source], item)) {
                // Alone it would run through whole rows for one element of each.
                self.items.items[item] = gather;
            }
        }
        if self.done.groups[item].is_none() || matches!(self.item(item).kind, Kind::Op) {
            self.found(item);
        }
        for base in self.join_sources(item) {
            let (a, b) = (self.done.of[base], self.done.of[item]);
            if a != b && !self.inline(base, item) {
                self.compute_again(base, item);
            }
        }
    }

    /// Joins an item's group with those it reads from, the latest first; gives the items for which that cannot be.
    fn join_sources(&mut self, item: usize) -> Vec<usize> {
        let mut from: Vec<usize> = self.item(item).reads.iter().filter_map(|read| item_of(read.base)).collect();
        from.sort_unstable_by_key(|&base| Reverse(self.items.rank[base]));
        from.dedup();
        from.retain(|&base| {
            let (a, b) = (self.done.of[base], self.done.of[item]);
            !self.item(base).is_free && a != b && !self.join(a, b)
        });
        from
    }

    /// Gives an item a group of its own.
    fn found(&mut self, item: usize) {
        let own = Group {
            items: vec![item],
            form: match self.item(item).kind {
                Kind::Contraction => Form::Contraction,
                Kind::Op => Form::Op,
                _ => Form::Program,
            },
            count: self.space(item),
            row: self.row(item),
            breaks: Breaks::new(),
            not_before: self.items.graph.calls[self.item(item).call].not_before,
            before: Bits::default(),
            mark: item,
        };
        self.done.per_row[item] = own.row.is_some();
        let breaks = self
            .united(own.count, own.row, self.external(&own.items, [item; 2], |item| self.done.per_row[item]))
            .unwrap_or_default();
        let before = self.before(&own);
        self.done.groups[item] = Some(Group { breaks, before, ..own });
        self.open.push(item);
    }

    /// A gather of one element from each row of what a kernel computes.
    fn as_pick(&self, item: usize) -> Option<Item> {
        let gather = self.item(item);
        let call = &self.items.graph.calls[gather.call];
        let (Kind::Op, Compute::Gather(axis), [source, index]) = (gather.kind, call.op.compute(), &gather.reads[..])
        else {
            return None;
        };
        item_of(source.base).filter(|&base| !self.item(base).is_free)?;
        let shape = &source.layout.shape;
        let one_each = (0..shape.len()).all(|at| index.layout.shape[at] == if at == axis { 1 } else { shape[at] });
        if !one_each || shape[axis] == 0 {
            return None;
        }
        let source = with_axes_last(source, &[axis]);
        let reads = vec![source, index.clone()];
        Some(Item {
            kind: Kind::Pick(shape[axis]),
            call: gather.call,
            metas: gather.metas.clone(),
            reads,
            numbers: 0..0,
            is_free: false,
        })
    }

    /// The places that an item is computed over.
    fn space(&self, item: usize) -> usize {
        let item = self.item(item);
        match item.kind {
            Kind::Reduce(..) | Kind::Pick(_) => item.reads[0].layout.shape.count(),
            _ => item.metas[0].shape.count(),
        }
    }

    fn row(&self, item: usize) -> Option<usize> {
        match self.item(item).kind {
            Kind::Reduce(_, row) | Kind::Pick(row) => Some(row),
            _ => None,
        }
    }

    /// Groups the items of a group anew, where it turns out that more of them are read elsewhere than a kernel can write.
    fn dissolve_too_large(&mut self) {
        for number in self.open.clone() {
            let too_large = |group: &&Group| group.items.len() > 1 && self.bound(group, [number; 2]) > self.bindings;
            let Some(items) = self.done.groups[number].as_ref().filter(too_large).map(|group| group.items.clone())
            else {
                continue;
            };
            self.done.groups[number] = None;
            items.iter().for_each(|&item| self.done.of[item] = item);
            items.iter().for_each(|&item| self.found(item));
            // By now it is known who reads what, so that groups end up small enough.
            items.iter().for_each(|&item| drop(self.join_sources(item)));
        }
    }

    /// Joins reductions over the same rows that read a value in common.
    fn join_siblings(&mut self, items: &[usize]) {
        let mut readers = Vec::new();
        for &item in items {
            let of = self.done.of[item];
            let Some(Group { row: Some(row), count, .. }) = &self.done.groups[of] else { continue };
            // What one item alone reads has no second reader.
            let is_shared = |read: &&Read| item_of(read.base).is_none_or(|base| self.readers[base].len() > 1);
            for read in self.item(item).reads.iter().filter(is_shared) {
                readers.push(((read.base, *row, *count), item));
            }
        }
        // By what they read, in the order that they have; and those lists by the order of their items.
        readers.sort_by_key(|(of, _)| *of);
        let mut common: Vec<_> = readers.chunk_by(|(a, _), (b, _)| a == b).filter(|items| items.len() > 1).collect();
        common.sort_unstable_by(|a, b| a.iter().map(|(_, item)| item).cmp(b.iter().map(|(_, item)| item)));
        for items in common {
            for pair in items.windows(2) {
                let (a, b) = (self.done.of[pair[0].1], self.done.of[pair[1].1]);
                if a != b {
                    self.join(a, b);
                }
            }
        }
    }
}
