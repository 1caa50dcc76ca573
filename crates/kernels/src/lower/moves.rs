//! Steps that move elements without looking at them: cat and gather, for every dtype.

use super::cast::per_word;
use super::walk::Walk;
use super::{Input, Launch, Lowering};
use crate::lowered::Place;
use crate::params::Params;
use crate::pipelines::{Key, Source, file};
use std::fmt::Write;
use wgrad_shaders::fill;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Meta;

/// Invocations of a workgroup.
const THREADS: usize = 256;

impl Lowering<'_> {
    pub(super) fn cat(&mut self, axis: usize, inputs: &[Input], output: Place, meta: &Meta) -> Result<(), Problem> {
        let inputs: Vec<&Input> = inputs.iter().filter(|input| input.layout.shape.count() > 0).collect();
        let at_once = (self.engine.limits.max_storage_buffers_per_shader_stage as usize - 1).min(31);
        if inputs.len() <= at_once {
            return self.cat_once(axis, &inputs, output, meta);
        }
        // More than one kernel binds: pieces first, then the pieces.
        let mut pieces = Vec::new();
        for chunk in inputs.chunks(at_once) {
            let size = chunk.iter().map(|input| input.layout.shape[axis]).sum();
            let meta = Meta::new(meta.shape.with(axis, size), meta.dtype);
            let place = self.scratch(meta.bytes());
            self.cat_once(axis, chunk, place, &meta)?;
            pieces.push(Input::whole(place, meta.dtype, Layout::contiguous(&meta.shape)));
        }
        self.cat(axis, &pieces, output, meta)
    }

    fn cat_once(&mut self, axis: usize, inputs: &[&Input], output: Place, meta: &Meta) -> Result<(), Problem> {
        if inputs.is_empty() {
            return Ok(());
        }
        let count = meta.shape.count();
        let row = |shape: &[usize]| shape[axis..].iter().product::<usize>();
        let mut params = Params::of(&[count, row(&meta.shape)]);
        inputs.iter().for_each(|input| params.sizes(&[row(&input.layout.shape)]));
        let launch = Launch {
            key: Key::new("cat").number(inputs.len()).number(meta.dtype.size()),
            inputs: inputs.iter().map(|input| input.place).collect(),
            outputs: vec![output],
            params,
            groups: words(count, meta.dtype).div_ceil(THREADS),
        };
        let inputs = inputs.len();
        self.launch(launch, || {
            let (mut bindings, mut fields, mut fetches) = (String::new(), String::new(), String::new());
            let mut body = "    let row = index / params.row;\n    var at = index % params.row;\n".to_owned();
            for number in 0..inputs {
                bindings += &binding(number);
                fetches += &fetch(number);
                let _ = writeln!(fields, "    length{number}: u32,");
                let found = format!("fetch{number}(row * params.length{number} + at, part)");
                let _ = if number + 1 == inputs {
                    writeln!(body, "    return {found};")
                } else {
                    writeln!(
                        body,
                        "    if at < params.length{number} {{\n        return {found};\n    }}\n    at -= params.length{number};"
                    )
                };
            }
            let source = format!(
                "{bindings}\nstruct Params {{\n    count: u32,\n    row: u32,\n{fields}}}\n\n{fetches}fn element(index: u32, part: u32) -> u32 {{\n{body}}}\n"
            );
            moving("cat", &source, meta.dtype, inputs)
        })
    }

    pub(super) fn gather(
        &mut self,
        axis: usize,
        source: &Input,
        index: &Input,
        output: Place,
        meta: &Meta,
    ) -> Result<(), Problem> {
        let count = meta.shape.count();
        if count == 0 {
            return Ok(());
        }
        let stride = *source.layout.strides.get(axis).ok_or_else(|| Problem::new(ErrorKind::Axis, "no such axis"))?;
        let size = source.layout.shape[axis];
        // The source at index 0, seen in the output's shape.
        let mut strides = source.layout.strides.clone();
        strides[axis] = 0;
        let start = Layout { shape: meta.shape.clone(), strides, offset: source.layout.offset };
        let walk = Walk::new(&[&index.layout, &start]);
        let check = self.check(size, index.dtype);
        let mut params = Params::of(&[count, size]);
        params.strides(&[stride]);
        params.slot(check);
        walk.params(&mut params);
        let launch = Launch {
            key: Key::new("gather").number(walk.sizes.len()).number(meta.dtype.size()),
            inputs: vec![source.place, index.place],
            outputs: vec![output, Place::Status],
            params,
            groups: words(count, meta.dtype).div_ceil(THREADS),
        };
        self.launch(launch, || {
            let windows = format!(
                "struct Params {{\n    count: u32,\n    axis_size: u32,\n    axis_stride: u32,\n    slot: u32,\n{}}}\n\nfn locate(index: u32) -> vec2<u32> {{\n{}    return vec2<u32>({}, {});\n}}\n",
                walk.fields(""), walk.decode(""), walk.place("", 0), walk.place("", 1),
            );
            let text = file("sources/gather")?;
            let start = text.find("//{ source\n").map_or(0, |at| at + "//{ source\n".len());
            let end = text.rfind("//}").unwrap_or(text.len());
            let source = fill(text.get(start..end).unwrap_or_default(), "windows", &windows);
            moving("gather", &source, meta.dtype, 2)
        })
    }
}

/// The words of `count` elements.
fn words(count: usize, dtype: DType) -> usize {
    (count * dtype.size()).div_ceil(4)
}

fn binding(number: usize) -> String {
    format!("@group(0) @binding({number}) var<storage, read> input{number}: array<u32>;\n")
}

/// The function that gives the bits of one element of an input.
fn fetch(number: usize) -> String {
    format!(
        "fn fetch{number}(at: u32, part: u32) -> u32 {{\n    let word = input{number}[(at * WORDS + part) / PER_WORD];\n    return (word >> (at % PER_WORD * (32u / PER_WORD))) & (0xffffffffu >> (32u - 32u / PER_WORD));\n}}\n\n"
    )
}

/// The frame with its source, whose output follows `inputs` bindings; gather's status words come between the output
/// and the parameters.
fn moving(label: &str, source: &str, dtype: DType, inputs: usize) -> Result<Source, Problem> {
    let extra = usize::from(label == "gather");
    let words = dtype.size().div_ceil(4);
    let width = format!("const PER_WORD: u32 = {}u;\nconst WORDS: u32 = {words}u;\n", per_word(dtype));
    let text = fill(file("move")?, "width", &width);
    let text =
        text.replace("@binding(2) var<uniform>", &format!("@binding({}) var<uniform>", inputs + 1 + extra)).replace(
            "@binding(1) var<storage, read_write> output",
            &format!("@binding({inputs}) var<storage, read_write> output"),
        );
    let text = fill(&text, "source", source);
    Ok(Source::own(format!("{label} of {}-byte elements", dtype.size()), &text, &[("threads", THREADS as f64)]))
}
