//! In which order kernels run.

use crate::groups::Groups;
use crate::items::{Base, Items};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use wgrad_tensor::ids::IdSet;

/// When a group runs among those that could: whether it does not shrink what it reads, and the rank of its last item.
type Turn = (bool, (usize, usize));

/// Groups after those that they read from. Where there is a choice, first those that write much less than they read, since
/// that may be free then, and the others as they were recorded.
pub(crate) fn order(items: &Items<'_>, groups: &Groups) -> Vec<usize> {
    // How many others each group waits for.
    let mut waits_for = vec![0; groups.groups.len()];
    let mut known: IdSet<(usize, usize)> = IdSet::default();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); groups.groups.len()];
    for (item, &of) in items.items.iter().zip(&groups.of) {
        for read in &item.reads {
            let Base::Item(base, _) = read.base else { continue };
            let from = groups.of[base];
            if from != of && known.insert((from, of)) {
                waits_for[of] += 1;
                readers[from].push(of);
            }
        }
    }
    let shrinks = shrinks(items, groups);
    let turn = |group: usize| -> Option<Turn> {
        let last = *groups.groups[group].as_ref()?.items.last()?;
        Some((!shrinks[group], items.rank[last]))
    };
    let mut ready: BinaryHeap<Reverse<(Turn, usize)>> = BinaryHeap::new();
    for (group, waits) in waits_for.iter().enumerate() {
        if let (true, Some(turn)) = (*waits == 0, turn(group)) {
            ready.push(Reverse((turn, group)));
        }
    }
    let mut order = Vec::new();
    while let Some(Reverse((_, group))) = ready.pop() {
        order.push(group);
        for &reader in &readers[group] {
            waits_for[reader] -= 1;
            if let (true, Some(turn)) = (waits_for[reader] == 0, turn(reader)) {
                ready.push(Reverse((turn, reader)));
            }
        }
    }
    debug_assert_eq!(order.len(), groups.groups.iter().flatten().count(), "groups wait for each other");
    order
}

/// Whether each group writes less than half as many bytes as it reads from others.
fn shrinks(items: &Items<'_>, groups: &Groups) -> Vec<bool> {
    let (mut read, mut written) = (vec![0usize; groups.groups.len()], vec![0usize; groups.groups.len()]);
    let mut is_read: IdSet<(Base, usize)> = IdSet::default();
    let mut is_written: IdSet<Base> = IdSet::default();
    let reads = items
        .items
        .iter()
        .zip(&groups.of)
        .flat_map(|(item, &of)| item.reads.iter().map(move |read| (read.base, Some(of))));
    for (base, reader) in reads.chain(items.wanted.iter().map(|&base| (base, None))) {
        let Base::Item(item, output) = base else { continue };
        let (from, bytes) = (groups.of[item], items.items[item].metas[output].bytes());
        if reader == Some(from) {
            continue;
        }
        if is_written.insert(base) {
            written[from] = written[from].saturating_add(bytes);
        }
        if let Some(reader) = reader.filter(|&reader| is_read.insert((base, reader))) {
            read[reader] = read[reader].saturating_add(bytes);
        }
    }
    read.into_iter().zip(written).map(|(read, written)| written < read / 2).collect()
}
