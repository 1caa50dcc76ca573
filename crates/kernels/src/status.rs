//! Status words: where kernels note bad indices. Many runs share a buffer, since each needs a few words until a read-back
//! tells how it went, and nobody may read for long.

use crate::journal::lock;
use crate::memory::{Block, Memory, Use};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use wgrad_tensor::error::Result;

/// Bytes of a buffer that runs share.
const PAGE: usize = 16 << 10;

/// The buffer that the next runs get their words in, and how many of its bytes are given away.
#[derive(Default)]
pub(crate) struct StatusPages(Mutex<Option<(Arc<Block>, usize)>>);

/// A run's share in a buffer of status words.
#[derive(Debug)]
pub(crate) struct StatusWords {
    block: Arc<Block>,
    bytes: Range<usize>,
}

impl StatusPages {
    /// So many words that no other run writes to.
    pub fn take(&self, memory: &Arc<Memory>, words: usize) -> Result<StatusWords> {
        let mut page = lock(&self.0);
        let bytes = words * 4;
        let (block, used) = match page.take() {
            Some((block, used)) if used + bytes <= PAGE => (block, used),
            _ => (Arc::new(memory.allocate(Use::Status, PAGE.max(bytes))?), 0),
        };
        *page = Some((block.clone(), used + bytes));
        Ok(StatusWords { block, bytes: used..used + bytes })
    }
}

impl StatusWords {
    pub fn block(&self) -> &Block {
        &self.block
    }

    pub fn raw(&self) -> &wgpu::Buffer {
        self.block.raw()
    }

    /// Where its words start.
    pub fn start(&self) -> u64 {
        self.bytes.start as u64
    }

    /// The number of its first word.
    pub fn first(&self) -> usize {
        self.bytes.start / 4
    }

    /// Sets them to zero.
    pub fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(self.raw(), self.start(), Some(self.bytes.len() as u64));
    }
}
