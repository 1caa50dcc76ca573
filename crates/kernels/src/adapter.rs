//! Which GPUs there are, and which one to open.

use std::fmt;
use std::str::FromStr;
use wgpu::{Backend, Backends, DeviceType, Features, InstanceFlags};
use wgrad_tensor::error::{Error, ErrorKind, Problem, Result};

/// A GPU as one of the system's drivers shows it. The same card may appear once for each driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its place in the list of [`adapters_async`].
    pub index: usize,
    /// What its driver calls it.
    pub name: String,
    /// "vulkan", "metal", "dx12", "gl" or "webgpu".
    pub backend: &'static str,
    /// "discrete gpu", "integrated gpu", "virtual gpu" or "software gpu".
    pub kind: &'static str,
    /// The driver, with its version.
    pub driver: String,
    /// The most bytes one tensor can have.
    pub max_buffer: u64,
    /// The most storage buffers one kernel can bind.
    pub max_bindings: u32,
    /// The most bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// The most invocations in a workgroup.
    pub max_invocations: u32,
    /// Whether shaders can compute in f64.
    pub f64: bool,
    /// Whether shaders can compute in f16.
    pub f16: bool,
    /// Whether shaders have subgroup operations.
    pub subgroups: bool,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {})", self.index, self.name, self.backend, self.kind)?;
        if self.driver.is_empty() { Ok(()) } else { write!(f, ", {}", self.driver) }
    }
}

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The most capable: discrete, integrated, virtual, then software. GL only where nothing else is there.
    /// The environment variable `WGRAD_ADAPTER`, written like any choice, decides instead where it is set.
    #[default]
    Best,
    /// The one at this place in the list.
    Index(usize),
    /// The best of those whose name contains this, in any case.
    Name(String),
    /// The best of a kind: "discrete", "integrated", "virtual" or "software".
    Kind(String),
    /// The best of a backend: "vulkan", "metal", "dx12", "gl" or "webgpu".
    Backend(String),
}

impl FromStr for Choice {
    type Err = std::convert::Infallible;

    /// "best", a number, a kind, a backend, or else a part of a name.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let text = text.trim().to_lowercase();
        Ok(match text.as_str() {
            "" | "best" => Choice::Best,
            "discrete" | "integrated" | "virtual" | "software" => Choice::Kind(text),
            "vulkan" | "metal" | "dx12" | "gl" | "webgpu" => Choice::Backend(text),
            _ => text.parse().map_or(Choice::Name(text), Choice::Index),
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Best => f.write_str("best"),
            Choice::Index(index) => write!(f, "{index}"),
            Choice::Name(text) | Choice::Kind(text) | Choice::Backend(text) => f.write_str(text),
        }
    }
}

impl Choice {
    fn takes(&self, adapter: &Adapter) -> bool {
        match self {
            Choice::Best => true,
            Choice::Index(index) => adapter.index == *index,
            Choice::Name(part) => adapter.name.to_lowercase().contains(&part.to_lowercase()),
            Choice::Kind(kind) => adapter.kind.starts_with(&kind.to_lowercase()),
            Choice::Backend(backend) => adapter.backend.eq_ignore_ascii_case(backend),
        }
    }
}

impl Choice {
    /// The best of `adapters` that this choice takes.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`], with a list of those found, where it takes none.
    pub fn find(&self, adapters: &[Adapter]) -> Result<Adapter> {
        let choice = self.resolved();
        let best = adapters.iter().filter(|adapter| choice.takes(adapter)).min_by_key(|adapter| rank(adapter));
        best.cloned().ok_or_else(|| {
            let asked = if choice == *self { "" } else { " (from WGRAD_ADAPTER)" };
            let listed: Vec<String> = adapters.iter().map(ToString::to_string).collect();
            let message = match listed.as_slice() {
                [] => format!("no adapter \"{choice}\"{asked}: this system shows none"),
                _ => format!("no adapter \"{choice}\"{asked}; found {}", listed.join("; ")),
            };
            Error::at(Problem::new(ErrorKind::NoAdapter, message), "open".into(), Vec::new(), None, None)
        })
    }

    /// The best of this system's adapters that this choice takes. Drivers that cannot answer to it are left asleep.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`], with a list of those found, where it takes none.
    pub async fn find_async(&self) -> Result<Adapter> {
        choose(self).await.map(|(adapter, _)| adapter)
    }

    /// What `Best` stands for where the environment says it.
    fn resolved(&self) -> Choice {
        match std::env::var("WGRAD_ADAPTER") {
            Ok(text) if *self == Choice::Best => text.parse().unwrap_or_default(),
            _ => self.clone(),
        }
    }
}

/// Every adapter of this system.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<Adapter> {
    pollster::block_on(adapters_async())
}

/// Every adapter of this system. A browser shows the one that it chose.
pub async fn adapters_async() -> Vec<Adapter> {
    enumerate(&Choice::Name(String::new())).await.into_iter().map(|(adapter, _)| adapter).collect()
}

/// The chosen adapter, or an error that lists what was found.
pub(crate) async fn choose(choice: &Choice) -> Result<(Adapter, wgpu::Adapter)> {
    let (shown, raw): (Vec<_>, Vec<_>) = enumerate(&choice.resolved()).await.into_iter().unzip();
    let chosen = choice.find(&shown)?;
    let raw = shown.iter().zip(raw).find(|(adapter, _)| adapter.index == chosen.index);
    let missing = || Problem::new(ErrorKind::NoAdapter, format!("the adapter {chosen} is gone"));
    raw.map(|(adapter, raw)| (adapter.clone(), raw))
        .ok_or_else(|| Error::at(missing(), "open".into(), Vec::new(), None, None))
}

/// Smaller is better.
fn rank(adapter: &Adapter) -> (usize, bool) {
    let kinds = ["discrete gpu", "integrated gpu", "virtual gpu", "software gpu"];
    let kind = kinds.iter().position(|&kind| kind == adapter.kind).unwrap_or(kinds.len());
    (kind, adapter.backend == "gl")
}

/// Every adapter that `choice` may mean, with its place in the whole list. Waking a driver takes time, and some of them
/// write to the terminal, so drivers that cannot answer are left asleep.
async fn enumerate(choice: &Choice) -> Vec<(Adapter, wgpu::Adapter)> {
    let mut found = awake().await;
    let with_gl = match choice {
        Choice::Best => found.is_empty(),
        Choice::Backend(name) => name.eq_ignore_ascii_case("gl"),
        Choice::Index(index) => *index >= found.len(),
        Choice::Name(_) | Choice::Kind(_) => true,
    };
    if with_gl {
        found.extend(wake(Backends::GL).await);
    }
    found.into_iter().enumerate().map(|(index, raw)| (show(index, &raw), raw)).collect()
}

/// All adapters but GL's. Outside the browser their drivers are woken once and stay so; a browser's adapter opens once.
async fn awake() -> Vec<wgpu::Adapter> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        static AWAKE: std::sync::OnceLock<Vec<wgpu::Adapter>> = std::sync::OnceLock::new();
        match AWAKE.get() {
            Some(found) => found.clone(),
            None => {
                let found = wake(Backends::all() & !Backends::GL).await;
                AWAKE.get_or_init(|| found).clone()
            }
        }
    }
    #[cfg(target_arch = "wasm32")]
    wake(Backends::all() & !Backends::GL).await
}

async fn wake(backends: Backends) -> Vec<wgpu::Adapter> {
    wake_with(backends, wgpu::BackendOptions::default()).await
}

/// The adapter that takes all work and does none, with what most cards offer.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn noop() -> Option<(Adapter, wgpu::Adapter)> {
    let limits =
        wgpu::Limits { max_buffer_size: 1 << 31, max_storage_buffer_binding_size: 1 << 31, ..wgpu::Limits::default() };
    let options = wgpu::NoopBackendOptions {
        enable: true,
        device_type: Some(DeviceType::DiscreteGpu),
        limits: Some(limits),
        ..Default::default()
    };
    let options = wgpu::BackendOptions { noop: options, ..Default::default() };
    wake_with(Backends::NOOP, options).await.into_iter().next().map(|raw| (show(0, &raw), raw))
}

async fn wake_with(backends: Backends, backend_options: wgpu::BackendOptions) -> Vec<wgpu::Adapter> {
    if (backends & wgpu::Instance::enabled_backend_features()).is_empty() {
        return Vec::new();
    }
    // Validation finds wgrad's own mistakes: it belongs to debug builds.
    let flags = if cfg!(debug_assertions) { InstanceFlags::from_build_config() } else { InstanceFlags::empty() };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags,
        backend_options,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut found = instance.enumerate_adapters(backends).await;
    found.retain(|raw| raw.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    found
}

fn show(index: usize, raw: &wgpu::Adapter) -> Adapter {
    let (info, limits, features) = (raw.get_info(), raw.limits(), raw.features());
    Adapter {
        index,
        name: info.name,
        backend: match info.backend {
            Backend::Noop => "noop",
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
            Backend::BrowserWebGpu => "webgpu",
        },
        kind: match info.device_type {
            DeviceType::DiscreteGpu => "discrete gpu",
            DeviceType::IntegratedGpu => "integrated gpu",
            DeviceType::Cpu => "software gpu",
            DeviceType::VirtualGpu | DeviceType::Other => "virtual gpu",
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        max_buffer: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
        max_bindings: limits.max_storage_buffers_per_shader_stage,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        f64: features.contains(Features::SHADER_F64),
        f16: features.contains(Features::SHADER_F16),
        subgroups: features.contains(Features::SUBGROUP),
    }
}
