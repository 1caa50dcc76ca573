//! The pen: from lines to pixels.

use super::hand::{Point, length};
use crate::digit::{PIXELS, SIDE};
use crate::rng::Rng;

/// Over how many pixels ink fades into paper.
const SOFTNESS: f32 = 1.3;

/// Draws the lines with a soft pen, whose width and pressure vary from digit to digit and along the way.
pub(super) fn ink(lines: &[Vec<Point>], rng: &mut Rng) -> [u8; PIXELS] {
    let radius = rng.between(0.75, 1.75);
    let grain = rng.between(0.02, 0.12);
    // Up to a fifth more than full black: most strokes saturate, as scanned ones do.
    let dark = rng.between(0.8, 1.2);
    let mut paper = [0f32; PIXELS];
    for line in lines {
        let mut pressure = Pressure::new(rng);
        for ends in line.windows(2) {
            let press = pressure.next(length(ends[1] - ends[0]), rng);
            segment(&mut paper, ends[0], ends[1], radius * press, dark * (0.4 + 0.6 * press));
        }
    }
    paper.map(|value| {
        let value = if value > 0.0 { value * (1.0 + grain * rng.normal()) } else { 0.0 };
        (value.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// How hard the pen is pressed: it drifts around 1 along a line.
struct Pressure {
    from: f32,
    to: f32,
    /// How far the pen is on its way from one to the other.
    way: f32,
}

impl Pressure {
    /// Pixels from one pressure to the next.
    const STEP: f32 = 7.0;

    fn new(rng: &mut Rng) -> Pressure {
        Pressure { from: 1.0 + 0.15 * rng.normal(), to: 1.0 + 0.15 * rng.normal(), way: 0.0 }
    }

    fn next(&mut self, distance: f32, rng: &mut Rng) -> f32 {
        self.way += distance / Pressure::STEP;
        if self.way > 1.0 {
            *self = Pressure { from: self.to, to: 1.0 + 0.15 * rng.normal(), way: (self.way - 1.0).min(1.0) };
        }
        self.from + (self.to - self.from) * self.way
    }
}

/// Inks the pixels around a straight piece; where it crosses other pieces the darker one counts.
fn segment(paper: &mut [f32; PIXELS], from: Point, to: Point, radius: f32, dark: f32) {
    let reach = radius + SOFTNESS;
    let range = |a: f32, b: f32| {
        let low = (a.min(b) - reach).max(0.0) as usize;
        let high = ((a.max(b) + reach).max(0.0) as usize + 1).min(SIDE);
        low..high
    };
    let along = to - from;
    let square = (along.x * along.x + along.y * along.y).max(1e-12);
    for row in range(from.y, to.y) {
        for column in range(from.x, to.x) {
            let pixel = Point { x: column as f32 + 0.5, y: row as f32 + 0.5 } - from;
            let nearest = ((pixel.x * along.x + pixel.y * along.y) / square).clamp(0.0, 1.0);
            let distance = length(pixel - along * nearest);
            let inside = ((radius - distance) / SOFTNESS + 0.5).clamp(0.0, 1.0);
            let value = dark * inside * inside * (3.0 - 2.0 * inside);
            let place = &mut paper[row * SIDE + column];
            *place = place.max(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_is_dark_inside_soft_at_its_edge_and_leaves_the_rest_alone() {
        let mut paper = [0.0; PIXELS];
        segment(&mut paper, Point { x: 5.5, y: 10.5 }, Point { x: 20.5, y: 10.5 }, 1.0, 1.0);
        let at = |x: usize, y: usize| paper[y * SIDE + x];
        assert_eq!(at(12, 10), 1.0);
        assert!(at(12, 11) > 0.2 && at(12, 11) < 0.8, "{}", at(12, 11));
        assert_eq!(at(12, 9), at(12, 11));
        assert_eq!((at(12, 13), at(24, 10), at(1, 10)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_stroke_off_the_paper_leaves_nothing() {
        let mut paper = [0.0; PIXELS];
        segment(&mut paper, Point { x: -50.0, y: -50.0 }, Point { x: -40.0, y: 90.0 }, 2.0, 1.0);
        segment(&mut paper, Point { x: 50.0, y: 50.0 }, Point { x: 40.0, y: 90.0 }, 2.0, 1.0);
        assert!(paper.iter().all(|&value| value == 0.0));
    }
}
