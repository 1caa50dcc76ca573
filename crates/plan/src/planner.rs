//! From a graph to a plan: items, grouped into kernels, written as steps.

use crate::emit::emit;
use crate::graph::Graph;
use crate::groups::{alone, group};
use crate::items::items;
use crate::plan::Plan;

/// What the planner must know of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most buffers that one kernel binds.
    pub bindings: usize,
    /// Whether steps share kernels; without, each op runs as it was recorded.
    pub fuses: bool,
}

/// Plans a graph.
pub(crate) fn plan(graph: &Graph, limits: Limits) -> Plan {
    let mut items = items(graph);
    let groups = if limits.fuses { group(&mut items, limits.bindings) } else { alone(&mut items) };
    emit(&items, &groups)
}
