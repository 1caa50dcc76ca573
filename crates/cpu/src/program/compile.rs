//! A program made ready: every register has its loop, and its stage between the reductions.

use super::chain::{Fold, Link};
use super::combine::Combine;
use super::padded::Padded;
use super::pick::Pick;
use super::window::{Access, Cut, Load, Window};
use super::{broken, cast, generate, select, unsupported};
use crate::step::Inputs;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::elementwise::{Basic, Loop};
use wgrad_tensor::error::Problem;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Map;

/// From how many places on it pays to run a loop for each row, rather than to repeat what there is one of for each.
pub const LONG: usize = 128;

/// In which order the places of a program with rows are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Row by row.
    Along,
    /// Position by position, the elements of all rows side by side.
    Across,
}

/// A program made ready for one set of operands.
#[derive(Debug)]
pub struct Compiled<'a> {
    /// The registers; each takes only registers before it.
    pub registers: Vec<Register<'a>>,
    /// What goes into each result.
    pub stores: Vec<usize>,
    /// Constants, as registers with one element for each row.
    pub constants: Vec<usize>,
    /// The other registers with one element for each row that no reduction decides.
    pub first: Vec<usize>,
    /// What comes then.
    pub stages: Vec<Stage>,
}

/// What can be computed at one go.
#[derive(Debug, Default)]
pub struct Stage {
    /// Registers with an element for every place.
    pub full: Vec<usize>,
    /// Then, registers with one for each row: reductions of those, and what is computed from them.
    pub rows: Vec<usize>,
}

#[derive(Debug)]
pub struct Register<'a> {
    /// Where its elements come from.
    pub source: Source<'a>,
    /// The registers it takes.
    pub args: Vec<usize>,
    /// What its elements are.
    pub dtype: DType,
    /// Whether it has one element for each row.
    pub per_row: bool,
    /// How many reductions, one after the other, come before it.
    pub stage: usize,
    /// What it is, if it is a step that chains know.
    pub basic: Option<Basic>,
    /// The reduction of it that is computed with it.
    pub folded: Option<(Fold, usize)>,
    /// Whether one row of it is enough, since all are alike and only chains read it.
    pub one_row: bool,
}

#[derive(Debug)]
pub enum Source<'a> {
    /// An operand.
    Load(Load<'a>),
    /// An operand with numbers around it.
    Padded(Padded<'a>),
    /// An operand in whose place a result is written.
    Before(usize),
    /// These bytes everywhere.
    Constant(Vec<u8>),
    /// A loop over the arguments.
    Map(Loop),
    /// A loop over two arguments for each row, of which it has one element of one and many of the other.
    MapRows(Loop),
    /// Numbers made from positions.
    Generate(generate::Generator, Window, Access),
    /// What the op before gives.
    Product,
    /// The row's element at each of its places.
    Repeat,
    /// Several steps, from the first argument on; maybe, the reduction of what they give.
    Chain(Vec<Link>, Option<Fold>),
    /// A reduction of each row.
    Combine(Combine),
    /// A reduction that is computed with what it reduces.
    Folded,
    /// One element of each row.
    Pick(Pick),
}

impl Source<'_> {
    /// Whether it is the same in all tiles.
    pub fn is_alike(&self) -> bool {
        match self {
            Source::Load(load) => load.access() == Access::Alike,
            Source::Generate(_, _, access) => *access == Access::Alike,
            Source::Constant(_) => true,
            _ => false,
        }
    }

    /// Whether it is the same in all stretches of so many places.
    pub fn is_alike_within(&self, length: usize) -> bool {
        match self {
            Source::Load(load) => {
                load.access() == Access::Alike && load.period().is_some_and(|p| length.is_multiple_of(p))
            }
            Source::Generate(_, window, Access::Alike) => window.period().is_some_and(|p| length.is_multiple_of(p)),
            Source::Constant(_) => true,
            _ => false,
        }
    }

    /// Whether its tiles are read where they lie.
    pub fn lies(&self) -> bool {
        match self {
            Source::Load(load) => matches!(load.access(), Access::Straight | Access::Runs),
            Source::Product | Source::Before(_) => true,
            _ => false,
        }
    }

    /// Whether it may be computed into a result.
    pub fn is_computed(&self) -> bool {
        !self.is_alike() && !self.lies()
    }
}

impl Register<'_> {
    /// Whether computing it takes a walk over all places of a tile.
    pub fn is_walk(&self) -> bool {
        match self.source {
            Source::Chain(..) | Source::Combine(_) => true,
            _ => !self.per_row && self.source.is_computed(),
        }
    }
}

/// Some registers and all that they are computed from, in order.
pub fn needed(registers: &[Register<'_>], roots: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut needed = vec![false; registers.len()];
    roots.for_each(|root| needed[root] = true);
    for i in (0..registers.len()).rev() {
        if needed[i] {
            registers[i].args.iter().for_each(|&arg| needed[arg] = true);
        }
    }
    (0..registers.len()).filter(|&i| needed[i]).collect()
}

/// Compiles a program that [`super::check`] has passed.
pub struct Compiler<'a, 'p> {
    program: &'p Program,
    inputs: Inputs<'a>,
    side: Side,
    cut: Cut,
    registers: Vec<Register<'a>>,
    /// The register of each instruction, and the one that repeats it for every place.
    own: Vec<usize>,
    repeated: Vec<Option<usize>>,
}

impl<'a> Compiled<'a> {
    /// Gives every instruction its loop.
    pub fn new(program: &Program, inputs: Inputs<'a>, side: Side, cut: Cut) -> Result<Self, Problem> {
        let (registers, own, repeated) = (vec![], vec![], vec![None; program.code.len()]);
        let mut compiler = Compiler { program, inputs, side, cut, registers, own, repeated };
        let per_row = program.per_row(inputs.operands);
        for (instruction, per_row) in program.code.iter().zip(per_row) {
            compiler.add(instruction, per_row)?;
        }
        let stores = program.stores.iter().map(|&store| compiler.own[store]).collect();
        let registers = compiler.registers;
        let mut compiled = Compiled { registers, stores, constants: vec![], first: vec![], stages: vec![] };
        compiled.sort();
        Ok(compiled)
    }

    /// Sorts what is needed into stages.
    pub fn sort(&mut self) {
        let Compiled { registers, stores, constants, first, stages } = self;
        [&mut *constants, &mut *first].into_iter().for_each(Vec::clear);
        stages.clear();
        let picks = (0..registers.len()).filter(|&i| matches!(registers[i].source, Source::Pick(_)));
        for i in needed(registers, picks.chain(stores.iter().copied())) {
            let register = &registers[i];
            let count = register.stage + usize::from(!register.per_row);
            stages.resize_with(stages.len().max(count), Stage::default);
            match (register.per_row, register.stage) {
                (true, 0) if matches!(register.source, Source::Constant(_)) => constants.push(i),
                (true, 0) => first.push(i),
                (true, stage) => stages[stage - 1].rows.push(i),
                (false, stage) => stages[stage].full.push(i),
            }
        }
    }

    /// The results that have an element for every place, or one for each row.
    pub fn stores(&self, per_row: bool) -> Vec<usize> {
        (0..self.stores.len()).filter(|&i| self.registers[self.stores[i]].per_row == per_row).collect()
    }

    /// The bytes of a tile of any register with this many elements.
    pub fn tile_bytes(&self, elements: usize) -> usize {
        let size = self.registers.iter().map(|register| register.dtype.size()).max();
        (elements * size.unwrap_or(1)).next_multiple_of(64)
    }
}

impl<'a> Compiler<'a, '_> {
    fn add(&mut self, instruction: &Instruction, per_row: bool) -> Result<(), Problem> {
        let (source, args, dtype) = match *instruction {
            Instruction::Load(number, dtype) => (self.load(number, per_row)?, vec![], dtype),
            Instruction::Product(dtype) => (Source::Product, vec![], dtype),
            Instruction::Generate { map, ref layout, dtype, ref scalars } => {
                let scalars = self.inputs.scalars(scalars);
                let scalar = |i: usize| scalars.get(i).copied().unwrap_or(Scalar::Int(0));
                let generator = match map {
                    Map::Arange => generate::Generator::arange(scalar(0), scalar(1), dtype)?,
                    Map::Random(kind) => generate::Generator::random(kind, scalar(0), scalar(1), dtype)?,
                    _ => return Err(broken()),
                };
                let window = self.window(layout, per_row);
                let access = match window.access(self.cut) {
                    Access::Alike if !per_row => Access::Alike,
                    _ => Access::Scattered,
                };
                (Source::Generate(generator, window, access), vec![], dtype)
            }
            Instruction::Map { map, ref args, dtype, ref scalars } => {
                let given: Vec<DType> = args.iter().map(|&arg| self.registers[self.own[arg]].dtype).collect();
                let scalar = self.inputs.scalars(scalars).first().copied();
                let source = elementwise(map, &given, dtype, scalar.unwrap_or(Scalar::Int(0)))?;
                // In a long row, the loop of two arguments meets a single element of it as it is.
                let meets = self.side == Side::Along && args.len() == 2 && self.program.row_length() >= LONG;
                let args = args.iter().map(|&arg| self.arg(arg, per_row || meets)).collect::<Result<Vec<_>, _>>()?;
                match source {
                    Source::Map(f) if args.iter().any(|&arg| self.registers[arg].per_row != per_row) => {
                        (Source::MapRows(f), args, dtype)
                    }
                    source => (source, args, dtype),
                }
            }
            // Without rows, every place is a row of its own.
            Instruction::Reduce(_, x) if self.program.row_axes == 0 => {
                self.own.push(self.own[x]);
                return Ok(());
            }
            Instruction::Spread(x) => {
                let spread = self.arg(x, false)?;
                self.own.push(spread);
                return Ok(());
            }
            Instruction::Reduce(kind, x) => {
                let x = self.arg(x, false)?;
                let dtype = self.registers[x].dtype;
                (Source::Combine(Combine::new(kind, dtype)?), vec![x], dtype)
            }
            Instruction::Pick([x, index]) => {
                let (x, index) = (self.own[x], self.own[index]);
                let rank = self.program.shape.len();
                let (axis, length) = (rank - self.program.row_axes, self.program.row_length());
                let pick = Pick::new(self.registers[index].dtype, axis, length)?;
                if !self.registers[index].per_row {
                    return Err(broken());
                }
                (Source::Pick(pick), vec![x, index], self.registers[x].dtype)
            }
        };
        self.own.push(self.registers.len());
        self.push(source, args, dtype, per_row);
        if let (Instruction::Map { map: Map::Row(row), .. }, Some(register)) = (instruction, self.registers.last_mut())
        {
            register.basic = row.basic.filter(|_| dtype == DType::F32);
        }
        Ok(())
    }

    fn push(&mut self, source: Source<'a>, args: Vec<usize>, dtype: DType, per_row: bool) {
        let before = args.iter().map(|&arg| self.registers[arg].stage).max().unwrap_or(0);
        let stage = before + usize::from(matches!(source, Source::Combine(_) | Source::Pick(_)));
        self.registers.push(Register {
            source,
            args,
            dtype,
            per_row,
            stage,
            basic: None,
            folded: None,
            one_row: false,
        });
    }

    /// The register of an instruction, as one for each row or as one for every place.
    fn arg(&mut self, arg: usize, per_row: bool) -> Result<usize, Problem> {
        let own = self.own[arg];
        if per_row || !self.registers[own].per_row {
            return Ok(own);
        }
        if let Some(repeated) = self.repeated[arg] {
            return Ok(repeated);
        }
        // What is the same for all tiles is made only once.
        let (source, args) = match (&self.registers[own].source, &self.program.code[arg]) {
            (Source::Constant(bytes), _) => (Source::Constant(bytes.clone()), vec![]),
            (_, &Instruction::Load(number, _)) => (self.load(number, false)?, vec![]),
            _ => (Source::Repeat, vec![own]),
        };
        self.push(source, args, self.registers[own].dtype, false);
        Ok(*self.repeated[arg].insert(self.registers.len() - 1))
    }

    fn load(&self, number: usize, per_row: bool) -> Result<Source<'a>, Problem> {
        let view = self.inputs.views[number];
        if let Some(result) = view.in_result {
            return Ok(Source::Before(result));
        }
        if let Some(padding) = view.padding {
            let along = |layout: &Layout| self.along(layout, per_row);
            return Ok(Source::Padded(Padded::new(view, padding, self.inputs.numbers, along)?));
        }
        let window = self.window(view.layout, per_row);
        if !per_row {
            return Ok(Source::Load(Load::new(view, window, self.cut)));
        }
        // Where rows are empty, nothing has been checked so far.
        let (shape, rank) = (&self.program.shape, self.program.shape.len());
        let once = (0..rank).map(|axis| if axis < rank - self.program.row_axes { shape[axis] } else { 1 });
        view.check(&Layout { shape: once.collect(), ..view.layout.clone() })?;
        Ok(Source::Load(Load::new(view, window, Cut { step: 1, fence: usize::MAX })))
    }

    /// A window over all places, in the order in which they are walked, or over the rows.
    fn window(&self, layout: &Layout, per_row: bool) -> Window {
        let Layout { shape, strides, offset } = self.along(layout, per_row);
        Window::new(shape.iter().copied().zip(strides), offset)
    }

    /// The axes of such a window, in that order.
    fn along(&self, layout: &Layout, per_row: bool) -> Layout {
        let rank = self.program.shape.len();
        let (rows, row) = (0..rank - self.program.row_axes, rank - self.program.row_axes..rank);
        let row = if per_row { 0..0 } else { row };
        let (outer, inner) = if self.side == Side::Along { (rows, row) } else { (row, rows) };
        let axes: Vec<usize> = outer.chain(inner).collect();
        Layout {
            shape: axes.iter().map(|&axis| self.program.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| layout.strides[axis]).collect(),
            offset: layout.offset,
        }
    }
}

fn elementwise<'a>(map: Map, given: &[DType], dtype: DType, scalar: Scalar) -> Result<Source<'a>, Problem> {
    Ok(match (map, given) {
        (Map::Row(row), [first, ..]) if given.len() == row.arity => {
            Source::Map((row.cpu)(*first).ok_or_else(|| unsupported(row.name, *first))?)
        }
        (Map::Where, [DType::Bool, yes, no]) if yes == no => Source::Map(select::of_size(dtype.size())),
        (Map::Cast, [from]) => Source::Map(cast::between(*from, dtype)),
        (Map::Constant, []) => Source::Constant(scalar.to_bytes(dtype)),
        _ => return Err(broken()),
    })
}
