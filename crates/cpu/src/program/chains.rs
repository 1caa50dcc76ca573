//! Which registers are computed in one walk.

use super::chain::{LONGEST, Link};
use super::compile::{Compiled, Source, needed};
use wgrad_tensor::elementwise::Basic;

/// Steps that are rather done again for each reader than written and read.
const CHEAP: usize = 2;

/// A register as a step of a chain.
#[derive(Clone, Copy, Debug)]
struct Step {
    link: Link,
    /// The register that it goes on from.
    from: usize,
    operand: Option<usize>,
    /// The steps so far, from where the chain starts.
    length: usize,
    /// Whether those are quick.
    quick: bool,
    /// Whether it has no elements in memory.
    passing: bool,
}

impl Compiled<'_> {
    /// Joins steps, and reductions of what they give, over rows of so many places.
    pub fn join(&mut self, length: usize) {
        let steps = self.steps();
        let passing = |i: usize| steps[i].is_some_and(|step| step.passing);
        for i in 0..self.registers.len() {
            let pays = |step: &Step| step.length > 1 || matches!(self.registers[i].source, Source::MapRows(_));
            if let Some(step) = steps[i].filter(|step| !step.passing && pays(step)) {
                self.registers[i].source = Source::Chain(vec![], None);
                self.set(i, &steps, step);
            }
        }
        for i in 0..self.registers.len() {
            let (Source::Combine(combine), &[x]) = (&self.registers[i].source, &*self.registers[i].args) else {
                continue;
            };
            let Some(fold) = combine.fold else { continue };
            let Some(step) = steps[x] else {
                self.registers[i].source = Source::Chain(vec![], Some(fold));
                continue;
            };
            if passing(x) {
                self.registers[i].source = Source::Chain(vec![], Some(fold));
                self.set(i, &steps, step);
            } else if self.registers[x].folded.is_none() {
                if !matches!(self.registers[x].source, Source::Chain(..)) {
                    self.registers[x].source = Source::Chain(vec![], None);
                    self.set(x, &steps, step);
                }
                self.registers[x].folded = Some((fold, i));
                self.registers[i].source = Source::Folded;
            }
        }
        self.sort();
        let order: Vec<usize> =
            self.stages.iter().flat_map(|stage| stage.full.iter().chain(&stage.rows)).copied().collect();
        for i in 0..self.registers.len() {
            let mut readers =
                order.iter().map(|&reader| &self.registers[reader]).filter(|reader| reader.args.contains(&i));
            let only_chains = readers.all(|reader| matches!(reader.source, Source::Chain(..)));
            let stored = self.stores.contains(&i);
            self.registers[i].one_row = only_chains && !stored && self.registers[i].source.is_alike_within(length);
        }
    }

    /// Makes a register the chain that ends with a step.
    fn set(&mut self, register: usize, steps: &[Option<Step>], last: Step) {
        let (mut chain, mut step) = (vec![last], last);
        while let Some(before) = steps[step.from].filter(|before| before.passing) {
            chain.push(before);
            step = before;
        }
        chain.reverse();
        let register = &mut self.registers[register];
        register.args = [step.from].into_iter().chain(chain.iter().filter_map(|step| step.operand)).collect();
        if let Source::Chain(links, _) = &mut register.source {
            *links = chain.iter().map(|step| step.link).collect();
        }
    }

    /// The registers that can be steps of chains.
    fn steps(&self) -> Vec<Option<Step>> {
        let registers = &self.registers;
        let picks = (0..registers.len()).filter(|&i| matches!(registers[i].source, Source::Pick(_)));
        let mut readers = vec![vec![]; registers.len()];
        for i in needed(registers, picks.chain(self.stores.iter().copied())) {
            registers[i].args.iter().for_each(|&arg| readers[arg].push(i));
        }
        let is_step = |i: usize| {
            let register = &registers[i];
            let known = register.basic.is_some() && matches!(register.source, Source::Map(_) | Source::MapRows(_));
            known && !register.per_row
        };
        let mut steps: Vec<Option<Step>> = vec![None; registers.len()];
        for i in (0..registers.len()).filter(|&i| is_step(i)) {
            let Some(basic) = registers[i].basic else { continue };
            let goes_on = |arg: usize| is_step(arg) && !self.stores.contains(&arg);
            let (link, from, operand) = match *registers[i].args {
                [x] => (Link::Alone(basic), x, None),
                [x, y] if x == y => (Link::Twice(basic), x, None),
                [x, y] if registers[x].per_row || (goes_on(y) && !goes_on(x)) => (Link::after(basic), y, Some(x)),
                [x, y] => (Link::With(basic), x, Some(y)),
                _ => continue,
            };
            let quick = !matches!(basic, Basic::Exp | Basic::Div);
            steps[i] = Some(Step { link, from, operand, length: 1, quick, passing: false });
        }
        for i in 0..steps.len() {
            let Some(mut step) = steps[i] else { continue };
            if let Some(before) = steps[step.from].filter(|before| before.passing) {
                step.length += before.length;
                step.quick &= before.quick;
            }
            let goes_on = |&reader: &usize| match (&registers[reader].source, steps[reader]) {
                (Source::Combine(combine), _) => combine.fold.is_some(),
                (_, Some(reader)) => reader.from == i && reader.operand != Some(i),
                _ => false,
            };
            let again =
                readers[i].iter().all(|reader| readers[i][0] == *reader) || (step.quick && step.length <= CHEAP);
            step.passing =
                again && step.length < LONGEST && !self.stores.contains(&i) && readers[i].iter().all(goes_on);
            steps[i] = Some(step);
        }
        steps
    }
}
