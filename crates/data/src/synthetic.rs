//! Digits drawn by a program, for where there is no MNIST.

mod hand;
mod pen;
#[rustfmt::skip]
mod strokes;

use crate::dataset::{Dataset, no_such_item};
use crate::digit::Digit;
use crate::rng::Rng;
use wgrad_tensor::Result;

/// Digits that look hand-drawn, made up as they are asked for.
///
/// Strokes in a handful of ways to write each digit, with shaky points, slanted, turned, stretched, warped, drawn with a
/// soft pen of varying width, and centred as MNIST's are. A seed and an index give the same picture on every machine. Each
/// run of ten indices from a multiple of ten shows each digit once, so that classes are balanced.
///
/// ```
/// use wgrad_data::{Dataset, InMemory, SyntheticDigits};
///
/// let digits = SyntheticDigits::new(1, 60);
/// println!("{}", digits.get(0)?);
///
/// let (train, test) = digits.split(50, 0)?;
/// let in_memory: InMemory<_> = (0..train.len()).map(|index| train.get(index)).collect::<Result<_, _>>()?;
/// assert_eq!((in_memory.len(), test.len()), (50, 10));
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticDigits {
    seed: u64,
    len: usize,
}

impl SyntheticDigits {
    /// The first `len` digits of a seed.
    pub fn new(seed: u64, len: usize) -> Self {
        SyntheticDigits { seed, len }
    }
}

impl Dataset for SyntheticDigits {
    type Item = Digit;
    fn len(&self) -> usize {
        self.len
    }
    fn get(&self, index: usize) -> Result<Digit> {
        match index < self.len {
            true => Ok(draw(self.seed, index)),
            false => Err(no_such_item("SyntheticDigits::get", index, self.len)),
        }
    }
}

/// The digit of a seed at an index.
pub(crate) fn draw(seed: u64, index: usize) -> Digit {
    let label = label(seed, index);
    let mut rng = Rng::stream(seed, 2 * index as u64);
    let ways = strokes::DIGITS[label as usize];
    let paths = ways[rng.below(ways.len())];
    Digit { pixels: pen::ink(&hand::write(paths, &mut rng), &mut rng), label }
}

/// Every ten indices show the ten digits, in random order.
fn label(seed: u64, index: usize) -> u8 {
    let mut labels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    // Odd streams are those of the labels, even ones those of the pictures.
    Rng::stream(seed, 2 * (index as u64 / 10) + 1).shuffle(&mut labels);
    labels[index % 10]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digit::{PIXELS, SIDE};

    fn pictures(seed: u64, len: usize) -> Vec<Digit> {
        (0..len).map(|index| draw(seed, index)).collect()
    }

    #[test]
    fn a_seed_and_an_index_name_one_picture() {
        assert_eq!(pictures(5, 40), pictures(5, 40));
        let (one, other) = (pictures(5, 40), pictures(6, 40));
        assert!(one.iter().all(|a| other.iter().all(|b| a.pixels != b.pixels)));
        assert!((0..40).all(|i| (0..i).all(|j| one[i].pixels != one[j].pixels)));
    }

    #[test]
    fn the_pictures_stay_what_they_are() {
        // FNV-1a over a hundred pictures: a new value means that everybody's runs change.
        let bytes = pictures(0, 100).into_iter().flat_map(|digit| digit.pixels);
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3));
        assert_eq!(hash, 0x43cb_27fb_7889_8eef, "{hash:#018x}");
    }

    #[test]
    fn classes_are_balanced() {
        let mut counts = [0; 10];
        pictures(2, 200).iter().for_each(|digit| counts[digit.label as usize] += 1);
        assert_eq!(counts, [20; 10]);
        let labels = |from: usize| (from..from + 10).map(|index| label(2, index)).collect::<Vec<_>>();
        assert_ne!(labels(0), labels(10));
    }

    #[test]
    fn an_index_outside_is_an_error() {
        assert!(SyntheticDigits::new(0, 3).get(2).is_ok());
        assert_eq!(SyntheticDigits::new(0, 3).get(3).unwrap_err().message(), "item 3 of a dataset with 3");
    }

    #[test]
    fn there_is_ink_in_the_middle_and_none_at_the_rim() {
        let mut at_the_rim = 0;
        for (index, digit) in pictures(3, 500).iter().enumerate() {
            let ink: u32 = digit.pixels.iter().map(|&value| value as u32).sum();
            let mean = ink as f32 / PIXELS as f32;
            assert!((8.0..90.0).contains(&mean), "picture {index} has a mean of {mean}\n{digit}");
            assert!(digit.pixels.iter().any(|&value| value > 150), "picture {index} is pale\n{digit}");
            let weighted = |place: fn(usize) -> usize| {
                let moment: u32 = (0..PIXELS).map(|i| digit.pixels[i] as u32 * place(i) as u32).sum();
                moment as f32 / ink as f32 + 0.5
            };
            let (x, y) = (weighted(|i| i % SIDE), weighted(|i| i / SIDE));
            assert!(
                (x - 14.0).abs() < 2.5 && (y - 14.0).abs() < 2.5,
                "picture {index} is off centre: {x} {y}\n{digit}"
            );
            let rim = |i: usize| [i % SIDE, i / SIDE].iter().any(|&at| at == 0 || at == SIDE - 1);
            at_the_rim += (0..PIXELS).any(|i| rim(i) && digit.pixels[i] > 100) as usize;
        }
        assert!(at_the_rim < 3, "{at_the_rim} of 500 pictures touch the rim");
    }

    #[test]
    fn the_nearest_mean_picture_tells_most_digits() {
        let mut sums = [[0f32; PIXELS]; 10];
        for digit in pictures(0, 2000) {
            sums[digit.label as usize]
                .iter_mut()
                .zip(digit.pixels)
                .for_each(|(sum, value)| *sum += value as f32 / 200.0);
        }
        let distance = |digit: &Digit, label: usize| -> f32 {
            sums[label].iter().zip(digit.pixels).map(|(mean, value)| (mean - value as f32).powi(2)).sum()
        };
        let nearest = |digit: &Digit| (0..10).min_by(|&a, &b| distance(digit, a).total_cmp(&distance(digit, b)));
        let held_out = pictures(1, 1000);
        let right = held_out.iter().filter(|digit| nearest(digit) == Some(digit.label as usize)).count();
        // Good enough to be digits, bad enough to leave something to learn.
        assert!((600..930).contains(&right), "{right} of 1000");
    }
}
