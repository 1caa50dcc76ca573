//! Named tensors to bytes and back, in memory and on disk.

use crate::header::{Header, problem, stored_dtype};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;
use std::panic::Location;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Meta;
use wgrad_tensor::{DType, Device, Error, Result, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use {crate::atomic, std::io::Write, std::path::Path};

/// Text that travels with the tensors: the epoch, the licence, the version of the program.
pub type Metadata = BTreeMap<String, String>;

/// What a safetensors file holds.
#[derive(Clone, Debug)]
pub struct File {
    /// The tensors with their names, in the order of the file.
    pub tensors: Vec<(String, Tensor)>,
    /// Text beside them.
    pub metadata: Metadata,
    origin: String,
}

impl File {
    /// The tensor of this name.
    ///
    /// # Errors
    /// There is none; the error lists the names that there are.
    #[track_caller]
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.tensors.iter().find(|(found, _)| found == name) {
            Some((_, tensor)) => Ok(tensor),
            None => {
                let names: Vec<&str> = self.tensors.iter().map(|(name, _)| &name[..]).collect();
                let missing = problem(format!("expected a tensor {name:?}, found {}", listed(&names)));
                Err(error("get", &self.origin, missing, Location::caller()))
            }
        }
    }
}

/// The tensors and the text as the bytes of a safetensors file.
///
/// # Errors
/// What went wrong on the way to a tensor, and names that occur twice.
///
/// ```
/// # use wgrad_tensor::{Device, Result, Tensor};
/// # fn example(device: &Device) -> Result<()> {
/// let weights = [("weight".to_string(), Tensor::new([[1.0f32, 2.0]], device))];
/// let bytes = wgrad_io::to_bytes(&weights, &Default::default())?;
/// let weight = wgrad_io::from_bytes(&bytes, device)?.get("weight")?.clone();
/// # Ok(())
/// # }
/// ```
#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
pub fn to_bytes(tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<Vec<u8>> {
    let caller = Location::caller();
    let mut bytes = Vec::new();
    write(tensors, metadata, &mut bytes, "memory", caller)?;
    Ok(bytes)
}

/// The asynchronous form of [`to_bytes`].
pub async fn to_bytes_async(tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<Vec<u8>> {
    let (header, ordered) = prepare(tensors, metadata)?;
    let mut bytes = header.encode().map_err(|fault| error("save", "memory", fault, Location::caller()))?;
    for tensor in ordered {
        bytes.extend(little_endian(tensor.to_bytes_async().await?, tensor.try_dtype()?));
    }
    Ok(bytes)
}

/// The tensors, on `device`, and the text of a safetensors file given as bytes.
///
/// # Errors
/// [`ErrorKind::File`](wgrad_tensor::ErrorKind::File) where the bytes are no such file, or not a whole one; and what
/// the device has against the tensors.
#[track_caller]
pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<File> {
    read(&mut &bytes[..], bytes.len() as u64, "memory", device, Location::caller())
}

/// Writes the tensors and the text to a safetensors file: all of it, or nothing.
///
/// The bytes go to a new file beside `path`, reach the disk, and only then take its name. A failure, a kill or a power
/// cut at any moment leaves the old file as it was. The same tensors and text always give the same bytes.
///
/// # Errors
/// What went wrong on the way to a tensor, names that occur twice, and what the file system has against it.
#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
pub fn save(path: impl AsRef<Path>, tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<()> {
    let (path, caller) = (path.as_ref(), Location::caller());
    let origin = path.display().to_string();
    // Device work, and most of what can fail, comes before the disk is touched.
    wgrad_tensor::eval_all(tensors.iter().map(|(_, tensor)| tensor))?;
    let unsaved = |failure: std::io::Error| error("save", &origin, problem(failure.to_string()), caller);
    let mut file = atomic::Replacement::new(path).map_err(unsaved)?;
    write(tensors, metadata, &mut file, &origin, caller)?;
    file.commit().map_err(unsaved)
}

/// The tensors, on `device`, and the text of a safetensors file.
///
/// # Errors
/// [`ErrorKind::File`](wgrad_tensor::ErrorKind::File) where the file cannot be read, is none of this format, or not a
/// whole one; and what the device has against the tensors.
#[cfg(not(target_arch = "wasm32"))]
#[track_caller]
pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<File> {
    let (path, caller) = (path.as_ref(), Location::caller());
    let origin = path.display().to_string();
    let (mut file, length) = open(path, caller)?;
    read(&mut file, length, &origin, device, caller)
}

/// The file, and how many bytes it has.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn open(
    path: &Path,
    caller: &'static Location<'static>,
) -> Result<(std::io::BufReader<std::fs::File>, u64)> {
    let opened = std::fs::File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        Ok((std::io::BufReader::new(file), length))
    });
    opened.map_err(|failure| error("load", &path.display().to_string(), problem(failure.to_string()), caller))
}

#[cfg(not(target_arch = "wasm32"))]
fn write(
    tensors: &[(String, Tensor)],
    metadata: &Metadata,
    to: &mut impl Write,
    origin: &str,
    caller: &'static Location<'static>,
) -> Result<()> {
    let (header, ordered) = prepare(tensors, metadata)?;
    let unwritten = |failure: std::io::Error| error("save", origin, problem(failure.to_string()), caller);
    let head = header.encode().map_err(|fault| error("save", origin, fault, caller))?;
    to.write_all(&head).map_err(unwritten)?;
    for tensor in ordered {
        to.write_all(&little_endian(tensor.to_bytes()?, tensor.try_dtype()?)).map_err(unwritten)?;
    }
    Ok(())
}

/// The header, and the tensors in its order: wide dtypes first, so that all data is aligned, then by name.
fn prepare<'a>(tensors: &'a [(String, Tensor)], metadata: &Metadata) -> Result<(Header, Vec<&'a Tensor>)> {
    let mut ordered = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        ordered.push((name, tensor.meta()?, tensor));
    }
    ordered.sort_by_key(|&(name, meta, _)| (Reverse(stored_dtype(meta.dtype)), name));
    let named = ordered.iter().map(|&(name, meta, _)| (name.clone(), meta.clone())).collect();
    let tensors = ordered.into_iter().map(|(_, _, tensor)| tensor).collect();
    Ok((Header { tensors: named, metadata: metadata.clone() }, tensors))
}

fn read(
    source: &mut impl Read,
    length: u64,
    origin: &str,
    device: &Device,
    caller: &'static Location<'static>,
) -> Result<File> {
    let wrong = |fault| error("load", origin, fault, caller);
    let header = Header::decode(source, length).map_err(wrong)?;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, meta) in header.tensors {
        let bytes = read_data(source, &name, &meta).map_err(wrong)?;
        let tensor = Tensor::from_bytes(&bytes, meta, device);
        tensor.meta()?;
        tensors.push((name, tensor));
    }
    Ok(File { tensors, metadata: header.metadata, origin: origin.to_string() })
}

/// The next tensor's elements, in the machine's byte order. The header has been checked against the file's size.
pub(crate) fn read_data(source: &mut impl Read, name: &str, meta: &Meta) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![0; meta.bytes()];
    source.read_exact(&mut bytes).map_err(|error| problem(format!("{name:?}: {error}")))?;
    if meta.dtype == DType::Bool
        && let Some(other) = bytes.iter().find(|&&byte| byte > 1)
    {
        return Err(problem(format!("{name:?} is bool: expected bytes of 0 and 1, found {other}")));
    }
    Ok(little_endian(bytes, meta.dtype))
}

/// Between the machine's byte order and the file's, which is little-endian.
fn little_endian(mut bytes: Vec<u8>, dtype: DType) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    bytes
}

/// The problem as an error that names the file.
pub(crate) fn error(op: &'static str, origin: &str, fault: Problem, caller: &'static Location<'static>) -> Error {
    let named = Problem::new(fault.kind, format!("{origin}: {}", fault.message));
    Error::at(named, op.into(), Vec::new(), Some(caller), None)
}

/// Names in a sentence, cut where there are many.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    if text.is_empty() { "none".to_string() } else { text }
}
