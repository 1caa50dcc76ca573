//! Elementwise programs: what decides their text, and their parameters.

use super::cast::per_word;
use super::code::Code;
use super::map_text::{Array, Bound, Load, Reach, Style, Text};
use super::walk::Walk;
use super::{Input, Launch, Lowering};
use crate::lowered::Place;
use crate::params::Params;
use crate::pipelines::{Key, Source};
use std::ops::Range;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::layout::Layout;

/// Invocations of a workgroup.
const THREADS: usize = 256;

/// The places that inputs lie in, each once, and which of them is each input's.
pub(super) struct Arrays {
    pub places: Vec<Place>,
    pub of: Vec<usize>,
}

impl Arrays {
    pub fn new<'i>(inputs: impl IntoIterator<Item = &'i Input>) -> Self {
        let mut arrays = Arrays { places: Vec::new(), of: Vec::new() };
        for input in inputs {
            let known = arrays.places.iter().position(|&place| place == input.place);
            arrays.of.push(known.unwrap_or(arrays.places.len()));
            if known.is_none() {
                arrays.places.push(input.place);
            }
        }
        arrays
    }
}

/// How the windows of a program are walked.
pub(super) struct Windows {
    pub style: Style,
    pub loads: Vec<Load>,
    /// How the positions of generated numbers follow the index space, and which instruction makes them.
    pub made: Vec<(usize, Reach)>,
    /// Where what the loads see ends.
    pub bounds: Vec<Bound>,
    /// The windows of `loads`, those of `made`, and those of `bounds`.
    pub walk: Walk,
}

impl Lowering<'_> {
    pub(super) fn map(&mut self, program: &Program, inputs: &[Input], outputs: &[Place]) -> Result<(), Problem> {
        self.map_over(program, inputs, outputs, &[])
    }

    /// An elementwise program whose results take the place of inputs: `taken` says for each result which one.
    pub(super) fn map_over(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Place],
        taken: &[Option<usize>],
    ) -> Result<(), Problem> {
        let count = program.count();
        if count == 0 || outputs.is_empty() {
            return Ok(());
        }
        let code = Code::new(program, inputs);
        code.dtypes.iter().try_for_each(|&dtype| self.needs(dtype))?;
        let output = |number: usize| taken.iter().position(|&taken| taken == Some(number));
        let arrays =
            Arrays::new(inputs.iter().enumerate().filter(|(at, _)| output(*at).is_none()).map(|(_, input)| input));
        let mut others = arrays.of.iter();
        let lies = |number| output(number).map(Array::Output).or_else(|| others.next().copied().map(Array::Input));
        let lies: Vec<Array> = (0..inputs.len()).filter_map(lies).collect();
        let stores = code.stores();
        let windows = Windows::new(&code, inputs, &lies, None);
        let items = count.div_ceil(windows.style.elements());

        let mut params = code.params();
        params.sizes(&[items, count]);
        windows.params(&mut params);
        let bound = 0..arrays.places.len();
        let launch = Launch {
            key: windows.key(Key::new("map"), &code),
            inputs: arrays.places,
            outputs: outputs.to_vec(),
            params,
            groups: items.div_ceil(THREADS),
        };
        self.launch(launch, || {
            let text = windows.text(&code, bound).kernel(&stores)?;
            Ok(Source::own(code.label("map"), &text, &[("threads", THREADS as f64)]))
        })
    }
}

impl Windows {
    /// Chooses how to walk, where no `style` is given: four elements at once where every window allows it, else the
    /// elements of one word. `arrays` are the numbers of the inputs' buffers.
    pub fn new(code: &Code<'_>, inputs: &[Input], arrays: &[Array], style: Option<Style>) -> Self {
        let program = code.program;
        let whole = Layout::contiguous(&program.shape);
        let made: Vec<(usize, &Layout)> = (0..)
            .zip(&program.code)
            .filter_map(|(at, instruction)| match instruction {
                Instruction::Generate { layout, .. } => Some((at, layout)),
                _ => None,
            })
            .collect();
        let layouts: Vec<&Layout> = std::iter::once(&whole)
            .chain(inputs.iter().map(|input| &input.layout))
            .chain(made.iter().map(|(_, layout)| *layout))
            .chain(inputs.iter().flat_map(|input| &input.padding.bounds).map(|bound| &bound.layout))
            .collect();
        let mut walk = Walk::new(&layouts);
        walk.windows.remove(0);
        let mut bounds: Vec<Bound> = Vec::new();
        for (load, input) in inputs.iter().enumerate() {
            walk.windows[load].0 -= input.padding.before as isize;
            for bound in &input.padding.bounds {
                walk.windows[inputs.len() + made.len() + bounds.len()].0 -= bound.inside.start as isize;
                bounds.push(Bound { load, inside: bound.inside.len(), reach: Reach::Strided });
            }
        }

        // Positions of generated numbers are no places in memory.
        let positions = inputs.len()..inputs.len() + made.len();
        let style = style.unwrap_or_else(|| {
            let stores = code.stores();
            if Self::allow_vectors(program, inputs, &stores, &walk, &positions, &bounds) {
                Style::Vectors
            } else {
                Style::Words(stores.iter().map(|&dtype| per_word(dtype)).max().unwrap_or(1))
            }
        });
        let vectors = style == Style::Vectors;
        if vectors {
            count_fours(&mut walk, &positions, &mut bounds);
        }
        let reaches: Vec<Reach> = walk
            .windows
            .iter()
            .zip(&layouts[1..])
            .map(|((offset, strides), layout)| match strides.last() {
                _ if strides.iter().all(|&stride| stride == 0) => Reach::Single,
                // In order from the start: the running index is the place.
                Some(_) if *offset == 0 && layout.is_contiguous() => Reach::Linear,
                Some(0) if vectors => Reach::Repeated,
                _ => Reach::Strided,
            })
            .collect();
        bounds.iter_mut().zip(&reaches[positions.end..]).for_each(|(bound, reach)| bound.reach = *reach);
        let loads = inputs.iter().zip(arrays).zip(&reaches).map(|((input, &array), &reach)| Load {
            array,
            dtype: input.dtype,
            wide: input.wide,
            reach,
        });
        let made_reaches = reaches[positions].iter();
        Windows {
            style,
            loads: loads.collect(),
            made: made.iter().zip(made_reaches).map(|((at, _), &reach)| (*at, reach)).collect(),
            bounds,
            walk,
        }
    }

    fn allow_vectors(
        program: &Program,
        inputs: &[Input],
        stores: &[DType],
        walk: &Walk,
        positions: &Range<usize>,
        bounds: &[Bound],
    ) -> bool {
        let mut dtypes = inputs.iter().map(|input| input.dtype).chain(stores.iter().copied());
        let words = dtypes.all(|dtype| matches!(dtype, DType::F32 | DType::I32 | DType::U32));
        let by_four = |size: usize| size.is_multiple_of(4);
        words
            && program.count() >= 4
            && (walk.sizes.len() <= 1 || walk.sizes.last().copied().is_some_and(by_four))
            && walk.windows.iter().enumerate().all(|(window, (offset, strides))| match strides.split_last() {
                Some((1, _)) if positions.contains(&window) => true,
                Some((1, outer)) => {
                    let inside = window.checked_sub(positions.end).map_or(0, |bound| bounds[bound].inside);
                    by_four(inside) && offset % 4 == 0 && outer.iter().all(|stride| stride % 4 == 0)
                }
                Some((inner, _)) => *inner == 0,
                None => true,
            })
    }

    /// Everything that the text depends on.
    pub fn key(&self, mut key: Key, code: &Code<'_>) -> Key {
        key = key.number(self.style.elements()).number(usize::from(self.style == Style::Vectors));
        key = key.number(self.walk.sizes.len()).number(self.loads.len()).number(self.bounds.len());
        for load in &self.loads {
            key = match load.array {
                Array::Input(number) => key.number(number),
                Array::Output(number) => key.number(usize::MAX - number),
            };
            key = key.number(load.dtype as usize).number(usize::from(load.wide));
            key = key.number(load.reach as usize);
        }
        for bound in &self.bounds {
            key = key.number(bound.load).number(bound.reach as usize);
        }
        code.key(self.made.iter().fold(key, |key, (_, reach)| key.number(*reach as usize)))
    }

    /// The fields of `Params`, in the order of [`Windows::params`].
    pub fn fields(&self) -> String {
        let bounds = 0..self.bounds.len();
        self.walk.fields("") + &bounds.map(|bound| format!("    inside{bound}: u32,\n")).collect::<String>()
    }

    pub fn params(&self, params: &mut Params) {
        self.walk.params(params);
        self.bounds.iter().for_each(|bound| params.sizes(&[bound.inside]));
    }

    pub fn text<'a>(&'a self, code: &'a Code<'a>, arrays: Range<usize>) -> Text<'a> {
        Text { code, windows: self, arrays }
    }
}

/// Makes the last axis count groups of four. All windows but those at `positions` are then on such groups.
fn count_fours(walk: &mut Walk, positions: &Range<usize>, bounds: &mut [Bound]) {
    if let Some(last) = walk.sizes.last_mut() {
        *last = last.div_ceil(4);
    }
    for (window, (offset, strides)) in walk.windows.iter_mut().enumerate() {
        let Some((last @ 1, outer)) = strides.split_last_mut() else { continue };
        if positions.contains(&window) {
            *last = 4;
            continue;
        }
        *offset /= 4;
        outer.iter_mut().for_each(|stride| *stride /= 4);
        if let Some(bound) = window.checked_sub(positions.end) {
            bounds[bound].inside /= 4;
        }
    }
}
