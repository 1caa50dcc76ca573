//! An opened GPU.

use crate::adapter::{self, Adapter, Choice};
use crate::journal::{Journal, OpenRun, Verdict, device_error, lock};
use crate::lowered::LoweredPlan;
use crate::memory::{GpuBuffer, Memory, Use};
use crate::pipelines::Pipelines;
use crate::readback::{Staged, look_after, read};
use crate::run::{Submitted, run};
use crate::stats::{Counters, count};
use crate::status::StatusPages;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};
use wgpu::Features;
use wgrad_plan::{Backend, Given, Plan};
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Stats};
use wgrad_tensor::error::{ErrorKind, Result};

/// What is asked of an adapter where it has it; nothing depends on it but f64, the clock that times kernels, and whether
/// compiled pipelines are kept for the next run.
const WANTED: Features = Features::SHADER_F64
    .union(Features::SHADER_F16)
    .union(Features::SUBGROUP)
    .union(Features::TIMESTAMP_QUERY)
    .union(Features::PIPELINE_CACHE);

/// How work is shared out among invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// As fits the adapter's kind.
    #[default]
    Auto,
    /// Many invocations that share work through workgroup memory.
    Hardware,
    /// Few invocations that each work alone: for a CPU that plays the GPU.
    Software,
}

/// A GPU that runs plans. Cloning shares it.
#[derive(Clone)]
pub struct Gpu(Arc<Engine>);

/// What an opened GPU consists of.
pub(crate) struct Engine {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub description: Description,
    /// Whether a CPU plays the GPU: workgroup barriers are costly there, and a few invocations keep it busy.
    pub software: bool,
    pub limits: wgpu::Limits,
    pub memory: Arc<Memory>,
    pub pipelines: Pipelines,
    pub status: StatusPages,
    pub journal: Arc<Journal>,
    pub counters: Arc<Counters>,
    /// Held from taking buffers to submitting the work on them: a buffer that becomes free during one run must not be
    /// written by another before that run is submitted.
    pub order: Mutex<()>,
    /// A look at runs that nobody reads from.
    pub watch: Mutex<Option<Staged>>,
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// `NoAdapter`, with a list of what there is, where none answers to `choice`; `Device` where it does not open.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(choice: &Choice) -> Result<Gpu> {
        pollster::block_on(Gpu::open_async(choice, Tuning::Auto))
    }

    /// The asynchronous form of `open`, and the only one in a browser.
    ///
    /// # Errors
    /// `NoAdapter`, with a list of what there is, where none answers to `choice`; `Device` where it does not open.
    pub async fn open_async(choice: &Choice, tuning: Tuning) -> Result<Gpu> {
        let (adapter, raw) = adapter::choose(choice).await?;
        Gpu::of(adapter, raw, tuning).await
    }

    /// wgpu's noop backend, which takes all work and does none, and whose results are zeros: to measure the host's share.
    ///
    /// # Errors
    /// `NoAdapter` where this build has no such backend.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn noop() -> Result<Gpu> {
        pollster::block_on(async {
            let missing = || device_error(ErrorKind::NoAdapter, "open", "this build of wgpu has no noop backend");
            let (adapter, raw) = adapter::noop().await.ok_or_else(missing)?;
            Gpu::of(adapter, raw, Tuning::Auto).await
        })
    }

    async fn of(adapter: Adapter, raw: wgpu::Adapter, tuning: Tuning) -> Result<Gpu> {
        let limits = raw.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: raw.features() & WANTED,
            required_limits: limits.clone(),
            ..Default::default()
        };
        let (device, queue) = raw
            .request_device(&descriptor)
            .await
            .map_err(|error| device_error(ErrorKind::Device, "open", format!("{adapter} does not open: {error}")))?;
        let journal = Arc::new(Journal::default());
        journal.listen(&device);
        let counters = Arc::new(Counters::default());
        let memory = Memory::new(device.clone(), journal.clone(), counters.clone(), adapter.max_buffer);
        let pipelines = Pipelines::new(device.clone(), journal.clone(), counters.clone(), &raw.get_info());
        let description = Description {
            name: format!("{} ({})", adapter.name, adapter.backend),
            backend: adapter.backend.to_owned(),
            kind: adapter.kind.to_owned(),
            driver: adapter.driver,
            f64: adapter.f64,
            f16: adapter.f16,
            subgroups: adapter.subgroups,
            max_buffer: adapter.max_buffer,
            max_bindings: adapter.max_bindings,
        };
        let software = match tuning {
            Tuning::Auto => adapter.kind == "software gpu",
            Tuning::Hardware => false,
            Tuning::Software => true,
        };
        let engine = Engine {
            device,
            queue,
            description,
            software,
            limits,
            memory,
            pipelines,
            status: StatusPages::default(),
            journal,
            counters,
            order: Mutex::default(),
            watch: Mutex::default(),
        };
        Ok(Gpu(Arc::new(engine)))
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("description", &self.0.description).field("stats", &self.stats()).finish()
    }
}

/// The buffer of this backend behind a handle.
pub(crate) fn own(buffer: Buffer) -> Result<Arc<GpuBuffer>> {
    let any: Arc<dyn Any + Send + Sync> = buffer;
    any.downcast().map_err(|_| device_error(ErrorKind::Device, "run", "a buffer of another device"))
}

impl Backend for Gpu {
    fn describe(&self) -> &Description {
        &self.0.description
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        self.0.upload(bytes)
    }

    fn run(&self, plan: &Plan, inputs: Vec<Buffer>, given: &Given<'_>) -> Result<Vec<Buffer>> {
        self.0.run(plan, inputs, given)
    }

    fn stats(&self) -> Stats {
        self.0.counters.stats()
    }

    fn release_free_memory(&self) {
        self.0.memory.release_free();
    }

    fn reset_peak_memory(&self) {
        self.0.counters.reset_peak();
    }

    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        let engine = self.0.clone();
        let staged = own(buffer.clone()).and_then(|buffer| Staged::new(&engine, Some(&buffer), bytes));
        Box::pin(async move { read(&engine, staged?).await })
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        let engine = self.0.clone();
        let staged = Staged::new(&engine, None, 0);
        Box::pin(async move { read(&engine, staged?).await.map(drop) })
    }
}

impl Engine {
    fn upload(self: &Arc<Self>, bytes: &[u8]) -> Result<Buffer> {
        let _order = lock(&self.order);
        let verdict = Arc::new(Verdict::default());
        verdict.close(None);
        let buffer = GpuBuffer { block: self.memory.allocate(Use::Data, bytes.len())?, bytes: bytes.len(), verdict };
        // Copies come in multiples of four bytes.
        let whole = bytes.len() / 4 * 4;
        if whole > 0 {
            self.queue.write_buffer(buffer.raw(), 0, &bytes[..whole]);
        }
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer.raw(), whole as u64, &last);
        }
        count(&self.counters.uploads);
        Ok(Arc::new(buffer))
    }

    fn run(self: &Arc<Self>, plan: &Plan, inputs: Vec<Buffer>, given: &Given<'_>) -> Result<Vec<Buffer>> {
        if let Some(error) = self.journal.lost() {
            return Err(error);
        }
        let inputs = inputs.into_iter().map(own).collect::<Result<Vec<_>>>()?;
        let mut read_from: Vec<Arc<Verdict>> = Vec::new();
        for input in &inputs {
            if let Some(error) = input.verdict.error() {
                return Err(error);
            }
            if input.verdict.is_open() && !read_from.iter().any(|known| Arc::ptr_eq(known, &input.verdict)) {
                read_from.push(input.verdict.clone());
            }
        }
        look_after(self);
        let _order = lock(&self.order);
        let verdict = Arc::new(Verdict::default());
        let mut lowered = LoweredPlan::new(self, plan, given, &inputs)?;
        let Submitted { outputs, status, checks, times } = run(self, plan, &mut lowered, given, inputs, &verdict)?;
        plan.kept.leave(lowered);
        self.journal.open(OpenRun { verdict: verdict.clone(), inputs: read_from, status, checks });
        // Outside the browser the driver complains while it is called.
        if let Some(fault) = self.journal.take_fault() {
            verdict.close(Some(fault.clone()));
            return Err(fault);
        }
        if let Some(watch) = given.watch {
            plan.steps.iter().zip(times).for_each(|(step, time)| watch(step, time));
        }
        Ok(outputs.into_iter().map(|buffer| buffer as Buffer).collect())
    }
}
