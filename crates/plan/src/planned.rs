//! A runtime over any backend: collects what must be computed, finds or makes its plan, runs it, and stores the results.

use crate::backend::Backend;
use crate::cache::Cache;
use crate::collect::{Collected, collect};
use crate::finite;
use crate::graph::{Recorded, record};
use crate::plan::{Given, Instruction, Origin, Plan, Step, Work};
use crate::planner::{Limits, plan};
use crate::profile::{KernelRun, bytes, flops};
use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wgrad_tensor::Result;
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Runtime, Stats};
use wgrad_tensor::node::{Edge, Node};
use wgrad_tensor::op::Compute;

/// Makes a [`Backend`] a [`Runtime`]: `Device::new(Planned::new(Cpu::new()))`.
pub struct Planned<B> {
    backend: B,
    limits: Limits,
    /// Held through an evaluation: one at a time.
    cache: Mutex<Cache>,
    /// The kernels that ran since a profile was begun.
    profile: Mutex<Option<Vec<KernelRun>>>,
    finds_nan: bool,
    prints_plans: bool,
    /// Plans made, and plans carried out.
    plans: AtomicU64,
    evaluations: AtomicU64,
    barriers: AtomicU64,
}

impl<B: Backend> Planned<B> {
    /// A runtime over `backend`. In the environment, `WGRAD_EAGER=1` runs each op as it was recorded, `WGRAD_NAN=1`
    /// fails at the first kernel that makes a NaN or an infinity out of finite numbers, and `WGRAD_PLANS=1` prints each
    /// plan that is made.
    pub fn new(backend: B) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| value == "1");
        let limits = Limits { bindings: backend.describe().max_bindings as usize, fuses: !set("WGRAD_EAGER") };
        // Equal hashes may slow plans down, never change them; tests can ask for that.
        let hash =
            if set("WGRAD_EQUAL_HASHES") { |_: &Recorded<'_>| 0 } else { |recorded: &Recorded<'_>| recorded.hash() };
        Planned {
            backend,
            limits,
            cache: Mutex::new(Cache::new(hash)),
            profile: Mutex::new(None),
            finds_nan: set("WGRAD_NAN"),
            prints_plans: set("WGRAD_PLANS"),
            plans: AtomicU64::new(0),
            evaluations: AtomicU64::new(0),
            barriers: AtomicU64::new(0),
        }
    }

    /// The same, where each op runs as it was recorded.
    pub fn unfused(backend: B) -> Self {
        let planned = Planned::new(backend);
        Planned { limits: Limits { fuses: false, ..planned.limits }, ..planned }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn profile(&self) -> MutexGuard<'_, Option<Vec<KernelRun>>> {
        self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step to the profile that is being taken.
    fn note(&self, plan: &Plan, step: &Step, time: Duration, collected: &Collected) {
        let names: Vec<_> = step.calls.iter().map(|&call| collected.nodes[call].op().name()).collect();
        let origin = origin_of(step, collected);
        let file = origin.location.file().rsplit(['/', '\\']).next().unwrap_or_default();
        let run = KernelRun {
            kind: step.kind(),
            ops: names.join(" "),
            line: format!("{file}:{}", origin.location.line()),
            scope: origin.scope.as_deref().unwrap_or_default().to_owned(),
            time,
            bytes: bytes(plan, step),
            flops: flops(plan, step),
        };
        if let Some(runs) = &mut *self.profile() {
            runs.push(run);
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> fmt::Debug for Planned<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Planned({:?})", self.backend)
    }
}

impl<B: Backend> Runtime for Planned<B> {
    fn describe(&self) -> &Description {
        self.backend.describe()
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        self.backend.upload(bytes)
    }

    fn evaluate(&self, roots: &[Edge]) -> Result<()> {
        let mut cache = self.cache();
        let collected = collect(roots)?;
        if collected.wanted.is_empty() {
            return Ok(());
        }
        let mut recorded = record(&collected)?;
        self.evaluations.fetch_add(1, Relaxed);
        let plan = cache.get(&recorded, || {
            self.plans.fetch_add(1, Relaxed);
            let plan = plan(&recorded.graph(), self.limits);
            if self.prints_plans {
                println!("{}", plan.describe(&|step| lines(step, &collected)));
            }
            plan
        });
        self.barriers.fetch_add(plan.barriers as u64, Relaxed);
        let origin = |step: &Step| origin_of(step, &collected);
        let watch = |step: &Step, time: Duration| self.note(&plan, step, time, &collected);
        let watched = self.profile().is_some();
        let scalars = std::mem::take(&mut recorded.scalars);
        let given = Given { scalars: &scalars, origin: &origin, watch: if watched { Some(&watch) } else { None } };
        let inputs = recorded.hand_over();
        let ran = match self.finds_nan {
            true => finite::run(&self.backend, &plan, inputs, &given),
            false => self.backend.run(&plan, inputs, &given),
        };
        match ran {
            Ok(buffers) => {
                for (edge, buffer) in collected.wanted.iter().zip(buffers) {
                    edge.node().fulfil(edge.output(), buffer);
                }
                Ok(())
            }
            Err(error) => {
                for edge in &collected.wanted {
                    edge.node().fail(error.clone());
                }
                Err(error)
            }
        }
    }

    fn plan_text(&self, roots: &[Edge]) -> Result<String> {
        // Collecting marks nodes, which one evaluation at a time may do.
        let _cache = self.cache();
        let collected = collect(roots)?;
        let graph = record(&collected)?.graph();
        Ok(plan(&graph, self.limits).describe(&|step| lines(step, &collected)))
    }

    fn profile(&self, on: bool) -> Box<dyn Any> {
        let runs = std::mem::replace(&mut *Planned::profile(self), on.then(Vec::new));
        Box::new(runs.unwrap_or_default())
    }

    fn stats(&self) -> Stats {
        Stats {
            plans: self.plans.load(Relaxed),
            evaluations: self.evaluations.load(Relaxed),
            barriers: self.barriers.load(Relaxed),
            ..self.backend.stats()
        }
    }

    fn release_free_memory(&self) {
        self.backend.release_free_memory();
    }

    fn reset_peak_memory(&self) {
        self.backend.reset_peak_memory();
    }

    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
        self.backend.read(buffer, bytes)
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        self.backend.sync()
    }
}

/// Where a step comes from, for its place in a plan's text.
fn lines(step: &Step, collected: &Collected) -> String {
    let mut lines: Vec<String> = step.calls.iter().map(|&call| line(&collected.nodes[call])).collect();
    lines.dedup();
    format!("from {}", lines.join(", "))
}

/// The op, the layer and the file of a node.
fn line(node: &Node) -> String {
    let origin = node.origin();
    let file = origin.location.file().rsplit(['/', '\\']).next().unwrap_or_default();
    let scope = origin.scope.as_deref().map(|scope| format!(" in {scope}")).unwrap_or_default();
    format!("{} at {file}:{}{scope}", node.op().name(), origin.location.line())
}

/// The recorded call that an error of a step names: the one that can go wrong, or the last.
fn origin_of(step: &Step, collected: &Collected) -> Origin {
    let gathers = |call: &&usize| matches!(collected.nodes[**call].op().compute(), Compute::Gather(_));
    let own = |call: &&usize| match &step.work {
        Work::Op { op, .. } => collected.nodes[**call].op().name() == op.name(),
        Work::Program(program) => {
            program.code.iter().any(|instruction| matches!(instruction, Instruction::Pick(_))) && gathers(call)
        }
    };
    let call = step.calls.iter().find(own).or(step.calls.last()).copied().unwrap_or_default();
    let node = &collected.nodes[call];
    let inputs = node.with_inputs(|inputs| inputs.iter().filter_map(|input| input.meta().ok().cloned()).collect());
    let origin = node.origin();
    Origin { op: node.op().name(), inputs, location: origin.location, scope: origin.scope.clone() }
}
