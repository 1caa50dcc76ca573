//! Plans as text that a person can read.

use crate::padding::Bound;
use crate::plan::{Instruction, Operand, Plan, Program, Step, Work};
use std::collections::HashSet;
use std::fmt::{Display, Formatter, Result, Write};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, Random, Reduction};

impl Plan {
    /// The plan, each step under the words that `origin` has for it.
    pub fn describe(&self, origin: &dyn Fn(&Step) -> String) -> String {
        let mut text = String::new();
        let given: HashSet<usize> = self.inputs.iter().copied().collect();
        let read: HashSet<usize> =
            self.steps.iter().flat_map(|step| &step.operands).map(|operand| operand.value).collect();
        for &input in self.inputs.iter().filter(|input| read.contains(input)) {
            let _ = writeln!(text, "given {}", self.value(input));
        }
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "\n{number}: {}", self.heading(step));
            let words = origin(step);
            if !words.is_empty() {
                let _ = writeln!(text, "   {words}");
            }
            self.body(&mut text, step);
        }
        let outputs: Vec<String> = self.outputs.iter().map(|value| format!("v{value}")).collect();
        let made: Vec<&Meta> =
            (0..self.values.len()).filter(|value| !given.contains(value)).map(|value| &self.values[value]).collect();
        let bytes: usize = made.iter().map(|meta| meta.bytes()).sum();
        let _ = writeln!(
            text,
            "\nasked for: {}\n{} kernels, {} values of {bytes} bytes in all",
            outputs.join(" "),
            self.steps.len(),
            made.len()
        );
        text
    }

    fn value(&self, value: usize) -> String {
        let meta = &self.values[value];
        format!("v{value} {} {}, {} bytes", meta.dtype, meta.shape, meta.bytes())
    }

    fn heading(&self, step: &Step) -> String {
        let results: Vec<String> = step.results.iter().map(|&result| self.value(result)).collect();
        format!("{} -> {}", step.kind(), results.join("; "))
    }

    fn body(&self, text: &mut String, step: &Step) {
        let (own, program) = match &step.work {
            Work::Program(program) => (0, Some(program)),
            Work::Op { then: Some(program), .. } => (2, Some(program)),
            Work::Op { then: None, .. } => (step.operands.len(), None),
        };
        if let Work::Op { op, .. } = &step.work {
            let operands: Vec<String> = step.operands[..own].iter().map(window).collect();
            let _ = writeln!(text, "   {} of {}", op.name(), operands.join(", "));
        }
        let Some(program) = program else { return };
        let per_row = program.per_row(&step.operands);
        let space = match program.row_axes {
            0 => format!("{}", program.shape),
            _ => format!("{}, {} rows of {}", program.shape, program.rows(), program.row_length()),
        };
        let _ = writeln!(text, "   over {space}");
        for (register, instruction) in program.code.iter().enumerate() {
            let stored: Vec<String> = program
                .stores
                .iter()
                .zip(&step.results)
                .filter(|(store, _)| **store == register)
                .map(|(_, result)| format!(" -> v{result}"))
                .collect();
            let each = if per_row[register] { " for each row" } else { "" };
            let _ = writeln!(text, "   r{register} = {}{each}{}", words(instruction, &step.operands), stored.concat());
        }
    }
}

impl Step {
    /// What kind of kernel it is: `map`, `reduce`, `row`, or the op's name.
    pub fn kind(&self) -> String {
        match &self.work {
            Work::Program(program) => program.kind(&self.operands).to_owned(),
            Work::Op { op, then: None, .. } => op.name().into_owned(),
            Work::Op { op, then: Some(_), .. } => format!("{} with epilogue", op.name()),
        }
    }
}

impl Program {
    /// `map` without rows, `reduce` where one pass over the rows is enough and nothing is written for each place, `row`
    /// for all else.
    pub fn kind(&self, operands: &[Operand]) -> &'static str {
        if self.row_axes == 0 {
            return "map";
        }
        let per_row = self.per_row(operands);
        // Whether a register holds, for each place, something that needs a whole row first.
        let mut needs_row = vec![false; self.code.len()];
        for (register, instruction) in self.code.iter().enumerate() {
            let reduces = matches!(instruction, Instruction::Reduce(..) | Instruction::Pick(_));
            needs_row[register] = reduces || instruction.args().iter().any(|&arg| needs_row[arg]);
        }
        let again = self.code.iter().any(|instruction| match instruction {
            Instruction::Reduce(_, x) | Instruction::Pick([x, _]) => needs_row[*x],
            _ => false,
        });
        let everywhere = self.stores.iter().any(|&store| !per_row[store]);
        if again || everywhere { "row" } else { "reduce" }
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.describe(&|_| String::new()))
    }
}

/// A value, and how the window on it moves where it is not the whole in order.
fn window(operand: &Operand) -> String {
    let Operand { value, layout, starts, padding, .. } = operand;
    if layout.is_contiguous() && starts.is_empty() && padding.is_none() {
        return format!("v{value}");
    }
    let mut text = format!("v{value}[{}", way(layout, padding.before, starts));
    for Bound { layout, starts, inside, number } in &padding.bounds {
        let _ = write!(text, "; s{number} outside 0..{} {}", inside.len(), way(layout, inside.start, starts));
    }
    text + "]"
}

/// Where a window that counts so many places before the first starts, and how it goes on.
fn way(layout: &Layout, before: usize, starts: &[(usize, isize)]) -> String {
    let strides: Vec<String> = layout
        .shape
        .iter()
        .zip(&layout.strides)
        .map(|(&size, stride)| if size == 1 { "0".into() } else { stride.to_string() })
        .collect();
    let starts: String = starts.iter().map(|(scalar, by)| format!(" + {by} * s{scalar}")).collect();
    format!("from {}{starts} by {}", layout.offset as isize - before as isize, strides.join(", "))
}

fn words(instruction: &Instruction, operands: &[Operand]) -> String {
    let numbers = |range: &std::ops::Range<usize>| -> String {
        range.clone().map(|number| format!("s{number}")).collect::<Vec<_>>().join(", ")
    };
    match instruction {
        Instruction::Load(operand, _) => match operands.get(*operand) {
            Some(operand) => window(operand),
            None => "nothing".to_owned(),
        },
        Instruction::Map { map, args, dtype, scalars } => {
            let args: Vec<String> = args.iter().map(|arg| format!("r{arg}")).collect();
            match map {
                Map::Row(row) => format!("{}({})", row.name, args.join(", ")),
                Map::Where => format!("where({})", args.join(", ")),
                Map::Cast => format!("{dtype}({})", args.join(", ")),
                Map::Constant => format!("{dtype} {}", numbers(scalars)),
                Map::Arange | Map::Random(_) => "generated".to_owned(),
            }
        }
        Instruction::Generate { map, layout, scalars, .. } => {
            let name = match map {
                Map::Random(Random::Bits) => "random_bits",
                Map::Random(Random::Uniform) => "uniform",
                Map::Random(Random::Normal) => "normal",
                _ => "arange",
            };
            let way = if layout.is_contiguous() { String::new() } else { format!(" by {:?}", layout.strides) };
            format!("{name}({}){way}", numbers(scalars))
        }
        Instruction::Reduce(reduction, x) => {
            let name = match reduction {
                Reduction::Sum => "sum",
                Reduction::Prod => "prod",
                Reduction::Max => "max",
                Reduction::Min => "min",
            };
            format!("{name}(r{x})")
        }
        Instruction::Pick([x, index]) => format!("pick(r{x}, r{index})"),
        Instruction::Spread(x) => format!("r{x}"),
        Instruction::Product(_) => "product".to_owned(),
    }
}
