//! The words of a kernel's uniform block.

/// Parameters in the order of the kernel's `Params` struct.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    words: Vec<u32>,
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
            self.words.push(size as u32);
        }
    }

    /// Strides: kernels add them modulo 2^32, so a negative one walks backwards.
    pub fn strides(&mut self, strides: &[isize]) {
        for &stride in strides {
            self.too_large |= i32::try_from(stride).is_err();
            self.words.push(stride as u32);
        }
    }

    /// Words as they are.
    pub fn words(&mut self, words: &[u32]) {
        self.words.extend_from_slice(words);
    }

    /// All of another list.
    pub fn append(&mut self, other: &Params) {
        self.too_large |= other.too_large;
        self.words.extend_from_slice(&other.words);
    }

    /// The block's bytes, or `None` where a number did not fit a word.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        (!self.too_large).then_some(bytes)
    }
}
