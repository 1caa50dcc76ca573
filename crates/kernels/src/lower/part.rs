//! Parts of a program as programs of their own, in which some registers are loaded rather than computed.

use super::Input;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::shape::Shape;

/// A register whose elements are there already, or numbers that a reduction makes it of.
pub(super) struct Known {
    pub register: usize,
    pub input: Input,
    pub rest: Option<Reduction>,
}

/// The index space of a part.
pub(super) struct Space<'a> {
    pub shape: Shape,
    pub row_axes: usize,
    /// What a window of the whole becomes.
    pub window: &'a dyn Fn(&Layout) -> Layout,
}

/// The part of `whole` that computes the registers `stores`, with its inputs.
pub(super) fn part(
    whole: &Program,
    inputs: &[Input],
    known: &[Known],
    space: Space<'_>,
    stores: &[usize],
) -> (Program, Vec<Input>) {
    let known_at = |register: usize| known.iter().find(|known| known.register == register);
    let mut needed = vec![false; whole.code.len()];
    stores.iter().for_each(|&store| needed[store] = true);
    for at in (0..whole.code.len()).rev() {
        if needed[at] && known_at(at).is_none() {
            whole.code[at].args().iter().for_each(|&arg| needed[arg] = true);
        }
    }
    let (mut code, mut operands) = (Vec::new(), Vec::<Input>::new());
    let mut loaded: Vec<Option<usize>> = vec![None; inputs.len()];
    let mut places = vec![0; whole.code.len()];
    for (at, instruction) in whole.code.iter().enumerate().filter(|(at, _)| needed[*at]) {
        let mut load = |input: Input| {
            operands.push(input);
            operands.len() - 1
        };
        if let Some(known) = known_at(at) {
            code.push(Instruction::Load(load(known.input.clone()), known.input.dtype));
            if let Some(reduction) = known.rest {
                code.push(Instruction::Reduce(reduction, code.len() - 1));
            }
        } else {
            let args = instruction.args().iter().map(|&arg| places[arg]).collect::<Vec<_>>();
            code.push(match instruction {
                Instruction::Load(operand, dtype) => {
                    let number = loaded[*operand].unwrap_or_else(|| load(inputs[*operand].seen(space.window)));
                    loaded[*operand] = Some(number);
                    Instruction::Load(number, *dtype)
                }
                Instruction::Map { map, dtype, scalars, .. } => {
                    Instruction::Map { map: *map, args, dtype: *dtype, scalars: scalars.clone() }
                }
                Instruction::Generate { map, layout, dtype, scalars } => Instruction::Generate {
                    map: *map,
                    layout: (space.window)(layout),
                    dtype: *dtype,
                    scalars: scalars.clone(),
                },
                Instruction::Reduce(reduction, _) => Instruction::Reduce(*reduction, args[0]),
                Instruction::Pick(_) => Instruction::Pick([args[0], args[1]]),
                Instruction::Spread(_) => Instruction::Spread(args[0]),
                Instruction::Product(dtype) => Instruction::Product(*dtype),
            });
        }
        places[at] = code.len() - 1;
    }
    let stores = stores.iter().map(|&store| places[store]).collect();
    (Program { shape: space.shape, row_axes: space.row_axes, code, stores }, operands)
}

/// A window without its last `axes` axes.
pub(super) fn without_last(layout: &Layout, axes: usize) -> Layout {
    let kept = layout.shape.len() - axes;
    Layout { shape: layout.shape[..kept].into(), strides: layout.strides[..kept].into(), offset: layout.offset }
}

/// A window with further axes at its end.
pub(super) fn with_last(layout: &Layout, axes: &[(usize, isize)]) -> Layout {
    Layout {
        shape: layout.shape.iter().copied().chain(axes.iter().map(|axis| axis.0)).collect(),
        strides: layout.strides.iter().copied().chain(axes.iter().map(|axis| axis.1)).collect(),
        offset: layout.offset,
    }
}
