//! The WGSL of a row program: a loop over the row for each level of reductions, and one for what is stored of each place.

use super::Input;
use super::cast::{load, register, stored, word};
use super::code::{Code, clamped, combine, identity};
use super::levels::{Levels, Loop};
use super::row_windows::Windows;
use super::rows::Shares;
use crate::pipelines::file;
use std::fmt::Write;
use wgrad_plan::{Instruction, Program};
use wgrad_shaders::fill;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;

/// Reductions that pass through workgroup memory together.
const TOGETHER: usize = 3;

/// A row program with all that its text depends on.
pub(super) struct Text<'a> {
    pub code: &'a Code<'a>,
    pub levels: &'a Levels,
    pub windows: &'a Windows,
    pub inputs: &'a [Input],
    /// The number of each input's buffer.
    pub arrays: &'a [usize],
    pub shares: Shares,
    /// So many turns at most that each loop takes, where that is few enough to keep what they compute; otherwise 0.
    pub turns: usize,
}

impl Text<'_> {
    /// The whole kernel.
    pub fn kernel(&self) -> Result<String, Problem> {
        let text = fill(file("row")?, "interface", &self.interface());
        let text = fill(&text, "parts", &self.parts());
        Ok(fill(&text, "work", &self.work()?))
    }

    fn program(&self) -> &Program {
        self.code.program
    }

    fn picks(&self) -> impl Iterator<Item = usize> {
        let is_pick = |at: &usize| matches!(self.program().code[*at], Instruction::Pick(_));
        (0..self.program().code.len()).filter(is_pick)
    }

    fn interface(&self) -> String {
        let slots: String = self.picks().map(|at| format!("    slot{at}: u32,\n")).collect();
        let mut text = format!(
            "struct Params {{\n{}    items: u32,\n    rows: u32,\n    length: u32,\n    slices: u32,\n    lanes: u32,\n{slots}{}}}\n\n",
            self.code.fields(),
            self.windows.fields()
        );
        let arrays = self.arrays.iter().max().map_or(0, |last| last + 1);
        for array in 0..arrays {
            let input = self.arrays.iter().position(|&of| of == array).map(|number| &self.inputs[number]);
            let element = stored(input.map_or(DType::U32, |input| input.dtype));
            let _ = writeln!(text, "@group(0) @binding({array}) var<storage, read> input{array}: array<{element}>;");
        }
        let mut binding = arrays;
        for (number, dtype) in self.code.stores().into_iter().enumerate() {
            let element = stored(dtype);
            let _ = writeln!(
                text,
                "@group(0) @binding({binding}) var<storage, read_write> output{number}: array<{element}>;"
            );
            binding += 1;
        }
        if self.picks().next().is_some() {
            let _ =
                writeln!(text, "@group(0) @binding({binding}) var<storage, read_write> status: array<atomic<u32>>;");
            binding += 1;
        }
        let _ = writeln!(text, "@group(0) @binding({binding}) var<uniform> params: Params;");
        text
    }

    /// Each level's reductions, in groups that pass through workgroup memory together.
    fn groups(&self, level: usize) -> Vec<Vec<usize>> {
        let all: Vec<usize> = self.levels.reductions(self.program(), level).collect();
        all.chunks(TOGETHER).map(<[usize]>::to_vec).collect()
    }

    fn parts(&self) -> String {
        let mut names = Vec::new();
        if self.shares.shared {
            for group in (1..=self.levels.highest).flat_map(|level| self.groups(level)) {
                names.extend(group.iter().enumerate().map(|(place, &at)| (self.code.dtypes[at], place)));
            }
        }
        names.sort_by_key(|&(dtype, place)| (dtype as usize, place));
        names.dedup();
        let part = |(dtype, place)| {
            format!("var<workgroup> {}: array<{}, threads>;\n", part_name(dtype, place), register(dtype))
        };
        names.into_iter().map(part).collect()
    }

    /// The place of a window's element, for which `index` is decoded already.
    fn place(&self, window: usize) -> String {
        let mut text = format!("base{window}");
        if let Some(number) = self.windows.moving[window] {
            for axis in 0..self.windows.inner.sizes.len() {
                let _ = write!(text, " + c{axis} * inner_stride{number}_{axis}");
            }
        }
        text
    }

    /// Whether a place is inside of each bound of an input's padding.
    fn inside(&self, input: usize) -> impl Iterator<Item = String> {
        let first = self.windows.moving.len() - self.windows.bounds.len();
        let own = self.windows.bounds.iter().enumerate().filter(move |(_, bound)| bound.0 == input);
        own.map(move |(bound, _)| format!("({} < inside{bound})", self.place(first + bound)))
    }

    /// Statements that define registers, with `index` the place in the row where they have one for each place.
    fn define(&self, registers: &[usize], indent: &str) -> Result<String, Problem> {
        let source = |at: usize| {
            let window = self.windows.of[at].unwrap_or_default();
            match self.program().code[at] {
                Instruction::Load(operand, dtype) => {
                    let array = format!("input{}", self.arrays[operand]);
                    let place = clamped(self.place(window), self.inside(operand));
                    let element = load(&array, &place, dtype, self.inputs[operand].wide);
                    self.code.padded(at, element, self.inside(operand))
                }
                _ => format!("({})", self.place(window)),
            }
        };
        registers.iter().map(|&at| Ok(indent.to_owned() + &self.code.define(at, &source)?)).collect()
    }

    /// The same for registers with an element for each place of the row.
    fn define_places(&self, registers: &[usize], index: &str, indent: &str) -> Result<String, Problem> {
        let decode = self.windows.inner.decode("inner_").replace("params.inner_", "inner_").replace("    ", indent);
        Ok(format!("{indent}let index = {index};\n{decode}{}", self.define(registers, indent)?))
    }

    fn work(&self) -> Result<String, Problem> {
        let mut text = HEAD.to_owned() + if self.shares.shared { SHARED } else { ALONE };
        let (outer, inner) = (&self.windows.outer, &self.windows.inner);
        text += &outer.decode("outer_");
        for window in 0..outer.windows.len() {
            let _ = writeln!(text, "    let base{window} = {};", outer.place("outer_", window));
        }
        // In a loop, parameters would be read again in every turn.
        for axis in 1..inner.sizes.len() {
            let _ = writeln!(text, "    let inner_size{axis} = params.inner_size{axis};");
        }
        for window in 0..inner.windows.len() {
            for axis in 0..inner.sizes.len() {
                let _ = writeln!(text, "    let inner_stride{window}_{axis} = params.inner_stride{window}_{axis};");
            }
        }
        for bound in 0..self.windows.bounds.len() {
            let _ = writeln!(text, "    let inside{bound} = params.inside{bound};");
        }
        let mut loops = self.levels.loops(self.program(), self.turns > 0);
        let last = loops.pop();
        for &at in loops.iter().flat_map(|own| &own.keeps) {
            let element = register(self.code.dtypes[at]);
            let _ = writeln!(text, "    var kept{at}: array<{element}, {}>;", self.turns);
        }
        for level in 0..=self.levels.highest {
            if level > 0 {
                text += &self.reduce(level, &loops[level - 1])?;
            }
            for at in (0..self.program().code.len()).filter(|&at| self.levels.of[at] == level) {
                match self.program().code[at] {
                    Instruction::Reduce(..) => {}
                    Instruction::Pick([x, index]) => text += &self.pick(at, x, index)?,
                    _ if self.levels.per_row[at] => text += &self.define(&[at], "    ")?,
                    _ => {}
                }
            }
        }
        let stored = last.map(|own| self.store(&own)).transpose()?.unwrap_or_default();
        Ok(text + &stored + "}\n")
    }

    /// A loop over an invocation's places of the row, which does `then` at each.
    fn each_place(&self, own: &Loop, then: &str) -> Result<String, Problem> {
        let indent = "            ";
        if self.turns == 0 {
            let body = self.define_places(&own.computed, "at", indent)?;
            return Ok(format!("    for (var at = first; at < end; at += stride) {{\n{body}{then}    }}\n"));
        }
        let mut text = format!(
            "    for (var turn = 0u; turn < {}u; turn++) {{\n        let at = first + turn * stride;\n        if at < end {{\n",
            self.turns
        );
        own.found.iter().for_each(|at| text += &format!("{indent}let r{at} = kept{at}[turn];\n"));
        text += &self.define_places(&own.computed, "at", indent)?;
        own.keeps.iter().for_each(|at| text += &format!("{indent}kept{at}[turn] = r{at};\n"));
        Ok(text + then + "        }\n    }\n")
    }

    /// The loop of a level, and what its invocations do with their parts.
    fn reduce(&self, level: usize, own: &Loop) -> Result<String, Problem> {
        let groups = self.groups(level);
        let all: Vec<(usize, usize)> =
            groups.iter().flatten().map(|&at| (at, self.program().code[at].args()[0])).collect();
        let how = |at: usize| match self.program().code[at] {
            Instruction::Reduce(reduction, _) => reduction,
            _ => wgrad_tensor::op::Reduction::Sum,
        };
        let dtype = |at: usize| self.code.dtypes[at];
        let begin = |name: &str, indent: &str| -> String {
            let line =
                |&(at, _): &(usize, usize)| format!("{indent}var {name}{at} = {};\n", identity(how(at), dtype(at)));
            all.iter().map(line).collect()
        };
        let add = |total: &str, part: &dyn Fn(usize, usize) -> String, indent: &str| -> String {
            let line = |&(at, x): &(usize, usize)| {
                let value = combine(how(at), dtype(at), &format!("{total}{at}"), &part(at, x));
                format!("{indent}{total}{at} = {value};\n")
            };
            all.iter().map(line).collect()
        };
        let indent = "            ";
        let mut text = begin("total", "    ");
        if self.turns > 0 {
            text += &self.each_place(own, &add("total", &|_, x| format!("r{x}"), indent))?;
        } else {
            text += "    for (var at = first; at < end;) {\n";
            text += &begin("block", "        ");
            text += "        for (var turn = 0u; turn < 64u && at < end; turn++) {\n";
            text += &self.define_places(&own.computed, "at", indent)?;
            text += &add("block", &|_, x| format!("r{x}"), indent);
            text += "            at += stride;\n        }\n";
            text += &add("total", &|at, _| format!("block{at}"), "        ");
            text += "    }\n";
        }
        if !self.shares.shared {
            all.iter().for_each(|(at, _)| text += &format!("    let r{at} = total{at};\n"));
            return Ok(text);
        }
        for (number, group) in groups.iter().enumerate() {
            let named: Vec<(usize, String)> =
                group.iter().enumerate().map(|(place, &at)| (at, part_name(dtype(at), place))).collect();
            // Results of what passed through before are read by then.
            if level > 1 || number > 0 {
                text += "    workgroupBarrier();\n";
            }
            for (at, part) in &named {
                let _ = writeln!(text, "    {part}[thread] = total{at};");
            }
            text += "    for (var reach = lanes / 2u; reach > 0u; reach /= 2u) {\n        workgroupBarrier();\n";
            text += "        if lane < reach {\n";
            for (at, part) in &named {
                let (own, other) = (format!("{part}[thread]"), format!("{part}[thread + reach * next]"));
                let _ = writeln!(text, "            {own} = {};", combine(how(*at), dtype(*at), &own, &other));
            }
            text += "        }\n    }\n    workgroupBarrier();\n";
            for (at, part) in &named {
                let _ = writeln!(text, "    let r{at} = {part}[thread - lane * next];");
            }
        }
        Ok(text)
    }

    /// The element of `x` at the place that the register `index` says.
    fn pick(&self, at: usize, x: usize, index: usize) -> Result<String, Problem> {
        let pick =
            if self.code.dtypes[index] == DType::I32 { format!("bitcast<u32>(r{index})") } else { format!("r{index}") };
        let places = self.levels.places(self.program(), std::iter::once(x), &[]);
        Ok(format!(
            "    var place{at} = {pick};
    if place{at} >= length {{
        // Two words to a step: whether there was a bad index, and the largest one.
        atomicMax(&status[params.slot{at}], 1u);
        atomicMax(&status[params.slot{at} + 1u], place{at});
        place{at} = length - 1u;
    }}
    var r{at}: {};
    {{
{}        r{at} = r{x};
    }}
",
            register(self.code.dtypes[at]),
            self.define_places(&places, &format!("place{at}"), "        ")?,
        ))
    }

    fn store(&self, own: &Loop) -> Result<String, Problem> {
        let (mut single, mut full) = (String::new(), String::new());
        for (number, &store) in self.program().stores.iter().enumerate() {
            let value = word(&format!("r{store}"), self.code.dtypes[store]);
            let _ = match self.levels.per_row[store] {
                true => writeln!(single, "        output{number}[item] = {value};"),
                false => writeln!(full, "            output{number}[row * length + at] = {value};"),
            };
        }
        let mut text = String::new();
        if !full.is_empty() {
            let places = self.each_place(own, &full)?.replace('\n', "\n    ");
            text += &format!("    if live {{\n    {}}}\n", places);
        }
        if !single.is_empty() {
            text += "    if live && lane == 0u {\n";
            text += &single;
            text += "    }\n";
        }
        Ok(text)
    }
}

fn part_name(dtype: DType, place: usize) -> String {
    format!("parts_{dtype}_{place}")
}

/// Who does what, as in the frame.
const HEAD: &str = "fn compute(item: u32, lane: u32, thread: u32, next: u32) {
    let live = item < params.items;
    let length = params.length;
    let own = min(item, params.items - 1u);
    let row = select(own / params.slices, own % params.rows, across);
    let slice = select(own % params.slices, own / params.rows, across);
    let index = row;
";

/// The places of an invocation that has a slice for itself.
const ALONE: &str = "    let part = (length + params.slices - 1u) / params.slices;
    let first = slice * part;
    let end = min(first + part, length);
    let stride = 1u;
";

/// The places of one that shares it.
const SHARED: &str = "    let lanes = params.lanes;
    let first = slice * lanes + lane;
    let end = length;
    let stride = lanes * params.slices;
";
