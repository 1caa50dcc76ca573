//! Images laid out such that every tap of every window is a plain shift.
//!
//! A plane is a padded image, or, where windows step by more than one element, one of the images of every `step`-th
//! element. Window (y, x) stands at flat position `y * width + x` of a plane, and tap (u, v) of it at
//! `y * width + x + u * width + v`: all windows see a tap at once by reading the plane from `u * width + v` on. The last
//! `width - columns` positions of each row are no window; what is computed there is dropped.

use super::geometry::Geometry;
use crate::simd::{Kernel, vectorised};
use std::ops::Range;
use wgrad_tensor::real::Number;

/// Elements of slack after the planes, for vectors that read over the end.
pub const SLACK: usize = 256;

/// A tap: the plane that it is in, its shift there, and its place in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    plane: usize,
    shift: [usize; 2],
    /// Row-major position in the kernel.
    pub place: usize,
}

/// A grid of windows that all see the same taps.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Rows and columns of the source image.
    source: [usize; 2],
    /// Where position (0, 0) of each plane lies in the source image; it may lie outside.
    starts: Vec<[isize; 2]>,
    /// Elements of the source between neighbours in a plane.
    step: [usize; 2],
    /// What each window sees.
    pub taps: Vec<Tap>,
    /// Rows and columns of windows.
    pub windows: [usize; 2],
    /// The largest shift.
    reach: [usize; 2],
    /// Where the windows' results go: the first row and column, and the steps between them.
    pub target: [Range<usize>; 2],
    /// Steps between results.
    pub target_step: [usize; 2],
}

impl Grid {
    /// Elements of a row of a plane.
    pub fn width(&self) -> usize {
        self.windows[1] + self.reach[1]
    }

    /// Elements of a plane for `rows` rows of windows.
    pub fn plane(&self, rows: usize) -> usize {
        (rows + self.reach[0]) * self.width()
    }

    /// Elements of memory for the planes of some channels.
    pub fn memory(&self, channels: usize, rows: usize) -> usize {
        channels * self.starts.len() * self.plane(rows) + SLACK
    }

    /// Flat positions from the first to the last window of `rows` rows.
    pub fn span(&self, rows: usize) -> usize {
        rows.saturating_sub(1) * self.width() + self.windows[1]
    }

    /// Elements that `count` windows side by side see of one channel.
    pub fn seen(&self, count: usize) -> usize {
        self.starts.len() * (count + self.reach[0] * self.width() + self.reach[1])
    }

    /// Where each tap of each channel starts in the planes for `rows` rows of windows.
    pub fn offsets(&self, channels: usize, rows: usize) -> Vec<usize> {
        let planes = self.starts.len();
        let at = |channel: usize, tap: &Tap| {
            (channel * planes + tap.plane) * self.plane(rows) + tap.shift[0] * self.width() + tap.shift[1]
        };
        (0..channels).flat_map(|channel| self.taps.iter().map(move |tap| at(channel, tap))).collect()
    }

    /// Lays out the planes of all channels of an image, for the windows in some rows.
    pub fn fill<T: Number>(&self, image: &[T], channels: usize, rows: Range<usize>, planes: &mut [T]) {
        let [h, w] = self.source;
        let width = self.width();
        let plane = self.plane(rows.len());
        for (i, plane) in planes.chunks_exact_mut(plane).enumerate().take(channels * self.starts.len()) {
            let (channel, start) = (i / self.starts.len(), self.starts[i % self.starts.len()]);
            let image = &image[channel * h * w..(channel + 1) * h * w];
            let top = start[0] + (rows.start * self.step[0]) as isize;
            let lines = inside(top, self.step[0], plane.len() / width, h);
            let columns = inside(start[1], self.step[1], width, w);
            if lines.is_empty() || columns.is_empty() {
                plane.fill(T::of(0.0));
                continue;
            }
            plane[..lines.start * width].fill(T::of(0.0));
            plane[lines.end * width..].fill(T::of(0.0));
            let y = (top + (lines.start * self.step[0]) as isize) as usize;
            let x = (start[1] + (columns.start * self.step[1]) as isize) as usize;
            let source = Lines { image: &image[y * w + x..], pitch: self.step[0] * w, step: self.step[1], columns };
            source.copy(width, &mut plane[lines.start * width..lines.end * width]);
        }
    }

    /// The windows of a convolution over its input.
    pub fn of_input(geometry: &Geometry) -> Self {
        let window = &geometry.window;
        let along = |axis: usize| {
            let taps = (0..geometry.kernel[axis]).map(|k| k * window.dilation[axis]);
            let taps: Vec<_> = taps.map(|tap| (tap % window.stride[axis], tap / window.stride[axis])).collect();
            let start = move |phase: usize| phase as isize - window.padding[axis] as isize;
            (taps, start)
        };
        let ((rows, row_start), (columns, column_start)) = (along(0), along(1));
        let mut grid = Grid {
            source: geometry.input,
            starts: Vec::new(),
            step: window.stride,
            taps: Vec::new(),
            windows: geometry.output,
            reach: [0, 0],
            target: [0..geometry.output[0], 0..geometry.output[1]],
            target_step: [1, 1],
        };
        for (i, &(row_phase, u)) in rows.iter().enumerate() {
            for (j, &(column_phase, v)) in columns.iter().enumerate() {
                let place = i * geometry.kernel[1] + j;
                grid.push([row_start(row_phase), column_start(column_phase)], [u, v], place);
            }
        }
        grid
    }

    /// The windows of the input's gradient over the result's, one grid for each phase of the stride.
    pub fn of_result(geometry: &Geometry) -> Vec<Self> {
        let stride = geometry.window.stride;
        let phases = (0..stride[0]).flat_map(|a| (0..stride[1]).map(move |b| [a, b]));
        phases.map(|phase| Grid::of_phase(geometry, phase)).collect()
    }

    /// The elements of the padded input at `phase` of every step: the taps that see them, and how many there are.
    fn of_phase(geometry: &Geometry, phase: [usize; 2]) -> Self {
        let along = |axis: usize| {
            let (stride, padding) = (geometry.window.stride[axis], geometry.window.padding[axis]);
            let size = geometry.input[axis];
            // The first place of that phase that lies in the input.
            let place = padding.saturating_sub(phase[axis]).div_ceil(stride);
            let first = place * stride + phase[axis] - padding;
            let taps = (0..geometry.kernel[axis]).map(|k| (k, k * geometry.window.dilation[axis]));
            let taps = taps.filter(|(_, tap)| tap % stride == phase[axis]).map(|(k, tap)| (k, tap / stride));
            let taps: Vec<_> = taps.collect();
            let most = taps.iter().map(|&(_, back)| back).max().unwrap_or(0);
            let count = size.saturating_sub(first).div_ceil(stride);
            (taps, most, place as isize - most as isize, first..size, count)
        };
        let ((rows, up, top, row_range, n), (columns, left, side, column_range, m)) = (along(0), along(1));
        let mut grid = Grid {
            source: geometry.output,
            starts: Vec::new(),
            step: [1, 1],
            taps: Vec::new(),
            windows: [n, m],
            reach: [0, 0],
            target: [row_range, column_range],
            target_step: geometry.window.stride,
        };
        for &(i, u) in &rows {
            for &(j, v) in &columns {
                grid.push([top, side], [up - u, left - v], i * geometry.kernel[1] + j);
            }
        }
        grid
    }

    fn push(&mut self, start: [isize; 2], shift: [usize; 2], place: usize) {
        let plane = self.starts.iter().position(|&other| other == start).unwrap_or_else(|| {
            self.starts.push(start);
            self.starts.len() - 1
        });
        self.reach = [self.reach[0].max(shift[0]), self.reach[1].max(shift[1])];
        self.taps.push(Tap { plane, shift, place });
    }
}

/// Lines of an image that become rows of a plane.
#[derive(Debug)]
pub struct Lines<'a, T> {
    /// The image from the first line's first element on.
    pub image: &'a [T],
    /// Elements from a line to the next.
    pub pitch: usize,
    /// Elements from an element that is taken to the next.
    pub step: usize,
    /// Where the elements stand in the plane's rows.
    pub columns: Range<usize>,
}

impl<T: Number> Lines<'_, T> {
    /// Copies lines into all rows of a plane, with zeros around them.
    pub fn copy(self, width: usize, plane: &mut [T]) {
        vectorised(CopyLines { lines: self, width, plane });
    }
}

struct CopyLines<'a, T> {
    lines: Lines<'a, T>,
    width: usize,
    plane: &'a mut [T],
}

impl<T: Number> Kernel for CopyLines<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let rows = self.plane.len() / self.width;
        let fast = match self.lines.columns.len().div_ceil(CHUNK) {
            1 => self.chunks::<1>(),
            2 => self.chunks::<2>(),
            3 => self.chunks::<3>(),
            4 => self.chunks::<4>(),
            _ => 0,
        };
        let Lines { image, pitch, step, columns } = self.lines;
        for row in fast..rows {
            let line = &mut self.plane[row * self.width..(row + 1) * self.width];
            line[..columns.start].fill(T::of(0.0));
            line[columns.end..].fill(T::of(0.0));
            let (line, source) = (&mut line[columns.clone()], &image[row * pitch..]);
            match step {
                1 => line.copy_from_slice(&source[..line.len()]),
                2 => line.iter_mut().zip(source.iter().step_by(2)).for_each(|(line, &x)| *line = x),
                step => line.iter_mut().zip(source.iter().step_by(step)).for_each(|(line, &x)| *line = x),
            }
        }
    }
}

/// Elements that are copied at once.
const CHUNK: usize = 16;

impl<T: Number> CopyLines<'_, T> {
    /// Copies lines in `N` chunks, as long as what is too much lies within the plane, where the next row overwrites it;
    /// gives how many.
    #[inline(always)]
    fn chunks<const N: usize>(&mut self) -> usize {
        let Lines { image, pitch, step, columns } = &self.lines;
        let need = columns.start + (N + 1) * CHUNK;
        if *step != 1 || columns.start > CHUNK || self.width - columns.end > CHUNK {
            return 0;
        }
        let fits = |len: usize, need: usize, step: usize| len.checked_sub(need).map_or(0, |rest| rest / step + 1);
        let rows = fits(self.plane.len(), need, self.width).min(fits(image.len(), N * CHUNK, *pitch));
        let rows = rows.min(self.plane.len() / self.width);
        let zeros = [T::of(0.0); CHUNK];
        for row in 0..rows {
            let line = &mut self.plane[row * self.width..row * self.width + need];
            let source = &image[row * pitch..row * pitch + N * CHUNK];
            line[..CHUNK].copy_from_slice(&zeros);
            line[columns.start..columns.start + N * CHUNK].copy_from_slice(source);
            line[columns.end..columns.end + CHUNK].copy_from_slice(&zeros);
        }
        rows
    }
}

/// The positions `i < count` for which `start + i * step` lies in `0..size`.
fn inside(start: isize, step: usize, count: usize, size: usize) -> Range<usize> {
    let first = start.min(0).unsigned_abs().div_ceil(step);
    let end = usize::try_from(size as isize - start).unwrap_or(0).div_ceil(step).min(count);
    first.min(end)..end
}
