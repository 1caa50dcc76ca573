//! Reductions over any axes.

use super::walk::Walk;
use super::{Input, Launch, Lowering, THREADS, TURNS};
use crate::memory::GpuBuffer;
use crate::params::Params;
use crate::pipelines::{Key, Source, file};
use std::sync::Arc;
use wgrad_shaders::fill;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Reduction;

/// Invocations of a workgroup that combines its parts as a tree.
const TREE: usize = 256;

/// The window of a reduction: the axes that stay, and those that go.
pub(super) struct Folded {
    pub outer: Walk,
    pub inner: Walk,
}

impl Folded {
    pub fn new(input: &Input, axes: &[usize]) -> Self {
        let mut outer = Walk::of_axes(&input.layout, |axis| !axes.contains(&axis));
        if let Some(window) = outer.windows.first_mut() {
            window.0 = input.layout.offset;
        }
        Folded { outer, inner: Walk::of_axes(&input.layout, |axis| axes.contains(&axis)) }
    }

    /// `length` elements for each of `outputs`, which lie side by side.
    pub fn side_by_side(outputs: usize, length: usize, output_stride: usize, stride: usize) -> Self {
        let walk = |size, stride: usize| Walk { sizes: vec![size], windows: vec![(0, vec![stride as isize])] };
        Folded { outer: walk(outputs, output_stride), inner: walk(length, stride) }
    }

    /// `Params`, `fn outer`, and `fn inner` with what it reads once.
    pub fn interface(&self) -> String {
        format!(
            "struct Params {{\n    outputs: u32,\n    length: u32,\n    slices: u32,\n    identity: u32,\n{}{}}}\n\n{}\n{}",
            self.outer.fields("outer_"),
            self.inner.fields("inner_"),
            self.outer.function("outer", "outer_"),
            self.inner.hoisted("inner_"),
        )
    }

    pub fn params(&self, slices: usize, identity: u32) -> Params {
        let mut params = Params::of(&[self.outer.count(), self.inner.count(), slices]);
        params.words(&[identity]);
        self.outer.params(&mut params);
        self.inner.params(&mut params);
        params
    }

    pub fn key(&self, name: &str, dtype: DType) -> Key {
        Key::new(name).number(self.outer.sizes.len()).number(self.inner.sizes.len()).number(dtype as usize)
    }

    /// Whether an output's elements are neighbours in memory.
    fn runs_inward(&self) -> bool {
        self.inner.windows.first().is_some_and(|(_, strides)| matches!(strides.last(), Some(1 | -1)))
    }
}

/// How the work is shared out.
#[derive(Clone, Copy)]
struct Shares {
    /// Invocations for each output or slice: 1, or the lanes of a tree.
    lanes: usize,
    /// Parts of an output's elements; a second pass reduces their results.
    slices: usize,
    /// Whether an output's elements are neighbours, and so are its slices.
    runs_inward: bool,
}

impl Lowering<'_> {
    pub(super) fn reduce(
        &mut self,
        reduction: Reduction,
        axes: &[usize],
        input: &Input,
        output: &Arc<GpuBuffer>,
    ) -> Result<(), Problem> {
        self.reduce_folded(reduction, &Folded::new(input, axes), input.dtype, &input.buffer, output)
    }

    /// Adds `parts` runs of `count` numbers: what is left of a contraction cut into slices.
    pub(super) fn add_slices(
        &mut self,
        dtype: DType,
        parts: usize,
        count: usize,
        input: &Arc<GpuBuffer>,
        output: &Arc<GpuBuffer>,
    ) -> Result<(), Problem> {
        self.reduce_folded(Reduction::Sum, &Folded::side_by_side(count, parts, 1, count), dtype, input, output)
    }

    fn reduce_folded(
        &mut self,
        reduction: Reduction,
        folded: &Folded,
        dtype: DType,
        input: &Arc<GpuBuffer>,
        output: &Arc<GpuBuffer>,
    ) -> Result<(), Problem> {
        let (outputs, length) = (folded.outer.count(), folded.inner.count());
        let shares = self.shares(outputs, length, folded.runs_inward());
        let slices = shares.slices;
        if slices == 1 {
            return self.reduce_pass(reduction, folded, dtype, shares, input, output);
        }
        let partial = self.allocate(outputs * slices * dtype.size())?;
        self.reduce_pass(reduction, folded, dtype, shares, input, &partial)?;
        let (output_stride, stride) = if shares.runs_inward { (slices, 1) } else { (1, outputs) };
        let rest = Folded::side_by_side(outputs, slices, output_stride, stride);
        let shares = Shares { slices: 1, ..self.shares(outputs, slices, shares.runs_inward) };
        self.reduce_pass(reduction, &rest, dtype, shares, &partial, output)
    }

    fn shares(&self, outputs: usize, length: usize, runs_inward: bool) -> Shares {
        // Slices that bring the invocations up to `wanted`, each of `least` elements or more.
        let slices = |wanted: usize, least: usize, lanes: usize| {
            wanted.div_ceil(outputs.max(1)).min(length / least).max(length.div_ceil(lanes * TURNS)).max(1)
        };
        if self.engine.software {
            Shares { lanes: 1, slices: slices(256, 256, 1), runs_inward }
        } else if runs_inward && length > 8 {
            let lanes = (length / 4).next_power_of_two().clamp(8, TREE);
            Shares { lanes, slices: slices(1024, 4096, lanes), runs_inward }
        } else {
            Shares { lanes: 1, slices: slices(16_384, 64, 1), runs_inward }
        }
    }

    fn reduce_pass(
        &mut self,
        reduction: Reduction,
        folded: &Folded,
        dtype: DType,
        shares: Shares,
        input: &Arc<GpuBuffer>,
        output: &Arc<GpuBuffer>,
    ) -> Result<(), Problem> {
        let number = self.number(dtype)?;
        let items = folded.outer.count() * shares.slices;
        let (name, threads) = if shares.lanes == 1 { ("reduce_each", THREADS) } else { ("reduce_tree", TREE) };
        let launch = Launch {
            key: folded
                .key(name, dtype)
                .number(reduction as usize)
                .number(shares.lanes)
                .number(usize::from(shares.runs_inward)),
            inputs: vec![input.raw()],
            outputs: vec![output.raw()],
            params: folded.params(shares.slices, identity(reduction, dtype)),
            groups: items.div_ceil(threads / shares.lanes),
        };
        self.launch(launch, || {
            let text = file(name)?.replace("alias Number = f32;", &format!("alias Number = {number};"));
            let text = fill(&text, "interface", &folded.interface());
            let text = fill(&text, "combine", &combine(reduction, number));
            let text = match dtype {
                DType::F64 => fill(&text, "identity", IDENTITY_F64),
                _ => text,
            };
            let own = match shares.lanes {
                1 => ("runs_inward", f64::from(u8::from(shares.runs_inward))),
                lanes => ("lanes", lanes as f64),
            };
            Ok(Source::own(
                format!("{reduction:?} {number}").to_lowercase(),
                &text,
                &[("threads", threads as f64), own],
            ))
        })
    }
}

/// An f32 holds the identity of every reduction exactly.
const IDENTITY_F64: &str = "fn identity() -> Number {\n    return f64(bitcast<f32>(params.identity));\n}\n";

fn combine(reduction: Reduction, number: &str) -> String {
    let value = match reduction {
        Reduction::Sum => "x + y".to_owned(),
        Reduction::Prod => "x * y".to_owned(),
        Reduction::Max => format!("max_{number}(x, y)"),
        Reduction::Min => format!("min_{number}(x, y)"),
    };
    format!("fn combine(x: Number, y: Number) -> Number {{\n    return {value};\n}}\n")
}

/// The bits of what changes nothing: in f32 for both floats.
fn identity(reduction: Reduction, dtype: DType) -> u32 {
    match (reduction, dtype) {
        (Reduction::Sum, _) => 0,
        (Reduction::Prod, DType::I32 | DType::U32) => 1,
        (Reduction::Prod, _) => 1f32.to_bits(),
        (Reduction::Max, DType::U32) => u32::MIN,
        (Reduction::Max, DType::I32) => i32::MIN as u32,
        (Reduction::Max, _) => f32::NEG_INFINITY.to_bits(),
        (Reduction::Min, DType::U32) => u32::MAX,
        (Reduction::Min, DType::I32) => i32::MAX as u32,
        (Reduction::Min, _) => f32::INFINITY.to_bits(),
    }
}
