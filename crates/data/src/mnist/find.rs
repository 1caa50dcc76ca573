//! Where to look for MNIST.

use super::{Mnist, Source, load_as};
use std::path::{Path, PathBuf};
use wgrad_tensor::{Error, ErrorKind, Result, cache};

/// Called with a file's name, the bytes that have arrived, and the bytes there are where that is known.
type Progress<'a> = dyn FnMut(&str, u64, Option<u64>) + 'a;

/// Where [`Mnist::find`] looks.
///
/// In the [directory](Self::directory), if one is given. If none is: in the user's cache; then on the web, if the feature
/// `download` is on; and only where that is [allowed](Self::or_synthetic), a program draws the digits.
/// [`Mnist::source`] says which it was.
///
/// The cache is `$WGRAD_CACHE/mnist` where that variable is set, else `wgrad/mnist` in the system's usual place:
/// `$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`.
#[derive(Default)]
pub struct FindMnist<'a> {
    directory: Option<PathBuf>,
    cache: Option<PathBuf>,
    offline: bool,
    synthetic: Option<Synthetic>,
    progress: Option<Box<Progress<'a>>>,
    #[cfg(feature = "download")]
    pub(super) remote: super::download::Remote,
}

#[derive(Clone, Copy, Debug)]
struct Synthetic {
    seed: u64,
    train: usize,
    test: usize,
}

impl<'a> FindMnist<'a> {
    /// Looks in the user's cache, then on the web.
    pub fn new() -> Self {
        FindMnist::default()
    }

    /// Looks in this directory and nowhere else: what is wrong there is an error.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Keeps the files in this directory instead of the user's cache.
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// Never downloads anything.
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Where MNIST cannot be had, draws so many digits to train on and to test with.
    pub fn or_synthetic(mut self, seed: u64, train: usize, test: usize) -> Self {
        self.synthetic = Some(Synthetic { seed, train, test });
        self
    }

    /// Tells how a download goes on: a file's name, the bytes that have arrived, and the bytes there are where that is known.
    pub fn progress(mut self, progress: impl FnMut(&str, u64, Option<u64>) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    pub(super) fn find(mut self) -> Result<Mnist> {
        if let Some(directory) = &self.directory {
            return Mnist::load(directory);
        }
        match (self.cached_or_downloaded(), self.synthetic) {
            (Err(error), Some(Synthetic { seed, train, test })) => {
                Ok(Mnist::synthetic(seed, train, test, error.message().to_string()))
            }
            (found, _) => found,
        }
    }

    fn cached_or_downloaded(&mut self) -> Result<Mnist> {
        let cache = self.cache.clone().or_else(|| cache::directory("mnist")).ok_or_else(|| {
            Error::new(ErrorKind::File, "Mnist::find", "no cache directory: set WGRAD_CACHE, or name a directory")
        })?;
        let not_cached = match load_as(&cache, Source::Cache(cache.clone())) {
            Ok(mnist) => return Ok(mnist),
            Err(error) => error,
        };
        if self.offline {
            return Err(not_cached);
        }
        self.download(&cache).map_err(|error| {
            let message = format!("{}; and {}", not_cached.message(), error.message());
            Error::caused_by(ErrorKind::File, "Mnist::find", message, error)
        })?;
        load_as(&cache, Source::Download(cache.clone()))
    }

    #[cfg(feature = "download")]
    fn download(&mut self, into: &Path) -> Result<()> {
        let mut silent = |_: &str, _, _| ();
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        self.remote.fetch(into, progress)
    }

    #[cfg(not(feature = "download"))]
    fn download(&mut self, _into: &Path) -> Result<()> {
        let message = "this program cannot download it: the feature `download` of wgrad-data is off";
        Err(Error::new(ErrorKind::Unsupported, "Mnist::find", message))
    }
}

impl std::fmt::Debug for FindMnist<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FindMnist")
            .field("directory", &self.directory)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("synthetic", &self.synthetic)
            .finish_non_exhaustive()
    }
}
