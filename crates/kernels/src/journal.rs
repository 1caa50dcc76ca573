//! What went wrong on the device, and whose results it spoils.
//!
//! A GPU fails after the fact. Each run leaves a [`Verdict`] that its buffers share; it stays open until a read-back
//! brings the run's status words. Errors that the driver raises by itself are kept until the next read.

use crate::status::StatusWords;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wgrad_plan::Origin;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{Error, ErrorKind, Problem};

/// Locks, also after a panic elsewhere: what the locks here guard is whole at every moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of this device that no step of a plan is to blame for.
pub(crate) fn device_error(kind: ErrorKind, op: &'static str, message: impl Into<String>) -> Error {
    Error::at(Problem::new(kind, message.into()), op.into(), Vec::new(), None, None)
}

/// What is wrong by an error of this device, for the step that is found to be to blame.
pub(crate) fn problem(error: Error) -> Problem {
    Problem::new(error.kind(), error.message().to_owned())
}

/// Whether a run did what it should, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Verdict(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    Good,
    Failed(Error),
}

impl Verdict {
    /// The error, where one is known.
    pub fn error(&self) -> Option<Error> {
        match &*lock(&self.0) {
            State::Failed(error) => Some(error.clone()),
            State::Open | State::Good => None,
        }
    }

    /// Whether it is still open.
    pub fn is_open(&self) -> bool {
        matches!(&*lock(&self.0), State::Open)
    }

    /// Closes it, once. Whether it was open and is now failed.
    pub fn close(&self, error: Option<Error>) -> bool {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Open) {
            return false;
        }
        let failed = error.is_some();
        *state = error.map_or(State::Good, State::Failed);
        failed
    }
}

/// An index op of a run: where its status words lie, and what to say of a bad index.
#[derive(Debug)]
pub(crate) struct Check {
    /// The first of its two words, counted from the run's own.
    pub slot: usize,
    pub origin: Origin,
    pub size: usize,
    pub dtype: DType,
}

impl Check {
    fn error(&self, words: &[u32]) -> Option<Error> {
        let (&bad, &index) = (words.get(self.slot)?, words.get(self.slot + 1)?);
        let index = if self.dtype == DType::I32 { i64::from(index as i32) } else { i64::from(index) };
        let message = format!("index {index} is out of range for an axis of size {}", self.size);
        (bad != 0).then(|| self.origin.error(Problem::new(ErrorKind::Index, message)))
    }
}

/// A run whose verdict is open.
#[derive(Debug)]
pub(crate) struct OpenRun {
    pub verdict: Arc<Verdict>,
    /// The verdicts on what it read.
    pub inputs: Vec<Arc<Verdict>>,
    /// Two words for each check.
    pub status: Option<StatusWords>,
    pub checks: Vec<Check>,
}

type ScopeFuture = Pin<Box<dyn Future<Output = Option<Error>> + Send>>;

/// Everything that is wrong or may turn out so.
#[derive(Default)]
pub(crate) struct Journal {
    open: Mutex<Vec<Arc<OpenRun>>>,
    faults: Mutex<Vec<Error>>,
    unread: Mutex<Option<Error>>,
    lost: Mutex<Option<Error>>,
    scopes: Mutex<Vec<ScopeFuture>>,
}

impl Journal {
    /// Makes the journal hear of everything that the device reports by itself.
    pub fn listen(self: &Arc<Self>, device: &wgpu::Device) {
        let journal = self.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            journal.fault(from_wgpu("run", &error));
        }));
        let journal = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = format!("the device is lost ({reason:?}): {message}");
            lock(&journal.lost).get_or_insert_with(|| device_error(ErrorKind::DeviceLost, "device", message));
        });
    }

    /// The error of a lost device.
    pub fn lost(&self) -> Option<Error> {
        lock(&self.lost).clone()
    }

    /// Keeps an error that the driver raised.
    pub fn fault(&self, error: Error) {
        lock(&self.faults).push(error);
    }

    /// Keeps a failed run's error for the next read.
    pub fn tell_next_read(&self, error: Error) {
        lock(&self.unread).get_or_insert(error);
    }

    /// Takes what was kept for a read.
    pub fn take_unread(&self) -> Option<Error> {
        lock(&self.unread).take()
    }

    /// Takes what the driver has complained of, if it has.
    pub fn take_fault(&self) -> Option<Error> {
        lock(&self.faults).drain(..).next()
    }

    /// Registers a run.
    pub fn open(&self, run: OpenRun) {
        lock(&self.open).push(Arc::new(run));
    }

    /// The runs whose verdict is open.
    pub fn open_runs(&self) -> Vec<Arc<OpenRun>> {
        lock(&self.open).clone()
    }

    /// Closes runs, oldest first, with the status words that a read-back brought for each. The first error found is
    /// returned, and all that was computed from its results fails with it.
    pub fn close(&self, runs: &[(Arc<OpenRun>, Vec<u32>)], fault: Option<&Error>) -> Option<Error> {
        let mut found = None;
        for (run, words) in runs {
            let error = run
                .inputs
                .iter()
                .find_map(|input| input.error())
                .or_else(|| run.checks.iter().find_map(|check| check.error(words)))
                .or_else(|| fault.cloned());
            if run.verdict.close(error.clone()) {
                found = found.or(error);
            }
        }
        lock(&self.open).retain(|run| run.verdict.is_open());
        found
    }

    /// The error of a scope where it is known at once, as it is outside the browser; otherwise it is waited for by the
    /// next read.
    pub fn settle(
        &self,
        scope: impl Future<Output = Option<wgpu::Error>> + Send + 'static,
        name: impl Fn(&wgpu::Error) -> Error + Send + 'static,
    ) -> Option<Error> {
        let mut future: ScopeFuture = Box::pin(async move { scope.await.as_ref().map(name) });
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => error,
            Poll::Pending => {
                lock(&self.scopes).push(future);
                None
            }
        }
    }

    /// Waits for the error scopes that were not settled at once.
    pub async fn settle_rest(&self) {
        let scopes: Vec<_> = lock(&self.scopes).drain(..).collect();
        for scope in scopes {
            if let Some(error) = scope.await {
                self.fault(error);
            }
        }
    }
}

/// An error of wgpu in wgrad's classes.
pub(crate) fn from_wgpu(op: &'static str, error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => device_error(ErrorKind::OutOfMemory, op, "the device is out of memory"),
        other => device_error(ErrorKind::Unsupported, op, format!("the driver refused: {other}")),
    }
}
