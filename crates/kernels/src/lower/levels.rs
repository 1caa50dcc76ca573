//! What a row program's registers wait for.

use super::Input;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::layout::Layout;

/// The levels of a row program: a register of level `n` waits for reductions of level `n`, and these read registers of
/// lower levels.
pub(super) struct Levels {
    /// Which registers have one element for each row.
    pub per_row: Vec<bool>,
    /// The level of each register.
    pub of: Vec<usize>,
    /// The highest level of a reduction.
    pub highest: usize,
}

impl Levels {
    pub fn new(program: &Program, inputs: &[Input]) -> Self {
        let rank = program.shape.len();
        let still = |layout: &Layout| {
            (rank - program.row_axes..rank).all(|axis| program.shape[axis] == 1 || layout.strides[axis] == 0)
        };
        let mut levels = Levels { per_row: Vec::new(), of: Vec::new(), highest: 0 };
        for instruction in &program.code {
            let args = instruction.args();
            let waits = args.iter().map(|&arg| levels.of[arg]).max().unwrap_or(0);
            let (per_row, level) = match instruction {
                Instruction::Load(operand, _) => (inputs[*operand].layouts().all(still), 0),
                Instruction::Generate { layout, .. } => (still(layout), 0),
                Instruction::Map { .. } => (args.iter().all(|&arg| levels.per_row[arg]), waits),
                Instruction::Reduce(..) => (true, waits + 1),
                Instruction::Pick(_) => (true, waits),
                Instruction::Spread(_) => (false, waits),
                Instruction::Product(_) => (false, 0),
            };
            if matches!(instruction, Instruction::Reduce(..)) {
                levels.highest = levels.highest.max(level);
            }
            levels.per_row.push(per_row);
            levels.of.push(level);
        }
        levels
    }

    /// The reductions of a level.
    pub fn reductions<'p>(&'p self, program: &'p Program, level: usize) -> impl Iterator<Item = usize> + 'p {
        (0..program.code.len())
            .filter(move |&at| self.of[at] == level && matches!(program.code[at], Instruction::Reduce(..)))
    }

    /// The picks of a level.
    pub fn picks(&self, program: &Program, level: usize) -> Vec<usize> {
        let is = |&at: &usize| self.of[at] == level && matches!(program.code[at], Instruction::Pick(_));
        (0..program.code.len()).filter(is).collect()
    }

    /// The stores with an element for each place.
    pub fn full_stores<'p>(&'p self, program: &'p Program) -> impl Iterator<Item = usize> + 'p {
        program.stores.iter().copied().filter(|&store| !self.per_row[store])
    }

    /// The registers with an element for each place that `wanted` are computed from, no further back than to those in
    /// `kept`.
    pub fn places(&self, program: &Program, wanted: impl Iterator<Item = usize>, kept: &[usize]) -> Vec<usize> {
        let mut needed = vec![false; program.code.len()];
        wanted.for_each(|register| needed[register] = true);
        for at in (0..program.code.len()).rev() {
            if needed[at] && !self.per_row[at] && !kept.contains(&at) {
                program.code[at].args().iter().for_each(|&arg| needed[arg] = true);
            }
        }
        (0..program.code.len()).filter(|&at| needed[at] && !self.per_row[at]).collect()
    }

    /// What the loops over a row compute of each place: one for each level of reductions, and one for the stores. Where
    /// they are `keeping`, a loop leaves to later ones what these would compute again.
    pub fn loops(&self, program: &Program, keeping: bool) -> Vec<Loop> {
        let mut wanted: Vec<Vec<usize>> = (1..=self.highest)
            .map(|level| self.reductions(program, level).flat_map(|at| program.code[at].args().to_vec()).collect())
            .collect();
        wanted.push(self.full_stores(program).collect());
        let mut kept: Vec<usize> = Vec::new();
        let mut loops = Vec::with_capacity(wanted.len());
        for (number, own) in wanted.iter().enumerate() {
            let places = self.places(program, own.iter().copied(), &kept);
            let (found, computed): (Vec<_>, Vec<_>) = places.into_iter().partition(|at| kept.contains(at));
            let mut keeps = Vec::new();
            if keeping {
                let known = [kept.as_slice(), &computed].concat();
                let later: Vec<usize> = wanted[number + 1..]
                    .iter()
                    .flat_map(|wanted| self.places(program, wanted.iter().copied(), &known))
                    .collect();
                keeps = computed.iter().copied().filter(|at| later.contains(at)).collect();
                kept.extend(&keeps);
            }
            loops.push(Loop { found, computed, keeps });
        }
        loops
    }
}

/// The registers with an element for each place, as a loop over a row has them.
pub(super) struct Loop {
    /// Kept by an earlier loop.
    pub found: Vec<usize>,
    /// Computed here.
    pub computed: Vec<usize>,
    /// Of these, what is kept for later loops.
    pub keeps: Vec<usize>,
}
