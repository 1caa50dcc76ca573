//! Elementwise programs: what decides their text, and their parameters.

use super::cast::{per_word, scalar_words};
use super::map_text::{self, Load, Reach, Style};
use super::walk::Walk;
use super::{Input, Launch, Lowering};
use crate::memory::GpuBuffer;
use crate::params::Params;
use crate::pipelines::{Key, Source};
use std::sync::Arc;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta};

/// Invocations of a workgroup.
const THREADS: usize = 256;

/// How the windows of a program are walked.
struct Windows {
    style: Style,
    loads: Vec<Load>,
    walk: Walk,
}

impl Lowering<'_> {
    pub(super) fn map(
        &mut self,
        program: &Program,
        inputs: &[Input],
        outputs: &[Arc<GpuBuffer>],
        metas: &[Meta],
        name: &str,
    ) -> Result<(), Problem> {
        let count = program.shape.count();
        if count == 0 || outputs.is_empty() {
            return Ok(());
        }
        for instruction in &program.code {
            self.needs(instruction.dtype())?;
        }
        let mut buffers: Vec<&Arc<GpuBuffer>> = Vec::new();
        let mut bindings = Vec::with_capacity(inputs.len());
        for input in inputs {
            let known = buffers.iter().position(|buffer| Arc::ptr_eq(buffer, &input.buffer));
            bindings.push(known.unwrap_or(buffers.len()));
            if known.is_none() {
                buffers.push(&input.buffer);
            }
        }
        let stores: Vec<DType> = metas.iter().map(|meta| meta.dtype).collect();
        let windows = windows(program, inputs, &bindings, &stores);
        let per_item = windows.style.elements();
        let items = count.div_ceil(per_item);

        let mut params = Params::default();
        let scalars = scalars(program)?;
        scalars.iter().filter(|(_, dtype)| *dtype == DType::F64).for_each(|(words, _)| params.words(words));
        scalars.iter().filter(|(_, dtype)| *dtype != DType::F64).for_each(|(words, _)| params.words(&words[..1]));
        params.sizes(&[items, count]);
        windows.walk.params(&mut params);

        let launch = Launch {
            key: key(program, &windows, &stores),
            inputs: buffers.iter().map(|buffer| buffer.raw()).collect(),
            outputs: outputs.iter().map(|buffer| buffer.raw()).collect(),
            params,
            groups: items.div_ceil(THREADS),
        };
        let arrays = buffers.len();
        self.launch(launch, || {
            let text =
                map_text::Text { program, style: windows.style, loads: &windows.loads, walk: &windows.walk, arrays };
            Ok(Source::own(format!("map {name}"), &text.kernel(&stores)?, &[("threads", THREADS as f64)]))
        })
    }
}

/// Chooses how to walk: four elements at once where every window allows it, else the elements of one word.
fn windows(program: &Program, inputs: &[Input], bindings: &[usize], stores: &[DType]) -> Windows {
    let whole = Layout::contiguous(&program.shape);
    let layouts: Vec<&Layout> = std::iter::once(&whole).chain(inputs.iter().map(|input| &input.layout)).collect();
    let mut walk = Walk::new(&layouts);
    let own = walk.windows.remove(0).1;

    let words = inputs
        .iter()
        .map(|input| input.dtype)
        .chain(stores.iter().copied())
        .all(|dtype| matches!(dtype, DType::F32 | DType::I32 | DType::U32));
    let lone_axis = walk.sizes.len() <= 1;
    let by_four = |size: usize| size.is_multiple_of(4);
    let vectors = words
        && program.shape.count() >= 4
        && (lone_axis || walk.sizes.last().copied().is_some_and(by_four))
        && walk.windows.iter().all(|(offset, strides)| match strides.split_last() {
            Some((1, outer)) => by_four(*offset) && outer.iter().all(|stride| stride % 4 == 0),
            Some((inner, _)) => *inner == 0,
            None => true,
        });
    let style = if vectors {
        Style::Vectors
    } else {
        Style::Words(stores.iter().map(|&dtype| per_word(dtype)).max().unwrap_or(1))
    };
    if vectors {
        // From here on the last axis counts groups of four.
        if let Some(last) = walk.sizes.last_mut() {
            *last = last.div_ceil(4);
        }
        for (offset, strides) in &mut walk.windows {
            if strides.last() == Some(&1) {
                *offset /= 4;
                let axes = strides.len();
                strides[..axes - 1].iter_mut().for_each(|stride| *stride /= 4);
            }
        }
    }
    let loads = inputs
        .iter()
        .zip(bindings)
        .zip(&walk.windows)
        .map(|((input, &array), (offset, strides))| Load {
            array,
            dtype: input.dtype,
            reach: match strides.last() {
                _ if strides.iter().all(|&stride| stride == 0) => Reach::Single,
                // In order from the start: the running index is the place.
                Some(1) if *offset == 0 && input.layout.is_contiguous() => Reach::Linear,
                Some(0) if vectors => Reach::Repeated,
                _ => Reach::Strided,
            },
        })
        .collect();
    debug_assert_eq!(own.len(), walk.sizes.len());
    Windows { style, loads, walk }
}

/// The numbers of a program's constants, in order, with the dtype of their field.
fn scalars(program: &Program) -> Result<Vec<([u32; 2], DType)>, Problem> {
    let mut found = Vec::new();
    for instruction in &program.code {
        let Instruction::Map { map, dtype, scalars, .. } = instruction else { continue };
        let scalar = |at: usize| -> Result<Scalar, Problem> {
            scalars.get(at).copied().ok_or_else(|| Problem::new(ErrorKind::Value, "lacks a scalar"))
        };
        match map {
            Map::Constant => found.push((scalar_words(scalar(0)?, *dtype), *dtype)),
            Map::Arange => {
                found.push((scalar_words(scalar(0)?, *dtype), *dtype));
                found.push((scalar_words(scalar(1)?, *dtype), *dtype));
            }
            Map::Random(_) => {
                for at in 0..2 {
                    let bits = scalar(at)?.as_bits();
                    found.push(([bits as u32, 0], DType::U32));
                    found.push(([(bits >> 32) as u32, 0], DType::U32));
                }
            }
            Map::Row(_) | Map::Where | Map::Cast => {}
        }
    }
    Ok(found)
}

/// Everything that the text depends on.
fn key(program: &Program, windows: &Windows, stores: &[DType]) -> Key {
    let mut key = Key::new("map").number(windows.style.elements()).number(usize::from(windows.style == Style::Vectors));
    key = key.number(windows.walk.sizes.len()).number(windows.loads.len());
    for load in &windows.loads {
        key = key.number(load.array).number(load.dtype as usize).number(load.reach as usize);
    }
    key = key.number(program.code.len());
    for instruction in &program.code {
        key = match instruction {
            Instruction::Load(operand, dtype) => key.number(0).number(*operand).number(*dtype as usize),
            Instruction::Map { map, args, dtype, .. } => {
                let key = match map {
                    // Rows are statics: their address is their identity.
                    Map::Row(row) => key.number(1).number(std::ptr::from_ref(*row).addr()),
                    Map::Where => key.number(2),
                    Map::Cast => key.number(3),
                    Map::Constant => key.number(4),
                    Map::Arange => key.number(5),
                    Map::Random(random) => key.number(6).number(*random as usize),
                };
                args.iter().fold(key.number(*dtype as usize).number(args.len()), |key, &arg| key.number(arg))
            }
        };
    }
    program.stores.iter().zip(stores).fold(key, |key, (&store, &dtype)| key.number(store).number(dtype as usize))
}
