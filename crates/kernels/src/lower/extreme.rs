//! The largest or smallest element with its position.

use super::walk::Walk;
use super::{Input, Launch, Lowering, THREADS, TURNS};
use crate::lowered::Place;
use crate::params::Params;
use crate::pipelines::{Key, Source, file};
use wgrad_shaders::fill;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Extreme;

/// Invocations of a workgroup that combines its parts as a tree.
const TREE: usize = 256;

/// The window of a search: the axes that stay, and those that go.
struct Folded {
    outer: Walk,
    inner: Walk,
}

impl Folded {
    fn new(input: &Input, axes: &[usize]) -> Self {
        let mut outer = Walk::of_axes(&input.layout, |axis| !axes.contains(&axis));
        if let Some(window) = outer.windows.first_mut() {
            window.0 = input.layout.offset as isize;
        }
        Folded { outer, inner: Walk::of_axes(&input.layout, |axis| axes.contains(&axis)) }
    }

    /// `length` elements for each of `outputs`, which lie side by side.
    fn side_by_side(outputs: usize, length: usize, output_stride: usize, stride: usize) -> Self {
        let walk =
            |size, stride: usize| Walk { sizes: [size][..].into(), windows: vec![(0, [stride as isize][..].into())] };
        Folded { outer: walk(outputs, output_stride), inner: walk(length, stride) }
    }

    /// `Params`, `fn outer`, and `fn inner` with what it reads once.
    fn interface(&self) -> String {
        format!(
            "struct Params {{\n    outputs: u32,\n    length: u32,\n    slices: u32,\n{}{}}}\n\n{}\n{}",
            self.outer.fields("outer_"),
            self.inner.fields("inner_"),
            self.outer.function("outer", "outer_"),
            self.inner.hoisted("inner_"),
        )
    }

    fn params(&self, slices: usize) -> Params {
        let mut params = Params::of(&[self.outer.count(), self.inner.count(), slices]);
        self.outer.params(&mut params);
        self.inner.params(&mut params);
        params
    }

    fn key(&self, name: &str, dtype: DType) -> Key {
        Key::new(name).number(self.outer.sizes.len()).number(self.inner.sizes.len()).number(dtype as usize)
    }
}

impl Lowering<'_> {
    pub(super) fn extreme(
        &mut self,
        extreme: Extreme,
        axes: &[usize],
        input: &Input,
        value: Place,
        position: Place,
    ) -> Result<(), Problem> {
        let folded = Folded::new(input, axes);
        let (outputs, length) = (folded.outer.count(), folded.inner.count());
        if outputs > 0 && length == 0 {
            return Err(Problem::new(ErrorKind::Value, "nothing is the largest or smallest of no elements"));
        }
        let (wanted, least): (usize, usize) = if self.engine.software { (256, 256) } else { (1024, 4096) };
        let slices = wanted.div_ceil(outputs.max(1)).min(length / least).max(length.div_ceil(TURNS)).max(1);
        // No slice is empty.
        let slices = length.div_ceil(length.div_ceil(slices).max(1)).max(1);
        if slices == 1 {
            return self.extreme_pass(extreme, &folded, 1, input.dtype, (input.place, None), value, position);
        }
        let values = self.scratch(outputs * slices * input.dtype.size());
        let positions = self.scratch(outputs * slices * 4);
        self.extreme_pass(extreme, &folded, slices, input.dtype, (input.place, None), values, positions)?;
        let rest = Folded::side_by_side(outputs, slices, slices, 1);
        self.extreme_pass(extreme, &rest, 1, input.dtype, (values, Some(positions)), value, position)
    }

    /// The second of the inputs: what to call the elements, where it is not their place along the axes.
    #[allow(clippy::too_many_arguments, reason = "two inputs, two outputs and what to do with them")]
    fn extreme_pass(
        &mut self,
        extreme: Extreme,
        folded: &Folded,
        slices: usize,
        dtype: DType,
        (input, carried): (Place, Option<Place>),
        value: Place,
        position: Place,
    ) -> Result<(), Problem> {
        let number = self.number(dtype)?;
        let items = folded.outer.count() * slices;
        let tree = !self.engine.software && folded.inner.count() / slices > 64;
        let (name, groups) = if tree { ("extreme_tree", items) } else { ("extreme_each", items.div_ceil(THREADS)) };
        let launch = Launch {
            key: folded.key(name, dtype).number(extreme as usize).number(usize::from(carried.is_some())),
            inputs: std::iter::once(input).chain(carried).collect(),
            outputs: vec![value, position],
            params: folded.params(slices),
            groups,
        };
        self.launch(launch, || {
            let text = file(name)?.replace("alias Number = f32;", &format!("alias Number = {number};"));
            let text = fill(&text, "interface", &folded.interface());
            let nan = if dtype.is_float() { format!("is_nan_{number}(x)") } else { "false".to_owned() };
            let text = fill(&text, "nan", &format!("fn is_nan(x: Number) -> bool {{\n    return {nan};\n}}\n"));
            let text = match extreme {
                Extreme::Max => text,
                Extreme::Min => text.replace("return x > y ||", "return x < y ||"),
            };
            let text = match carried {
                None => text,
                Some(_) => fill(&text, "position", CARRIED)
                    .replace("@binding(3)", "@binding(4)")
                    .replace("@binding(2)", "@binding(3)")
                    .replace("@binding(1) var<storage, read_write>", "@binding(2) var<storage, read_write>"),
            };
            let threads = if tree { TREE } else { THREADS };
            Ok(Source::own(format!("arg{extreme:?} {number}").to_lowercase(), &text, &[("threads", threads as f64)]))
        })
    }
}

const CARRIED: &str = "@group(0) @binding(1) var<storage, read> carried: array<u32>;

fn position_of(at: u32, place: u32) -> u32 {
    return carried[place];
}
";
