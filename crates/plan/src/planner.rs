//! From pending nodes to steps. Views become windows on what they view; constants and random numbers are made where they
//! are read.

use crate::collect::Collected;
use crate::plan::{Instruction, Operand, Origin, Plan, Program, Step, ValueId, Work};
use std::collections::HashMap;
use std::sync::Arc;
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::{Compute, Map, Meta};

/// A plan with the buffers it starts from and the outputs it fulfils.
pub(crate) struct Planning {
    pub plan: Plan,
    pub inputs: Vec<Buffer>,
    pub outputs: Vec<Edge>,
}

/// Plans the collected nodes, one kernel for each that computes something.
pub(crate) fn plan(collected: &Collected) -> Planning {
    let mut planner = Planner::default();
    for node in &collected.nodes {
        planner.node(node);
    }
    for edge in &collected.wanted {
        let value = planner.contiguous_edge(edge);
        planner.plan.outputs.push(value);
    }
    planner.drop_unused();
    planner.note_last_uses();
    Planning { plan: planner.plan, inputs: planner.inputs, outputs: collected.wanted.clone() }
}

type Key = (u64, usize);

#[derive(Default)]
struct Planner {
    plan: Plan,
    inputs: Vec<Buffer>,
    /// Where each output's elements are.
    windows: HashMap<Key, Operand>,
    /// Windows that were copied to be contiguous already.
    copies: HashMap<Key, ValueId>,
}

impl Planner {
    fn value(&mut self, meta: Meta) -> ValueId {
        self.plan.values.push(meta);
        self.plan.values.len() - 1
    }

    fn whole(&self, value: ValueId) -> Operand {
        let meta = &self.plan.values[value];
        Operand { value, dtype: meta.dtype, layout: Layout::contiguous(&meta.shape) }
    }

    /// Plans a pending node; views only make a window.
    fn node(&mut self, node: &Arc<Node>) {
        match node.op().compute() {
            Compute::Source => {}
            Compute::View => self.view(node),
            Compute::Map(map) => self.map(node, map),
            other => {
                let takes_windows = other.takes_windows();
                let operands = node.with_inputs(|inputs| {
                    inputs
                        .iter()
                        .map(|input| if takes_windows { self.window(input) } else { self.contiguous(input) })
                        .collect()
                });
                let work = Work::Op(node.op().clone(), node.scalars().to_vec());
                self.step(node, work, operands);
            }
        }
    }

    fn view(&mut self, node: &Arc<Node>) {
        let Some(input) = node.with_inputs(|inputs| inputs.first().cloned()) else { return };
        let output = &node.metas()[0].shape;
        let base = self.window(&input);
        let window = match node.op().view(&base.layout, node.scalars(), output) {
            Some(layout) => Operand { layout, ..base },
            None => {
                let copy = self.contiguous(&input);
                match node.op().view(&copy.layout, node.scalars(), output) {
                    Some(layout) => Operand { layout, ..copy },
                    None => copy,
                }
            }
        };
        self.windows.insert((node.id(), 0), window);
    }

    fn map(&mut self, node: &Arc<Node>, map: Map) {
        let mut code = Vec::new();
        let mut operands = Vec::new();
        let args = node.with_inputs(|inputs| {
            inputs
                .iter()
                .map(|input| {
                    code.push(match generator(input) {
                        Some(instruction) => instruction,
                        None => {
                            let window = self.window(input);
                            operands.push(window.clone());
                            Instruction::Load(operands.len() - 1, window.dtype)
                        }
                    });
                    code.len() - 1
                })
                .collect()
        });
        let meta = &node.metas()[0];
        code.push(Instruction::Map { map, args, dtype: meta.dtype, scalars: node.scalars().to_vec() });
        let stores = vec![code.len() - 1];
        self.step(node, Work::Map(Program { shape: meta.shape.clone(), code, stores }), operands);
    }

    /// Adds the step of a node; its outputs are new contiguous values.
    fn step(&mut self, node: &Arc<Node>, work: Work, operands: Vec<Operand>) {
        let results: Vec<ValueId> = node.metas().iter().map(|meta| self.value(meta.clone())).collect();
        for (output, &value) in results.iter().enumerate() {
            let window = self.whole(value);
            self.windows.insert((node.id(), output), window);
        }
        self.plan.steps.push(Step { work, operands, results, frees: Vec::new(), origin: origin(node) });
    }

    /// Where an edge's elements are; an evaluated one becomes an input of the plan.
    fn window(&mut self, edge: &Edge) -> Operand {
        let key = (edge.node().id(), edge.output());
        if let Some(window) = self.windows.get(&key) {
            return window.clone();
        }
        let meta = edge.meta().cloned().unwrap_or_else(|_| Meta::new([0], DType::U8));
        let value = self.value(meta);
        if let Ok(Some(buffer)) = edge.buffer() {
            self.plan.inputs.push(value);
            self.inputs.push(buffer);
        }
        let window = self.whole(value);
        self.windows.insert(key, window.clone());
        window
    }

    /// An edge's elements in row-major order from the start of a value.
    fn contiguous(&mut self, edge: &Edge) -> Operand {
        let window = self.window(edge);
        let whole = self.plan.values[window.value].shape.count() == window.layout.shape.count();
        if whole && window.layout.is_contiguous() {
            return window;
        }
        let value = self.copy(edge, window);
        self.whole(value)
    }

    fn contiguous_edge(&mut self, edge: &Edge) -> ValueId {
        self.contiguous(edge).value
    }

    fn copy(&mut self, edge: &Edge, window: Operand) -> ValueId {
        let key = (edge.node().id(), edge.output());
        if let Some(&value) = self.copies.get(&key) {
            return value;
        }
        let shape = window.layout.shape.clone();
        let value = self.value(Meta::new(&shape, window.dtype));
        let code = vec![Instruction::Load(0, window.dtype)];
        self.plan.steps.push(Step {
            work: Work::Map(Program { shape, code, stores: vec![0] }),
            operands: vec![window],
            results: vec![value],
            frees: Vec::new(),
            origin: origin(edge.node()),
        });
        self.copies.insert(key, value);
        value
    }

    /// Removes steps that nothing reads: generated tensors that were made where they are read.
    fn drop_unused(&mut self) {
        let mut used = vec![false; self.plan.values.len()];
        self.plan.outputs.iter().for_each(|&value| used[value] = true);
        let steps = std::mem::take(&mut self.plan.steps);
        let mut kept = Vec::with_capacity(steps.len());
        for step in steps.into_iter().rev() {
            if step.results.iter().any(|&value| used[value]) {
                step.operands.iter().for_each(|operand| used[operand.value] = true);
                kept.push(step);
            }
        }
        kept.reverse();
        self.plan.steps = kept;
    }

    /// Notes at each step the values that no later step and no output needs.
    fn note_last_uses(&mut self) {
        let mut needed = vec![false; self.plan.values.len()];
        self.plan.outputs.iter().chain(&self.plan.inputs).for_each(|&value| needed[value] = true);
        for step in self.plan.steps.iter_mut().rev() {
            for value in step.operands.iter().map(|operand| operand.value).chain(step.results.iter().copied()) {
                if !std::mem::replace(&mut needed[value], true) {
                    step.frees.push(value);
                }
            }
        }
    }
}

/// The instruction of a tensor that needs no input and no memory: a constant seen through any window, random numbers and
/// counts seen as they were made.
fn generator(edge: &Edge) -> Option<Instruction> {
    let mut edge = edge.clone();
    let mut seen_through_window = false;
    loop {
        if !matches!(edge.buffer(), Ok(None)) {
            return None;
        }
        let node = edge.node();
        match node.op().compute() {
            Compute::View => {
                seen_through_window = true;
                let base = node.with_inputs(|inputs| inputs.first().cloned())?;
                edge = base;
            }
            Compute::Map(map @ (Map::Constant | Map::Arange | Map::Random(_)))
                if !seen_through_window || matches!(map, Map::Constant) =>
            {
                let dtype = node.metas()[0].dtype;
                return Some(Instruction::Map { map, args: Vec::new(), dtype, scalars: node.scalars().to_vec() });
            }
            _ => return None,
        }
    }
}

fn origin(node: &Node) -> Origin {
    let inputs = node.with_inputs(|inputs| inputs.iter().filter_map(|input| input.meta().ok().cloned()).collect());
    let origin = node.origin();
    Origin { op: node.op().name(), inputs, location: origin.location, scope: origin.scope.clone() }
}
