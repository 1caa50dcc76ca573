//! Fetching MNIST from the web.

use super::file_error;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wgrad_tensor::{Error, ErrorKind, Result};

/// Where the files are, and how long to wait for them.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// Addresses that end in a slash. One is enough.
    pub mirrors: Vec<String>,
    /// Names with SHA-256 sums.
    pub files: Vec<(String, String)>,
    /// For finding the server's address, and again for reaching it.
    pub connect: Duration,
    /// Without a single byte.
    pub silence: Duration,
    /// For one file.
    pub file: Duration,
}

impl Default for Remote {
    fn default() -> Self {
        let mirrors =
            ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"];
        let files = [
            ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ];
        Remote {
            mirrors: mirrors.map(String::from).to_vec(),
            files: files.map(|(name, sum)| (name.to_string(), sum.to_string())).to_vec(),
            connect: Duration::from_secs(2),
            silence: Duration::from_secs(10),
            file: Duration::from_secs(120),
        }
    }
}

/// No file of MNIST comes near this.
const MAX_BYTES: u64 = 64 << 20;

impl Remote {
    /// Puts every file into a directory, unless it lies there already.
    pub fn fetch(&self, into: &Path, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<()> {
        fs::create_dir_all(into).map_err(|cause| file_error(into, format!("cannot be made: {cause}")))?;
        let agent = self.agent();
        let mut mirrors = self.mirrors.clone();
        for (name, sum) in &self.files {
            let path = into.join(name);
            if fs::read(&path).is_ok_and(|content| hex(&Sha256::digest(content)) == *sum) {
                continue;
            }
            let mut failures = Vec::new();
            let found = mirrors.iter().position(|mirror| {
                let url = format!("{mirror}{name}");
                let result = get(&agent, &url, &path, sum, &mut |done, total| progress(name, done, total));
                result.map_err(|why| failures.push(format!("{url}: {why}"))).is_ok()
            });
            match found {
                // The mirror that answered is the first one asked for the next file.
                Some(index) => mirrors.rotate_left(index),
                None => {
                    let message = format!("{name} cannot be downloaded: {}", failures.join("; "));
                    return Err(Error::new(ErrorKind::File, "Mnist::find", message));
                }
            }
        }
        Ok(())
    }

    fn agent(&self) -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .timeout_per_read(Some(self.silence))
            .timeout_global(Some(self.file))
            // The sums are those of the packed files: no server shall unpack them on the way.
            .accept_encoding("identity");
        // Tests serve from this machine, which no proxy reaches.
        let config = if cfg!(test) { config.proxy(None) } else { config };
        config.build().into()
    }
}

/// Fetches one file and puts it at `path` if it is the right one. What went wrong is for people to read.
fn get(
    agent: &ureq::Agent,
    url: &str,
    path: &Path,
    sum: &str,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), String> {
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let total = response.body().content_length();
    let mut body = response.body_mut().as_reader();
    let mut file = Unfinished::beside(path).map_err(|error| format!("no file to write to: {error}"))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    let mut done = 0;
    progress(done, total);
    loop {
        let length = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("broke off after {done} bytes: {error}")),
        };
        done += length as u64;
        if done > MAX_BYTES {
            return Err(format!("expected at most {MAX_BYTES} bytes, found more"));
        }
        hash.update(&chunk[..length]);
        file.write(&chunk[..length]).map_err(|error| format!("cannot be written: {error}"))?;
        progress(done, total);
    }
    let found = hex(&hash.finalize());
    if found != sum {
        return Err(format!("expected the SHA-256 sum {sum}, found {found} over {done} bytes"));
    }
    file.finish(path).map_err(|error| format!("cannot be put in place: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file under a name of its own until it is whole; otherwise it goes away.
struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    fn beside(path: &Path) -> io::Result<Unfinished> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}-{number}.part", std::process::id()));
        let path = path.with_file_name(name);
        Ok(Unfinished { file: File::create(&path)?, path })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        // Renamed away, it is no longer there to be removed on drop.
        fs::rename(&self.path, path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
