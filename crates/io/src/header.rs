//! The head of a safetensors file: its length in eight bytes, then JSON that gives each tensor's dtype, shape and place.

use crate::file::Metadata;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io::Read;
use wgrad_tensor::error::Problem;
use wgrad_tensor::op::Meta;
use wgrad_tensor::{DType, ErrorKind};

/// The key under which a header holds text instead of a tensor.
const METADATA: &str = "__metadata__";
/// Bytes of the header's length, and what its own length is a multiple of.
const WORD: usize = 8;
/// The longest header that the reference implementation reads.
const LONGEST: u64 = 100_000_000;

/// What a file holds: the tensors in the order of their data, which has no gaps, and text.
#[derive(Debug)]
pub(crate) struct Header {
    pub tensors: Vec<(String, Meta)>,
    pub metadata: Metadata,
}

pub(crate) fn problem(message: impl Into<String>) -> Problem {
    Problem::new(ErrorKind::File, message.into())
}

impl Header {
    /// The header's bytes, its length first.
    pub fn encode(&self) -> Result<Vec<u8>, Problem> {
        let mut fields = Vec::with_capacity(self.tensors.len() + 1);
        if !self.metadata.is_empty() {
            fields.push(field(METADATA, serde_json::to_string(&self.metadata))?);
        }
        let (mut names, mut start) = (BTreeSet::new(), 0);
        for (name, meta) in &self.tensors {
            if name == METADATA || !names.insert(name) {
                return Err(problem(format!("two tensors cannot be called {name:?}")));
            }
            let data_offsets = (start, start + meta.bytes());
            start = data_offsets.1;
            let info = TensorInfo { dtype: stored_dtype(meta.dtype), shape: meta.shape.to_vec(), data_offsets };
            fields.push(field(name, serde_json::to_string(&info))?);
        }
        let mut json = format!("{{{}}}", fields.join(",")).into_bytes();
        // Spaces after the JSON keep the data aligned.
        json.resize(json.len().next_multiple_of(WORD), b' ');
        let length = json.len() as u64;
        if length > LONGEST {
            return Err(problem(format!("a header of {length} bytes is longer than the {LONGEST} allowed")));
        }
        Ok([&length.to_le_bytes()[..], &json].concat())
    }

    /// Reads and checks the header of a file of `length` bytes, and leaves `source` at the first byte of the data.
    pub fn decode(source: &mut impl Read, length: u64) -> Result<Header, Problem> {
        let Some(after_word) = length.checked_sub(WORD as u64) else {
            return Err(problem(format!("no safetensors file: expected at least {WORD} bytes, found {length}")));
        };
        let mut word = [0; WORD];
        source.read_exact(&mut word).map_err(|error| problem(error.to_string()))?;
        let expected = u64::from_le_bytes(word);
        let Some(data) = after_word.checked_sub(expected).filter(|_| expected <= LONGEST) else {
            let message = format!(
                "no safetensors file, or cut short: expected a header of {expected} bytes (at most {LONGEST}), found \
                 {after_word} bytes after its length"
            );
            return Err(problem(message));
        };
        // `expected` is no larger than the file.
        let mut json = vec![0; expected as usize];
        source.read_exact(&mut json).map_err(|error| problem(error.to_string()))?;
        let header = Header::parse(&json)?;
        let found: u64 = header.tensors.iter().map(|(_, meta)| meta.bytes() as u64).sum();
        if found != data {
            let state = if found > data { "cut short" } else { "longer than its header says" };
            return Err(problem(format!("{state}: expected {found} bytes of data, found {data}")));
        }
        Ok(header)
    }

    fn parse(json: &[u8]) -> Result<Header, Problem> {
        let mut fields: Map<String, Value> = serde_json::from_slice(json).map_err(|error| {
            problem(format!("no safetensors file: expected a JSON object as header, found {error}"))
        })?;
        let metadata = match fields.remove(METADATA) {
            None | Some(Value::Null) => Metadata::new(),
            Some(text) => serde_json::from_value(text)
                .map_err(|error| problem(format!("expected names and strings in {METADATA}, found {error}")))?,
        };
        let mut places = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let info: TensorInfo = serde_json::from_value(value).map_err(|error| {
                problem(format!("expected dtype, shape and data_offsets of {name:?}, found {error}"))
            })?;
            places.push((info.data_offsets, name, info.dtype, info.shape));
        }
        places.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (mut tensors, mut at) = (Vec::with_capacity(places.len()), 0);
        for ((start, end), name, dtype, shape) in places {
            if start != at {
                let fault = if start < at { "overlaps the data before it" } else { "leaves a gap before its data" };
                return Err(problem(format!("{name:?} {fault}: expected it to start at byte {at}, found {start}")));
            }
            let meta = Meta::new(shape, held_dtype(&name, dtype)?);
            let bytes = meta.shape.checked_count().and_then(|count| count.checked_mul(meta.dtype.size()));
            if bytes.is_none_or(|bytes| start.checked_add(bytes) != Some(end)) {
                let expected = bytes.map_or("more than fits in memory".to_string(), |bytes| format!("{bytes} bytes"));
                let message = format!(
                    "{name:?} is {} {}: expected {expected} of data, found the bytes {start} to {end}",
                    meta.shape, meta.dtype
                );
                return Err(problem(message));
            }
            at = end;
            tensors.push((name, meta));
        }
        Ok(Header { tensors, metadata })
    }
}

/// `"name":json`.
fn field(name: &str, json: serde_json::Result<String>) -> Result<String, Problem> {
    let unwritable = |error: serde_json::Error| problem(format!("{name:?}: {error}"));
    Ok(format!("{}:{}", serde_json::to_string(name).map_err(unwritable)?, json.map_err(unwritable)?))
}

/// The format's name of a dtype.
pub(crate) fn stored_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

fn held_dtype(name: &str, dtype: Dtype) -> Result<DType, Problem> {
    DType::ALL.into_iter().find(|&held| stored_dtype(held) == dtype).ok_or_else(|| {
        let held = DType::ALL.map(|held| stored_dtype(held).to_string()).join(", ");
        problem(format!("{name:?} is of a dtype that tensors do not have: expected one of {held}, found {dtype}"))
    })
}
