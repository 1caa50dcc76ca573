//! Windows of an image as the columns of a matrix, and back.

use super::geometry::Geometry;
use std::ops::Range;
use wgrad_tensor::real::Number;

/// Writes row `tap` (channel, kernel row, kernel column) with the element that each window sees there.
pub fn unroll<T: Number>(geometry: &Geometry, image: &[T], columns: &mut [T]) {
    let [h, w] = geometry.input;
    let [oh, ow] = geometry.output;
    for (tap, row) in columns.chunks_mut(oh * ow).enumerate() {
        let (channel, inside) = (tap_channel(geometry, tap), Inside::new(geometry, tap));
        let plane = &image[channel * h * w..(channel + 1) * h * w];
        for (oy, row) in row.chunks_mut(ow).enumerate() {
            if !inside.rows.contains(&oy) || inside.columns.is_empty() {
                row.fill(T::of(0.0));
                continue;
            }
            let start = inside.at(geometry, oy, inside.columns.start);
            row[..inside.columns.start].fill(T::of(0.0));
            row[inside.columns.end..].fill(T::of(0.0));
            let row = &mut row[inside.columns.clone()];
            match geometry.window.stride[1] {
                1 => row.copy_from_slice(&plane[start..start + row.len()]),
                stride => row.iter_mut().zip(plane[start..].iter().step_by(stride)).for_each(|(row, &x)| *row = x),
            }
        }
    }
}

/// Adds each row back to where its elements came from.
pub fn roll<T: Number>(geometry: &Geometry, columns: &[T], image: &mut [T]) {
    let [h, w] = geometry.input;
    let [oh, ow] = geometry.output;
    image.fill(T::of(0.0));
    for (tap, row) in columns.chunks(oh * ow).enumerate() {
        let (channel, inside) = (tap_channel(geometry, tap), Inside::new(geometry, tap));
        let plane = &mut image[channel * h * w..(channel + 1) * h * w];
        if inside.columns.is_empty() {
            continue;
        }
        for oy in inside.rows.clone() {
            let start = inside.at(geometry, oy, inside.columns.start);
            let row = &row[oy * ow..][inside.columns.clone()];
            match geometry.window.stride[1] {
                1 => plane[start..].iter_mut().zip(row).for_each(|(x, &row)| *x = x.plus(row)),
                stride => {
                    plane[start..].iter_mut().step_by(stride).zip(row).for_each(|(x, &row)| *x = x.plus(row));
                }
            }
        }
    }
}

fn tap_channel(geometry: &Geometry, tap: usize) -> usize {
    tap / (geometry.kernel[0] * geometry.kernel[1])
}

/// The windows whose element at one tap lies inside the image.
struct Inside {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Where the tap stands in the window, in elements of the image.
    tap: [usize; 2],
}

impl Inside {
    fn new(geometry: &Geometry, tap: usize) -> Self {
        let [_, kw] = geometry.kernel;
        let tap = [tap / kw % geometry.kernel[0], tap % kw];
        let tap = [tap[0] * geometry.window.dilation[0], tap[1] * geometry.window.dilation[1]];
        let along = |axis: usize| {
            let (stride, padding) = (geometry.window.stride[axis], geometry.window.padding[axis]);
            let first = padding.saturating_sub(tap[axis]).div_ceil(stride);
            let end = (geometry.input[axis] + padding).saturating_sub(tap[axis]).div_ceil(stride);
            let end = end.min(geometry.output[axis]);
            first.min(end)..end
        };
        Inside { rows: along(0), columns: along(1), tap }
    }

    /// Where window (`oy`, `ox`) sees its tap.
    fn at(&self, geometry: &Geometry, oy: usize, ox: usize) -> usize {
        let place =
            |axis: usize, o: usize| o * geometry.window.stride[axis] + self.tap[axis] - geometry.window.padding[axis];
        place(0, oy) * geometry.input[1] + place(1, ox)
    }
}
