//! The words of a kernel's uniform block.

use crate::journal::device_error;
use wgrad_plan::Given;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Result};
use wgrad_tensor::ids::IdMap;

/// What a word is made of in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    /// A half of the number at this place of [`Given::scalars`], as an element of the dtype, or of its bits.
    Number(usize, Option<DType>, usize),
    /// Where among the run's status words those of the step's check with this number are.
    Slot(usize),
}

/// Parameters in the order of the kernel's `Params` struct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Params {
    /// The block, but for those words that each run makes.
    bytes: Vec<u8>,
    /// These, and where they start.
    made: Vec<(usize, Word)>,
    too_large: bool,
}

impl Params {
    /// Sizes, one word each.
    pub fn of(sizes: &[usize]) -> Self {
        let mut params = Params::default();
        params.sizes(sizes);
        params
    }

    /// Sizes, one word each.
    pub fn sizes(&mut self, sizes: &[usize]) {
        for &size in sizes {
            self.too_large |= u32::try_from(size).is_err();
            self.word(size as u32);
        }
    }

    /// Strides: kernels add them modulo 2^32, so a negative one walks backwards.
    pub fn strides(&mut self, strides: &[isize]) {
        for &stride in strides {
            self.too_large |= i32::try_from(stride).is_err();
            self.word(stride as u32);
        }
    }

    /// A place that a window starts from, which is before its value where that is padded: as with strides.
    pub fn start(&mut self, place: isize) {
        self.too_large |= u32::try_from(place).is_err() && i32::try_from(place).is_err();
        self.word(place as u32);
    }

    /// Words as they are.
    pub fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|&word| self.word(word));
    }

    /// The first words, one or two, of the run's number at this place as an element of `dtype`.
    pub fn number(&mut self, scalar: usize, dtype: DType, words: usize) {
        (0..words).for_each(|half| self.make(Word::Number(scalar, Some(dtype), half)));
    }

    /// A half of the bits of the run's number at this place.
    pub fn bits(&mut self, scalar: usize, half: usize) {
        self.make(Word::Number(scalar, None, half));
    }

    /// Where the step's check with this number notes what it finds.
    pub fn slot(&mut self, check: usize) {
        self.make(Word::Slot(check));
    }

    /// All of another list.
    pub fn append(&mut self, other: &Params) {
        self.too_large |= other.too_large;
        let first = self.bytes.len();
        self.made.extend(other.made.iter().map(|&(at, word)| (first + at, word)));
        self.bytes.extend_from_slice(&other.bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether every number fits its word.
    pub fn fit(&self) -> bool {
        !self.too_large
    }

    /// The block's size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len().next_multiple_of(16)
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_le_bytes());
    }

    /// A word that each run makes.
    fn make(&mut self, word: Word) {
        self.made.push((self.bytes.len(), word));
        self.word(0);
    }
}

/// The parameters of a plan's kernels. Equal ones lie in one place: layers of one shape are many.
#[derive(Default)]
pub(crate) struct Blocks {
    all: Params,
    alignment: usize,
    /// Where blocks start.
    known: IdMap<Params, u32>,
}

impl Blocks {
    /// None, which start at multiples of `alignment`.
    pub fn new(alignment: usize) -> Self {
        Blocks { alignment, ..Blocks::default() }
    }

    /// Adds a kernel's block, and gives its start. The step's checks come after as many others.
    pub fn add(&mut self, params: &Params, checks: usize) -> u32 {
        let mut params = params.clone();
        for (_, word) in &mut params.made {
            if let Word::Slot(check) = word {
                *check += checks;
            }
        }
        params.bytes.resize(params.bytes(), 0);
        if let Some(&start) = self.known.get(&params) {
            return start;
        }
        let start = self.all.bytes.len().next_multiple_of(self.alignment);
        self.all.bytes.resize(start, 0);
        self.all.append(&params);
        self.known.insert(params, start as u32);
        start as u32
    }

    /// All of them in a run whose status words start at number `first`.
    pub fn words(&self, given: &Given<'_>, first: usize) -> Result<Vec<u8>> {
        let mut bytes = self.all.bytes.clone();
        for &(at, word) in &self.all.made {
            let word = match word {
                Word::Slot(check) => (first + 2 * check) as u32,
                Word::Number(scalar, dtype, half) => {
                    let lacking = || device_error(ErrorKind::Value, "run", "a plan lacks a number");
                    let number = *given.scalars.get(scalar).ok_or_else(lacking)?;
                    halves(number, dtype)[half & 1]
                }
            };
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        Ok(bytes)
    }
}

/// The words that hold a number as an element of `dtype`, the second 0 where one is enough; or those of its bits.
fn halves(number: Scalar, dtype: Option<DType>) -> [u32; 2] {
    let bits = match dtype {
        None => number.as_bits(),
        Some(dtype) => number.bits_of(dtype),
    };
    [bits as u32, (bits >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_blocks_lie_in_one_place_and_others_apart() {
        let origin = |_: &wgrad_plan::Step| panic!("nothing goes wrong");
        let scalars = [0.5, 0.5, 2.0].map(Scalar::from);
        let given = Given { scalars: &scalars, origin: &origin, watch: None };
        let numbered = |scalar| {
            let mut params = Params::of(&[7, 8, 9]);
            params.number(scalar, DType::F32, 1);
            params
        };
        let mut blocks = Blocks::new(64);
        let mut add = |params: Params| blocks.add(&params, 3);
        assert_eq!([add(numbered(0)), add(numbered(2)), add(numbered(0))], [0, 64, 0]);
        assert_eq!([add(Params::of(&[0])), add(Params::of(&[0; 5])), add(Params::of(&[0]))], [128, 192, 128]);
        let mut checked = Params::default();
        checked.slot(1);
        assert_eq!([add(checked.clone()), add(checked)], [256, 256]);
        let bytes = blocks.words(&given, 100).unwrap();
        let half = 0.5f32.to_bits();
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&word: &[u8; 4]| u32::from_le_bytes(word)).collect();
        assert_eq!(words[..4], [7, 8, 9, half]);
        assert_eq!(words[16..20], [7, 8, 9, 2f32.to_bits()]);
        assert_eq!(words[64..], [100 + 2 * (3 + 1), 0, 0, 0]);
        assert!(blocks.words(&Given { scalars: &scalars[..2], ..given }, 0).is_err(), "one is lacking");
    }
}
