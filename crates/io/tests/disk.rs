//! Files on disk: whole or not there.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{assert_same, breakable, device, one_of_each};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use wgrad_io::{Metadata, load, save};
use wgrad_tensor::{Device, Error, ErrorKind, Tensor};

fn entries(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_is_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.safetensors");
    let device = device();
    let tensors = one_of_each(&device);
    save(&path, &tensors, &Metadata::new()).unwrap();
    assert_same(&load(&path, &device).unwrap().tensors, &tensors);
    save(&path, &tensors[..2], &Metadata::new()).unwrap();
    assert_same(&load(&path, &device).unwrap().tensors, &tensors[..2]);
    assert_eq!(entries(directory.path()), ["all.safetensors"]);
}

#[test]
fn a_failure_halfway_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let (device, broken) = breakable();
    let old = one_of_each(&device);
    save(&path, &old, &Metadata::new()).unwrap();

    // The small tensor is written before the large one cannot be read.
    let small = Tensor::new([1.0f64; 8], &device);
    let large = Tensor::from_slice(&[0u8; 100_000], 100_000, &device);
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = save(&path, &[("small".into(), small), ("large".into(), large)], &Metadata::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost);
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_same(&load(&path, &device).unwrap().tensors, &old);

    let failed = Tensor::from_error(Error::new(ErrorKind::Shape, "add", "do not fit"), &device);
    let error = save(&path, &[("sum".into(), failed)], &Metadata::new()).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Shape, "add"), "the tensor's own error");
    assert_same(&load(&path, &device).unwrap().tensors, &old);
    assert_eq!(entries(directory.path()), ["model.safetensors"]);
}

#[test]
fn errors_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let device = device();
    let absent = directory.path().join("absent.safetensors");
    let nowhere = directory.path().join("no/such/directory/model.safetensors");
    let text = directory.path().join("text.safetensors");
    std::fs::write(&text, "this is text, not tensors").unwrap();
    let tensors = one_of_each(&device);
    let errors = [
        (&absent, load(&absent, &device).map(drop)),
        (&text, load(&text, &device).map(drop)),
        (&nowhere, save(&nowhere, &tensors, &Metadata::new())),
        (&directory.path().to_path_buf(), save(directory.path(), &tensors, &Metadata::new())),
    ];
    for (path, result) in errors {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File);
        assert!(error.message().starts_with(&path.display().to_string()), "{error}");
        assert!(error.location().is_some_and(|at| at.file().ends_with("disk.rs")), "{error}");
    }
    assert_eq!(entries(directory.path()), ["text.safetensors"]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (target, link) = (directory.path().join("target"), directory.path().join("link"));
    let device = device();
    let tensors = one_of_each(&device);
    save(&target, &tensors[..1], &Metadata::new()).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    save(&link, &tensors, &Metadata::new()).unwrap();
    assert!(link.is_symlink());
    assert_same(&load(&target, &device).unwrap().tensors, &tensors);
}

const VICTIM: &str = "WGRAD_SAVE_UNTIL_KILLED";

fn full_of(value: u32, device: &Device) -> Vec<(String, Tensor)> {
    ["a", "b"].map(|name| (name.to_string(), Tensor::from_vec(vec![value; 50_000], 50_000, device))).to_vec()
}

fn save_until_killed(path: &Path) -> ! {
    let device = device();
    for round in 1.. {
        save(path, &full_of(round, &device), &Metadata::new()).unwrap();
    }
    unreachable!()
}

#[test]
fn a_kill_while_saving_leaves_a_whole_file() {
    if let Some(path) = std::env::var_os(VICTIM) {
        save_until_killed(Path::new(&path));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let device = device();
    save(&path, &full_of(0, &device), &Metadata::new()).unwrap();
    let mut interrupted = 0;
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_kill_while_saving_leaves_a_whole_file", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The other file is the one being written; the delay moves the kill through the whole of a save.
        while entries(directory.path()).len() < 2 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(25 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let file = load(&path, &device).unwrap();
        let [a, b] = ["a", "b"].map(|name| file.get(name).unwrap().to_vec::<u32>().unwrap());
        assert!(a == b && a.len() == 50_000 && a.iter().all(|&value| value == a[0]));
        for name in entries(directory.path()).iter().filter(|name| name.ends_with(".tmp")) {
            interrupted += 1;
            std::fs::remove_file(directory.path().join(name)).unwrap();
        }
    }
    assert!(interrupted > 0, "no kill met a file that was being written");
}
