//! Pipelines, compiled once for each text.

use crate::journal::{Journal, device_error, lock};
use crate::saved::Saved;
use crate::stats::{Counters, count};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use wgpu::{BindGroupLayoutEntry, BindingType, BufferBindingType, ErrorFilter, ShaderStages};
use wgrad_tensor::error::{Error, ErrorKind, Problem, Result};

/// What decides a kernel's text: its file, and every choice of the generator. It is compared in full.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub fn new(name: &str) -> Self {
        Key(Vec::with_capacity(64)).text(name)
    }

    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn number(mut self, number: usize) -> Self {
        self.0.extend_from_slice(&(number as u64).to_le_bytes());
        self
    }
}

/// A kernel before it is compiled.
pub(crate) struct Source {
    pub label: String,
    pub text: String,
    pub entry: String,
    pub overrides: Vec<(String, f64)>,
    /// Whether every index in it is proven by us, so that run-time checks can stay off.
    pub trusted: bool,
}

impl Source {
    /// A kernel of ours, with the library functions that it calls.
    pub fn own(label: impl Into<String>, text: &str, overrides: &[(&str, f64)]) -> Self {
        Source {
            label: label.into(),
            text: wgrad_shaders::link(text),
            entry: "main".to_owned(),
            overrides: overrides.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            trusted: true,
        }
    }
}

/// A shader file that this crate names.
pub(crate) fn file(name: &'static str) -> Result<&'static str, Problem> {
    wgrad_shaders::source(name)
        .ok_or_else(|| Problem::new(ErrorKind::ShaderBuild, format!("no shader file \"{name}\"")))
}

/// What a kernel binds: inputs, then outputs, then the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interface {
    pub inputs: usize,
    pub outputs: usize,
    pub params: bool,
}

pub(crate) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Where a pipeline is, once it is compiled: each apart, so that several can be compiled at the same time.
type Place = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// The pipelines of a device.
pub(crate) struct Pipelines {
    device: wgpu::Device,
    journal: Arc<Journal>,
    counters: Arc<Counters>,
    ready: Mutex<HashMap<Key, Place>>,
    layouts: Mutex<HashMap<Interface, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
    /// What earlier runs of programs compiled.
    saved: Option<Saved>,
    /// Where each text is written, from `WGRAD_DUMP_SHADERS`.
    dump: Option<PathBuf>,
    /// Whether each text is printed, from `WGRAD_KERNELS`.
    prints: bool,
}

impl Pipelines {
    /// In the environment, `WGRAD_KERNELS=1` prints each kernel's text when it is compiled, and
    /// `WGRAD_DUMP_SHADERS=folder` writes it into a file there.
    pub fn new(
        device: wgpu::Device,
        journal: Arc<Journal>,
        counters: Arc<Counters>,
        adapter: &wgpu::AdapterInfo,
    ) -> Self {
        let prints = std::env::var_os("WGRAD_KERNELS").is_some_and(|value| value == "1");
        let dump = std::env::var_os("WGRAD_DUMP_SHADERS").map(PathBuf::from);
        let saved = Saved::open(&device, &journal, adapter);
        let (ready, layouts) = (Mutex::default(), Mutex::default());
        Pipelines { device, journal, counters, ready, layouts, saved, dump, prints }
    }

    /// Keeps what was compiled for the next run of a program.
    pub fn save(&self) {
        if let Some(saved) = &self.saved {
            saved.write();
        }
    }

    /// The pipeline for a key; its source is made only where it is not there yet.
    pub fn get(
        &self,
        key: Key,
        interface: Interface,
        source: impl FnOnce() -> Result<Source, Problem>,
    ) -> Result<Arc<Pipeline>, Problem> {
        let place = lock(&self.ready).entry(key).or_default().clone();
        let mut place = lock(&place);
        if let Some(pipeline) = &*place {
            return Ok(pipeline.clone());
        }
        let source = source()?;
        self.show(&source);
        let pipeline = Arc::new(self.build(&source, interface)?);
        count(&self.counters.pipelines);
        if let Some(saved) = &self.saved {
            saved.add();
        }
        *place = Some(pipeline.clone());
        Ok(pipeline)
    }

    fn build(&self, source: &Source, interface: Interface) -> Result<Pipeline, Problem> {
        let label = source.label.clone();
        let refused = move |error: &wgpu::Error| -> Error {
            device_error(ErrorKind::ShaderBuild, "build", format!("kernel \"{label}\" does not build: {error}"))
        };
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&source.label),
            source: wgpu::ShaderSource::Wgsl(source.text.as_str().into()),
        };
        let module = if source.trusted {
            // SAFETY: our kernels index only within the buffers that the lowering binds, and their loops end: the lowering
            // bounds every grid and size, and index ops clamp what they read from tensors.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        } else {
            self.device.create_shader_module(descriptor)
        };
        let (layout, pipeline_layout) = self.layouts(interface);
        let constants: Vec<(&str, f64)> =
            source.overrides.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&source.label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&source.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Ours write workgroup memory before they read it; a foreign kernel may count on zeros.
                zero_initialize_workgroup_memory: !source.trusted,
            },
            cache: self.saved.as_ref().map(Saved::raw),
        });
        let validation = self.journal.settle(validation.pop(), refused.clone());
        let internal = self.journal.settle(internal.pop(), refused);
        match validation.or(internal) {
            Some(error) => Err(Problem::new(ErrorKind::ShaderBuild, error.message().to_owned())),
            None => Ok(Pipeline { raw, layout }),
        }
    }

    /// The layouts that pipelines of an interface share: where one follows another, less changes.
    fn layouts(&self, interface: Interface) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        lock(&self.layouts).entry(interface).or_insert_with(|| self.new_layouts(interface)).clone()
    }

    fn new_layouts(&self, interface: Interface) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        let buffer = |ty, has_dynamic_offset| BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None };
        let storage = |read_only| buffer(BufferBindingType::Storage { read_only }, false);
        let types = std::iter::repeat_n(storage(true), interface.inputs)
            .chain(std::iter::repeat_n(storage(false), interface.outputs))
            .chain(interface.params.then(|| buffer(BufferBindingType::Uniform, true)));
        let entries: Vec<_> = (0..)
            .zip(types)
            .map(|(binding, ty)| BindGroupLayoutEntry { binding, visibility: ShaderStages::COMPUTE, ty, count: None })
            .collect();
        let group = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let group = self.device.create_bind_group_layout(&group);
        let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        (group, pipeline)
    }

    /// Prints a text for people, and writes it for tools that check shaders, where that is asked for. A failure to write
    /// stops nothing.
    fn show(&self, source: &Source) {
        if !self.prints && self.dump.is_none() {
            return;
        }
        let overrides: Vec<String> = source.overrides.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let text = format!("// overrides: {}\n// entry: {}\n{}", overrides.join(" "), source.entry, source.text);
        if self.prints {
            println!("// kernel: {}\n{text}", source.label);
        }
        let Some(folder) = &self.dump else { return };
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let label: String = source.label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let path = folder.join(format!("{:016x}-{label}.wgsl", hasher.finish()));
        if !path.exists() {
            let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
        }
    }
}
