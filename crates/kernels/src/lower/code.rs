//! A program's instructions as WGSL expressions, their numbers as parameters, and what identifies both.

use super::Input;
use super::cast::{cast, register, stored};
use crate::params::Params;
use crate::pipelines::Key;
use std::fmt::Write;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::error::{ErrorKind, Problem, Result};
use wgrad_tensor::op::{Map, Random, Reduction};

/// A program with what follows from its instructions.
pub(crate) struct Code<'a> {
    pub program: &'a Program,
    pub dtypes: Vec<DType>,
    /// Each instruction's first number.
    first: Vec<usize>,
    numbers: Vec<Number>,
}

/// A field for one of the run's numbers.
struct Number {
    dtype: DType,
    /// Its place among them.
    scalar: usize,
    /// Which half of its bits the field has, where it does not have the number itself.
    half: Option<usize>,
}

impl<'a> Code<'a> {
    pub fn new(program: &'a Program, inputs: &[Input]) -> Self {
        let (mut first, mut numbers) = (Vec::with_capacity(program.code.len()), Vec::new());
        for instruction in &program.code {
            first.push(numbers.len());
            let mut whole = |dtype, scalar| numbers.push(Number { dtype, scalar, half: None });
            match instruction {
                Instruction::Load(operand, dtype) => {
                    let bounds = inputs.get(*operand).map_or(&[][..], |input| &input.padding.bounds);
                    bounds.iter().for_each(|bound| whole(*dtype, bound.number));
                }
                Instruction::Map { map: Map::Constant, dtype, scalars, .. } => whole(*dtype, scalars.start),
                Instruction::Generate { map: Map::Random(_), scalars, .. } => {
                    let halves = (0..4).map(|at| (scalars.start + at / 2, Some(at % 2)));
                    numbers.extend(halves.map(|(scalar, half)| Number { dtype: DType::U32, scalar, half }));
                }
                Instruction::Generate { dtype, scalars, .. } => {
                    whole(*dtype, scalars.start);
                    whole(*dtype, scalars.start + 1);
                }
                _ => {}
            }
        }
        Code { program, dtypes: program.dtypes(), first, numbers }
    }

    /// The dtypes of what is stored.
    pub fn stores(&self) -> Vec<DType> {
        self.program.stores.iter().map(|&store| self.dtypes[store]).collect()
    }

    /// Whether it takes numbers of 8 bytes: their fields stand first, where `Params` has no gaps.
    pub fn has_wide_numbers(&self) -> bool {
        self.numbers.iter().any(|number| number.dtype == DType::F64)
    }

    /// The numbers' fields of `Params`, the widest first.
    pub fn fields(&self) -> String {
        let mut text = String::new();
        for (place, number) in self.wide_first() {
            let _ = writeln!(text, "    number{place}: {},", stored(number.dtype));
        }
        text
    }

    /// The values of [`Code::fields`].
    pub fn params(&self) -> Params {
        let mut params = Params::default();
        for (_, &Number { dtype, scalar, half }) in self.wide_first() {
            match half {
                Some(half) => params.bits(scalar, half),
                None => params.number(scalar, dtype, if dtype == DType::F64 { 2 } else { 1 }),
            }
        }
        params
    }

    fn wide_first(&self) -> impl Iterator<Item = (usize, &Number)> {
        let of = |wide: bool| move |(_, number): &(usize, &Number)| (number.dtype == DType::F64) == wide;
        let all = || self.numbers.iter().enumerate();
        all().filter(of(true)).chain(all().filter(of(false)))
    }

    /// All that the instructions add to a text.
    pub fn key(&self, mut key: Key) -> Key {
        key = key.number(self.program.code.len());
        for (instruction, &dtype) in self.program.code.iter().zip(&self.dtypes) {
            key = key.number(dtype as usize);
            key = match instruction {
                Instruction::Load(operand, _) => key.number(0).number(*operand),
                Instruction::Map { map, .. } | Instruction::Generate { map, .. } => match map {
                    // Rows are statics: their address is their identity.
                    Map::Row(row) => key.number(1).number(std::ptr::from_ref(*row).addr()),
                    Map::Where => key.number(2),
                    Map::Cast => key.number(3),
                    Map::Constant => key.number(4),
                    Map::Arange => key.number(5),
                    Map::Random(random) => key.number(6).number(*random as usize),
                },
                Instruction::Reduce(reduction, _) => key.number(7).number(*reduction as usize),
                Instruction::Pick(_) => key.number(8),
                Instruction::Product(_) => key.number(9),
                Instruction::Spread(_) => key.number(10),
            };
            key = instruction.args().iter().fold(key.number(instruction.args().len()), |key, &arg| key.number(arg));
        }
        self.program.stores.iter().fold(key.number(self.program.stores.len()), |key, &store| key.number(store))
    }

    /// A name for the kernel, of the rows that it computes.
    pub fn label(&self, kind: &str) -> String {
        let names = self.program.code.iter().filter_map(|instruction| match instruction {
            Instruction::Map { map: Map::Row(row), .. } => Some(row.name.to_owned()),
            Instruction::Reduce(reduction, _) => Some(format!("{reduction:?}").to_lowercase()),
            Instruction::Pick(_) => Some("pick".to_owned()),
            _ => None,
        });
        names.take(6).fold(kind.to_owned(), |label, name| label + " " + &name)
    }

    /// The statement that defines register `at`. `source` says where a load finds its element, which position a generated
    /// number has, and what a product is called.
    pub fn define(&self, at: usize, source: &dyn Fn(usize) -> String) -> Result<String, Problem> {
        Ok(format!("let r{at} = {};\n", self.value(at, source)?))
    }

    /// What a load shows that finds `value`: the number of the outermost bound that its place is not inside of.
    pub fn padded(&self, at: usize, value: String, inside: impl Iterator<Item = String>) -> String {
        let number = |bound| constant(self.dtypes[at], &format!("params.number{}", self.first[at] + bound));
        let show = |value, (bound, inside)| format!("select({}, {value}, {inside})", number(bound));
        inside.enumerate().fold(value, show)
    }

    fn value(&self, at: usize, source: &dyn Fn(usize) -> String) -> Result<String, Problem> {
        let dtype = self.dtypes[at];
        let number = |place: usize| format!("params.number{}", self.first[at] + place);
        let (map, args) = match &self.program.code[at] {
            Instruction::Map { map, args, .. } => (map, args),
            Instruction::Generate { map, .. } => return generate(*map, dtype, &source(at), &number),
            Instruction::Spread(x) => return Ok(format!("r{x}")),
            _ => return Ok(source(at)),
        };
        let lacking = || Problem::new(ErrorKind::Value, "lacks an argument");
        let arg = |place: usize| args.get(place).map(|register| format!("r{register}")).ok_or_else(lacking);
        let arg_dtype = || args.first().and_then(|&register| self.dtypes.get(register)).copied().ok_or_else(lacking);
        Ok(match map {
            Map::Row(row) => {
                let names: Vec<String> = (0..row.arity).map(arg).collect::<Result<_, _>>()?;
                row_value(row, arg_dtype()?, &names)?
            }
            Map::Where => format!("select({}, {}, {})", arg(2)?, arg(1)?, arg(0)?),
            Map::Cast => cast(&arg(0)?, arg_dtype()?, dtype),
            Map::Constant => constant(dtype, &number(0)),
            Map::Arange | Map::Random(_) => {
                return Err(Problem::new(ErrorKind::Value, "is made from positions, of which it has none"));
            }
        })
    }
}

/// A register with a number that is a parameter.
fn constant(dtype: DType, number: &str) -> String {
    if dtype == DType::Bool { format!("({number} != 0u)") } else { number.to_owned() }
}

/// The place of an element that is there, where the window may reach beyond: the first element stands in for others.
pub(crate) fn clamped(place: String, inside: impl Iterator<Item = String>) -> String {
    match inside.reduce(|all, inside| format!("{all} && {inside}")) {
        Some(inside) => format!("select(0u, {place}, {inside})"),
        None => place,
    }
}

/// The number made from a position.
fn generate(map: Map, dtype: DType, position: &str, number: &dyn Fn(usize) -> String) -> Result<String, Problem> {
    let Map::Random(random) = map else {
        return Ok(format!("{} + {} * {}", number(0), number(1), cast(position, DType::U32, dtype)));
    };
    let words = format!(
        "philox(vec4<u32>({position}, 0u, {}, {}), vec2<u32>({}, {}))",
        number(2),
        number(3),
        number(0),
        number(1)
    );
    Ok(match (random, dtype) {
        (Random::Bits, _) => format!("{words}.x"),
        (Random::Uniform, DType::F64) => format!("random_uniform_f64({words})"),
        (Random::Uniform, _) => format!("random_uniform({words})"),
        (Random::Normal, DType::F64) => {
            return Err(Problem::new(ErrorKind::Unsupported, "is not made in f64 on a GPU; cast from f32"));
        }
        (Random::Normal, _) => format!("random_normal({words})"),
    })
}

/// A row's expression with its arguments in place.
fn row_value(row: &Elementwise, dtype: DType, args: &[String]) -> Result<String, Problem> {
    if !row.dtypes.contains(&dtype) || (dtype == DType::F64 && !row.wgsl_f64) {
        let message = format!("{} is not computed in {dtype} on a GPU; use f32, or the CPU", row.name);
        return Err(Problem::new(ErrorKind::Unsupported, message));
    }
    let whole = if dtype.is_float() { None } else { row.wgsl_integer };
    let pattern = whole.unwrap_or(row.wgsl).replace("TYPE", dtype.name());
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut word = String::new();
    for c in pattern.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let place = ["x", "y", "z"].iter().position(|name| *name == word);
        text.push_str(place.and_then(|place| args.get(place)).unwrap_or(&word));
        word.clear();
        text.push(c);
    }
    Ok(text.trim_end().to_owned())
}

/// How a reduction combines two numbers.
pub(crate) fn combine(reduction: Reduction, dtype: DType, x: &str, y: &str) -> String {
    match reduction {
        Reduction::Sum => format!("{x} + {y}"),
        Reduction::Prod => format!("{x} * {y}"),
        Reduction::Max => format!("max_{dtype}({x}, {y})"),
        Reduction::Min => format!("min_{dtype}({x}, {y})"),
    }
}

/// What changes nothing in a reduction.
pub(crate) fn identity(reduction: Reduction, dtype: DType) -> String {
    match (reduction, dtype) {
        (Reduction::Sum, _) => format!("{}(0)", register(dtype)),
        (Reduction::Prod, _) => format!("{}(1)", register(dtype)),
        (Reduction::Max, DType::U32) => "0u".to_owned(),
        (Reduction::Min, DType::U32) => "0xffffffffu".to_owned(),
        (Reduction::Max, DType::I32) => "bitcast<i32>(0x80000000u)".to_owned(),
        (Reduction::Min, DType::I32) => "0x7fffffff".to_owned(),
        (Reduction::Max, _) => format!("{}(-infinity_f32())", register(dtype)),
        (Reduction::Min, _) => format!("{}(infinity_f32())", register(dtype)),
    }
}
