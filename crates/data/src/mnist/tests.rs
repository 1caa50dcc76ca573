use super::*;
use crate::dataset::Dataset;
use std::fs;
use tempfile::TempDir;

/// A file of pictures: `count` of them, pixel values counting up.
fn images(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [count, 28, 28].iter().for_each(|&size| bytes.extend((size as u32).to_be_bytes()));
    bytes.extend((0..count * PIXELS).map(|i| (i % 251) as u8));
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A directory with three digits to train on and two to test with.
pub(super) fn small_mnist() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let contents = [images(3), labels(&[5, 0, 9]), images(2), labels(&[1, 2])];
    NAMES.iter().zip(contents).for_each(|(name, content)| fs::write(directory.path().join(name), content).unwrap());
    directory
}

/// What [`Mnist::load`] says after the content of a file was changed.
fn refused(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let directory = small_mnist();
    let path = directory.path().join(name);
    let mut content = fs::read(&path).unwrap();
    change(&mut content);
    fs::write(&path, content).unwrap();
    let error = Mnist::load(&directory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    let message = error.message().strip_prefix(&format!("{}: ", path.display()));
    message.unwrap_or_else(|| panic!("no path in {error}")).to_string()
}

#[test]
fn files_are_read_whole_and_in_order() {
    let directory = small_mnist();
    let mnist = Mnist::load(&directory).unwrap();
    assert_eq!((mnist.train.len(), mnist.test.len()), (3, 2));
    let labels: Vec<u8> = mnist.train.items().iter().map(|digit| digit.label).collect();
    assert_eq!(labels, [5, 0, 9]);
    let digit = mnist.train.get(1).unwrap();
    assert_eq!((digit.pixels[0], digit.pixels[PIXELS - 1]), ((PIXELS % 251) as u8, ((2 * PIXELS - 1) % 251) as u8));
    assert_eq!(mnist.source, Source::Directory(directory.path().to_path_buf()));
}

#[test]
fn names_with_a_dot_will_do() {
    let directory = small_mnist();
    for name in NAMES {
        fs::rename(directory.path().join(name), directory.path().join(name.replace("-idx", ".idx"))).unwrap();
    }
    assert_eq!(Mnist::load(&directory).unwrap().train.len(), 3);
}

#[test]
fn a_missing_file_is_named() {
    let directory = small_mnist();
    fs::remove_file(directory.path().join(NAMES[2])).unwrap();
    let error = Mnist::load(&directory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert!(error.message().starts_with(&directory.path().display().to_string()), "{error}");
    assert!(error.message().contains("expected t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"), "{error}");
}

#[test]
fn corrupt_files_are_refused_with_what_was_expected_and_found() {
    let (images, labels) = (NAMES[0], NAMES[1]);
    let cases = [
        (
            refused(images, |b| b[3] = 1),
            "expected the magic number 0x00000803 (IDX, unsigned bytes, axes: 3), found 0x00000801",
        ),
        (
            refused(labels, |b| b[2] = 0x0d),
            "expected the magic number 0x00000801 (IDX, unsigned bytes, axes: 1), found 0x00000d01",
        ),
        (refused(images, |b| b.clear()), "expected a header of 16 bytes, found 0 bytes"),
        (refused(images, |b| b.truncate(15)), "expected a header of 16 bytes, found 15 bytes"),
        (refused(images, |b| b[11] = 27), "expected items of size [28, 28], found [27, 28]"),
        (refused(images, |b| b.truncate(1000)), "expected 2352 bytes of data for sizes [3, 28, 28], found 984"),
        (refused(images, |b| b.push(0)), "expected 2352 bytes of data for sizes [3, 28, 28], found more"),
        (refused(images, |b| b[7] = 4), "expected 3136 bytes of data for sizes [4, 28, 28], found 2352"),
        (refused(labels, |b| b[10] = 10), "expected labels from 0 to 9, found 10 for picture 2"),
        (
            refused(images, |b| b[4..8].fill(0xff)),
            "expected at most 1073741824 bytes of data, found a header with sizes [4294967295, 28, 28]",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    let mismatch = refused(labels, |b| {
        b[7] = 2;
        b.pop();
    });
    assert!(mismatch.starts_with("expected 3 labels, as many as there are pictures in "), "{mismatch}");
    assert!(mismatch.ends_with("train-images-idx3-ubyte, found 2"), "{mismatch}");
}

#[cfg(feature = "gzip")]
mod packed {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    pub fn pack(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_files_are_read() {
        let directory = small_mnist();
        let expected = Mnist::load(&directory).unwrap();
        for name in NAMES {
            let path = directory.path().join(name);
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(directory.path().join(format!("{name}.gz")), pack(&content)).unwrap();
        }
        let mnist = Mnist::load(&directory).unwrap();
        assert_eq!((mnist.train, mnist.test), (expected.train, expected.test));
    }

    #[test]
    fn packed_files_are_known_by_their_content() {
        let directory = small_mnist();
        let path = directory.path().join(NAMES[1]);
        fs::write(&path, pack(&fs::read(&path).unwrap())).unwrap();
        assert_eq!(Mnist::load(&directory).unwrap().train.get(2).unwrap().label, 9);
    }

    #[test]
    fn a_cut_or_damaged_one_is_refused() {
        let cut = refused(NAMES[0], |content| {
            *content = pack(content);
            content.truncate(content.len() / 2);
        });
        assert!(cut.starts_with("cannot be read: "), "{cut}");
        // Only the check sum at the end is wrong.
        let damaged = refused(NAMES[0], |content| {
            *content = pack(content);
            let sum = content.len() - 8;
            content[sum] ^= 1;
        });
        assert!(damaged.starts_with("cannot be read: "), "{damaged}");
    }

    #[test]
    fn a_bomb_is_unpacked_no_further_than_its_header_says() {
        let bomb = refused(NAMES[0], |content| {
            content.resize(200 << 20, 0);
            *content = pack(content);
        });
        assert_eq!(bomb, "expected 2352 bytes of data for sizes [3, 28, 28], found more");
    }
}

#[cfg(not(feature = "gzip"))]
#[test]
fn a_packed_file_is_refused_with_a_way_out() {
    let message = refused(NAMES[0], |content| *content = vec![0x1f, 0x8b, 8, 0]);
    assert!(message.contains("turn on the feature `gzip`"), "{message}");
}

#[test]
fn find_takes_the_directory_or_fails() {
    let (full, empty) = (small_mnist(), tempfile::tempdir().unwrap());
    let found = Mnist::find(FindMnist::new().directory(full.path()).or_synthetic(0, 10, 10)).unwrap();
    assert_eq!((found.train.len(), found.source), (3, Source::Directory(full.path().to_path_buf())));
    // What was asked for by name is never replaced by something else.
    assert!(Mnist::find(FindMnist::new().directory(empty.path()).or_synthetic(0, 10, 10)).is_err());
}

#[test]
fn find_takes_the_cache_before_all_else() {
    let cache = small_mnist();
    let found = Mnist::find(FindMnist::new().cache(cache.path()).or_synthetic(0, 10, 10)).unwrap();
    assert_eq!(found.source, Source::Cache(cache.path().to_path_buf()));
    assert!(found.source.to_string().starts_with("MNIST from the cache, "));
}

#[test]
fn find_draws_digits_only_where_it_may_and_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let offline = || FindMnist::new().cache(empty.path()).offline();
    assert_eq!(Mnist::find(offline()).unwrap_err().kind(), ErrorKind::File);
    let drawn = Mnist::find(offline().or_synthetic(4, 30, 10)).unwrap();
    assert_eq!((drawn.train.len(), drawn.test.len()), (30, 10));
    assert!(
        drawn.train.items().iter().all(|digit| drawn.test.items().iter().all(|other| digit.pixels != other.pixels))
    );
    let said = drawn.source.to_string();
    assert!(said.starts_with("synthetic digits, drawn by a program; this is not MNIST ("), "{said}");
    assert!(said.contains("expected train-images-idx3-ubyte"), "{said}");
}

#[cfg(not(feature = "download"))]
#[test]
fn find_says_when_it_cannot_download() {
    let empty = tempfile::tempdir().unwrap();
    let error = Mnist::find(FindMnist::new().cache(empty.path())).unwrap_err();
    assert!(error.message().contains("the feature `download` of wgrad-data is off"), "{error}");
}
