//! The words of a kernel's uniform block.

use wgrad_plan::Given;
use wgrad_tensor::dtype::{DType, Scalar};
use wgrad_tensor::error::{ErrorKind, Problem};

/// One word, or what it is made of in each run.
#[derive(Clone, Copy, Debug)]
enum Word {
    Fixed(u32),
    /// A half of the number at this place of [`Given::scalars`], as an element of the dtype, or of its bits.
    Number(usize, Option<DType>, usize),
    /// Where among the run's status words those of the step's check with this number are.
    Slot(usize),
}

/// Parameters in the order of the kernel's `Params` struct.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    words: Vec<Word>,
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
            self.words.push(Word::Fixed(size as u32));
        }
    }

    /// Strides: kernels add them modulo 2^32, so a negative one walks backwards.
    pub fn strides(&mut self, strides: &[isize]) {
        for &stride in strides {
            self.too_large |= i32::try_from(stride).is_err();
            self.words.push(Word::Fixed(stride as u32));
        }
    }

    /// A place that a window starts from, which is before its value where that is padded: as with strides.
    pub fn start(&mut self, place: isize) {
        self.too_large |= u32::try_from(place).is_err() && i32::try_from(place).is_err();
        self.words.push(Word::Fixed(place as u32));
    }

    /// Words as they are.
    pub fn words(&mut self, words: &[u32]) {
        self.words.extend(words.iter().map(|&word| Word::Fixed(word)));
    }

    /// The first words, one or two, of the run's number at this place as an element of `dtype`.
    pub fn number(&mut self, scalar: usize, dtype: DType, words: usize) {
        self.words.extend((0..words).map(|half| Word::Number(scalar, Some(dtype), half)));
    }

    /// A half of the bits of the run's number at this place.
    pub fn bits(&mut self, scalar: usize, half: usize) {
        self.words.push(Word::Number(scalar, None, half));
    }

    /// Where the step's check with this number notes what it finds.
    pub fn slot(&mut self, check: usize) {
        self.words.push(Word::Slot(check));
    }

    /// All of another list.
    pub fn append(&mut self, other: &Params) {
        self.too_large |= other.too_large;
        self.words.extend_from_slice(&other.words);
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every number fits its word.
    pub fn fit(&self) -> bool {
        !self.too_large
    }

    /// The block's size in bytes.
    pub fn bytes(&self) -> usize {
        (self.words.len() * 4).next_multiple_of(16)
    }

    /// Appends the block to a run's parameters. `slot` is where the step's checks begin.
    pub fn write(&self, given: &Given<'_>, slot: usize, into: &mut Vec<u8>) -> Result<(), Problem> {
        let end = into.len() + self.bytes();
        for word in &self.words {
            let word = match *word {
                Word::Fixed(word) => word,
                Word::Slot(check) => (slot + 2 * check) as u32,
                Word::Number(scalar, dtype, half) => {
                    let lacking = || Problem::new(ErrorKind::Value, "lacks a scalar");
                    let number = *given.scalars.get(scalar).ok_or_else(lacking)?;
                    halves(number, dtype)[half & 1]
                }
            };
            into.extend_from_slice(&word.to_le_bytes());
        }
        into.resize(end, 0);
        Ok(())
    }
}

/// The words that hold a number as an element of `dtype`, the second 0 where one is enough; or those of its bits.
fn halves(number: Scalar, dtype: Option<DType>) -> [u32; 2] {
    let bits = match dtype {
        None => number.as_bits(),
        Some(dtype) => number.to_bytes(dtype).iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte)),
    };
    [bits as u32, (bits >> 32) as u32]
}
