//! The windows of a row program, each cut into its way from row to row and its way along a row.

use super::Input;
use super::levels::Levels;
use super::part::without_last;
use super::walk::Walk;
use crate::params::Params;
use crate::pipelines::Key;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::layout::Layout;

/// The windows of a row program: those of its inputs, those over the positions of its generated numbers, and the bounds of
/// its inputs' padding.
pub(super) struct Windows {
    /// Where each starts for a row.
    pub outer: Walk,
    /// How far along the row those go that move along it.
    pub inner: Walk,
    /// The window of each load and each generated number.
    pub of: Vec<Option<usize>>,
    /// The number of each window that moves along the row, among those that do.
    pub moving: Vec<Option<usize>>,
    /// The bounds of the padding: of which input, and how many positions are inside.
    pub bounds: Vec<(usize, usize)>,
}

impl Windows {
    pub fn new(program: &Program, inputs: &[Input], levels: &Levels) -> Self {
        let mut layouts: Vec<&Layout> = inputs.iter().map(|input| &input.layout).collect();
        let mut moves = vec![false; inputs.len()];
        let mut of = Vec::with_capacity(program.code.len());
        for (at, instruction) in program.code.iter().enumerate() {
            of.push(match instruction {
                Instruction::Load(operand, _) => {
                    moves[*operand] = !levels.per_row[at];
                    Some(*operand)
                }
                Instruction::Generate { layout, .. } => {
                    layouts.push(layout);
                    moves.push(!levels.per_row[at]);
                    Some(layouts.len() - 1)
                }
                _ => None,
            });
        }
        let kept = program.shape.len() - program.row_axes;
        let mut before: Vec<usize> = inputs.iter().map(|input| input.padding.before).collect();
        before.resize(layouts.len(), 0);
        let mut bounds = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            for bound in &input.padding.bounds {
                let moves_along = |axis: usize| program.shape[axis] != 1 && bound.layout.strides[axis] != 0;
                moves.push((kept..program.shape.len()).any(moves_along));
                layouts.push(&bound.layout);
                before.push(bound.inside.start);
                bounds.push((number, bound.inside.len()));
            }
        }
        let outer: Vec<Layout> = layouts.iter().map(|layout| without_last(layout, program.row_axes)).collect();
        let mut outer = Walk::new(&outer.iter().collect::<Vec<_>>());
        outer.windows.iter_mut().zip(before).for_each(|(window, before)| window.0 -= before as isize);
        let inner: Vec<Layout> = layouts
            .iter()
            .zip(&moves)
            .filter(|(_, moves)| **moves)
            .map(|(layout, _)| Layout {
                shape: layout.shape[kept..].into(),
                strides: layout.strides[kept..].into(),
                offset: 0,
            })
            .collect();
        let mut number = 0;
        let moving = moves.iter().map(|&moves| {
            number += usize::from(moves);
            moves.then(|| number - 1)
        });
        Windows { of, moving: moving.collect(), outer, bounds, inner: Walk::new(&inner.iter().collect::<Vec<_>>()) }
    }

    pub fn params(&self, params: &mut Params) {
        self.outer.params(params);
        self.inner.params(params);
        self.bounds.iter().for_each(|(_, inside)| params.sizes(&[*inside]));
    }

    /// The fields of `Params`, in the order of [`Windows::params`].
    pub fn fields(&self) -> String {
        let bounds = (0..self.bounds.len()).map(|bound| format!("    inside{bound}: u32,\n"));
        self.outer.fields("outer_") + &self.inner.fields("inner_") + &bounds.collect::<String>()
    }

    pub fn key(&self, key: Key) -> Key {
        let key = key.number(self.outer.sizes.len()).number(self.inner.sizes.len()).number(self.bounds.len());
        let key = self.bounds.iter().fold(key, |key, (input, _)| key.number(*input));
        self.moving.iter().fold(key, |key, moving| key.number(usize::from(moving.is_some())))
    }
}
