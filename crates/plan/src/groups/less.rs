//! What a kernel need not write, since those who read it can make it of other values.

use super::inline::{MOST_AGAIN, elements};
use super::{Grouping, item_of};
use crate::items::{Base, Kind};
use crate::read::Read;
use wgrad_tensor::ids::{IdMap, IdSet};

/// How a value comes about in the kernel of one who reads it.
struct Remade {
    reader: usize,
    /// An earlier reader in the same kernel, whose copy it reads; nothing else then is to be done.
    with: Option<usize>,
    /// The elementwise items, in order, that make it.
    items: Vec<usize>,
    /// What the kernel reads for them that it does not read anyway: values of the same size.
    more: Vec<Base>,
}

impl Grouping<'_, '_> {
    /// Computes again what other kernels read of these items, where they can make it of values that they read anyway. Then
    /// it need not be written, nor be kept until they run. For what follows a product, in whose kernel whatever is read
    /// elsewhere costs a write, they may also read other values, so long as no more is moved than before.
    pub(super) fn keep_less(&mut self, items: &[usize]) {
        let kept: IdSet<usize> = items.iter().copied().filter(|&item| self.had_better_be_kept(item)).collect();
        for &value in items.iter().rev() {
            let Some(remade) = self.remade(value, &kept) else { continue };
            if remade.iter().map(|remade| remade.more.len()).sum::<usize>() > self.moves(value) {
                continue;
            }
            let mut twins: IdMap<usize, usize> = IdMap::default();
            for Remade { reader, with, items, .. } in remade {
                let twin = match with {
                    None => self.make_again(value, reader, &items),
                    Some(earlier) => twins.get(&earlier).copied().inspect(|&twin| self.redirect(reader, value, twin)),
                };
                twins.extend(twin.map(|twin| (reader, twin)));
            }
            self.forget_unread(value);
        }
    }

    /// Whether less is moved where a product is written, rather than several values that follow it.
    fn had_better_be_kept(&self, product: usize) -> bool {
        let item = self.item(product);
        let Some(group) = &self.done.groups[self.done.of[product]] else { return false };
        if !matches!(item.kind, Kind::Contraction) || item.metas[0].dtype.size() < 4 || self.is_written(product) {
            return false;
        }
        let kept = IdSet::from_iter([product]);
        let (mut now, mut then) = (0, IdSet::default());
        for &value in group.items.iter().filter(|&&item| self.is_written(item)) {
            let Some(remade) = self.remade(value, &kept) else { return false };
            now += self.moves(value);
            then.extend(remade.into_iter().flat_map(|Remade { reader, more, .. }| {
                let kernel = self.done.of[reader];
                more.into_iter().map(move |base| (kernel, base))
            }));
        }
        1 + then.len() < now
    }

    /// How often a value is moved: written once, and read by each kernel.
    fn moves(&self, value: usize) -> usize {
        let kernels: IdSet<usize> = self.readers_elsewhere(value).map(|reader| self.done.of[reader]).collect();
        1 + kernels.len()
    }

    fn readers_elsewhere(&self, value: usize) -> impl Iterator<Item = usize> {
        let of = self.done.of[value];
        self.readers[value].iter().copied().filter(move |&reader| self.done.of[reader] != of)
    }

    fn is_written(&self, value: usize) -> bool {
        self.wanted.contains(&value) || self.readers_elsewhere(value).next().is_some()
    }

    /// How the kernels that read a value make it, if all can. What follows a product they may make of what is in memory
    /// anyway or `kept`.
    fn remade(&self, value: usize, kept: &IdSet<usize>) -> Option<Vec<Remade>> {
        let mut readers: Vec<usize> = self.readers_elsewhere(value).collect();
        if readers.is_empty() || self.item(value).is_free || self.wanted.contains(&value) {
            return None;
        }
        readers.sort_unstable_by_key(|&reader| self.items.rank[reader]);
        let kept = self.comes_from_product(value).then_some(kept);
        let count = self.item(value).metas[0].shape.count();
        let in_order = |reader: usize| {
            let reads = &self.item(reader).reads;
            reads.iter().all(|read| item_of(read.base) != Some(value) || read.is_linear(count))
        };
        let mut all: Vec<Remade> = Vec::new();
        for reader in readers {
            let is_earlier = |other: &&Remade| {
                other.with.is_none() && self.done.of[other.reader] == self.done.of[reader] && in_order(other.reader)
            };
            let with = all.iter().find(is_earlier).map(|other| other.reader).filter(|_| in_order(reader));
            let (items, more) = match with {
                Some(_) => (Vec::new(), Vec::new()),
                None => self.made_of_what_is_there(value, reader, in_order(reader), kept)?,
            };
            all.push(Remade { reader, with, items, more });
        }
        Some(all)
    }

    /// The elementwise items, in order, that make a value in a reader's kernel, and which values of its size that kernel
    /// reads for them alone.
    fn made_of_what_is_there(
        &self,
        value: usize,
        reader: usize,
        in_order: bool,
        kept: Option<&IdSet<usize>>,
    ) -> Option<(Vec<usize>, Vec<Base>)> {
        let elementwise = |item: usize| matches!(self.item(item).kind, Kind::Map(_));
        let group = self.done.groups[self.done.of[reader]].as_ref()?;
        let count = self.item(value).metas[0].shape.count();
        let folds = kept.is_some() && matches!(self.item(reader).kind, Kind::Reduce(..));
        // What is made again stands right before a recorded item.
        let is_recorded = reader < self.items.graph_items;
        if !is_recorded || group.count != count || !(folds || (in_order && elementwise(reader))) {
            return None;
        }
        let is_read = |base: Base| {
            let reads = group.items.iter().flat_map(|&item| &self.item(item).reads);
            reads.filter(|read| item_of(read.base) != Some(value)).any(|read| read.base == base)
        };
        let is_there = |base: Base| {
            kept.is_some_and(|kept| match item_of(base) {
                Some(item) => {
                    kept.contains(&item) || self.done.of[item] != self.done.of[value] || self.is_written(item)
                }
                None => true,
            })
        };
        let (mut needed, mut more, mut open) = (Vec::new(), Vec::new(), vec![value]);
        while let Some(value) = open.pop() {
            if needed.contains(&value) {
                continue;
            }
            if !elementwise(value) || self.is_compared(value) || !self.is_open(value) || needed.len() == MOST_AGAIN {
                return None;
            }
            needed.push(value);
            for read in &self.item(value).reads {
                let is_large = |read: &Read| elements(&read.layout) == count;
                match item_of(read.base) {
                    _ if is_read(read.base) => {}
                    Some(from) if self.item(from).is_free => {}
                    _ if is_there(read.base) => more.extend(is_large(read).then_some(read.base)),
                    Some(from) if read.is_linear(count) => open.push(from),
                    _ => return None,
                }
            }
        }
        needed.sort_unstable_by_key(|&value| self.items.rank[value]);
        more.sort_unstable();
        more.dedup();
        Some((needed, more))
    }

    /// Takes out of its kernel what nobody reads any more, and what was made for it alone.
    fn forget_unread(&mut self, value: usize) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            let is_program = !matches!(self.item(value).kind, Kind::Contraction | Kind::Op);
            if !is_program || !self.readers[value].is_empty() || self.wanted.contains(&value) {
                continue;
            }
            let Some(group) = &mut self.done.groups[self.done.of[value]] else { continue };
            if group.items.len() > 1 {
                group.items.retain(|&item| item != value);
            }
            for at in 0..self.item(value).reads.len() {
                if let Some(from) = item_of(self.item(value).reads[at].base) {
                    self.readers[from].retain(|&mut reader| reader != value);
                    open.push(from);
                }
            }
        }
    }
}
