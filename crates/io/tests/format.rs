//! The bytes: exact both ways, the reference implementation's, and every fault of a file said in words.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{assert_same, device, one_of_each};
use std::collections::HashMap;
use wgrad_io::{Metadata, from_bytes, to_bytes};
use wgrad_tensor::{ErrorKind, Tensor};

fn text(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn every_dtype_survives_bit_for_bit() {
    let device = device();
    let tensors = one_of_each(&device);
    let metadata = text(&[("epoch", "3"), ("note", "\"quoted\"\n")]);
    let bytes = to_bytes(&tensors, &metadata).unwrap();
    let file = from_bytes(&bytes, &device).unwrap();
    assert_same(&file.tensors, &tensors);
    assert_eq!(file.metadata, metadata);
    assert_eq!(to_bytes(&file.tensors, &file.metadata).unwrap(), bytes, "the same content gives the same bytes");
}

#[test]
fn a_file_without_tensors_is_a_file() {
    let device = device();
    let file = from_bytes(&to_bytes(&[], &Metadata::new()).unwrap(), &device).unwrap();
    assert!(file.tensors.is_empty() && file.metadata.is_empty());
}

#[test]
fn the_bytes_are_those_of_the_reference_implementation() {
    let device = device();
    let tensors = one_of_each(&device);
    let ours = to_bytes(&tensors, &text(&[("format", "pt")])).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&ours).unwrap();
    assert_eq!(theirs.len(), tensors.len());
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    assert_eq!(safetensors::serialize(theirs.tensors(), Some(metadata)).unwrap(), ours);
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let device = device();
    let tensor = Tensor::new([1.0f32], &device);
    let twice = [("a".to_string(), tensor.clone()), ("a".to_string(), tensor.clone())];
    assert_eq!(to_bytes(&twice, &Metadata::new()).unwrap_err().kind(), ErrorKind::File);
    let reserved = [("__metadata__".to_string(), tensor)];
    assert_eq!(to_bytes(&reserved, &Metadata::new()).unwrap_err().kind(), ErrorKind::File);
}

#[test]
fn a_missing_tensor_is_named_with_those_that_are_there() {
    let device = device();
    let tensors = [("weight".to_string(), Tensor::new([1.0f32], &device))];
    let file = from_bytes(&to_bytes(&tensors, &Metadata::new()).unwrap(), &device).unwrap();
    assert_eq!(file.get("weight").unwrap().to_vec::<f32>().unwrap(), [1.0]);
    let error = file.get("bias").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert_eq!(error.message(), "memory: expected a tensor \"bias\", found weight");
}

/// A file of this header and this much data.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn every_fault_is_said_in_words() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#""w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one =
        |dtype: &str, shape: &str, offsets: &str, data| file(&format!("{{{}}}", entry(dtype, shape, offsets)), data);
    let good = one("F32", "[2,3]", "[0,24]", 24);
    let overlapping =
        format!(r#"{{{},"x":{{"dtype":"U8","shape":[4],"data_offsets":[20,24]}}}}"#, entry("F32", "[6]", "[0,24]"));
    let huge = "18446744073709551615";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "expected at least 8 bytes, found 0"),
        ("no file", b"no".to_vec(), "expected at least 8 bytes, found 2"),
        ("another format", b"\x89PNG\r\n\x1a\n and so on".to_vec(), "no safetensors file"),
        ("not JSON", file("{w: 1}", 0), "expected a JSON object as header, found"),
        ("no object", file("[1, 2]", 0), "expected a JSON object as header, found"),
        ("no entry", file(r#"{"w":3}"#, 0), "expected dtype, shape and data_offsets of \"w\", found"),
        ("text that is none", file(r#"{"__metadata__":{"a":1}}"#, 0), "expected names and strings in __metadata__"),
        ("deep", file(&"[".repeat(100_000), 0), "no safetensors file"),
        ("header cut short", good[..20].to_vec(), "expected a header of 57 bytes"),
        ("data cut short", good[..good.len() - 1].to_vec(), "cut short: expected 24 bytes of data, found 23"),
        ("data too long", one("F32", "[2,3]", "[0,24]", 25), "expected 24 bytes of data, found 25"),
        ("oversized header", [&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "(at most 100000000), found 2 bytes"),
        (
            "overlap",
            file(&overlapping, 24),
            "\"x\" overlaps the data before it: expected it to start at byte 24, found 20",
        ),
        ("gap", one("F32", "[6]", "[8,32]", 32), "\"w\" leaves a gap before its data: expected it to start at byte 0"),
        ("out of range", one("F32", "[6]", "[0,24]", 4), "expected 24 bytes of data, found 4"),
        (
            "wrong shape",
            one("F32", "[2,2]", "[0,24]", 24),
            "\"w\" is [2, 2] f32: expected 16 bytes of data, found the bytes 0 to 24",
        ),
        ("backwards", one("F32", "[0]", "[24,0]", 24), "expected it to start at byte 0, found 24"),
        ("overflow", one("F32", &format!("[{huge},2]"), "[0,24]", 24), "expected more than fits in memory of data"),
        ("large", one("U8", &format!("[{huge}]"), &format!("[0,{huge}]"), 0), "bytes of data, found 0"),
        ("negative", one("F32", "[-1]", "[0,24]", 24), "expected dtype, shape and data_offsets of \"w\""),
        (
            "foreign dtype",
            one("I64", "[3]", "[0,24]", 24),
            "expected one of F32, F64, F16, BF16, I32, U32, U8, BOOL, found I64",
        ),
        ("no dtype", one("F31", "[6]", "[0,24]", 24), "unknown variant `F31`"),
        (
            "not a bool",
            [&one("BOOL", "[1]", "[0,1]", 0)[..], &[2]].concat(),
            "\"w\" is bool: expected bytes of 0 and 1, found 2",
        ),
    ];
    let device = device();
    from_bytes(&good, &device).unwrap();
    for (case, bytes, message) in cases {
        let error = from_bytes(&bytes, &device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File, "{case}: {error}");
        assert!(error.message().contains(message), "{case}: {error}");
        assert!(error.location().is_some_and(|at| at.file().ends_with("format.rs")), "{case}: {error}");
    }
}

/// Damaged bytes are an error or tensors that hold together; never a panic.
#[test]
fn damage_is_never_trusted() {
    let device = device();
    let valid = to_bytes(&one_of_each(&device), &text(&[("epoch", "3")])).unwrap();
    let check = |bytes: &[u8]| {
        let Ok(file) = from_bytes(bytes, &device) else { return };
        let total: usize = file.tensors.iter().map(|(_, tensor)| tensor.to_bytes().unwrap().len()).sum();
        for (name, tensor) in &file.tensors {
            assert_eq!(tensor.to_bytes().unwrap().len(), tensor.meta().unwrap().bytes(), "{name}");
        }
        assert!(total < bytes.len());
    };
    for length in 0..valid.len() {
        assert!(from_bytes(&valid[..length], &device).is_err(), "cut to {length} bytes");
    }
    for at in 0..valid.len() {
        for bit in 0..8 {
            let mut damaged = valid.clone();
            damaged[at] ^= 1 << bit;
            check(&damaged);
        }
    }
    let mut draw = random(1);
    for _ in 0..3000 {
        let mut damaged = valid.clone();
        for _ in 0..1 + draw(4) {
            let (at, byte) = (draw(damaged.len()), draw(256) as u8);
            match draw(4) {
                0 => damaged[at] = byte,
                1 => damaged[at] = b"0123456789[]{},:\""[usize::from(byte) % 17],
                2 => drop(damaged.remove(at)),
                _ => damaged.insert(at, byte),
            }
        }
        check(&damaged);
    }
}

/// Numbers below a bound, the same ones every time (xorshift).
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    }
}
