//! From a running index to places in strided windows: the text that does it, and its parameters.

use crate::params::Params;
use std::fmt::Write;
use wgrad_tensor::layout::{Extents, Layout, Strides, merge_together};

/// Several windows walked over the same axes. Only the number of axes and windows goes into a kernel's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    /// The axes' sizes, outermost first.
    pub sizes: Extents,
    /// Each window's start and strides.
    pub windows: Vec<(isize, Strides)>,
}

impl Walk {
    /// Windows of one shape, with as few axes as they allow.
    pub fn new(layouts: &[&Layout]) -> Self {
        let (sizes, strides) = merge_together(layouts);
        Walk { sizes, windows: layouts.iter().map(|layout| layout.offset as isize).zip(strides).collect() }
    }

    /// The axes of one layout for which `keep` holds.
    pub fn of_axes(layout: &Layout, keep: impl Fn(usize) -> bool) -> Self {
        let axes: Vec<usize> = (0..layout.shape.len()).filter(|&axis| keep(axis)).collect();
        let part = Layout {
            shape: axes.iter().map(|&axis| layout.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| layout.strides[axis]).collect(),
            offset: 0,
        };
        Walk::new(&[&part])
    }

    /// How many places there are.
    pub fn count(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The fields of `Params`, in the order of [`Walk::params`].
    pub fn fields(&self, prefix: &str) -> String {
        let mut text = String::new();
        for axis in 0..self.sizes.len() {
            let _ = writeln!(text, "    {prefix}size{axis}: u32,");
        }
        for window in 0..self.windows.len() {
            let _ = writeln!(text, "    {prefix}offset{window}: u32,");
            for axis in 0..self.sizes.len() {
                let _ = writeln!(text, "    {prefix}stride{window}_{axis}: u32,");
            }
        }
        text
    }

    /// The values of [`Walk::fields`].
    pub fn params(&self, params: &mut Params) {
        params.sizes(&self.sizes);
        for (offset, strides) in &self.windows {
            params.start(*offset);
            params.strides(strides);
        }
    }

    /// Statements that split the variable `index` into the coordinates `c0`, `c1`, ..
    pub fn decode(&self, prefix: &str) -> String {
        decode(prefix, self.sizes.len())
    }

    /// The place in a window at these coordinates.
    pub fn place(&self, prefix: &str, window: usize) -> String {
        let mut text = format!("params.{prefix}offset{window}");
        for axis in 0..self.sizes.len() {
            let _ = write!(text, " + c{axis} * params.{prefix}stride{window}_{axis}");
        }
        text
    }

    /// A struct with what the only window needs, the function that fills it once, and the one that finds a place with
    /// it: in a loop, parameters would be read again in every turn.
    pub fn hoisted(&self, prefix: &str) -> String {
        let names: Vec<String> = (1..self.sizes.len())
            .map(|axis| format!("size{axis}"))
            .chain((0..self.sizes.len()).map(|axis| format!("stride{axis}")))
            .collect();
        let fields: String = names.iter().map(|name| format!("    {name}: u32,\n")).collect();
        let values: Vec<String> =
            names.iter().map(|name| format!("params.{prefix}{}", name.replace("stride", "stride0_"))).collect();
        let place: Vec<String> = (0..self.sizes.len()).map(|axis| format!("c{axis} * inward.stride{axis}")).collect();
        let (fields, values, place) = match names.as_slice() {
            [] => ("    nothing: u32,\n".to_owned(), "0u".to_owned(), "0u".to_owned()),
            _ => (fields, values.join(", "), place.join(" + ")),
        };
        let decode = self.decode(prefix).replace(&format!("params.{prefix}"), "inward.");
        format!(
            "struct Inner {{\n{fields}}}\n\nfn inward() -> Inner {{\n    return Inner({values});\n}}\n\n\
             fn inner(inward: Inner, index: u32) -> u32 {{\n{decode}    return {place};\n}}\n"
        )
    }

    /// A whole function from an index to the place in the only window.
    pub fn function(&self, name: &str, prefix: &str) -> String {
        format!("fn {name}(index: u32) -> u32 {{\n{}    return {};\n}}\n", self.decode(prefix), self.place(prefix, 0))
    }
}

/// Statements that split the variable `index` into `axes` coordinates by the parameters `{prefix}size1`, ..
pub(crate) fn decode(prefix: &str, axes: usize) -> String {
    match axes {
        0 => String::new(),
        1 => "    let c0 = index;\n".to_owned(),
        _ => {
            let mut text = "    var rest = index;\n".to_owned();
            for axis in (1..axes).rev() {
                let _ = writeln!(text, "    let c{axis} = rest % params.{prefix}size{axis};");
                let _ = writeln!(text, "    rest /= params.{prefix}size{axis};");
            }
            text.push_str("    let c0 = rest;\n");
            text
        }
    }
}
