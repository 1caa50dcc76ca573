//! The IDX format: a magic number that tells the type and how many axes there are, the sizes, then the data.

use super::file_error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use wgrad_tensor::{Error, ErrorKind, Result};

/// The content of an IDX file of unsigned bytes.
#[derive(Debug)]
pub(super) struct Idx {
    /// The size of the first axis: how many items.
    pub count: usize,
    /// The items, one after the other.
    pub bytes: Vec<u8>,
}

/// The type of data that MNIST's files hold, in IDX's numbering: unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;

/// More data than this is refused: twenty times MNIST. It bounds what a header, and a packed file, can ask for.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a file, packed or not, whose items have the sizes `item`.
pub(super) fn read(path: &Path, item: &[usize]) -> Result<Idx> {
    let file = File::open(path).map_err(|cause| unreadable(path, cause))?;
    let mut file = BufReader::new(file);
    let start = file.fill_buf().map_err(|cause| unreadable(path, cause))?;
    match start.starts_with(&[0x1f, 0x8b]) {
        true => read_packed(path, file, item),
        false => read_unpacked(path, file, item),
    }
}

#[cfg(feature = "gzip")]
fn read_packed(path: &Path, file: impl BufRead, item: &[usize]) -> Result<Idx> {
    read_unpacked(path, flate2::bufread::MultiGzDecoder::new(file), item)
}

#[cfg(not(feature = "gzip"))]
fn read_packed(path: &Path, _file: impl BufRead, _item: &[usize]) -> Result<Idx> {
    let message =
        "expected an unpacked file, found a gzipped one: turn on the feature `gzip` of wgrad-data, or unpack it";
    Err(file_error(path, message))
}

fn read_unpacked(path: &Path, mut data: impl Read, item: &[usize]) -> Result<Idx> {
    let mut read = |bytes: u64| {
        let mut content = Vec::new();
        data.by_ref().take(bytes).read_to_end(&mut content).map(|_| content).map_err(|cause| unreadable(path, cause))
    };
    let axes = item.len() + 1;
    let header = read(4 + 4 * axes as u64)?;
    let (words, rest) = header.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|&word| u32::from_be_bytes(word)).collect();

    let magic = u32::from_be_bytes([0, 0, UNSIGNED_BYTE, axes as u8]);
    if let Some(&found) = words.first()
        && found != magic
    {
        let message =
            format!("expected the magic number {magic:#010x} (IDX, unsigned bytes, axes: {axes}), found {found:#010x}");
        return Err(file_error(path, message));
    }
    if words.len() != 1 + axes {
        let found = 4 * words.len() + rest.len();
        return Err(file_error(path, format!("expected a header of {} bytes, found {found} bytes", 4 + 4 * axes)));
    }
    let sizes: Vec<usize> = words[1..].iter().map(|&size| size as usize).collect();
    if sizes[1..] != *item {
        return Err(file_error(path, format!("expected items of size {item:?}, found {:?}", &sizes[1..])));
    }
    let expected = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    let Some(expected) = expected.filter(|&bytes| bytes <= MAX_BYTES) else {
        let message = format!("expected at most {MAX_BYTES} bytes of data, found a header with sizes {sizes:?}");
        return Err(file_error(path, message));
    };
    // One byte more than there should be shows a file that is too long, and makes a packed one check its sum.
    let bytes = read(expected + 1)?;
    if bytes.len() as u64 != expected {
        let found = if bytes.len() as u64 > expected { "more".into() } else { bytes.len().to_string() };
        let message = format!("expected {expected} bytes of data for sizes {sizes:?}, found {found}");
        return Err(file_error(path, message));
    }
    Ok(Idx { count: sizes[0], bytes })
}

/// The error for a file that cannot be read, or unpacked.
fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    let message = format!("{}: cannot be read: {cause}", path.display());
    Error::caused_by(ErrorKind::File, "Mnist", message, cause)
}
