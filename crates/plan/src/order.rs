//! In which order kernels run.

use crate::groups::Groups;
use crate::items::{Base, Items};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use wgrad_tensor::ids::IdSet;

/// Groups after those that they read from; where there is a choice, as they were recorded.
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
    let last = |group: usize| {
        let group = groups.groups[group].as_ref()?;
        group.items.last().map(|&item| items.rank[item])
    };
    let mut ready: BinaryHeap<Reverse<((usize, usize), usize)>> = BinaryHeap::new();
    for (group, waits) in waits_for.iter().enumerate() {
        if let (true, Some(last)) = (*waits == 0, last(group)) {
            ready.push(Reverse((last, group)));
        }
    }
    let mut order = Vec::new();
    while let Some(Reverse((_, group))) = ready.pop() {
        order.push(group);
        for &reader in &readers[group] {
            waits_for[reader] -= 1;
            if let (true, Some(last)) = (waits_for[reader] == 0, last(reader)) {
                ready.push(Reverse((last, reader)));
            }
        }
    }
    debug_assert_eq!(order.len(), groups.groups.iter().flatten().count(), "groups wait for each other");
    order
}
