//! Steps that add into places: scatter and fold, in a fixed order.

use super::walk::Walk;
use super::{Input, Launch, Lowering, THREADS, TURNS};
use crate::lowered::Place;
use crate::params::Params;
use crate::pipelines::{Key, Source, file};
use wgrad_shaders::fill;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::{Meta, Windows};

impl Lowering<'_> {
    /// Inputs: index, source, and the base unless the output lies where that does.
    pub(super) fn scatter_add(
        &mut self,
        axis: usize,
        [index, source]: [&Input; 2],
        base: Option<&Input>,
        output: Place,
        meta: &Meta,
    ) -> Result<(), Problem> {
        let number = self.number(meta.dtype)?;
        let (shape, indices) = (&meta.shape, &index.layout.shape);
        let rank = shape.len();
        if axis >= rank || indices.len() != rank || source.layout.shape != *indices {
            return Err(Problem::new(
                ErrorKind::Shape,
                "index and source of one shape, of the base's rank, are needed",
            ));
        }
        if shape.count() == 0 {
            return match indices.count() {
                0 => Ok(()),
                _ => Err(Problem::new(ErrorKind::Index, "no index is within an axis of size 0")),
            };
        }
        if let Some(base) = base {
            self.copy(base, output)?;
        }
        let (walk, limits) = places(axis, shape, indices);
        let (places, size) = (walk.count(), shape[axis]);
        // Parts of the axis, so that there is work for all even where the other axes are short.
        let wanted = if self.engine.software { 64 } else { 8192 };
        let part = size.div_ceil((wanted / places).clamp(1, size)).min(TURNS / 2);
        let items = places * size.div_ceil(part);
        let check = self.check(size, index.dtype);
        let length = indices[axis];
        // Long axes are walked in several passes, one after the other.
        for start in (0..length).step_by(TURNS / 2) {
            let mut params = Params::of(&[items, places, size]);
            params.strides(&[shape.strides()[axis]]);
            params.sizes(&[part, start, length.min(start + TURNS / 2)]);
            params.strides(&[indices.strides()[axis]]);
            params.slot(check);
            walk.params(&mut params);
            params.sizes(&limits);
            let launch = Launch {
                key: Key::new("scatter_add").number(walk.sizes.len()).number(meta.dtype as usize),
                inputs: vec![index.place, source.place],
                outputs: vec![output, Place::Status],
                params,
                groups: items.div_ceil(THREADS),
            };
            self.launch(launch, || {
                let text = file("scatter_add")?.replace("alias Number = f32;", &format!("alias Number = {number};"));
                let text = fill(&text, "windows", &windows(&walk, limits.len()));
                Ok(Source::own(format!("scatter_add {number}"), &text, &[("threads", THREADS as f64)]))
            })?;
        }
        Ok(())
    }

    pub(super) fn fold(&mut self, windows: &Windows, input: &Input, output: Place, meta: &Meta) -> Result<(), Problem> {
        let number = self.number(meta.dtype)?;
        let axis = windows.axis;
        if axis >= meta.shape.len() || input.layout.shape.len() != meta.shape.len() + 1 || windows.step == 0 {
            return Err(Problem::new(ErrorKind::Shape, "windows do not fit the shape"));
        }
        let items = meta.shape.count();
        let params = Params::of(&[
            items,
            meta.shape[axis + 1..].iter().product(),
            meta.shape[axis],
            input.layout.shape[axis],
            windows.size,
            windows.step,
            windows.dilation,
        ]);
        let launch = Launch {
            key: Key::new("fold").number(meta.dtype as usize),
            inputs: vec![input.place],
            outputs: vec![output],
            params,
            groups: items.div_ceil(THREADS),
        };
        self.launch(launch, || {
            let text = file("fold")?.replace("alias Number = f32;", &format!("alias Number = {number};"));
            Ok(Source::own(format!("fold {number}"), &text, &[("threads", THREADS as f64)]))
        })
    }
}

/// `Params`, and where the places of a walk over `limits` axes lie.
fn windows(walk: &Walk, limits: usize) -> String {
    let fields: String = (0..limits).map(|axis| format!("    limit{axis}: u32,\n")).collect();
    let within: Vec<String> = (0..limits).map(|axis| format!("c{axis} < params.limit{axis}")).collect();
    let within = if within.is_empty() { "true".to_owned() } else { within.join(" && ") };
    format!(
        "struct Params {{
    items: u32,
    places: u32,
    axis_size: u32,
    axis_stride: u32,
    part: u32,
    start: u32,
    end: u32,
    pick_stride: u32,
    slot: u32,
{}{fields}}}

fn locate(index: u32) -> vec3<u32> {{
{}    return vec3<u32>({}, {}, select(0u, 1u, {within}));
}}
",
        walk.fields(""),
        walk.decode(""),
        walk.place("", 0),
        walk.place("", 1),
    )
}

/// The places of the axes beside `axis`: where they lie in the base and in the index, and how far the index, which may
/// be shorter there, reaches along each of the walk's axes.
fn places(axis: usize, base: &[usize], index: &[usize]) -> (Walk, Vec<usize>) {
    let strides = |sizes: &[usize]| wgrad_tensor::shape::Shape::from(sizes).strides();
    let (base_strides, index_strides) = (strides(base), strides(index));
    let mut walk = Walk { windows: vec![Default::default(); 2], ..Walk::default() };
    let mut limits: Vec<usize> = Vec::new();
    let axes = (0..base.len()).filter(|&other| other != axis && (base[other] != 1 || index[other] != 1));
    for other in axes {
        let step = [base_strides[other], index_strides[other]];
        let [(_, own), (_, from)] = walk.windows.as_mut_slice() else { continue };
        // An axis that both fill in the same order goes together with the one outside it.
        let joins = base[other] == index[other]
            && own.last() == Some(&(step[0] * base[other] as isize))
            && from.last() == Some(&(step[1] * base[other] as isize));
        if let (true, Some(size), Some(limit)) = (joins, walk.sizes.last_mut(), limits.last_mut()) {
            *size *= base[other];
            *limit *= base[other];
            own.pop();
            from.pop();
        } else {
            walk.sizes.push(base[other]);
            limits.push(index[other]);
        }
        own.push(step[0]);
        from.push(step[1]);
    }
    (walk, limits)
}
