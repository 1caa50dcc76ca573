//! The WGSL of an elementwise program.

use super::cast::{load, per_word, register, stored, word};
use super::code::Code;
use super::walk::Walk;
use crate::pipelines::file;
use std::fmt::Write;
use std::ops::Range;
use wgrad_plan::Instruction;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;

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
    pub wide: bool,
    pub reach: Reach,
}

/// A program with all that its text depends on.
pub(crate) struct Text<'a> {
    pub code: &'a Code<'a>,
    pub style: Style,
    pub loads: &'a [Load],
    /// How the positions of generated numbers follow the index space, and which instruction makes them.
    pub made: &'a [(usize, Reach)],
    /// The windows of `loads`, then those of `made`.
    pub walk: &'a Walk,
    /// The numbers of the input arrays that are bound.
    pub arrays: Range<usize>,
}

impl Text<'_> {
    /// The whole kernel. `stores` are the dtypes of the results.
    pub fn kernel(&self, stores: &[DType]) -> Result<String, Problem> {
        let fields = format!("{}    items: u32,\n    count: u32,\n{}", self.code.fields(), self.walk.fields(""));
        let uniform = self.arrays.end + stores.len();
        let interface = format!(
            "struct Params {{\n{fields}}}\n\n{}@group(0) @binding({uniform}) var<uniform> params: Params;\n",
            self.bindings(stores)
        );
        let frame = wgrad_shaders::fill(file("map")?, "interface", &interface);
        let work = match self.style {
            Style::Vectors => self.vectors(stores),
            Style::Words(elements) => self.words(stores, elements),
        };
        Ok(wgrad_shaders::fill(&frame, "work", &(self.element(stores, "")? + &work)))
    }

    /// The end of another kernel: `fn finish(index, value)`, which takes one element of its result.
    pub fn finish(&self, stores: &[DType]) -> Result<String, Problem> {
        let mut text = self.bindings(stores) + "\n" + &self.element(stores, ", product: Number")?;
        let _ = writeln!(text, "fn finish(index: u32, value: Number) {{\n{}", self.places("index").trim_end());
        let _ = writeln!(text, "    let results = element(index, value{});", self.arguments("index"));
        for (number, &dtype) in stores.iter().enumerate() {
            let _ = writeln!(text, "    output{number}[index] = {};", word(&format!("results.result{number}"), dtype));
        }
        Ok(text + "}\n")
    }

    fn vector(&self, dtype: DType) -> String {
        match self.style {
            Style::Vectors => format!("vec4<{}>", stored(dtype)),
            Style::Words(_) => stored(dtype).to_owned(),
        }
    }

    fn bindings(&self, stores: &[DType]) -> String {
        let mut text = String::new();
        for array in self.arrays.clone() {
            // Operands on one buffer have one dtype.
            let dtype = self.loads.iter().find(|load| load.array == array).map_or(DType::U32, |load| load.dtype);
            let element = self.vector(dtype);
            let _ = writeln!(text, "@group(0) @binding({array}) var<storage, read> input{array}: array<{element}>;");
        }
        for (number, &dtype) in stores.iter().enumerate() {
            let (binding, element) = (self.arrays.end + number, self.vector(dtype));
            let _ = writeln!(
                text,
                "@group(0) @binding({binding}) var<storage, read_write> output{number}: array<{element}>;"
            );
        }
        text
    }

    /// `struct Results` and `fn element(..) -> Results`, the program for one element.
    fn element(&self, stores: &[DType], given: &str) -> Result<String, Problem> {
        let mut text = "struct Results {\n".to_owned();
        for (number, &dtype) in stores.iter().enumerate() {
            let _ = writeln!(text, "    result{number}: {},", register(dtype));
        }
        let _ = write!(text, "}}\n\nfn element(index: u32{given}");
        for (number, load) in self.loads.iter().enumerate() {
            let _ = write!(text, ", x{number}: {}", register(load.dtype));
        }
        for (at, _) in self.positions() {
            let _ = write!(text, ", p{at}: u32");
        }
        text.push_str(") -> Results {\n");
        let source = |at: usize| match &self.code.program.code[at] {
            Instruction::Load(operand, _) => format!("x{operand}"),
            Instruction::Product(_) => "product".to_owned(),
            _ if self.positions().any(|(made, _)| made == at) => format!("p{at}"),
            _ => "index".to_owned(),
        };
        for at in 0..self.code.program.code.len() {
            let _ = write!(text, "    {}", self.code.define(at, &source)?);
        }
        let results: Vec<String> = self.code.program.stores.iter().map(|store| format!("r{store}")).collect();
        let _ = writeln!(text, "    return Results({});\n}}\n", results.join(", "));
        Ok(text)
    }

    /// The generated numbers whose position is not the running index: the instruction, and the window.
    fn positions(&self) -> impl Iterator<Item = (usize, usize)> {
        let windows = self.made.iter().zip(self.loads.len()..);
        windows.filter(|((_, reach), _)| *reach != Reach::Linear).map(|(&(at, _), window)| (at, window))
    }

    fn reach(&self, window: usize) -> Reach {
        match window.checked_sub(self.loads.len()) {
            None => self.loads[window].reach,
            Some(made) => self.made[made].1,
        }
    }

    /// Statements that find each strided window's place at `item`.
    fn places(&self, index: &str) -> String {
        let places: Vec<String> = (0..self.walk.windows.len())
            .filter(|&window| matches!(self.reach(window), Reach::Strided | Reach::Repeated))
            .map(|window| format!("    let at{window} = {};\n", self.walk.place("", window)))
            .collect();
        if places.is_empty() {
            return String::new();
        }
        let decode = self.walk.decode("");
        let named = if index == "index" { String::new() } else { format!("    let index = {index};\n") };
        named + &decode + &places.concat()
    }

    /// What `element` takes at one place, one element after the other.
    fn arguments(&self, index: &str) -> String {
        let place = |window: usize| match self.reach(window) {
            Reach::Linear => index.to_owned(),
            Reach::Single => format!("params.offset{window}"),
            Reach::Strided | Reach::Repeated => format!("at{window}"),
        };
        let mut text = String::new();
        for (number, Load { array, dtype, wide, .. }) in self.loads.iter().enumerate() {
            let _ = write!(text, ", {}", load(&format!("input{array}"), &place(number), *dtype, *wide));
        }
        for (_, window) in self.positions() {
            let _ = write!(text, ", {}", place(window));
        }
        text
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
            for (_, window) in self.positions() {
                let _ = match self.reach(window) {
                    Reach::Strided => write!(arguments, ", at{window} + {lane}u"),
                    Reach::Single => write!(arguments, ", params.offset{window}"),
                    Reach::Linear | Reach::Repeated => write!(arguments, ", at{window}"),
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
        let _ = writeln!(text, "    return element(index{});\n}}\n\nfn compute(item: u32) {{", self.arguments("index"));
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
    let bits = |lane: usize| word(&format!("e{lane}.result{number}"), dtype);
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
