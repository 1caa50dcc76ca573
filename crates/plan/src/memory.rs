//! Which values take turns in the same memory.

use crate::plan::{Instruction, Plan, Program, Step, ValueId, Work};
use crate::turns::{Need, take_turns};
use std::ops::RangeInclusive;
use wgrad_tensor::op::Compute;

/// Smaller values are not worth looking for.
const SMALL: usize = 4096;

/// For each result of a step, the operand whose memory it may take over: one that nothing needs afterwards and whose
/// elements are read where the result's are written, the last time not later; and what a scatter adds to.
///
/// Where there is a choice, results that depend on little choose first, and rather an input of the plan among what they
/// depend on: so an optimizer's new moments replace the old ones, new parameters the old parameters, and all stay where
/// they are from step to step.
pub(crate) fn in_place(plan: &Plan, step: &Step, is_input: &[bool]) -> Vec<Option<usize>> {
    let mut found = vec![None; step.results.len()];
    let program = match &step.work {
        Work::Program(program) | Work::Op { then: Some(program), .. } => program,
        Work::Op { op, .. } => {
            if matches!(op.compute(), Compute::ScatterAdd(_)) && is_last_use(plan, step, 0, step.results[0]) {
                found[0] = Some(0);
            }
            return found;
        }
    };
    if program.code.iter().any(|instruction| matches!(instruction, Instruction::Pick(_))) {
        return found;
    }
    let mut taken = vec![false; step.operands.len()];
    let levels = levels(program, step);
    let last = levels.iter().flatten().max().copied();
    let is_full = |operand: usize| {
        let loads =
            |instruction: &Instruction| matches!(instruction, Instruction::Load(number, _) if *number == operand);
        program.code.iter().position(loads).is_some_and(|register| levels[register].is_some())
    };
    let depends = depends(program);
    let mut results: Vec<usize> = (0..step.results.len()).collect();
    results.sort_by_key(|&result| depends[program.stores[result]].count_ones());
    for result in results {
        let (value, store) = (step.results[result], program.stores[result]);
        if levels[store].is_none() || levels[store] != last || plan.values[value].dtype.size() < 4 {
            continue;
        }
        let fits = |&number: &usize| !taken[number] && is_full(number) && is_last_use(plan, step, number, value);
        let is_read = |number: usize| depends[store] & bit(number) != 0;
        let choice = |&number: &usize| (!is_read(number), !is_input[step.operands[number].value]);
        found[result] = (0..step.operands.len()).filter(fits).min_by_key(choice);
        found[result].into_iter().for_each(|number| taken[number] = true);
    }
    found
}

/// Which operands each register depends on, a bit for each of the first 64.
fn depends(program: &Program) -> Vec<u64> {
    let mut depends: Vec<u64> = Vec::with_capacity(program.code.len());
    for instruction in &program.code {
        depends.push(match instruction {
            Instruction::Load(number, _) => bit(*number),
            _ => instruction.args().iter().fold(0, |all, &arg| all | depends[arg]),
        });
    }
    depends
}

fn bit(operand: usize) -> u64 {
    u32::try_from(operand).ok().and_then(|operand| 1u64.checked_shl(operand)).unwrap_or(0)
}

/// Whether a step reads the whole of a value for the last time, in the order in which it writes a like one.
fn is_last_use(plan: &Plan, step: &Step, number: usize, result: ValueId) -> bool {
    let (operand, meta) = (&step.operands[number], &plan.values[result]);
    operand.dtype == meta.dtype
        && plan.values[operand.value].shape.count() == meta.shape.count()
        && operand.starts.is_empty()
        && operand.padding.is_none()
        && operand.layout.is_contiguous()
        && step.frees.contains(&operand.value)
        && step.operands.iter().filter(|other| other.value == operand.value).count() == 1
}

/// For each register with an element for every place, after how many reductions, one after the other, it is computed: long
/// rows are walked once for each level.
fn levels(program: &Program, step: &Step) -> Vec<Option<usize>> {
    let mut levels: Vec<usize> = Vec::with_capacity(program.code.len());
    for instruction in &program.code {
        let before = instruction.args().iter().map(|&arg| levels[arg]).max().unwrap_or(0);
        levels.push(before + usize::from(matches!(instruction, Instruction::Reduce(..) | Instruction::Pick(_))));
    }
    let per_row = program.per_row(&step.operands);
    levels.into_iter().zip(per_row).map(|(level, per_row)| (!per_row).then_some(level)).collect()
}

/// The bytes that each value's buffer is to have. Values that are not needed at the same time get one capacity, that of
/// the largest among them, so that a pool which hands out what is free of that capacity lets them take turns. None gets
/// more than twice its bytes, which others may need at the same time.
pub(crate) fn capacities(plan: &Plan) -> Vec<usize> {
    let mut capacities: Vec<usize> = plan.values.iter().map(|meta| meta.bytes()).collect();
    let Lives { owner, needed } = Lives::new(plan);
    let (mut values, mut needs) = (Vec::new(), Vec::new());
    for (value, (&bytes, steps)) in capacities.iter().zip(needed).enumerate() {
        if let Some(steps) = steps.filter(|_| bytes > SMALL) {
            values.push(value);
            needs.push(Need { bytes, steps, most: 2 * bytes });
        }
    }
    let (buffers, places) = take_turns(&needs);
    for (value, place) in values.into_iter().zip(places) {
        capacities[value] = buffers[place];
    }
    owner.into_iter().map(|owner| capacities[owner]).collect()
}

/// When memory is needed.
struct Lives {
    /// Whose memory a value lies in: its own, or that of a value that it takes the place of.
    owner: Vec<ValueId>,
    /// From which step to which, for values that own memory within the plan alone.
    needed: Vec<Option<RangeInclusive<usize>>>,
}

impl Lives {
    fn new(plan: &Plan) -> Lives {
        let mut owner: Vec<ValueId> = (0..plan.values.len()).collect();
        let mut needed: Vec<Option<RangeInclusive<usize>>> = vec![None; plan.values.len()];
        for (number, step) in plan.steps.iter().enumerate() {
            for (&result, takes) in step.results.iter().zip(&step.in_place) {
                let over = takes.map(|operand| owner[step.operands[operand].value]);
                match over.filter(|&over| needed[over].is_some()) {
                    Some(over) => owner[result] = over,
                    None => needed[result] = Some(number..=number),
                }
            }
            for &value in &step.frees {
                if let Some(time) = &mut needed[owner[value]] {
                    *time = *time.start()..=number;
                }
            }
        }
        for &output in &plan.outputs {
            needed[owner[output]] = None;
        }
        Lives { owner, needed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::padding::{Bound, Padding};
    use crate::plan::Operand;
    use wgrad_tensor::DType;
    use wgrad_tensor::layout::Layout;
    use wgrad_tensor::op::{Map, Meta};
    use wgrad_tensor::ops::table::ADD;

    /// A plan of maps over so many elements, each from the one before.
    fn chain(counts: &[usize]) -> Plan {
        let values: Vec<Meta> = counts.iter().map(|&count| Meta::new([count], DType::F32)).collect();
        let step = |result: usize| {
            let shape = values[result].shape.clone();
            let layout = Layout::contiguous(&shape);
            let operand = Operand {
                value: result - 1,
                dtype: DType::F32,
                layout,
                starts: Vec::new(),
                padding: Padding::default(),
            };
            let code = vec![Instruction::Load(0, DType::F32)];
            let program = Program { shape, row_axes: 0, code, stores: vec![0] };
            let work = Work::Program(program);
            let frees = vec![result - 1];
            Step {
                work,
                operands: vec![operand],
                results: vec![result],
                frees,
                in_place: Vec::new(),
                calls: Vec::new(),
            }
        };
        let steps = (1..counts.len()).map(step).collect();
        let outputs = vec![counts.len() - 1];
        let mut plan = Plan { inputs: vec![0], outputs, steps, values, ..Plan::default() };
        for number in 0..plan.steps.len() {
            plan.steps[number].in_place = in_place(&plan, &plan.steps[number], &vec![false; counts.len()]);
        }
        plan
    }

    #[test]
    fn a_result_takes_the_place_of_what_nothing_needs_any_more() {
        let plan = chain(&[8, 8, 4]);
        assert_eq!(plan.steps[0].in_place, [Some(0)]);
        assert_eq!(plan.steps[1].in_place, [None], "the sizes differ");
        let mut kept = chain(&[8, 8]);
        kept.steps[0].frees.clear();
        assert_eq!(in_place(&kept, &kept.steps[0], &[true; 2]), [None], "the operand is needed later");
        let mut padded = chain(&[8, 8]);
        let layout = padded.steps[0].operands[0].layout.clone();
        let bound = Bound { layout, starts: Vec::new(), inside: 1..9, number: 0 };
        padded.steps[0].operands[0].padding = Padding { before: 1, bounds: vec![bound] };
        assert_eq!(
            in_place(&padded, &padded.steps[0], &[true; 2]),
            [None],
            "elements are read one place later than written"
        );
        let mut flipped = chain(&[8, 8]);
        flipped.steps[0].operands[0].layout.strides = smallvec::smallvec![-1];
        assert_eq!(
            in_place(&flipped, &flipped.steps[0], &[true; 2]),
            [None],
            "elements are read elsewhere than written"
        );
    }

    #[test]
    fn what_an_optimizer_makes_anew_replaces_the_old() {
        // A gradient that was just computed, a moment, a parameter: the parameter moves by a new moment of both.
        let mut plan = chain(&[8, 8]);
        plan.values = vec![plan.values[0].clone(); 5];
        let operand = |value| Operand { value, ..plan.steps[0].operands[0].clone() };
        let operands = [0, 1, 2].map(operand).to_vec();
        let add = |x, y| Instruction::Map { map: Map::Row(&ADD), args: vec![x, y], dtype: DType::F32, scalars: 0..0 };
        let loads = (0..3).map(|operand| Instruction::Load(operand, DType::F32));
        let code = loads.chain([add(0, 1), add(2, 3)]).collect();
        let program = Program { shape: plan.values[0].shape.clone(), row_axes: 0, code, stores: vec![4, 3] };
        let (results, frees) = (vec![3, 4], vec![0, 1, 2]);
        let step = Step { work: Work::Program(program), operands, results, frees, ..plan.steps[0].clone() };
        let is_input = [false, true, true, false, false];
        assert_eq!(in_place(&plan, &step, &is_input), [Some(2), Some(1)]);
    }

    #[test]
    fn values_that_are_needed_one_after_the_other_take_turns() {
        // The third value finds the first free again, the fourth the second.
        let plan = chain(&[1, 4000, 9000, 3000, 8000, 5]);
        let bytes = [4, 16_000, 36_000, 16_000, 36_000, 20];
        assert_eq!(capacities(&plan), bytes);
    }

    #[test]
    fn what_is_asked_for_keeps_its_own_size() {
        let mut plan = chain(&[1, 4000, 9000, 3000]);
        plan.outputs.push(2);
        plan.steps[2].frees.clear();
        assert_eq!(capacities(&plan), [4, 16_000, 36_000, 12_000]);
    }
}
