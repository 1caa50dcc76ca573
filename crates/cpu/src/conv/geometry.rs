//! The sizes of a convolution, checked once.

use crate::view::View;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Window2d;
use wgrad_tensor::shape::Shape;

/// The sizes of a convolution; pairs are rows, columns.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Input channels of one group.
    pub channels: usize,
    /// Output channels of one group.
    pub filters: usize,
    /// The input's rows and columns.
    pub input: [usize; 2],
    /// The kernel's.
    pub kernel: [usize; 2],
    /// The output's.
    pub output: [usize; 2],
    /// How windows move.
    pub window: Window2d,
}

impl Geometry {
    /// The sizes of a convolution of `input` with `weight` that gives `output`, if they fit together.
    pub fn new(input: &Shape, weight: &Shape, output: &Shape, window: &Window2d) -> Result<Self, Problem> {
        let wrong = || Problem::new(ErrorKind::Shape, "takes images, a weight and windows that fit together");
        let (&[n, c, h, w], &[o, per_group, kh, kw], &[n2, o2, oh, ow]) = (&**input, &**weight, &**output) else {
            return Err(wrong());
        };
        let groups = window.groups;
        let fits = groups > 0 && n == n2 && o == o2 && o % groups == 0 && per_group.checked_mul(groups) == Some(c);
        let along = |axis: usize, size: usize, kernel: usize, count: usize| {
            let span = window.dilation[axis].checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
            let padded = window.padding[axis].checked_mul(2)?.checked_add(size)?;
            let steps = padded.checked_sub(span)?.checked_div(window.stride[axis])?;
            (window.dilation[axis] > 0 && steps + 1 == count).then_some(())
        };
        if !fits || along(0, h, kh, oh).and(along(1, w, kw, ow)).is_none() {
            return Err(wrong());
        }
        Ok(Geometry {
            batch: n,
            channels: per_group,
            filters: o / groups,
            input: [h, w],
            kernel: [kh, kw],
            output: [oh, ow],
            window: *window,
        })
    }

    /// Elements of an image's channels of one group.
    pub fn image(&self) -> usize {
        self.channels * self.input[0] * self.input[1]
    }

    /// Elements of a result image's channels of one group.
    pub fn result(&self) -> usize {
        self.filters * self.positions()
    }

    /// Windows in an image.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements that one window sees.
    pub fn taps(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Elements of one group's weight.
    pub fn weight(&self) -> usize {
        self.filters * self.taps()
    }
}

/// The shape of an operand.
pub fn shape<'a>(view: &View<'a>) -> &'a Shape {
    &view.layout.shape
}
