//! Row programs: how their work is shared out, and which are cut in parts first.

use super::cast::per_word;
use super::code::Code;
use super::levels::Levels;
use super::map::Arrays;
use super::part::{Known, Space, part, with_last, without_last};
use super::row_text::Text;
use super::row_windows::Windows;
use super::{Input, Launch, Lowering, THREADS, TURNS};
use crate::lowered::Place;
use crate::pipelines::{Key, Source};
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::shape::Shape;

/// Invocations of a workgroup where they share rows.
const SHARING: usize = 256;

/// Places of a row that an invocation keeps registers of.
const KEPT: usize = 8;

/// How the work is shared out.
#[derive(Clone, Copy)]
pub(super) struct Shares {
    /// Whether invocations share rows through workgroup memory; otherwise each has a row or slice for itself.
    pub shared: bool,
    /// Invocations that share a row or slice, a power of two. It follows the sizes, so kernels take it as a parameter.
    pub lanes: usize,
    /// Parts of a row; a second pass combines their results.
    pub slices: usize,
    /// Whether neighbouring invocations take neighbouring rows rather than neighbouring places of a row.
    pub across: bool,
}

impl Shares {
    pub fn threads(self) -> usize {
        if self.shared { SHARING } else { THREADS }
    }
}

/// What becomes of a row program.
enum Form {
    /// One kernel.
    Whole(Shares),
    /// Rows cut in slices, and a second pass over their results.
    Sliced(Shares),
    /// One kernel for each level, and one for what is stored of each place.
    Apart,
}

impl Lowering<'_> {
    pub(super) fn rows(&mut self, program: &Program, inputs: &[Input], outputs: &[Place]) -> Result<(), Problem> {
        let rows = program.rows();
        if rows == 0 || outputs.is_empty() {
            return Ok(());
        }
        if has_picks(program) && program.row_length() == 0 {
            return Err(Problem::new(ErrorKind::Index, "no index is within a row of no elements"));
        }
        let levels = Levels::new(program, inputs);
        let dtypes = program.dtypes();
        let narrow = |register: usize| per_word(dtypes[register]) > 1;
        let form = match levels.full_stores(program).any(narrow) {
            // Invocations of a map own whole words.
            true => Form::Apart,
            false => self.row_form(program, inputs, &levels),
        };
        if matches!(form, Form::Apart) {
            return self.apart(program, inputs, outputs, &levels);
        }
        // Narrow results get a word each at first.
        let mut targets = outputs.to_vec();
        for (target, &store) in targets.iter_mut().zip(&program.stores).filter(|(_, store)| narrow(**store)) {
            *target = self.wide(rows, dtypes[store]).place;
        }
        self.row_kernels(program, inputs, &targets, &levels, form)?;
        for ((output, target), &store) in outputs.iter().zip(targets).zip(&program.stores) {
            if narrow(store) {
                let (shape, dtype) = (Shape::from([rows]), dtypes[store]);
                let input = Input { wide: true, ..Input::whole(target, dtype, Layout::contiguous(&shape)) };
                let code = vec![Instruction::Load(0, dtype)];
                let copy = Program { shape, row_axes: 0, code, stores: vec![0] };
                self.map(&copy, &[input], &[*output])?;
            }
        }
        Ok(())
    }

    /// Memory for one word, or two, of each of `count` elements, seen as a row of them.
    fn wide(&mut self, count: usize, dtype: DType) -> Input {
        let place = self.scratch(count * dtype.size().max(4));
        let layout = Layout::contiguous(&Shape::from([count]));
        Input { wide: per_word(dtype) > 1, ..Input::whole(place, dtype, layout) }
    }

    fn row_kernels(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Place],
        levels: &Levels,
        form: Form,
    ) -> Result<(), Problem> {
        match form {
            _ if outputs.is_empty() => Ok(()),
            Form::Whole(shares) => self.row_kernel(program, inputs, outputs, levels, shares),
            Form::Sliced(shares) => self.sliced(program, inputs, outputs, levels, shares),
            Form::Apart => self.apart(program, inputs, outputs, levels),
        }
    }

    fn row_form(&self, program: &Program, inputs: &[Input], levels: &Levels) -> Form {
        let (rows, length) = (program.rows(), program.row_length());
        let full = usize::from(levels.full_stores(program).next().is_some());
        let picks = has_picks(program);
        let across = runs_across(inputs, program.row_axes);
        let along = (length / 4).next_power_of_two().clamp(8, SHARING);
        // A single row is shared at any length: it may be a batch.
        let long = length > 8 || rows == 1;
        if full == 0 && levels.highest == 1 && !picks {
            // Slices that bring the invocations up to `wanted`, each of `least` elements or more.
            let slices = |wanted: usize, least: usize, lanes: usize| {
                wanted.div_ceil(rows).min(length / least).max(length.div_ceil(lanes * TURNS)).max(1)
            };
            let shared = !self.engine.software && !across && long;
            let (lanes, slices) = match (self.engine.software, shared) {
                (true, _) => (1, slices(256, 256, 1)),
                (_, false) => (1, slices(16_384, 64, 1)),
                _ => (along, slices(1024, 4096, along)),
            };
            let shares = Shares { shared, lanes, slices, across };
            return if slices == 1 { Form::Whole(shares) } else { Form::Sliced(shares) };
        }
        let loops = levels.highest + full;
        let shared = !self.engine.software && loops > 0 && (across || long);
        let fewest = (length * loops).div_ceil(TURNS).next_power_of_two();
        let lanes = match (shared, across) {
            (false, _) => 1,
            // As many as it takes to keep a device busy.
            (_, true) => (16_384 / rows).clamp(1, 32).min(length / 8).max(1).next_power_of_two(),
            _ => along,
        };
        let few = if self.engine.software { rows < 16 && length > 8192 } else { rows < 64 && length > 16_384 };
        let most = if self.engine.software { 1 } else { SHARING };
        if loops > 0 && (few || fewest > most) {
            return Form::Apart;
        }
        Form::Whole(Shares { shared, lanes: lanes.max(fewest), slices: 1, across })
    }

    /// Reduces slices of rows, and then the slices' results.
    fn sliced(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Place],
        levels: &Levels,
        shares: Shares,
    ) -> Result<(), Problem> {
        let (rows, dtypes) = (program.rows(), program.dtypes());
        let outer = Shape::from(&program.shape[..program.shape.len() - program.row_axes]);
        let slices = shares.slices;
        let reductions: Vec<usize> = levels.reductions(program, 1).collect();
        let mut partial = Vec::with_capacity(reductions.len());
        for &register in &reductions {
            let input = self.wide(rows * slices, dtypes[register]);
            let (each, apart) = if shares.across { (1, rows) } else { (slices, 1) };
            let mut layout = Layout::contiguous(&outer);
            layout.strides.iter_mut().for_each(|stride| *stride *= each as isize);
            partial.push(Input { layout: with_last(&layout, &[(slices, apart as isize)]), ..input });
        }
        // Slices' results may be more than a kernel binds beside the inputs.
        let most = self.engine.limits.max_storage_buffers_per_shader_stage as usize;
        let at_once = most.saturating_sub(inputs.len()).max(1);
        for (registers, targets) in reductions.chunks(at_once).zip(partial.chunks(at_once)) {
            let same = |layout: &Layout| layout.clone();
            let space = Space { shape: program.shape.clone(), row_axes: program.row_axes, window: &same };
            let (first, first_inputs) = part(program, inputs, &[], space, registers);
            let targets: Vec<_> = targets.iter().map(|target| target.place).collect();
            let levels = Levels::new(&first, &first_inputs);
            self.row_kernel(&first, &first_inputs, &targets, &levels, shares)?;
        }
        let known: Vec<Known> = reductions
            .iter()
            .zip(partial)
            .filter_map(|(&register, input)| match program.code[register] {
                Instruction::Reduce(reduction, _) => Some(Known { register, input, rest: Some(reduction) }),
                _ => None,
            })
            .collect();
        let window = |layout: &Layout| with_last(&without_last(layout, program.row_axes), &[(slices, 0)]);
        let space =
            Space { shape: with_last(&Layout::contiguous(&outer), &[(slices, 0)]).shape, row_axes: 1, window: &window };
        let (rest, rest_inputs) = part(program, inputs, &known, space, &program.stores);
        let levels = Levels::new(&rest, &rest_inputs);
        let form = self.row_form(&rest, &rest_inputs, &levels);
        self.row_kernels(&rest, &rest_inputs, outputs, &levels, form)
    }

    /// Computes what combines elements of a row first, level by level, and then what is stored.
    fn apart(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Place],
        levels: &Levels,
    ) -> Result<(), Problem> {
        let (rows, dtypes) = (program.rows(), program.dtypes());
        let outer = Shape::from(&program.shape[..program.shape.len() - program.row_axes]);
        let last: Vec<(usize, isize)> = program.shape[outer.len()..].iter().map(|&size| (size, 0)).collect();
        let same = |layout: &Layout| layout.clone();
        let mut known: Vec<Known> = Vec::new();
        for level in 0..=levels.highest {
            for registers in [levels.reductions(program, level).collect(), levels.picks(program, level)] {
                let targets: Vec<Input> = registers.iter().map(|&at| self.wide(rows, dtypes[at])).collect();
                let space = Space { shape: program.shape.clone(), row_axes: program.row_axes, window: &same };
                let (one, one_inputs) = part(program, inputs, &known, space, &registers);
                let buffers: Vec<_> = targets.iter().map(|target| target.place).collect();
                let one_levels = Levels::new(&one, &one_inputs);
                let form = self.row_form(&one, &one_inputs, &one_levels);
                self.row_kernels(&one, &one_inputs, &buffers, &one_levels, form)?;
                known.extend(registers.into_iter().zip(targets).map(|(register, target)| {
                    let layout = with_last(&Layout::contiguous(&outer), &last);
                    Known { register, input: Input { layout, ..target }, rest: None }
                }));
            }
        }
        let (mut full, mut single) = (Vec::new(), Vec::new());
        for (&store, output) in program.stores.iter().zip(outputs) {
            let list = if levels.per_row[store] { &mut single } else { &mut full };
            list.push((store, *output));
        }
        let row = |layout: &Layout| without_last(layout, program.row_axes);
        for (stores, shape, window) in [
            (full, program.shape.clone(), &same as &dyn Fn(&Layout) -> Layout),
            (single, outer, &row as &dyn Fn(&Layout) -> Layout),
        ] {
            let known: Vec<Known> = known
                .iter()
                .map(|known| Known {
                    register: known.register,
                    input: Input { layout: window(&known.input.layout), ..known.input.clone() },
                    rest: None,
                })
                .collect();
            // All at once, or one by one where that takes more buffers than a kernel binds.
            let most = self.engine.limits.max_storage_buffers_per_shader_stage as usize;
            let fits = inputs.len() + known.len() + stores.len() <= most;
            for stores in stores.chunks(if fits { stores.len().max(1) } else { 1 }) {
                let (registers, targets): (Vec<usize>, Vec<_>) = stores.iter().cloned().unzip();
                let space = Space { shape: shape.clone(), row_axes: 0, window };
                let (rest, rest_inputs) = part(program, inputs, &known, space, &registers);
                self.map(&rest, &rest_inputs, &targets)?;
            }
        }
        Ok(())
    }

    fn row_kernel(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Place],
        levels: &Levels,
        shares: Shares,
    ) -> Result<(), Problem> {
        let code = Code::new(program, inputs);
        for (instruction, &dtype) in program.code.iter().zip(&code.dtypes) {
            match instruction {
                Instruction::Reduce(..) => drop(self.number(dtype)?),
                _ => self.needs(dtype)?,
            }
        }
        let arrays = Arrays::new(inputs);
        let windows = Windows::new(program, inputs, levels);
        let items = program.rows() * shares.slices;
        let mut params = code.params();
        params.sizes(&[items, program.rows(), program.row_length(), shares.slices, shares.lanes]);
        let mut outputs = outputs.to_vec();
        for instruction in &program.code {
            if let Instruction::Pick([_, index]) = *instruction {
                params.slot(self.check(program.row_length(), code.dtypes[index]));
            }
        }
        outputs.extend(has_picks(program).then_some(Place::Status));
        windows.params(&mut params);
        // Loops over a short part of a row leave to the next what that would compute again. Rows across others, and long
        // ones over several axes, may be as long as a batch: they keep nothing, so that their kernel fits every length.
        let turns = program.row_length().div_ceil(shares.lanes).next_power_of_two();
        let loops = levels.highest + usize::from(levels.full_stores(program).next().is_some());
        let is_window = program.row_length() <= KEPT;
        let keeps = loops > 1 && turns <= KEPT && !shares.across && (is_window || windows.inner.sizes.len() <= 1);
        let turns = if keeps { turns } else { 0 };
        let key = code
            .key(Key::new("row"))
            .number(turns)
            .number(usize::from(shares.shared))
            .number(usize::from(shares.across));
        let key = arrays.of.iter().zip(inputs).fold(key, |key, (&array, input)| {
            key.number(array).number(input.dtype as usize).number(usize::from(input.wide))
        });
        let launch = Launch {
            key: windows.key(key),
            inputs: arrays.places,
            outputs,
            params,
            groups: items.div_ceil(shares.threads() / shares.lanes),
        };
        self.launch(launch, || {
            let text = Text { code: &code, levels, windows: &windows, inputs, arrays: &arrays.of, shares, turns };
            let overrides = [
                ("threads", shares.threads() as f64),
                ("shares_rows", f64::from(u8::from(shares.shared))),
                ("across", f64::from(u8::from(shares.across))),
            ];
            Ok(Source::own(code.label("row"), &text.kernel()?, &overrides))
        })
    }
}

/// Whether neighbours in a row lie apart in memory, as the largest of the inputs have it.
fn runs_across(inputs: &[Input], row_axes: usize) -> bool {
    let axes = |layout: &Layout| layout.shape.iter().copied().zip(layout.strides.clone()).collect::<Vec<_>>();
    let size = |input: &Input| -> usize {
        axes(&input.layout).iter().filter(|(_, stride)| *stride != 0).map(|(size, _)| size).product()
    };
    let largest = inputs.iter().map(size).max().unwrap_or(0);
    !inputs.iter().filter(|input| size(input) == largest).any(|input| {
        let axes = axes(&input.layout);
        let last = axes[axes.len() - row_axes..].iter().rfind(|(size, _)| *size != 1);
        matches!(last, Some((_, 1 | -1)))
    })
}

fn has_picks(program: &Program) -> bool {
    program.code.iter().any(|instruction| matches!(instruction, Instruction::Pick(_)))
}
