//! The WGSL of an elementwise program.

use super::cast::{cast, load, per_word, register, stored};
use super::walk::Walk;
use crate::pipelines::file;
use std::fmt::Write;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::{Map, Random};

/// What one invocation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Four elements, read and written at once.
    Vectors,
    /// So many elements: those that share a word of the narrowest output.
    Words(usize),
}

impl Style {
    pub fn elements(self) -> usize {
        match self {
            Style::Vectors => 4,
            Style::Words(elements) => elements,
        }
    }
}

/// How a window follows the index space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is the index space.
    Linear,
    /// One element for all.
    Single,
    /// One element for each run of the last axis.
    Repeated,
    /// By strides.
    Strided,
}

/// One operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub array: usize,
    pub dtype: DType,
    pub reach: Reach,
}

/// A program with all that its text depends on.
pub(crate) struct Text<'a> {
    pub program: &'a Program,
    pub style: Style,
    pub loads: &'a [Load],
    pub walk: &'a Walk,
    /// How many input arrays are bound.
    pub arrays: usize,
}

impl Text<'_> {
    /// The whole kernel. `stores` are the dtypes of the results.
    pub fn kernel(&self, stores: &[DType]) -> Result<String, Problem> {
        let frame = wgrad_shaders::fill(file("map")?, "interface", &self.interface(stores));
        let work = match self.style {
            Style::Vectors => self.vectors(stores),
            Style::Words(elements) => self.words(stores, elements),
        };
        Ok(wgrad_shaders::fill(&frame, "work", &(self.element(stores)? + &work)))
    }

    fn vector(&self, dtype: DType) -> String {
        match self.style {
            Style::Vectors => format!("vec4<{}>", stored(dtype)),
            Style::Words(_) => stored(dtype).to_owned(),
        }
    }

    fn interface(&self, stores: &[DType]) -> String {
        let mut text = "struct Params {\n".to_owned();
        let scalars = self.scalars();
        // The widest first, so that no gap arises.
        for (number, dtype) in scalars.iter().enumerate().filter(|(_, dtype)| **dtype == DType::F64) {
            let _ = writeln!(text, "    scalar{number}: {},", stored(*dtype));
        }
        for (number, dtype) in scalars.iter().enumerate().filter(|(_, dtype)| **dtype != DType::F64) {
            let _ = writeln!(text, "    scalar{number}: {},", stored(*dtype));
        }
        let _ = writeln!(text, "    items: u32,\n    count: u32,\n{}}}\n", self.walk.fields(""));
        for array in 0..self.arrays {
            // Operands on one buffer have one dtype.
            let dtype = self.loads.iter().find(|load| load.array == array).map_or(DType::U32, |load| load.dtype);
            let element = self.vector(dtype);
            let _ = writeln!(text, "@group(0) @binding({array}) var<storage, read> input{array}: array<{element}>;");
        }
        for (number, &dtype) in stores.iter().enumerate() {
            let (binding, element) = (self.arrays + number, self.vector(dtype));
            let _ = writeln!(
                text,
                "@group(0) @binding({binding}) var<storage, read_write> output{number}: array<{element}>;"
            );
        }
        let _ = writeln!(text, "@group(0) @binding({}) var<uniform> params: Params;", self.arrays + stores.len());
        text
    }

    /// The dtypes of the scalars' fields, in the order of `map::scalars`.
    fn scalars(&self) -> Vec<DType> {
        let mut found = Vec::new();
        for instruction in &self.program.code {
            if let Instruction::Map { map, dtype, .. } = instruction {
                match map {
                    Map::Constant => found.push(*dtype),
                    Map::Arange => found.extend([*dtype; 2]),
                    Map::Random(_) => found.extend([DType::U32; 4]),
                    Map::Row(_) | Map::Where | Map::Cast => {}
                }
            }
        }
        found
    }

    /// `struct Results` and `fn element(..) -> Results`, the program for one element.
    fn element(&self, stores: &[DType]) -> Result<String, Problem> {
        let mut text = "struct Results {\n".to_owned();
        for (number, &dtype) in stores.iter().enumerate() {
            let _ = writeln!(text, "    result{number}: {},", register(dtype));
        }
        let arguments: Vec<String> = std::iter::once("index: u32".to_owned())
            .chain(self.loads.iter().enumerate().map(|(i, load)| format!("x{i}: {}", register(load.dtype))))
            .collect();
        let _ = writeln!(text, "}}\n\nfn element({}) -> Results {{", arguments.join(", "));
        let mut scalar = 0;
        for (number, instruction) in self.program.code.iter().enumerate() {
            let value = self.value(instruction, &mut scalar)?;
            let _ = writeln!(text, "    let r{number} = {value};");
        }
        let results: Vec<String> = self.program.stores.iter().map(|store| format!("r{store}")).collect();
        let _ = writeln!(text, "    return Results({});\n}}\n", results.join(", "));
        Ok(text)
    }

    fn value(&self, instruction: &Instruction, scalar: &mut usize) -> Result<String, Problem> {
        let Instruction::Map { map, args, dtype, .. } = instruction else {
            let Instruction::Load(operand, _) = instruction else { return Ok(String::new()) };
            return Ok(format!("x{operand}"));
        };
        let lacking = || Problem::new(ErrorKind::Value, "lacks an argument");
        let arg = |at: usize| args.get(at).map(|register| format!("r{register}")).ok_or_else(lacking);
        let arg_dtype = |at: usize| -> Result<DType, Problem> {
            let register = args.get(at).and_then(|&register| self.program.code.get(register));
            register.map(Instruction::dtype).ok_or_else(lacking)
        };
        let mut next = || {
            *scalar += 1;
            format!("params.scalar{}", *scalar - 1)
        };
        Ok(match map {
            Map::Row(row) => {
                let from = arg_dtype(0)?;
                let names: Vec<String> = (0..row.arity).map(arg).collect::<Result<_, _>>()?;
                row_value(row, from, &names)?
            }
            Map::Where => format!("select({}, {}, {})", arg(2)?, arg(1)?, arg(0)?),
            Map::Cast => cast(&arg(0)?, arg_dtype(0)?, *dtype),
            Map::Constant if *dtype == DType::Bool => format!("({} != 0u)", next()),
            Map::Constant => next(),
            Map::Arange => {
                let (start, step) = (next(), next());
                format!("{start} + {step} * {}", cast("index", DType::U32, *dtype))
            }
            Map::Random(random) => {
                let [seed_low, seed_high, low, high] = [next(), next(), next(), next()];
                let words = format!("philox(vec4<u32>(index, 0u, {low}, {high}), vec2<u32>({seed_low}, {seed_high}))");
                match (random, dtype) {
                    (Random::Bits, _) => format!("{words}.x"),
                    (Random::Uniform, DType::F64) => format!("random_uniform_f64({words})"),
                    (Random::Uniform, _) => format!("random_uniform({words})"),
                    (Random::Normal, DType::F64) => {
                        return Err(Problem::new(ErrorKind::Unsupported, "is not made in f64 on a GPU; cast from f32"));
                    }
                    (Random::Normal, _) => format!("random_normal({words})"),
                }
            }
        })
    }

    /// Statements that find each strided window's place at `item`.
    fn places(&self, index: &str) -> String {
        let places: Vec<String> = self
            .loads
            .iter()
            .enumerate()
            .filter(|(_, load)| matches!(load.reach, Reach::Strided | Reach::Repeated))
            .map(|(number, _)| format!("    let at{number} = {};\n", self.walk.place("", number)))
            .collect();
        if places.is_empty() {
            return String::new();
        }
        let decode = self.walk.decode("");
        let named = if index == "index" { String::new() } else { format!("    let index = {index};\n") };
        named + &decode + &places.concat()
    }

    fn vectors(&self, stores: &[DType]) -> String {
        let mut text = "fn compute(item: u32) {\n".to_owned() + &self.places("item");
        for (number, load) in self.loads.iter().enumerate() {
            let array = load.array;
            let _ = match load.reach {
                Reach::Linear => writeln!(text, "    let v{number} = input{array}[item];"),
                Reach::Strided => writeln!(text, "    let v{number} = input{array}[at{number}];"),
                Reach::Repeated => {
                    writeln!(text, "    let v{number} = input{array}[at{number} / 4u][at{number} % 4u];")
                }
                Reach::Single => writeln!(
                    text,
                    "    let v{number} = input{array}[params.offset{number} / 4u][params.offset{number} % 4u];"
                ),
            };
        }
        for (lane, component) in ["x", "y", "z", "w"].iter().enumerate() {
            let mut arguments = format!("item * 4u + {lane}u");
            for (number, load) in self.loads.iter().enumerate() {
                let _ = match load.reach {
                    Reach::Linear | Reach::Strided => write!(arguments, ", v{number}.{component}"),
                    Reach::Repeated | Reach::Single => write!(arguments, ", v{number}"),
                };
            }
            let _ = writeln!(text, "    let e{lane} = element({arguments});");
        }
        for (number, &dtype) in stores.iter().enumerate() {
            let parts: Vec<String> = (0..4).map(|lane| format!("e{lane}.result{number}")).collect();
            let _ = writeln!(text, "    output{number}[item] = {}({});", self.vector(dtype), parts.join(", "));
        }
        text + "}\n"
    }

    fn words(&self, stores: &[DType], elements: usize) -> String {
        let mut text = "fn at(index: u32) -> Results {\n".to_owned() + &self.places("index");
        let mut arguments = "index".to_owned();
        for (number, Load { array, dtype, reach }) in self.loads.iter().enumerate() {
            let place = match reach {
                Reach::Linear => "index".to_owned(),
                Reach::Single => format!("params.offset{number}"),
                Reach::Strided | Reach::Repeated => format!("at{number}"),
            };
            let _ = write!(arguments, ", {}", load(&format!("input{array}"), &place, *dtype));
        }
        let _ = writeln!(text, "    return element({arguments});\n}}\n\nfn compute(item: u32) {{");
        for lane in 0..elements {
            // Beyond the end the last element is computed again; it lands in the padding.
            let index = match elements {
                1 => "item".to_owned(),
                _ => format!("min(item * {elements}u + {lane}u, params.count - 1u)"),
            };
            let _ = writeln!(text, "    let e{lane} = at({index});");
        }
        for (number, &dtype) in stores.iter().enumerate() {
            store(&mut text, number, dtype, elements);
        }
        text + "}\n"
    }
}

/// Writes the results of `elements` consecutive elements.
fn store(text: &mut String, number: usize, dtype: DType, elements: usize) {
    let bits = |lane: usize| match dtype {
        DType::Bool => format!("select(0u, 1u, e{lane}.result{number})"),
        _ => format!("e{lane}.result{number}"),
    };
    let per_word = per_word(dtype);
    if per_word == 1 {
        for lane in 0..elements {
            let at = if elements == 1 { "item".to_owned() } else { format!("item * {elements}u + {lane}u") };
            let value = bits(lane);
            let _ = match lane {
                0 => writeln!(text, "    output{number}[{at}] = {value};"),
                _ => writeln!(text, "    if {at} < params.count {{\n        output{number}[{at}] = {value};\n    }}"),
            };
        }
        return;
    }
    for word in 0..elements / per_word {
        let parts: Vec<String> = (0..per_word)
            .map(|part| format!("({} << {}u)", bits(word * per_word + part), part * 32 / per_word))
            .collect();
        let words = elements / per_word;
        let at = if words == 1 { "item".to_owned() } else { format!("item * {words}u + {word}u") };
        let value = parts.join(" | ");
        let _ = match word {
            0 => writeln!(text, "    output{number}[{at}] = {value};"),
            _ => writeln!(
                text,
                "    if item * {elements}u + {}u < params.count {{\n        output{number}[{at}] = {value};\n    }}",
                word * per_word
            ),
        };
    }
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
