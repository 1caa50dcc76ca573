//! Images laid out such that every tap of every window is a plain shift.
//!
//! A plane is a padded image, or, where windows step by more than one element, one of the images of every `step`-th
//! element. Window (y, x) stands at flat position `y * width + x` of a plane, and tap (u, v) of it at
//! `y * width + x + u * width + v`: all windows see a tap at once by reading the plane from `u * width + v` on. The last
//! `width - columns` positions of each row are no window; what is computed there is dropped.

use super::geometry::Geometry;
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
            let columns = inside(start[1], self.step[1], width, w);
            let lines = Lines { image, size: w, width, columns: columns.clone() };
            let y = |row: usize| start[0] + ((rows.start + row) * self.step[0]) as isize;
            let x = (start[1] + (columns.start * self.step[1]) as isize).max(0) as usize;
            for row in 0..plane.len() / width {
                match usize::try_from(y(row)) {
                    Ok(y) if y < h && !columns.is_empty() => lines.copy(y * w + x, self.step[1], row, plane),
                    _ => plane[row * width..(row + 1) * width].fill(T::of(0.0)),
                }
            }
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

/// Copies lines of an image into a plane.
#[derive(Debug)]
pub struct Lines<'a, T> {
    /// The image.
    pub image: &'a [T],
    /// Elements of its lines.
    pub size: usize,
    /// Elements of the plane's rows.
    pub width: usize,
    /// Where the elements stand in them.
    pub columns: Range<usize>,
}

impl<T: Number> Lines<'_, T> {
    /// Copies the line whose first element that is seen lies at `at`, into row `row` with zeros around it.
    ///
    /// Whole vectors are written where what is too much is overwritten by the next row.
    #[inline]
    pub fn copy(&self, at: usize, step: usize, row: usize, plane: &mut [T]) {
        const CHUNK: usize = 16;
        let (start, columns) = (row * self.width, self.columns.clone());
        let chunks = columns.len().next_multiple_of(CHUNK);
        let room = columns.start <= CHUNK && self.width - columns.end <= CHUNK;
        let end = start + columns.start + chunks + CHUNK;
        if step == 1 && room && end <= plane.len() && at + chunks <= self.image.len() {
            let zeros = [T::of(0.0); CHUNK];
            plane[start..start + CHUNK].copy_from_slice(&zeros);
            let target = &mut plane[start + columns.start..start + columns.start + chunks];
            let source = &self.image[at..at + chunks];
            for (target, source) in target.chunks_exact_mut(CHUNK).zip(source.chunks_exact(CHUNK)) {
                target.copy_from_slice(source);
            }
            plane[start + columns.end..start + columns.end + CHUNK].copy_from_slice(&zeros);
            return;
        }
        let line = &mut plane[start..start + self.width];
        line[..columns.start].fill(T::of(0.0));
        line[columns.end..].fill(T::of(0.0));
        let line = &mut line[columns];
        let source = &self.image[at..(at / self.size + 1) * self.size];
        match step {
            1 => line.copy_from_slice(&source[..line.len()]),
            2 => line.iter_mut().zip(source.iter().step_by(2)).for_each(|(line, &x)| *line = x),
            step => line.iter_mut().zip(source.iter().step_by(step)).for_each(|(line, &x)| *line = x),
        }
    }
}

/// The positions `i < count` for which `start + i * step` lies in `0..size`.
fn inside(start: isize, step: usize, count: usize, size: usize) -> Range<usize> {
    let first = start.min(0).unsigned_abs().div_ceil(step);
    let end = usize::try_from(size as isize - start).unwrap_or(0).div_ceil(step).min(count);
    first.min(end)..end
}
