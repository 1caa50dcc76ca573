//! Elementwise work that is computed where and as it is read.

use super::bits::Bits;
use super::{Few, Form, Group, Grouping, item_of};
use crate::items::{Base, Kind, is_made_from_positions};
use crate::read::{Read, through_all};
use crate::space::Breaks;
use wgrad_tensor::ids::IdSet;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Meta, Reduction};

impl Grouping<'_, '_> {
    /// Computes elementwise work that only `item` reads, through some window, in the order in which it is read.
    pub(super) fn inline(&mut self, base: usize, item: usize) -> bool {
        let (a, b) = (self.done.of[base], self.done.of[item]);
        let Some(group) = &self.done.groups[a] else { return false };
        let mut reads = self.item(item).reads.iter().filter(|read| item_of(read.base) == Some(base));
        let (Some(read), None) = (reads.next(), reads.next()) else { return false };
        let read = read.clone();
        let private = |&inner: &usize| {
            !self.wanted.contains(&inner)
                && self.readers[inner]
                    .iter()
                    .all(|&reader| self.done.of[reader] == a || (inner, reader) == (base, item))
        };
        let elementwise = |&inner: &usize| matches!(self.item(inner).kind, Kind::Map(_) | Kind::Copy);
        let takes = matches!(self.item(item).kind, Kind::Map(_) | Kind::Copy | Kind::Reduce(..));
        let places = read.layout.shape.count();
        if !takes
            || group.form != Form::Program
            || group.row.is_some()
            || group.count == 0
            || places > group.count
            || !read.is_within()
            || !group.items.iter().all(|inner| private(inner) && elementwise(inner))
        {
            return false;
        }
        let shape = self.item(base).metas[0].shape.clone();
        let linear = Layout::contiguous(&read.layout.shape);
        let group_items = group.items.clone();
        let mut moved: Vec<(usize, usize, Read)> = Vec::new();
        for &inner in &group_items {
            for (number, own) in self.item(inner).reads.iter().enumerate() {
                let inside = item_of(own.base).is_some_and(|base| self.done.of[base] == a && !self.item(base).is_free);
                let seen = if inside {
                    Some(Read { layout: linear.clone(), ..own.clone() })
                } else {
                    let own = own.seen(|layout| layout.reshaped(&shape));
                    own.and_then(|own| through_all(self.items.graph, &own, &read.links))
                };
                // What is made from positions has no offset that a number could move.
                let fixed = |seen: &Read| {
                    let from_positions = |base| is_made_from_positions(self.item(base));
                    seen.starts.is_empty() || !item_of(seen.base).is_some_and(from_positions)
                };
                match seen.filter(fixed) {
                    Some(seen) => moved.push((inner, number, seen)),
                    None => return false,
                }
            }
        }
        moved.extend((0..self.item(item).reads.len()).filter_map(|number| {
            let own = &self.item(item).reads[number];
            (item_of(own.base) == Some(base))
                .then(|| (item, number, Read { layout: linear.clone(), starts: Vec::new(), ..own.clone() }))
        }));
        let Some(before) = self.done.groups[a].clone() else { return false };
        let mut swap = |moved: &mut Vec<(usize, usize, Read)>| {
            for (item, number, read) in moved {
                std::mem::swap(&mut self.items.items[*item].reads[*number], read);
            }
        };
        swap(&mut moved);
        if let Some(group) = &mut self.done.groups[a] {
            group.count = places;
        }
        let metas: Vec<Meta> = group_items.iter().map(|&inner| self.item(inner).metas[0].clone()).collect();
        for &inner in &group_items {
            self.items.items[inner].metas[0].shape = linear.shape.clone();
        }
        if !self.join(a, b) {
            for (&inner, meta) in group_items.iter().zip(metas) {
                self.items.items[inner].metas[0] = meta;
            }
            for (item, number, read) in &mut moved {
                std::mem::swap(&mut self.items.items[*item].reads[*number], read);
            }
            self.done.groups[a] = Some(before);
            return false;
        }
        true
    }

    /// Computes what an item reads again, in the order in which it is read, from values that are in memory anyway: so
    /// nothing is written for it alone, and nothing is kept from the forward pass that a few steps make again.
    pub(super) fn compute_again(&mut self, base: usize, item: usize) {
        let elementwise = |kind| matches!(kind, Kind::Map(_) | Kind::Copy);
        let kind = self.item(item).kind;
        let places = self.item(base).metas[0].shape.count();
        let whole = self
            .item(item)
            .reads
            .iter()
            .all(|read| item_of(read.base) != Some(base) || read.layout.shape.count() == places);
        if !(elementwise(kind) || matches!(kind, Kind::Reduce(..))) || !whole || !self.may_be_made_again(base, item) {
            return;
        }
        if let Some(needed) = self.needed_again(base, item) {
            self.make_again(base, item, &needed);
        }
    }

    /// Lets `item` read a copy of `base` that is made in its own kernel, by copies of the items that are `needed` for it;
    /// gives the copy, where that works out.
    pub(super) fn make_again(&mut self, base: usize, item: usize, needed: &[usize]) -> Option<usize> {
        let first = self.items.items.len();
        let twin = |old: usize| needed.iter().position(|&needed| needed == old).map(|at| first + at);
        for (at, &old) in needed.iter().enumerate() {
            let original = self.item(old);
            let mut copy = original.clone();
            for read in &mut copy.reads {
                if let Base::Item(from, output) = read.base {
                    read.base = Base::Item(twin(from).unwrap_or(from), output);
                }
            }
            for from in copy.reads.iter().filter_map(|read| item_of(read.base)) {
                if from < first {
                    self.readers[from].push(first + at);
                }
            }
            self.items.items.push(copy);
            self.items.rank.push((self.items.rank[item].0, at));
            self.readers.push(Few::new());
            self.done.of.push(first);
            self.done.per_row.push(false);
            self.done.groups.push(None);
        }
        for at in first..self.items.items.len() {
            let from: Vec<usize> = self.item(at).reads.iter().filter_map(|read| item_of(read.base)).collect();
            from.into_iter().filter(|&from| from >= first).for_each(|from| self.readers[from].push(at));
        }
        let last = twin(base)?;
        self.redirect(item, base, last);
        let count = self.item(last).metas[0].shape.count();
        let items: Vec<usize> = (first..self.items.items.len()).collect();
        let breaks = self.united(count, None, self.external(&items, [first; 2], |_| false));
        let mut group = Group {
            items,
            form: Form::Program,
            count,
            row: None,
            breaks: Breaks::new(),
            not_before: self.items.graph.calls[self.item(item).call].not_before,
            before: Bits::default(),
            mark: last,
        };
        group.before = self.before(&group);
        self.done.groups[first] = Some(group);
        self.open.push(first);
        let Some(breaks) = breaks else {
            self.give_up(item, base, first, last);
            return None;
        };
        if let Some(group) = &mut self.done.groups[first] {
            group.breaks = breaks;
        }
        let of = self.done.of[item];
        let is_product = self.done.groups[of].as_ref().is_some_and(|group| group.form == Form::Contraction);
        let joined = if is_product { self.join(of, first) } else { self.join(first, of) };
        if joined || self.inline(last, item) {
            return Some(last);
        }
        self.give_up(item, base, first, last);
        None
    }

    /// Whether a value is elementwise work that a second kernel may do as well as the first.
    fn may_be_made_again(&self, value: usize, but_for: usize) -> bool {
        matches!(self.item(value).kind, Kind::Map(_) | Kind::Copy)
            && !self.is_compared(value)
            && !self.is_in_memory(value, but_for)
            && !self.comes_from_product(value)
    }

    /// Elements that are compared with a largest or smallest one must have its bits, which a second computation of them
    /// need not have.
    pub(super) fn is_compared(&self, value: usize) -> bool {
        let compares =
            |&reader: &usize| matches!(self.item(reader).kind, Kind::Reduce(Reduction::Max | Reduction::Min, _));
        self.readers[value].iter().any(compares)
    }

    /// Whether an item is what becomes of a product in the product's own kernel.
    pub(super) fn comes_from_product(&self, item: usize) -> bool {
        let of = self.done.of[item];
        if !self.done.groups[of].as_ref().is_some_and(|group| group.form == Form::Contraction) {
            return false;
        }
        let (mut open, mut seen) = (vec![item], IdSet::default());
        while let Some(item) = open.pop() {
            if matches!(self.item(item).kind, Kind::Contraction) {
                return true;
            }
            let inside = |&base: &usize| self.done.of[base] == of;
            let from = self.item(item).reads.iter().filter_map(|read| item_of(read.base)).filter(inside);
            open.extend(from.filter(|&base| seen.insert(base)));
        }
        false
    }

    /// Lets an item read another value in place of one.
    pub(super) fn redirect(&mut self, item: usize, from: usize, to: usize) {
        for read in &mut self.items.items[item].reads {
            if let Base::Item(base, output) = read.base
                && base == from
            {
                read.base = Base::Item(to, output);
            }
        }
        self.readers[from].retain(|&mut reader| reader != item);
        self.readers[to].push(item);
    }

    fn give_up(&mut self, item: usize, base: usize, first: usize, last: usize) {
        self.redirect(item, last, base);
        for copy in first..self.items.items.len() {
            for from in self.items.items[copy].reads.iter().filter_map(|read| item_of(read.base)) {
                self.readers[from].retain(|&mut reader| reader < first);
            }
        }
        self.readers.truncate(first);
        self.items.items.truncate(first);
        self.items.rank.truncate(first);
        self.done.of.truncate(first);
        self.done.per_row.truncate(first);
        self.done.groups.truncate(first);
        self.open.retain(|&group| group < first);
    }

    /// Whether a value will be written whoever else reads it.
    fn is_in_memory(&self, value: usize, but_for: usize) -> bool {
        self.wanted.contains(&value)
            || self.readers[value].iter().filter(|&&reader| reader != but_for).any(|&reader| {
                let is_placed = reader <= self.now || reader >= self.items.graph_items;
                matches!(self.item(reader).kind, Kind::Contraction | Kind::Op)
                    || (is_placed && self.done.of[reader] != self.done.of[value])
            })
    }

    /// The elementwise items between `base` and what is in memory, in order; `None` where that is too much.
    fn needed_again(&self, base: usize, item: usize) -> Option<Vec<usize>> {
        let most = if matches!(self.item(item).kind, Kind::Reduce(..)) { 3 } else { 2 };
        let count = self.item(base).metas[0].shape.count();
        let (mut needed, mut places) = (Vec::new(), IdSet::default());
        let mut open = vec![base];
        while let Some(value) = open.pop() {
            if needed.contains(&value) {
                continue;
            }
            needed.push(value);
            for read in &self.item(value).reads {
                let again = item_of(read.base).filter(|&from| {
                    self.is_open(from)
                        && self.item(from).metas[0].shape.count() == count
                        && read.is_linear(count)
                        && (self.item(from).is_free || self.may_be_made_again(from, item))
                });
                match again {
                    Some(from) if self.item(from).is_free => {}
                    Some(from) => open.push(from),
                    None if elements(&read.layout) == count => {
                        places.insert(read.base);
                    }
                    None => {}
                }
            }
        }
        needed.sort_unstable_by_key(|&value| self.items.rank[value]);
        (needed.len() <= MOST_AGAIN && places.len() <= most).then_some(needed)
    }
}

/// How many different elements a window shows.
pub(super) fn elements(layout: &Layout) -> usize {
    layout.merged().iter().filter(|(_, stride)| *stride != 0).map(|(size, _)| size).product()
}

/// Steps that are cheaper to do again than to keep their result.
pub(super) const MOST_AGAIN: usize = 16;
