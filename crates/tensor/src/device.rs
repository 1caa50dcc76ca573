//! Where tensors live: the waist between the graph and whatever computes it.

use crate::error::Result;
use crate::node::{Edge, Node};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

mod stats;
pub use stats::{Stats, stats};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One tensor's data on a device: contiguous, never written once a tensor holds it.
pub trait Storage: Any + Send + Sync + fmt::Debug {
    /// Its size.
    fn bytes(&self) -> usize;
}

/// A share in a tensor's data.
pub type Buffer = Arc<dyn Storage>;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Description {
    /// A name for people: "CPU (2 threads)", "NVIDIA H200 (Vulkan)".
    pub name: String,
    /// "cpu", "vulkan", "metal", "dx12", "gl" or "webgpu".
    pub backend: String,
    /// "cpu", "discrete gpu", "integrated gpu", "virtual gpu" or "software gpu".
    pub kind: String,
    /// The driver, with its version.
    pub driver: String,
    /// Whether f64 arithmetic works.
    pub f64: bool,
    /// Whether f16 arithmetic works.
    pub f16: bool,
    /// Whether subgroup operations work.
    pub subgroups: bool,
    /// The most bytes one tensor can have.
    pub max_buffer: u64,
    /// The most storage buffers one kernel can bind.
    pub max_bindings: u32,
}

/// What computes: everything that a [`Device`] asks of it.
pub trait Runtime: Send + Sync + fmt::Debug {
    /// What it says of itself.
    fn describe(&self) -> &Description;

    /// Copies `bytes` to the device. It does not wait.
    fn upload(&self, bytes: &[u8]) -> Result<Buffer>;

    /// Computes every root and stores the results in their nodes (see [`crate::node`]). It does not wait for a GPU.
    /// On failure the nodes hold the error.
    fn evaluate(&self, roots: &[Edge]) -> Result<()>;

    /// The plan that [`Runtime::evaluate`] would carry out, as text for people; nothing where there are no plans.
    fn plan_text(&self, _roots: &[Edge]) -> Result<String> {
        Ok(String::new())
    }

    /// Starts to note what each kernel costs, or stops; gives what was noted since, in the planner's own form.
    fn profile(&self, _on: bool) -> Box<dyn Any> {
        Box::new(())
    }

    /// What it has done and holds, where it counts that.
    fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Gives the memory that waits for reuse back to the system.
    fn release_free_memory(&self) {}

    /// Starts anew to look for the most bytes in use.
    fn reset_peak_memory(&self) {}

    /// Copies a buffer's `bytes` first bytes to the host, with any error that the device has met since the last read.
    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>>;

    /// Waits until everything asked for is done.
    fn sync(&self) -> BoxFuture<'static, Result<()>>;
}

/// A device that holds tensors and computes with them. Cloning shares it.
#[derive(Clone)]
pub struct Device(Arc<Shared>);

struct Shared {
    runtime: Arc<dyn Runtime>,
    pending: Mutex<Pending>,
    random: Mutex<RandomState>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        stats::closed(&self.runtime);
    }
}

/// So many waiting nodes are looked through for those that nobody knows any more.
const SWEPT: usize = 8192;

/// Nodes that wait for evaluation, so that what a user still holds can join an evaluation that passes by.
#[derive(Default)]
struct Pending {
    nodes: Vec<Weak<Node>>,
    sweep_at: usize,
}

/// The seed, and the number of the next stream of random numbers.
struct RandomState {
    seed: u64,
    next_stream: u64,
}

impl Device {
    /// A device over a runtime.
    pub fn new(runtime: impl Runtime + 'static) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(runtime);
        stats::opened(&runtime);
        Device(Arc::new(Shared {
            runtime,
            pending: Mutex::new(Pending::default()),
            random: Mutex::new(RandomState { seed: fresh_seed(), next_stream: 0 }),
        }))
    }

    /// What the device says of itself.
    pub fn describe(&self) -> &Description {
        self.0.runtime.describe()
    }

    /// The runtime behind the device.
    pub fn runtime(&self) -> &dyn Runtime {
        &*self.0.runtime
    }

    /// What the device has done since it was opened, and the memory that it holds now.
    pub fn stats(&self) -> Stats {
        self.runtime().stats()
    }

    /// Gives the memory that waits for reuse back to the system. PyTorch: `torch.cuda.empty_cache`.
    pub fn release_free_memory(&self) {
        self.runtime().release_free_memory();
    }

    /// Starts anew to look for [`Stats::peak_bytes`]. PyTorch: `torch.cuda.reset_peak_memory_stats`.
    pub fn reset_peak_memory(&self) {
        self.runtime().reset_peak_memory();
    }

    /// Fixes all random numbers drawn on this device from here on. PyTorch: `torch.manual_seed`.
    pub fn manual_seed(&self, seed: u64) {
        *lock(&self.0.random) = RandomState { seed, next_stream: 0 };
    }

    /// Waits until everything asked of the device is done.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn sync(&self) -> Result<()> {
        pollster::block_on(self.sync_async())
    }

    /// Waits until everything asked of the device is done.
    pub async fn sync_async(&self) -> Result<()> {
        self.runtime().sync().await
    }

    /// Seed and stream for the next random tensor.
    pub(crate) fn next_random(&self) -> (u64, u64) {
        let mut random = lock(&self.0.random);
        random.next_stream += 1;
        (random.seed, random.next_stream)
    }

    pub(crate) fn remember_pending(&self, node: &Arc<Node>) {
        let mut pending = lock(&self.0.pending);
        if pending.nodes.len() >= pending.sweep_at {
            pending.nodes.retain(|node| node.strong_count() > 0);
            pending.sweep_at = (2 * pending.nodes.len()).max(SWEPT);
        }
        pending.nodes.push(Arc::downgrade(node));
    }

    /// The nodes that wait for evaluation, each after those that it reads. They no longer wait: who takes them gives those
    /// back that are still pending, by [`Device::wait_again`].
    pub fn take_pending(&self) -> Vec<Arc<Node>> {
        let mut pending = lock(&self.0.pending);
        // As many again are to be expected.
        let empty = Pending { nodes: Vec::with_capacity(pending.nodes.len().min(SWEPT)), ..Pending::default() };
        let waiting = std::mem::replace(&mut *pending, empty).nodes;
        drop(pending);
        waiting.into_iter().filter_map(|node| node.upgrade()).filter(|node| node.is_pending()).collect()
    }

    /// Lets nodes wait that were taken before; what was recorded meanwhile comes after them.
    pub fn wait_again(&self, nodes: Vec<Weak<Node>>) {
        if nodes.is_empty() {
            return;
        }
        let mut pending = lock(&self.0.pending);
        let later = std::mem::replace(&mut pending.nodes, nodes);
        pending.nodes.extend(later);
        pending.sweep_at = 2 * pending.nodes.len();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seed that differs from run to run, from the hasher's keys.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.describe().name)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe().name)
    }
}
