//! Plans that were made already, found by the structure of what they compute.

use crate::graph::{Recorded, Structure};
use crate::plan::Plan;
use std::collections::HashMap;
use std::sync::Arc;

/// Calls of all graphs whose plans are kept: some hundred training steps. Beyond, those unused for longest go.
const KEPT: usize = 500_000;

/// How graphs are hashed. Whatever it gives, their structures are compared in full.
pub(crate) type HashGraph = fn(&Recorded<'_>) -> u64;

/// A bounded cache of plans.
#[derive(Debug)]
pub(crate) struct Cache {
    hash: HashGraph,
    plans: HashMap<u64, Vec<Entry>>,
    calls: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    structure: Structure,
    plan: Arc<Plan>,
    used: u64,
}

impl Cache {
    pub fn new(hash: HashGraph) -> Cache {
        Cache { hash, plans: HashMap::new(), calls: 0, clock: 0 }
    }

    /// The plan of a graph; `make` makes it where it is not there.
    pub fn get(&mut self, recorded: &Recorded<'_>, make: impl FnOnce() -> Plan) -> Arc<Plan> {
        self.clock += 1;
        let hash = (self.hash)(recorded);
        let entries = self.plans.entry(hash).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| recorded.is(&entry.structure)) {
            entry.used = self.clock;
            return entry.plan.clone();
        }
        let plan = Arc::new(make());
        let structure = recorded.structure();
        let calls = structure.calls();
        if calls <= KEPT {
            entries.push(Entry { structure, plan: plan.clone(), used: self.clock });
            self.calls += calls;
        }
        while self.calls > KEPT {
            self.forget();
        }
        plan
    }

    /// Forgets the older half.
    fn forget(&mut self) {
        let mut used: Vec<u64> = self.plans.values().flatten().map(|entry| entry.used).collect();
        used.sort_unstable();
        let newer = used[used.len() / 2];
        self.plans.values_mut().for_each(|entries| entries.retain(|entry| entry.used > newer));
        self.plans.retain(|_, entries| !entries.is_empty());
        self.calls = self.plans.values().flatten().map(|entry| entry.structure.calls()).sum();
    }
}
