//! The WGSL of an elementwise program.

use super::cast::{load, per_word, register, stored, word};
use super::code::{Code, clamped};
use super::map::Windows;
use crate::pipelines::file;
use std::fmt::{self, Write};
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

/// The array that an operand lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Array {
    Input(usize),
    /// A result's, which takes the operand's place.
    Output(usize),
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Array::Input(number) => write!(f, "input{number}"),
            Array::Output(number) => write!(f, "output{number}"),
        }
    }
}

/// One operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub array: Array,
    pub dtype: DType,
    pub wide: bool,
    pub reach: Reach,
}

/// A bound of an operand's padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub load: usize,
    /// How many positions are inside, from the first on.
    pub inside: usize,
    pub reach: Reach,
}

/// A program with all that its text depends on.
pub(super) struct Text<'a> {
    pub code: &'a Code<'a>,
    pub windows: &'a Windows,
    /// The numbers of the input arrays that are bound.
    pub arrays: Range<usize>,
}

impl Text<'_> {
    /// The whole kernel. `stores` are the dtypes of the results.
    pub fn kernel(&self, stores: &[DType]) -> Result<String, Problem> {
        let fields = format!("{}    items: u32,\n    count: u32,\n{}", self.code.fields(), self.windows.fields());
        let uniform = self.arrays.end + stores.len();
        let interface = format!(
            "struct Params {{\n{fields}}}\n\n{}@group(0) @binding({uniform}) var<uniform> params: Params;\n",
            self.bindings(stores)
        );
        let frame = wgrad_shaders::fill(file("map")?, "interface", &interface);
        let work = match self.windows.style {
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
        match self.windows.style {
            Style::Vectors => format!("vec4<{}>", stored(dtype)),
            Style::Words(_) => stored(dtype).to_owned(),
        }
    }

    fn bindings(&self, stores: &[DType]) -> String {
        let mut text = String::new();
        for array in self.arrays.clone() {
            // Operands on one buffer have one dtype.
            let dtype = self
                .windows
                .loads
                .iter()
                .find(|load| load.array == Array::Input(array))
                .map_or(DType::U32, |load| load.dtype);
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
        for (number, load) in self.windows.loads.iter().enumerate() {
            let _ = write!(text, ", x{number}: {}", register(load.dtype));
            self.inside(number).for_each(|inside| text += &format!(", {inside}: bool"));
        }
        for (at, _) in self.positions() {
            let _ = write!(text, ", p{at}: u32");
        }
        text.push_str(") -> Results {\n");
        let source = |at: usize| match &self.code.program.code[at] {
            Instruction::Load(operand, _) => self.code.padded(at, format!("x{operand}"), self.inside(*operand)),
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
        let windows = self.windows.made.iter().zip(self.windows.loads.len()..);
        windows.filter(|((_, reach), _)| *reach != Reach::Linear).map(|(&(at, _), window)| (at, window))
    }

    fn reach(&self, window: usize) -> Reach {
        let Windows { loads, made, bounds, .. } = self.windows;
        let loads = loads.iter().map(|load| load.reach);
        let mut reaches = loads.chain(made.iter().map(|made| made.1)).chain(bounds.iter().map(|bound| bound.reach));
        reaches.nth(window).unwrap_or(Reach::Strided)
    }

    /// The names of the bools that say whether a load's place is inside of its bounds.
    fn inside(&self, load: usize) -> impl Iterator<Item = String> {
        let own = self.windows.bounds.iter().enumerate().filter(move |(_, bound)| bound.load == load);
        own.map(|(number, _)| format!("in{number}"))
    }

    /// The place that a window has at `index`, once the strided ones are found.
    fn place(&self, window: usize, index: &str) -> String {
        match self.reach(window) {
            Reach::Linear => index.to_owned(),
            Reach::Single => format!("params.offset{window}"),
            Reach::Strided | Reach::Repeated => format!("at{window}"),
        }
    }

    /// The place of a load's element.
    fn element_at(&self, load: usize, index: &str) -> String {
        clamped(self.place(load, index), self.inside(load))
    }

    /// Statements that find each strided window's place at `item`, and what is inside of which bound.
    fn places(&self, index: &str) -> String {
        let Windows { walk, loads, made, bounds, .. } = self.windows;
        let mut text: String = (0..walk.windows.len())
            .filter(|&window| matches!(self.reach(window), Reach::Strided | Reach::Repeated))
            .map(|window| format!("    let at{window} = {};\n", walk.place("", window)))
            .collect();
        if !text.is_empty() {
            let named = if index == "index" { String::new() } else { format!("    let index = {index};\n") };
            text = named + &walk.decode("") + &text;
        }
        for bound in 0..bounds.len() {
            let place = self.place(loads.len() + made.len() + bound, index);
            let _ = writeln!(text, "    let in{bound} = {place} < params.inside{bound};");
        }
        text
    }

    /// What `element` takes at one place, one element after the other.
    fn arguments(&self, index: &str) -> String {
        let mut text = String::new();
        for (number, Load { array, dtype, wide, .. }) in self.windows.loads.iter().enumerate() {
            let _ = write!(text, ", {}", load(&array.to_string(), &self.element_at(number, index), *dtype, *wide));
            self.inside(number).for_each(|inside| text += &format!(", {inside}"));
        }
        for (_, window) in self.positions() {
            let _ = write!(text, ", {}", self.place(window, index));
        }
        text
    }

    fn vectors(&self, stores: &[DType]) -> String {
        let mut text = "fn compute(item: u32) {\n".to_owned() + &self.places("item");
        for (number, load) in self.windows.loads.iter().enumerate() {
            let (array, at) = (load.array, self.element_at(number, "item"));
            let _ = match load.reach {
                Reach::Linear | Reach::Strided => writeln!(text, "    let v{number} = {array}[{at}];"),
                Reach::Repeated | Reach::Single => {
                    writeln!(text, "    let v{number} = {array}[{at} / 4u][{at} % 4u];")
                }
            };
        }
        for (lane, component) in ["x", "y", "z", "w"].iter().enumerate() {
            let mut arguments = format!("item * 4u + {lane}u");
            for (number, load) in self.windows.loads.iter().enumerate() {
                let _ = match load.reach {
                    Reach::Linear | Reach::Strided => write!(arguments, ", v{number}.{component}"),
                    Reach::Repeated | Reach::Single => write!(arguments, ", v{number}"),
                };
                self.inside(number).for_each(|inside| arguments += &format!(", {inside}"));
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
