//! Replacing a file in one step.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A new file beside `path` that takes its name when it is whole. Dropped before that, it is gone without a trace.
pub(crate) struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Replacement {
    /// Starts an empty replacement of `path`, in the same directory: names move in one step only within a file system.
    pub fn new(path: &Path) -> io::Result<Replacement> {
        // Through a link it is the file behind it that is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        loop {
            let mut temporary = name.to_os_string();
            temporary.push(format!(".{:016x}.tmp", random()));
            let temporary = path.with_file_name(temporary);
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok(Replacement { path, temporary, writer: Some(BufWriter::new(file)) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Brings the bytes to the disk and gives them the name.
    pub fn commit(mut self) -> io::Result<()> {
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        writer.flush()?;
        writer.get_ref().sync_all()?;
        // Closed first: Windows renames no open file.
        let closed = self.writer.take();
        drop(closed);
        if let Err(error) = fs::rename(&self.temporary, &self.path) {
            let _ = fs::remove_file(&self.temporary);
            return Err(error);
        }
        sync_directory(&self.path)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().map_or(Ok(0), |writer| writer.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // Nobody is left to tell of a failure here.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A rename survives a power cut once the directory has reached the disk.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Bits that differ from call to call, from the hasher's keys.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
