//! A program made ready: every register has its place, every instruction its loop.

use super::load::{Blocks, Load};
use super::{cast, generate, select};
use crate::view::View;
use std::mem::take;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::elementwise::Loop;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Map;

/// A program made ready for one set of operands.
#[derive(Debug)]
pub struct Compiled<'a> {
    registers: Vec<Register<'a>>,
    once: Vec<usize>,
    each: Vec<usize>,
    /// What goes into each result.
    pub stores: Vec<Store>,
    /// How many blocks of scratch memory a task needs; cells beyond them are the results' blocks.
    pub slots: usize,
    /// The bytes of each.
    pub slot_bytes: usize,
}

/// A result: the register it takes, and whether that is computed elsewhere and must be copied.
#[derive(Debug)]
pub struct Store {
    register: usize,
    copy: bool,
    /// The result's dtype.
    pub dtype: DType,
}

#[derive(Debug)]
struct Register<'a> {
    source: Source<'a>,
    args: Vec<usize>,
    dtype: DType,
    /// The cell that holds it; `None` if it is read where it lies.
    cell: Option<usize>,
}

#[derive(Debug)]
enum Source<'a> {
    Load(Load<'a>),
    Constant(Vec<u8>),
    Row(Loop),
    Generate(generate::Generator),
}

impl<'a> Compiled<'a> {
    /// Gives every register its loop and its place.
    pub fn new(program: &Program, operands: &[View<'a>], blocks: &Blocks) -> Result<Self, Problem> {
        let mut registers: Vec<Register<'a>> = Vec::with_capacity(program.code.len());
        for instruction in &program.code {
            let register = register(instruction, &registers, operands, blocks)?;
            registers.push(register);
        }
        let stores = program.stores.iter().map(|&register| {
            let dtype = registers.get(register).ok_or_else(broken)?.dtype;
            Ok(Store { register, copy: true, dtype })
        });
        let stores = stores.collect::<Result<Vec<_>, Problem>>()?;
        let size = registers.iter().map(|register| register.dtype.size()).max().unwrap_or(1);
        let slot_bytes = (blocks.longest() * size).next_multiple_of(64);
        let mut compiled = Compiled { registers, once: vec![], each: vec![], stores, slots: 0, slot_bytes };
        compiled.place();
        Ok(compiled)
    }

    /// Gives every register that is computed a cell: a result's block, or scratch memory that is free again after
    /// the last use.
    fn place(&mut self) {
        let mut last_use: Vec<usize> = (0..self.registers.len()).collect();
        for (i, register) in self.registers.iter().enumerate() {
            register.args.iter().for_each(|&arg| last_use[arg] = i);
        }
        self.stores.iter().for_each(|store| last_use[store.register] = usize::MAX);
        let mut in_result = vec![None; self.registers.len()];
        for (i, store) in self.stores.iter_mut().enumerate() {
            let computed = matches!(self.registers[store.register].source, Source::Row(_) | Source::Generate(_));
            if computed && in_result[store.register].is_none() {
                in_result[store.register] = Some(i);
                store.copy = false;
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for (i, result) in in_result.iter().enumerate() {
            let (once, lies) = match &self.registers[i].source {
                Source::Load(load) => (load.is_alike(), load.lies()),
                Source::Constant(_) => (true, false),
                Source::Row(_) | Source::Generate(_) => (false, false),
            };
            if lies {
                continue;
            }
            if once { &mut self.once } else { &mut self.each }.push(i);
            if result.is_none() {
                let cell = if once { None } else { free.pop() }.unwrap_or(self.slots);
                self.slots = self.slots.max(cell + 1);
                self.registers[i].cell = Some(cell);
            }
            let args = self.registers[i].args.iter();
            let mut dying: Vec<usize> = args.copied().chain([i]).filter(|&arg| last_use[arg] == i).collect();
            dying.sort_unstable();
            dying.dedup();
            dying.retain(|&arg| !self.once.contains(&arg));
            free.extend(dying.iter().filter_map(|&arg| self.registers[arg].cell));
        }
        for (register, result) in self.registers.iter_mut().zip(in_result) {
            if let Some(result) = result {
                register.cell = Some(self.slots + result);
            }
        }
    }

    /// Fills the cells that are the same for every block.
    pub fn fill_once(&self, blocks: &Blocks, cells: &mut [&mut [u8]]) {
        for &i in &self.once {
            let register = &self.registers[i];
            let Some(cell) = register.cell else { continue };
            match &register.source {
                Source::Load(load) => load.collect(blocks, 0, cells[cell]),
                Source::Constant(bytes) => generate::splat(bytes, cells[cell]),
                Source::Row(_) | Source::Generate(_) => {}
            }
        }
    }

    /// Runs the program over a block. The results' cells are the block's part of them.
    pub fn run(&self, blocks: &Blocks, block: usize, cells: &mut [&mut [u8]]) {
        let range = blocks.range(block);
        for &i in &self.each {
            let register = &self.registers[i];
            let Some(cell) = register.cell else { continue };
            let whole = take(&mut cells[cell]);
            let out = &mut whole[..range.len() * register.dtype.size()];
            match &register.source {
                Source::Load(load) => load.collect(blocks, block, out),
                Source::Row(f) => {
                    let mut args: [&[u8]; 3] = [&[]; 3];
                    for (slice, &arg) in args.iter_mut().zip(&register.args) {
                        *slice = self.value(arg, blocks, block, cells);
                    }
                    f(&args[..register.args.len()], out);
                }
                Source::Generate(generator) => generator.fill(range.start as u64, out),
                Source::Constant(_) => {}
            }
            cells[cell] = whole;
        }
        for (i, store) in self.stores.iter().enumerate().filter(|(_, store)| store.copy) {
            let out = take(&mut cells[self.slots + i]);
            out.copy_from_slice(self.value(store.register, blocks, block, cells));
            cells[self.slots + i] = out;
        }
    }

    /// A register's block.
    fn value<'b>(&'b self, register: usize, blocks: &Blocks, block: usize, cells: &'b [&mut [u8]]) -> &'b [u8] {
        let register = &self.registers[register];
        match (&register.source, register.cell) {
            (_, Some(cell)) => &cells[cell][..blocks.range(block).len() * register.dtype.size()],
            (Source::Load(load), None) => load.slice(blocks, block).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn register<'a>(
    instruction: &Instruction,
    before: &[Register<'a>],
    operands: &[View<'a>],
    blocks: &Blocks,
) -> Result<Register<'a>, Problem> {
    let (map, args, dtype, scalars) = match instruction {
        &Instruction::Load(number, dtype) => {
            let view = *operands.get(number).filter(|view| view.dtype == dtype).ok_or_else(broken)?;
            let source = Source::Load(Load::new(view, number, blocks));
            return Ok(Register { source, args: vec![], dtype, cell: None });
        }
        Instruction::Map { map, args, dtype, scalars } => (map, args, *dtype, scalars),
    };
    let given = args.iter().map(|&arg| before.get(arg).map(|register| register.dtype));
    let given = given.collect::<Option<Vec<_>>>().ok_or_else(broken)?;
    let scalar = |i: usize| scalars.get(i).copied().unwrap_or(Scalar::Int(0));
    let source = match (*map, &*given) {
        (Map::Row(row), [first, ..]) if given.len() == row.arity => {
            Source::Row((row.cpu)(*first).ok_or_else(|| unsupported(row.name, *first))?)
        }
        (Map::Where, [DType::Bool, yes, no]) if yes == no => Source::Row(select::of_size(dtype.size())),
        (Map::Cast, [from]) => Source::Row(cast::between(*from, dtype)),
        (Map::Constant, []) => Source::Constant(scalar(0).to_bytes(dtype)),
        (Map::Arange, []) => Source::Generate(generate::Generator::arange(scalar(0), scalar(1), dtype)?),
        (Map::Random(kind), []) => Source::Generate(generate::Generator::random(kind, scalar(0), scalar(1), dtype)?),
        _ => return Err(broken()),
    };
    Ok(Register { source, args: args.clone(), dtype, cell: None })
}

fn broken() -> Problem {
    Problem::new(ErrorKind::Value, "is a program whose instructions do not fit together")
}

/// An operation that has no loop for a dtype.
pub fn unsupported(name: &str, dtype: DType) -> Problem {
    Problem::new(ErrorKind::Unsupported, format!("{name} of {dtype} is not there on the CPU"))
}
