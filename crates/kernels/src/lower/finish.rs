//! What becomes of each element of a matrix product or a convolution.

use super::cast::per_word;
use super::code::Code;
use super::map::{Arrays, Windows};
use super::map_text::{Array, Style};
use super::part::{Known, Space, part, with_last};
use super::{Input, Lowering};
use crate::lowered::Place;
use wgrad_plan::{Instruction, Program};
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::Problem;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Reduction;
use wgrad_tensor::shape::Shape;

/// The program after an op, with what it reads beside the op's result, and what it writes.
pub(super) struct Finish<'f> {
    pub program: &'f Program,
    /// The shape of the op's result, whose places are the program's.
    pub shape: Shape,
    pub inputs: &'f [Input],
    pub outputs: &'f [Place],
}

/// A finish as the end of another kernel.
pub(super) struct End<'f> {
    pub code: Code<'f>,
    pub arrays: Arrays,
    pub windows: Windows,
    /// The first binding that it uses.
    first: usize,
}

impl<'f> Finish<'f> {
    /// The end of a kernel that has `first` bindings before it.
    pub fn end(&self, first: usize) -> End<'f> {
        let code = Code::new(self.program, self.inputs);
        let arrays = Arrays::new(self.inputs);
        let numbers: Vec<Array> = arrays.of.iter().map(|of| Array::Input(of + first)).collect();
        let windows = Windows::new(&code, self.inputs, &numbers, Some(Style::Words(1)));
        End { code, arrays, windows, first }
    }
}

impl End<'_> {
    /// The bindings of inputs, of the kernel and of its end.
    fn inputs(&self) -> usize {
        self.first + self.arrays.places.len()
    }

    /// The binding after all of inputs and outputs.
    pub fn bindings(&self) -> usize {
        self.inputs() + self.code.program.stores.len()
    }

    /// Whether it can be written this way: an invocation writes single elements here, and a kernel binds so many buffers.
    pub fn fits(&self, most: usize) -> bool {
        self.bindings() <= most
            && !self.code.has_wide_numbers()
            && self.code.stores().iter().all(|&dtype| per_word(dtype) == 1)
    }

    /// Its fields of `Params`.
    pub fn fields(&self) -> String {
        self.code.fields() + &self.windows.fields()
    }

    /// Its bindings, and `fn finish(index, value)`.
    pub fn text(&self) -> Result<String, Problem> {
        self.windows.text(&self.code, self.first..self.inputs()).finish(&self.code.stores())
    }
}

impl Lowering<'_> {
    /// Runs the program on an op's result that lies in memory, as `slices` runs that are to be added.
    pub(super) fn finish_apart(
        &mut self,
        finish: &Finish<'_>,
        dtype: DType,
        place: Place,
        slices: usize,
    ) -> Result<(), Problem> {
        let whole = finish.program;
        let (last, rest): (&[(usize, isize)], _) = match slices {
            1 => (&[], None),
            _ => (&[(slices, whole.count() as isize)], Some(Reduction::Sum)),
        };
        let layout = with_last(&Layout::contiguous(&whole.shape), last);
        let shape = layout.shape.clone();
        let input = Input::whole(place, dtype, layout);
        let products = whole.code.iter().enumerate().filter(|(_, code)| matches!(code, Instruction::Product(_)));
        let known: Vec<Known> = products.map(|(register, _)| Known { register, input: input.clone(), rest }).collect();
        let still: Vec<(usize, isize)> = last.iter().map(|&(size, _)| (size, 0)).collect();
        let space = Space { shape, row_axes: last.len(), window: &|layout: &Layout| with_last(layout, &still) };
        let (program, inputs) = part(whole, finish.inputs, &known, space, &whole.stores);
        match slices {
            1 => self.map(&program, &inputs, finish.outputs),
            _ => self.rows(&program, &inputs, finish.outputs),
        }
    }
}
