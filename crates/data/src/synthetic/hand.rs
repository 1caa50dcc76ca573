//! The hand: from the points of a digit to the lines that a pen follows, no two alike.
//!
//! Only additions, multiplications, divisions and square roots: these are the same on every machine.

use super::strokes::Path;
use crate::digit::SIDE;
use crate::rng::Rng;
use std::ops::{Add, Mul, Sub};

/// A place on the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f32,
    pub y: f32,
}

impl Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        Point { x: self.x + other.x, y: self.y + other.y }
    }
}
impl Sub for Point {
    type Output = Point;
    fn sub(self, other: Point) -> Point {
        Point { x: self.x - other.x, y: self.y - other.y }
    }
}
impl Mul<f32> for Point {
    type Output = Point;
    fn mul(self, factor: f32) -> Point {
        Point { x: self.x * factor, y: self.y * factor }
    }
}

/// Straight pieces between two points of a path.
const PIECES: usize = 6;

/// Writes a digit: lines in pixels, each through many points.
pub(super) fn write(paths: &[Path], rng: &mut Rng) -> Vec<Vec<Point>> {
    let mut lines: Vec<Vec<Point>> = paths.iter().map(|path| smooth(&shaky(path, rng))).collect();
    let warp = Warp::new(rng);
    let slant = Slant::new(rng);
    lines.iter_mut().flatten().for_each(|point| *point = slant.apply(warp.apply(*point)));
    centre(&mut lines, rng);
    lines
}

/// A path with every point a little off its place, and every stroke as a whole. A corner stays a corner.
fn shaky(path: Path, rng: &mut Rng) -> Vec<Point> {
    let off = |rng: &mut Rng, much: f32| Point { x: much * rng.normal(), y: much * rng.normal() };
    let stroke = off(rng, 0.015);
    let mut points: Vec<Point> = Vec::with_capacity(path.len());
    for (i, &(x, y)) in path.iter().enumerate() {
        let point = match i > 0 && path[i - 1] == (x, y) {
            true => points[i - 1],
            false => Point { x, y } + stroke + off(rng, 0.013),
        };
        points.push(point);
    }
    points
}

/// A smooth curve through the points (Catmull-Rom), broken at corners.
fn smooth(points: &[Point]) -> Vec<Point> {
    let mut line = Vec::with_capacity(points.len() * PIECES);
    for i in 1..points.len() {
        let (from, to) = (points[i - 1], points[i]);
        if from == to {
            continue;
        }
        // At an end or a corner the curve comes in straight.
        let before = if i >= 2 && points[i - 2] != from { points[i - 2] } else { from };
        let after = points.get(i + 1).copied().filter(|&point| point != to).unwrap_or(to);
        let (leave, arrive) = ((to - before) * 0.5, (after - from) * 0.5);
        line.extend((0..PIECES).map(|piece| {
            let t = piece as f32 / PIECES as f32;
            let (t2, t3) = (t * t, t * t * t);
            from * (2.0 * t3 - 3.0 * t2 + 1.0)
                + leave * (t3 - 2.0 * t2 + t)
                + to * (3.0 * t2 - 2.0 * t3)
                + arrive * (t3 - t2)
        }));
    }
    line.extend(points.last());
    line
}

/// An elastic distortion: paper that is pulled a different way at every knot of a coarse net.
struct Warp([[Point; Warp::KNOTS]; Warp::KNOTS]);

impl Warp {
    const KNOTS: usize = 4;

    fn new(rng: &mut Rng) -> Warp {
        let strength = rng.between(0.02, 0.075);
        let mut pull = || Point { x: strength * rng.normal(), y: strength * rng.normal() };
        Warp(std::array::from_fn(|_| std::array::from_fn(|_| pull())))
    }

    fn apply(&self, at: Point) -> Point {
        // The knot before the point, and a smooth step from there to the next one.
        let place = |along: f32| {
            let along = along.clamp(0.0, 1.0) * (Warp::KNOTS - 1) as f32;
            let knot = (along as usize).min(Warp::KNOTS - 2);
            let t = along - knot as f32;
            (knot, t * t * (3.0 - 2.0 * t))
        };
        let ((column, x), (row, y)) = (place(at.x), place(at.y));
        let across = |row: usize| self.0[row][column] * (1.0 - x) + self.0[row][column + 1] * x;
        at + across(row) * (1.0 - y) + across(row + 1) * y
    }
}

/// How a hand turns, slants and stretches a whole digit.
struct Slant([f32; 4]);

impl Slant {
    fn new(rng: &mut Rng) -> Slant {
        let width = rng.between(0.62, 1.05);
        let shear = 0.1 + 0.2 * rng.normal();
        // Sine and cosine of an angle by the tangent of its half; the angle's deviation is about 7 degrees.
        let half = 0.06 * rng.normal();
        let (sin, cos) = (2.0 * half / (1.0 + half * half), (1.0 - half * half) / (1.0 + half * half));
        Slant([cos * width, -cos * shear - sin, sin * width, cos - sin * shear])
    }

    fn apply(&self, at: Point) -> Point {
        let [a, b, c, d] = self.0;
        Point { x: a * at.x + b * at.y, y: c * at.x + d * at.y }
    }
}

/// Brings the lines to about MNIST's size, twenty pixels with the pen's width, and their centre of mass to about the middle.
fn centre(lines: &mut [Vec<Point>], rng: &mut Rng) {
    let (mut low, mut high) = (Point { x: f32::MAX, y: f32::MAX }, Point { x: f32::MIN, y: f32::MIN });
    let (mut mass, mut moment) = (0.0, Point { x: 0.0, y: 0.0 });
    for line in lines.iter() {
        for point in line {
            low = Point { x: low.x.min(point.x), y: low.y.min(point.y) };
            high = Point { x: high.x.max(point.x), y: high.y.max(point.y) };
        }
        for ends in line.windows(2) {
            let length = length(ends[1] - ends[0]);
            mass += length;
            moment = moment + (ends[0] + ends[1]) * (0.5 * length);
        }
    }
    let size = (high.x - low.x).max(high.y - low.y).max(0.1);
    let middle = moment * (1.0 / f32::max(mass, 1e-6));
    // A long tail, far from the middle, must not leave the paper.
    let reach =
        [high.x - middle.x, middle.x - low.x, high.y - middle.y, middle.y - low.y].into_iter().fold(0.1, f32::max);
    let scale = (rng.between(15.5, 18.5) / size).min(11.0 / reach);
    let target =
        Point { x: rng.between(-0.6, 0.6), y: rng.between(-0.6, 0.6) } + Point { x: 0.5, y: 0.5 } * SIDE as f32;
    lines.iter_mut().flatten().for_each(|point| *point = (*point - middle) * scale + target);
}

/// How long a step is.
pub(super) fn length(step: Point) -> f32 {
    (step.x * step.x + step.y * step.y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_pass_through_their_points_and_turn_only_where_they_should() {
        let points = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(x, y)| Point { x, y });
        let line = smooth(&points);
        assert!(points.iter().all(|point| line.contains(point)));
        // Up to the corner the line is straight; after the last bend it is not.
        assert!(line[..=PIECES].iter().all(|point| point.y == 0.0));
        assert!(line.iter().any(|point| point.x > 1.0));
    }

    #[test]
    fn corners_stay_corners() {
        let shaken = shaky(&[(0.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 1.0)], &mut Rng::stream(1, 1));
        assert_eq!(shaken[1], shaken[2]);
        assert_ne!(shaken[0], Point { x: 0.0, y: 0.0 });
    }

    #[test]
    fn the_middle_of_the_ink_is_the_middle_of_the_paper() {
        let corner = |x, y| Point { x, y };
        let mut lines = vec![vec![corner(3.0, 3.0), corner(5.0, 3.0)], vec![corner(3.0, 7.0), corner(5.0, 7.0)]];
        centre(&mut lines, &mut Rng::stream(0, 0));
        let sum = lines.iter().flatten().fold(corner(0.0, 0.0), |sum, &point| sum + point) * 0.25;
        assert!((sum.x - 14.0).abs() < 1.5 && (sum.y - 14.0).abs() < 1.5, "{sum:?}");
        let height = lines[1][0].y - lines[0][0].y;
        assert!((15.5..18.5).contains(&height), "{height}");
    }
}
