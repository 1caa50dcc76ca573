//! From groups of items to steps.

use crate::groups::{Form, Group, Groups};
use crate::items::{Base, Items, Kind};
use crate::memory::{capacities, in_place};
use crate::order::order;
use crate::padding::Padding;
use crate::plan::{Instruction, Operand, Plan, Program, Step, ValueId, Work};
use crate::read::{Read, Starts};
use crate::space::{along_rows, shape};
use wgrad_tensor::ids::IdMap;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Map, Meta, Product};
use wgrad_tensor::shape::Shape;

/// The steps of the groups, in an order in which each finds what it reads.
pub(crate) fn emit(items: &Items<'_>, groups: &Groups) -> Plan {
    let mut emitter = Emitter {
        items,
        groups,
        plan: Plan::default(),
        values: IdMap::default(),
        is_stored: vec![false; items.items.len()],
        is_needed: vec![false; items.items.len()],
        registers: vec![None; items.items.len()],
    };
    for (input, meta) in items.graph.inputs.iter().enumerate() {
        let value = emitter.value(meta.clone());
        emitter.values.insert(Base::Input(input), value);
        emitter.plan.inputs.push(value);
    }
    let order = order(items, groups);
    emitter.note_stored(&order);
    for &group in &order {
        if let Some(group) = &groups.groups[group] {
            emitter.group(group);
        }
    }
    for base in &items.wanted {
        let value = emitter.base(*base);
        emitter.plan.outputs.push(value);
    }
    emitter.note_last_uses();
    let mut plan = emitter.plan;
    let mut is_input = vec![false; plan.values.len()];
    plan.inputs.iter().for_each(|&input| is_input[input] = true);
    for step in 0..plan.steps.len() {
        plan.steps[step].in_place = in_place(&plan, &plan.steps[step], &is_input);
    }
    plan.capacities = capacities(&plan);
    plan.barriers = plan.count_barriers();
    plan
}

struct Emitter<'p, 'a> {
    items: &'p Items<'a>,
    groups: &'p Groups,
    plan: Plan,
    values: IdMap<Base, ValueId>,
    /// Which items are written to memory, and which lead to such a one in their group.
    is_stored: Vec<bool>,
    is_needed: Vec<bool>,
    /// The register that holds each item, in the program of its group.
    registers: Vec<Option<usize>>,
}

impl Emitter<'_, '_> {
    fn value(&mut self, meta: Meta) -> ValueId {
        self.plan.values.push(meta);
        self.plan.values.len() - 1
    }

    fn base(&mut self, base: Base) -> ValueId {
        if let Some(&value) = self.values.get(&base) {
            return value;
        }
        let meta = match base {
            Base::Item(item, output) => self.items.items[item].metas[output].clone(),
            Base::Input(input) => self.items.graph.inputs[input].clone(),
        };
        let value = self.value(meta);
        self.values.insert(base, value);
        value
    }

    /// Finds, from the last group on, what other groups read, and what leads there.
    fn note_stored(&mut self, order: &[usize]) {
        let items = self.items;
        for &base in &items.wanted {
            self.note_read(base);
        }
        for &group in order.iter().rev() {
            let Some(found) = &self.groups.groups[group] else { continue };
            if found.form == Form::Program && !found.items.iter().any(|&item| self.is_stored[item]) {
                continue;
            }
            for &item in found.items.iter().rev() {
                let is_program = !matches!(items.items[item].kind, Kind::Contraction | Kind::Op);
                self.is_needed[item] |= self.is_stored[item];
                if is_program && !self.is_needed[item] {
                    continue;
                }
                for read in &items.items[item].reads {
                    let Base::Item(base, _) = read.base else { continue };
                    if self.groups.of[base] == group {
                        self.is_needed[base] = true;
                    } else if !is_program || !items.items[base].is_free {
                        self.note_read(read.base);
                    }
                }
            }
        }
    }

    fn note_read(&mut self, base: Base) {
        if let Base::Item(item, _) = base {
            self.is_stored[item] = true;
        }
    }

    fn group(&mut self, group: &Group) {
        match group.form {
            Form::Program if group.items.iter().any(|&item| self.is_stored[item]) => {
                let mut writer = Writer::new(self, group, Vec::new());
                writer.write(None);
                let (program, operands, results) = writer.finish();
                self.step(group, Work::Program(program), operands, results);
            }
            Form::Program => {}
            Form::Op => {
                let item = group.items[0];
                let operands = self.op_operands(item);
                let outputs = self.items.items[item].metas.len();
                let results = (0..outputs).map(|output| self.base(Base::Item(item, output))).collect();
                let work = self.op(item, None);
                self.step(group, work, operands, results);
            }
            Form::Contraction => {
                let contracts = |item: &usize| matches!(self.items.items[*item].kind, Kind::Contraction);
                let Some(item) = group.items.iter().copied().find(contracts) else { return };
                let operands = self.op_operands(item);
                if group.items.len() == 1 {
                    let result = self.base(Base::Item(item, 0));
                    let work = self.op(item, None);
                    self.step(group, work, operands, vec![result]);
                    return;
                }
                let mut writer = Writer::new(self, group, operands);
                writer.write(Some(item));
                let (program, operands, results) = writer.finish();
                // What is nothing but the product, in its own shape, needs no program.
                let plain = matches!(program.code[..], [Instruction::Product(_)])
                    && matches!(results[..], [result] if self.plan.values[result] == self.items.items[item].metas[0]);
                let work = self.op(item, if plain { None } else { Some(program) });
                self.step(group, work, operands, results);
            }
        }
    }

    fn op(&self, item: usize, then: Option<Program>) -> Work {
        let call = &self.items.graph.calls[self.items.items[item].call];
        // What is multiplied is what its operands' windows show.
        let op = match call.op.compute() {
            Compute::Matmul(_) => Product::default().op(),
            _ => call.op.clone(),
        };
        Work::Op { op, scalars: call.numbers.clone(), then }
    }

    fn op_operands(&mut self, item: usize) -> Vec<Operand> {
        let items = self.items;
        let operand = |read: &Read| Operand {
            value: self.base(read.base),
            dtype: read.dtype,
            layout: read.layout.clone(),
            starts: read.starts.clone(),
            padding: read.padding.clone(),
        };
        items.items[item].reads.iter().map(operand).collect()
    }

    fn step(&mut self, group: &Group, work: Work, operands: Vec<Operand>, results: Vec<ValueId>) {
        let mut calls: Vec<usize> = group.items.iter().map(|&item| self.items.items[item].call).collect();
        calls.sort_unstable();
        calls.dedup();
        self.plan.steps.push(Step { work, operands, results, frees: Vec::new(), in_place: Vec::new(), calls });
    }

    /// Notes at each step the values that no later step and no output needs.
    fn note_last_uses(&mut self) {
        let mut needed = vec![false; self.plan.values.len()];
        self.plan.outputs.iter().for_each(|&value| needed[value] = true);
        for step in self.plan.steps.iter_mut().rev() {
            for value in step.operands.iter().map(|operand| operand.value).chain(step.results.iter().copied()) {
                if !std::mem::replace(&mut needed[value], true) {
                    step.frees.push(value);
                }
            }
        }
    }
}

/// Writes one group's program.
struct Writer<'w, 'p, 'a> {
    emitter: &'w mut Emitter<'p, 'a>,
    group: &'w Group,
    program: Program,
    /// Which registers have one element for each row.
    per_row: Vec<bool>,
    operands: Vec<Operand>,
    /// The registers of what is the same everywhere.
    constants: IdMap<usize, usize>,
    loads: IdMap<(ValueId, Layout, Starts, Padding), usize>,
    results: Vec<ValueId>,
}

impl<'w, 'p, 'a> Writer<'w, 'p, 'a> {
    fn new(emitter: &'w mut Emitter<'p, 'a>, group: &'w Group, operands: Vec<Operand>) -> Self {
        let (shape, row_axes) = match group.count {
            // An empty index space has no breaks to go by; its only item says how it looks.
            0 => empty(emitter.items, group),
            count => shape(count, &group.breaks, group.row),
        };
        Writer {
            emitter,
            group,
            program: Program { shape, row_axes, code: Vec::new(), stores: Vec::new() },
            per_row: Vec::new(),
            operands,
            constants: IdMap::default(),
            loads: IdMap::default(),
            results: Vec::new(),
        }
    }

    /// Writes all items; `product` is the op whose elements the program takes.
    fn write(&mut self, product: Option<usize>) {
        let (items, group) = (self.emitter.items, self.group);
        for &number in &group.items {
            if !self.emitter.is_needed[number] {
                continue;
            }
            let item = &items.items[number];
            let instruction = match item.kind {
                _ if product == Some(number) => Instruction::Product(item.metas[0].dtype),
                Kind::Copy => {
                    let register = self.argument(number, 0);
                    self.emitter.registers[number] = Some(register);
                    self.store(number, register);
                    continue;
                }
                Kind::Map(map) => {
                    let args: Vec<usize> = (0..item.reads.len()).map(|read| self.argument(number, read)).collect();
                    let scalars = item.numbers.clone();
                    match map {
                        Map::Arange | Map::Random(_) => {
                            let layout = Layout::contiguous(&self.program.shape);
                            Instruction::Generate { map, layout, dtype: item.metas[0].dtype, scalars }
                        }
                        _ => Instruction::Map { map, args, dtype: item.metas[0].dtype, scalars },
                    }
                }
                Kind::Reduce(reduction, _) => Instruction::Reduce(reduction, self.argument(number, 0)),
                Kind::Pick(_) => Instruction::Pick([self.argument(number, 0), self.argument(number, 1)]),
                Kind::Contraction | Kind::Op => continue,
            };
            let register = self.push(instruction);
            self.emitter.registers[number] = Some(register);
            self.store(number, register);
        }
    }

    /// The register that holds what an instruction gives; the same one for the same instruction.
    fn push(&mut self, instruction: Instruction) -> usize {
        if let Some(register) = self.program.code.iter().position(|known| *known == instruction) {
            return register;
        }
        self.per_row.push(self.program.gives_rows(&instruction, &self.operands, &self.per_row));
        self.program.code.push(instruction);
        self.program.code.len() - 1
    }

    fn store(&mut self, item: usize, register: usize) {
        if self.emitter.is_stored[item] {
            let everywhere = !self.emitter.groups.per_row[item];
            let stored =
                if everywhere && self.per_row[register] { self.push(Instruction::Spread(register)) } else { register };
            self.program.stores.push(stored);
            let value = self.emitter.base(Base::Item(item, 0));
            self.results.push(value);
        }
    }

    /// The register of what an item reads.
    fn argument(&mut self, item: usize, number: usize) -> usize {
        let items = self.emitter.items;
        let read = &items.items[item].reads[number];
        if let Base::Item(base, _) = read.base {
            let is_here = self.emitter.groups.of[base] == self.emitter.groups.of[item];
            if let (true, Some(register)) = (is_here, self.emitter.registers[base]) {
                return register;
            }
            if items.items[base].is_free {
                let window = self.window(item, number, read).layout;
                return self.made_again(base, window);
            }
        }
        let Read { layout, mut starts, mut padding, .. } = self.window(item, number, read);
        let value = self.emitter.base(read.base);
        if self.group.count == 0 {
            // Nothing is read from an empty window, wherever it starts.
            (starts, padding) = Default::default();
        }
        let key = (value, layout, starts, padding);
        if let Some(&register) = self.loads.get(&key) {
            return register;
        }
        let (value, layout, starts, padding) = key.clone();
        self.operands.push(Operand { value, dtype: read.dtype, layout, starts, padding });
        let register = self.push(Instruction::Load(self.operands.len() - 1, read.dtype));
        self.loads.insert(key, register);
        register
    }

    /// The register of what needs no value, seen through a window.
    fn made_again(&mut self, free: usize, window: Layout) -> usize {
        let items = self.emitter.items;
        let item = &items.items[free];
        let (dtype, scalars) = (item.metas[0].dtype, item.numbers.clone());
        let instruction = match item.kind {
            Kind::Map(map @ (Map::Arange | Map::Random(_))) => {
                Instruction::Generate { map, layout: window, dtype, scalars }
            }
            Kind::Map(map) => {
                if let Some(&register) = self.constants.get(&free) {
                    return register;
                }
                let bases = item.reads.iter().filter_map(|read| match read.base {
                    Base::Item(base, _) => Some(base),
                    Base::Input(_) => None,
                });
                let args = bases.map(|base| self.made_again(base, window.clone())).collect();
                let register = self.push(Instruction::Map { map, args, dtype, scalars });
                self.constants.insert(free, register);
                return register;
            }
            _ => return 0,
        };
        self.push(instruction)
    }

    /// A read's window over the program's index space.
    fn window(&self, item: usize, number: usize, read: &Read) -> Read {
        let over_places = match self.emitter.items.items[item].kind {
            Kind::Reduce(..) => true,
            Kind::Pick(_) => number == 0,
            _ => !self.emitter.groups.per_row[item],
        };
        let Program { shape, row_axes, .. } = &self.program;
        let seen = match over_places {
            true => read.seen(|layout| layout.reshaped(shape)),
            false => read.seen(|layout| along_rows(layout, shape, *row_axes)),
        };
        debug_assert!(seen.is_some(), "the index space has the breaks of all its windows");
        seen.unwrap_or_else(|| read.clone())
    }

    fn finish(self) -> (Program, Vec<Operand>, Vec<ValueId>) {
        (self.program, self.operands, self.results)
    }
}

/// The index space of a group of one item that has no places.
fn empty(items: &Items<'_>, group: &Group) -> (Shape, usize) {
    let item = &items.items[group.items[0]];
    let Kind::Reduce(_, row) = item.kind else { return (item.metas[0].shape.clone(), 0) };
    (Shape::from([item.metas[0].shape.count(), row]), 1)
}
