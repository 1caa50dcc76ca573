//! Whether two groups can be one kernel.

use super::bits::Bits;
use super::{Form, Group, Grouping, item_of};
use crate::items::{Base, Kind};
use crate::read::Read;
use crate::space::{Breaks, breaks, is_row_number, unite};
use smallvec::SmallVec;

/// A group that two others would make, and which of them then has one element per row.
struct Joined {
    group: Group,
    now_per_row: Option<usize>,
}

/// Items of one kernel: shaders of more build slowly.
const MOST_ITEMS: usize = 192;

/// Rows of more places may be cut among several workgroups.
const LONG_ROW: usize = 8192;

/// Rows of more places, where there are few, end with what is computed of the whole row: each is walked by one workgroup,
/// and what comes after can be walked by many.
const HUGE_ROW: usize = 1 << 20;
const FEW_ROWS: usize = 16;

impl Grouping<'_, '_> {
    /// Joins two groups if they can be one kernel.
    pub(super) fn join(&mut self, a: usize, b: usize) -> bool {
        let Some(Joined { mut group, now_per_row }) = self.joined(a, b) else { return false };
        let marks = [a, b].map(|group| self.done.groups[group].as_ref().map_or(group, |group| group.mark));
        let is_followed = [self.is_followed(a, b), self.is_followed(b, a)];
        // Nobody need be told where nobody follows one, and that one follows nothing but the other or what that follows.
        let kept = match is_followed {
            [false, true] if self.adds_nothing(a, b) => Some(marks[1]),
            [true, false] if self.adds_nothing(b, a) => Some(marks[0]),
            _ => None,
        };
        self.done.groups[a] = None;
        self.done.groups[b] = None;
        // They are in order, but for some that were taken apart.
        let at = self.open.binary_search(&a).ok().or_else(|| self.open.iter().position(|&group| group == a));
        if let Some(at) = at {
            self.open.remove(at);
        }
        for &item in &group.items {
            self.done.per_row[item] |= now_per_row == Some(self.done.of[item]);
            self.done.of[item] = b;
        }
        group.mark = kept.unwrap_or(marks[1]);
        if kept.is_none() && is_followed.contains(&true) {
            // Whatever comes after either now comes after all of it.
            let mut all = group.before.clone();
            group.items.iter().chain(&marks).for_each(|&item| all.add(self.bit(item)));
            let marks = marks.map(|item| self.bit(item));
            for &other in &self.open {
                let Some(other) = &mut self.done.groups[other] else { continue };
                // Who comes after both knows it all.
                if other.before.has(marks[0]) != other.before.has(marks[1]) {
                    other.before.unite(&all);
                }
            }
        }
        self.done.groups[b] = Some(group);
        true
    }

    /// Whether a group, but for `with`, comes after another.
    fn is_followed(&self, group: usize, with: usize) -> bool {
        self.done.groups[group]
            .iter()
            .flat_map(|group| &group.items)
            .flat_map(|&item| &self.readers[item])
            .any(|&reader| !self.is_in(reader, [group, with]) && self.done.groups[self.done.of[reader]].is_some())
    }

    /// Whether a group comes after nothing but another, or what that comes after.
    fn adds_nothing(&self, group: usize, other: usize) -> bool {
        let (Some(group), Some(other)) = (&self.done.groups[group], &self.done.groups[other]) else { return false };
        let mut before = group.before.clone();
        other.items.iter().chain([&other.mark]).for_each(|&item| before.remove(self.bit(item)));
        before.is_within(&other.before)
    }

    fn joined(&self, a: usize, b: usize) -> Option<Joined> {
        let (first, second) = (self.done.groups[a].as_ref()?, self.done.groups[b].as_ref()?);
        let form = match (first.form, second.form) {
            (Form::Program, Form::Program) => Form::Program,
            (Form::Contraction, Form::Program) if second.row.is_none() && first.count == second.count => {
                Form::Contraction
            }
            _ => return None,
        };
        // An empty index space has no breaks to go by.
        if first.count == 0 || second.count == 0 || first.items.len() + second.items.len() > MOST_ITEMS {
            return None;
        }
        if !self.is_open(first.items[0]) || !self.is_open(second.items[0]) {
            return None;
        }
        let (count, row, now_per_row) = match (first.row, second.row) {
            (x, y) if first.count == second.count && (x.is_none() || y.is_none() || x == y) => {
                (first.count, x.or(y), None)
            }
            (Some(row), None) if second.count * row == first.count => (first.count, Some(row), Some(b)),
            (None, Some(row)) if first.count * row == second.count => (second.count, Some(row), Some(a)),
            _ => return None,
        };
        if form == Form::Contraction && (row.is_some() || self.writes_narrow(b, second)) {
            return None;
        }
        let mut items: Vec<usize> = first.items.iter().chain(&second.items).copied().collect();
        items.sort_unstable_by_key(|&item| self.items.rank[item]);
        let is_row = |item: usize| self.done.per_row[item] || now_per_row == Some(self.done.of[item]);
        for &item in &items {
            for (number, read) in self.item(item).reads.iter().enumerate() {
                let Some(base) = item_of(read.base).filter(|&base| self.is_in(base, [a, b])) else { continue };
                let (of, from) = (self.done.of[item], self.done.of[base]);
                // What was joined before still fits, unless it is now walked in another way; copies were not yet looked at.
                let is_joined = of == from && now_per_row != Some(of) && of < self.extra;
                if self.item(base).is_free || is_joined {
                    continue;
                }
                if matches!(self.item(item).kind, Kind::Contraction) {
                    return None;
                }
                let fits = match (self.reads_places(item, number, is_row(item)), is_row(base)) {
                    (true, false) => read.is_linear(count),
                    (true, true) => {
                        let row = row.unwrap_or(1);
                        let is_walked_by_few = row >= HUGE_ROW && count / row < FEW_ROWS;
                        !is_walked_by_few
                            && read.is_fixed()
                            && read.layout.shape.count() == count
                            && is_row_number(&read.layout, row)
                    }
                    (false, true) => read.is_linear(count / row.unwrap_or(1).max(1)),
                    (false, false) => row == Some(1) && read.is_linear(count),
                };
                if !fits {
                    return None;
                }
            }
        }
        if self.stands_between(first, second) {
            return None;
        }
        let breaks = self.united(count, row, self.external(&items, [a, b], is_row))?;
        // What is computed again must not run with what comes before the walk back.
        let not_before = first.not_before.max(second.not_before);
        let (first_item, _) = self.items.rank[items[0]];
        if self.item(first_item).call < not_before {
            return None;
        }
        let before = Bits::default();
        let mut group = Group { items, form, count, row, breaks, not_before, mark: second.mark, before };
        if self.bound(&group, [a, b]) > self.bindings {
            return None;
        }
        group.before = self.before_both(first, second);
        Some(Joined { group, now_per_row })
    }

    /// Whether an item is in one of these groups.
    pub(super) fn is_in(&self, item: usize, groups: [usize; 2]) -> bool {
        groups.contains(&self.done.of[item])
    }

    /// Whether something outside reads numbers of less than a word from a group. The kernels of products write whole words.
    fn writes_narrow(&self, number: usize, group: &Group) -> bool {
        group.items.iter().any(|&item| {
            let outside = |&reader: &usize| self.done.of[reader] != number;
            self.item(item).metas[0].dtype.size() < 4
                && (self.wanted.contains(&item) || self.readers[item].iter().any(outside))
        })
    }

    /// Whether an item's read runs over places rather than rows.
    fn reads_places(&self, item: usize, number: usize, per_row: bool) -> bool {
        match self.item(item).kind {
            Kind::Reduce(..) => true,
            Kind::Pick(_) => number == 0,
            _ => !per_row,
        }
    }

    /// The reads of all items of these groups from outside of them, and whether each runs over places.
    pub(super) fn external(
        &self,
        items: &[usize],
        groups: [usize; 2],
        is_row: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (&Read, bool)> {
        let windows = items.iter().filter(|&&item| !matches!(self.item(item).kind, Kind::Contraction | Kind::Op));
        windows.flat_map(move |&item| {
            let per_row = is_row(item);
            let outside = move |read: &Read| {
                item_of(read.base).is_none_or(|base| !self.is_in(base, groups) || self.item(base).is_free)
            };
            let reads = self.item(item).reads.iter().enumerate().filter(move |(_, read)| outside(read));
            reads.map(move |(number, read)| (read, self.reads_places(item, number, per_row)))
        })
    }

    /// The breaks of an index space for these reads.
    pub(super) fn united<'r>(
        &self,
        count: usize,
        row: Option<usize>,
        reads: impl Iterator<Item = (&'r Read, bool)>,
    ) -> Option<Breaks> {
        let mut all = Breaks::new();
        let inner = row.unwrap_or(1);
        if count == 0 || !unite(&mut all, &[inner], count) {
            return None;
        }
        for (read, over_places) in reads {
            let each = if over_places { 1 } else { inner };
            for layout in read.layouts() {
                let mut by = breaks(layout);
                by.iter_mut().for_each(|place| *place *= each);
                if !unite(&mut all, &by, count) {
                    return None;
                }
            }
        }
        Some(all)
    }

    /// The buffers that a kernel binds: what it reads and writes, a status word where an index may be wrong, and what a
    /// second stage takes over from a first. Its items are those of `groups`.
    pub(super) fn bound(&self, group: &Group, groups: [usize; 2]) -> usize {
        let mut bases: SmallVec<[Base; 12]> = SmallVec::new();
        let mut stores = 0;
        for &item in &group.items {
            for read in &self.item(item).reads {
                let inside = item_of(read.base).is_some_and(|base| self.is_in(base, groups) || self.item(base).is_free);
                if !inside && !bases.contains(&read.base) {
                    bases.push(read.base);
                }
            }
            stores += usize::from(self.is_stored_so_far(item, groups));
        }
        let of = |wanted: fn(&Kind) -> bool| group.items.iter().filter(|&&item| wanted(&self.item(item).kind)).count();
        let more = match group.row {
            Some(row) if row > LONG_ROW => of(|kind| matches!(kind, Kind::Reduce(..) | Kind::Pick(_))),
            _ => of(|kind| matches!(kind, Kind::Pick(_))).min(1),
        };
        bases.len() + stores + more
    }

    /// Whether something outside of these groups reads an item, as far as groups are made.
    fn is_stored_so_far(&self, item: usize, groups: [usize; 2]) -> bool {
        self.wanted.contains(&item)
            || self.readers[item].iter().any(|&reader| {
                let joins_later = reader > self.now
                    && reader < self.stretch.end
                    && !matches!(self.item(reader).kind, Kind::Contraction | Kind::Op);
                !self.is_in(reader, groups) && !joins_later
            })
    }

    /// Everything that a group comes after.
    pub(super) fn before(&self, group: &Group) -> Bits {
        let mut before = Bits::default();
        for &item in &group.items {
            for base in self.item(item).reads.iter().filter_map(|read| item_of(read.base)) {
                let of = self.done.of[base];
                if of == self.done.of[item] {
                    continue;
                }
                if let (Some(from), true) = (&self.done.groups[of], self.is_open(base)) {
                    before.unite(&from.before);
                    from.items.iter().chain([&from.mark]).for_each(|&item| before.add(self.bit(item)));
                }
            }
        }
        before
    }

    fn before_both(&self, first: &Group, second: &Group) -> Bits {
        let mut before = first.before.clone();
        before.unite(&second.before);
        let own = first.items.iter().chain(&second.items).chain([&first.mark, &second.mark]);
        own.for_each(|&item| before.remove(self.bit(item)));
        before
    }

    /// Whether a third group comes after one of the two and before the other.
    fn stands_between(&self, first: &Group, second: &Group) -> bool {
        let (a, b) = (first.mark, second.mark);
        let one_way = |from: usize, to: &Group| {
            to.items.iter().flat_map(|&item| &self.item(item).reads).filter_map(|read| item_of(read.base)).any(|base| {
                let of = self.done.of[base];
                of != self.done.of[a]
                    && of != self.done.of[b]
                    && self.is_open(base)
                    && self.done.groups[of].as_ref().is_some_and(|between| between.before.has(self.bit(from)))
            })
        };
        one_way(a, second) || one_way(b, first)
    }
}
