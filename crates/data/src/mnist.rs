//! MNIST: 70,000 handwritten digits.

#[cfg(feature = "download")]
mod download;
mod find;
mod idx;

pub use find::FindMnist;

use crate::dataset::InMemory;
use crate::digit::{Digit, PIXELS, SIDE};
use crate::synthetic;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use wgrad_tensor::{Error, ErrorKind, Result};

/// The handwritten digits of MNIST, to train on and to test with.
///
/// ```no_run
/// use wgrad_data::{Dataset, FindMnist, Mnist};
///
/// let mnist = Mnist::find(FindMnist::new().or_synthetic(0, 6_000, 1_000))?;
/// println!("{}", mnist.source);
/// println!("{}", mnist.train.get(0)?);
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mnist {
    /// The digits to train on.
    pub train: InMemory<Digit>,
    /// The digits to test with.
    pub test: InMemory<Digit>,
    /// Where they come from.
    pub source: Source,
}

/// Where a set of digits comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files in the directory that was asked for.
    Directory(PathBuf),
    /// Files that lay in the user's cache.
    Cache(PathBuf),
    /// Files that were downloaded into this directory just now.
    Download(PathBuf),
    /// A program drew them: this is not MNIST.
    Synthetic {
        /// Why it is not MNIST.
        because: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Directory(path) => write!(f, "MNIST from {}", path.display()),
            Source::Cache(path) => write!(f, "MNIST from the cache, {}", path.display()),
            Source::Download(path) => write!(f, "MNIST, downloaded into {}", path.display()),
            Source::Synthetic { because } => {
                write!(f, "synthetic digits, drawn by a program; this is not MNIST ({because})")
            }
        }
    }
}

/// The start of the names of the four files: pictures and labels to train on, pictures and labels to test with.
const FILES: [(&str, &str); 4] = [
    ("train-images", "idx3-ubyte"),
    ("train-labels", "idx1-ubyte"),
    ("t10k-images", "idx3-ubyte"),
    ("t10k-labels", "idx1-ubyte"),
];

impl Mnist {
    /// Reads the four files of MNIST from a directory.
    ///
    /// They have MNIST's own names (`train-images-idx3-ubyte`, or with a dot: `train-images.idx3-ubyte`), and may be
    /// gzipped (`.gz`) where the feature `gzip` is on. An unpacked file goes before a packed one.
    pub fn load(directory: impl AsRef<Path>) -> Result<Mnist> {
        let directory = directory.as_ref();
        load_as(directory, Source::Directory(directory.to_path_buf()))
    }

    /// Looks for MNIST in the places that the options name; see [`FindMnist`].
    pub fn find(options: FindMnist<'_>) -> Result<Mnist> {
        options.find()
    }

    /// Digits drawn by a program instead: no file needed. Training and test digits differ.
    fn synthetic(seed: u64, train: usize, test: usize, because: String) -> Mnist {
        let digits = |indices: Range<usize>| indices.map(|index| synthetic::draw(seed, index)).collect();
        Mnist { train: digits(0..train), test: digits(train..train + test), source: Source::Synthetic { because } }
    }
}

fn load_as(directory: &Path, source: Source) -> Result<Mnist> {
    let file = |index: usize| find_file(directory, FILES[index]);
    // All four must be there before the first is read.
    let [train_images, train_labels, test_images, test_labels] = [file(0)?, file(1)?, file(2)?, file(3)?];
    Ok(Mnist { train: digits(&train_images, &train_labels)?, test: digits(&test_images, &test_labels)?, source })
}

/// The path of a file under any of its names.
fn find_file(directory: &Path, (what, kind): (&str, &str)) -> Result<PathBuf> {
    let mut paths = ["", ".gz"].iter().flat_map(|packed| ["-", "."].map(|dot| format!("{what}{dot}{kind}{packed}")));
    paths.find_map(|name| Some(directory.join(name)).filter(|path| path.is_file())).ok_or_else(|| {
        file_error(directory, format!("expected {what}-{kind} or {what}-{kind}.gz in this directory, found neither"))
    })
}

/// The digits in a file of pictures and a file of labels.
fn digits(images_path: &Path, labels_path: &Path) -> Result<InMemory<Digit>> {
    let images = idx::read(images_path, &[SIDE, SIDE])?;
    let labels = idx::read(labels_path, &[])?;
    if images.count != labels.count {
        let message = format!(
            "expected {} labels, as many as there are pictures in {}, found {}",
            images.count,
            images_path.display(),
            labels.count
        );
        return Err(file_error(labels_path, message));
    }
    if let Some(at) = labels.bytes.iter().position(|&label| label > 9) {
        let message = format!("expected labels from 0 to 9, found {} for picture {at}", labels.bytes[at]);
        return Err(file_error(labels_path, message));
    }
    let (pictures, _) = images.bytes.as_chunks::<PIXELS>();
    Ok(pictures.iter().zip(labels.bytes).map(|(&pixels, label)| Digit { pixels, label }).collect())
}

/// The error for a file or directory that is not what it should be.
fn file_error(path: &Path, message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::File, "Mnist", format!("{}: {message}", path.display()))
}

#[cfg(test)]
mod tests;
