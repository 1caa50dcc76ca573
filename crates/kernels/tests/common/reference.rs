//! Programs by plain loops in f64.

use super::Build;
use wgrad_plan::{Bound, Instruction, Operand, Program, Work};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Reduction};

/// A register: an element for each place, or for each row.
struct Register {
    per_row: bool,
    values: Vec<f64>,
}

impl Register {
    fn at(&self, place: usize, length: usize) -> f64 {
        self.values[if self.per_row { place / length } else { place }]
    }
}

/// What the last step of `build` gives. `data` are the elements of the value behind each of its loads, and `product` those
/// of the op that the program comes after.
pub fn reference(build: &Build, data: &[&[f64]], product: &[f64]) -> Vec<Vec<f64>> {
    let step = build.plan.steps.last().unwrap();
    let operands = step.operands.as_slice();
    let program = match &step.work {
        Work::Program(program) => program,
        Work::Op { then, .. } => then.as_ref().unwrap(),
    };
    let per_row = program.per_row(operands);
    let mut registers: Vec<Register> = Vec::new();
    for (instruction, &per_row) in program.code.iter().zip(&per_row) {
        let values = values(build, program, operands, data, product, &registers, instruction, per_row);
        registers.push(Register { per_row, values });
    }
    program.stores.iter().map(|&store| registers[store].values.clone()).collect()
}

#[allow(clippy::too_many_arguments, reason = "all that a register may depend on")]
fn values(
    build: &Build,
    program: &Program,
    operands: &[Operand],
    data: &[&[f64]],
    product: &[f64],
    registers: &[Register],
    instruction: &Instruction,
    per_row: bool,
) -> Vec<f64> {
    let (rows, length) = (program.rows(), program.row_length());
    let outer = program.shape.len() - program.row_axes;
    let count = if per_row { rows } else { rows * length };
    let locate = |layout: &Layout, place: usize| {
        if !per_row {
            return layout.locate(place);
        }
        let strides = layout.strides[..outer].into();
        Layout { shape: layout.shape[..outer].into(), strides, offset: layout.offset }.locate(place)
    };
    let number = |range: &std::ops::Range<usize>, at: usize| match build.scalars[range.start + at] {
        wgrad_tensor::dtype::Scalar::Float(v) => v,
        wgrad_tensor::dtype::Scalar::Int(v) => v as f64,
        other => panic!("{other:?}"),
    };
    match instruction {
        Instruction::Load(operand, _) => {
            let Operand { layout, padding, .. } = &operands[*operand];
            let element = |place: usize| {
                let outside = |bound: &&Bound| !bound.inside.contains(&locate(&bound.layout, place));
                match padding.bounds.iter().rev().find(outside) {
                    Some(bound) => number(&(bound.number..bound.number + 1), 0),
                    None => data[*operand][locate(layout, place) - padding.before],
                }
            };
            (0..count).map(element).collect()
        }
        Instruction::Map { map: Map::Constant, scalars, .. } => vec![number(scalars, 0); count],
        Instruction::Map { map, args, .. } => {
            let value = |place: usize| {
                let of = |at: usize| {
                    let arg: &Register = &registers[args[at]];
                    if per_row { arg.values[place] } else { arg.at(place, length) }
                };
                match map {
                    Map::Row(row) => row_value(row.name, of(0), if args.len() > 1 { of(1) } else { 0.0 }),
                    Map::Where => of(if of(0) != 0.0 { 1 } else { 2 }),
                    _ => of(0),
                }
            };
            (0..count).map(value).collect()
        }
        Instruction::Generate { layout, scalars, .. } => {
            let value = |place: usize| number(scalars, 0) + number(scalars, 1) * locate(layout, place) as f64;
            (0..count).map(value).collect()
        }
        Instruction::Reduce(reduction, x) => (0..rows)
            .map(|row| {
                let all = (0..length).map(|at| registers[*x].at(row * length + at, length));
                match reduction {
                    Reduction::Sum => all.sum(),
                    Reduction::Prod => all.product(),
                    Reduction::Max => all.fold(f64::NEG_INFINITY, f64::max),
                    Reduction::Min => all.fold(f64::INFINITY, f64::min),
                }
            })
            .collect(),
        Instruction::Pick([x, index]) => {
            let pick = |row: usize| registers[*x].at(row * length + registers[*index].values[row] as usize, length);
            (0..rows).map(pick).collect()
        }
        Instruction::Spread(x) => (0..count).map(|place| registers[*x].at(place, length)).collect(),
        Instruction::Product(_) => product.to_vec(),
    }
}

fn row_value(name: &str, x: f64, y: f64) -> f64 {
    match name {
        "add" => x + y,
        "sub" => x - y,
        "mul" => x * y,
        "div" => x / y,
        "exp" => x.exp(),
        "log" => x.ln(),
        "neg" => -x,
        "relu" => x.max(0.0),
        "tanh" => x.tanh(),
        "rsqrt" => 1.0 / x.sqrt(),
        "gt" => f64::from(u8::from(x > y)),
        other => panic!("{other}"),
    }
}
