//! Plans that were made already, found by the structure of what they compute.

use crate::graph::Graph;
use crate::plan::Plan;
use std::collections::HashMap;
use std::sync::Arc;

/// Calls of all graphs whose plans are kept: some hundred training steps. Beyond, those unused for longest go.
const KEPT: usize = 500_000;

/// How graphs are hashed. Whatever it gives, graphs are compared in full.
pub(crate) type HashGraph = fn(&Graph) -> u64;

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
    graph: Graph,
    plan: Arc<Plan>,
    used: u64,
}

impl Cache {
    pub fn new(hash: HashGraph) -> Cache {
        Cache { hash, plans: HashMap::new(), calls: 0, clock: 0 }
    }

    /// The plan of a graph; `make` makes it where it is not there.
    pub fn get(&mut self, graph: Graph, make: impl FnOnce(&Graph) -> Plan) -> Arc<Plan> {
        self.clock += 1;
        let hash = (self.hash)(&graph);
        let entries = self.plans.entry(hash).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.graph == graph) {
            entry.used = self.clock;
            return entry.plan.clone();
        }
        let plan = Arc::new(make(&graph));
        let calls = graph.calls.len();
        if calls <= KEPT {
            entries.push(Entry { graph, plan: plan.clone(), used: self.clock });
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
        self.calls = self.plans.values().flatten().map(|entry| entry.graph.calls.len()).sum();
    }
}
