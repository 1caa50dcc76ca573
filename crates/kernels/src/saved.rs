//! Compiled pipelines, kept in a file from one run of a program to the next, where the backend can: on Vulkan.

use crate::journal::{Journal, device_error};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wgpu::{ErrorFilter, Features};
use wgrad_tensor::cache;
use wgrad_tensor::error::ErrorKind;

/// What the driver made of the kernels' texts, and its file.
pub(crate) struct Saved {
    cache: wgpu::PipelineCache,
    file: PathBuf,
    has_new: AtomicBool,
    /// The checksum of what the file holds; 0 where that is of no use.
    held: AtomicU64,
}

impl Saved {
    /// The file of an adapter's pipelines in the user's cache; `None` where the backend keeps none, there is no place for
    /// them, or `WGRAD_PIPELINES=0` forbids it.
    pub fn open(device: &wgpu::Device, journal: &Journal, adapter: &wgpu::AdapterInfo) -> Option<Saved> {
        if std::env::var_os("WGRAD_PIPELINES").is_some_and(|value| value == "0") {
            return None;
        }
        let name = wgpu::util::pipeline_cache_key(adapter)?;
        Saved::at(device, journal, cache::directory("pipelines")?.join(name))
    }

    fn at(device: &wgpu::Device, journal: &Journal, file: PathBuf) -> Option<Saved> {
        if !device.features().contains(Features::PIPELINE_CACHE) {
            return None;
        }
        let data = std::fs::read(&file).ok().and_then(unsealed);
        let held = AtomicU64::new(data.as_deref().map_or(0, checksum));
        let scope = device.push_error_scope(ErrorFilter::Validation);
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
        // SAFETY: the data is what `get_data` gave, unless somebody forged the checksum of a file in the user's own cache;
        // wgpu and the driver look at its header besides.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        let refused = |error: &wgpu::Error| device_error(ErrorKind::Device, "open", error.to_string());
        let fault = journal.settle(scope.pop(), refused);
        fault.is_none().then_some(Saved { cache, file, has_new: AtomicBool::new(false), held })
    }

    /// What the driver looks into before it compiles.
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Notes that there is a pipeline more, which may have been in the file already.
    pub fn add(&self) {
        self.has_new.store(true, Ordering::Relaxed);
    }

    /// Writes the file, where there is something new. A failure costs time in the next run, and stops nothing.
    pub fn write(&self) {
        if !self.has_new.swap(false, Ordering::Relaxed) {
            return;
        }
        let (Some(data), Some(folder)) = (self.cache.get_data(), self.file.parent()) else { return };
        let sum = checksum(&data);
        if self.held.swap(sum, Ordering::Relaxed) != sum {
            let _ = std::fs::create_dir_all(folder).and_then(|()| replace(&self.file, &sealed(&data)));
        }
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.write();
    }
}

/// Puts a file in the place of another in one step, so that no other process reads half of it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension(std::process::id().to_string());
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, file)
}

/// The data after its checksum.
fn sealed(data: &[u8]) -> Vec<u8> {
    [&checksum(data).to_le_bytes()[..], data].concat()
}

/// What was sealed, if it is whole.
fn unsealed(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (sum, data) = bytes.split_first_chunk()?;
    (u64::from_le_bytes(*sum) == checksum(data)).then(|| data.to_vec())
}

/// FNV-1a, of 64 bits.
fn checksum(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn only_what_is_whole_is_used() {
        assert_eq!(checksum(b"foobar"), 0x85944171f73967e8);
        let whole = sealed(&[1, 2, 3]);
        assert_eq!(unsealed(whole.clone()), Some(vec![1, 2, 3]));
        assert_eq!(unsealed(whole[..10].to_vec()), None);
        assert_eq!(unsealed(vec![1, 2]), None);
        assert_eq!(unsealed([&whole[..10], &[9]].concat()), None);
    }

    #[test]
    fn a_file_is_written_once_for_new_pipelines_and_a_broken_one_is_replaced() {
        let instance = wgpu::Instance::default();
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
        let Some(adapter) = adapters.first().filter(|adapter| adapter.features().contains(Features::PIPELINE_CACHE))
        else {
            println!("SKIPPED: no adapter here keeps pipelines");
            return;
        };
        let required_features = Features::PIPELINE_CACHE;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let (device, _queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let folder = std::env::temp_dir().join(format!("wgrad-pipelines-{}", std::process::id()));
        let file = folder.join("pipelines");
        for broken in [None, Some(b"not a cache".to_vec()), Some(sealed(&[7; 100]))] {
            if let Some(broken) = broken {
                std::fs::write(&file, broken).unwrap();
            }
            let Some(saved) = Saved::at(&device, &Journal::default(), file.clone()) else { continue };
            let before = std::fs::read(&file).ok();
            saved.write();
            assert_eq!(std::fs::read(&file).ok(), before, "nothing was compiled");
            saved.add();
            saved.write();
            assert!(std::fs::read(&file).ok().and_then(unsealed).is_some());
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
