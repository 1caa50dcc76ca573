//! Batches made ahead of time, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use wgrad_tensor::{Error, ErrorKind, Result};

/// The batches that `make` gives until it gives none or an error, at most `ahead` of them before they are asked for.
///
/// `make` is handed a question, "go on?", to ask from time to time; once the answer is no, its result does not matter.
pub(crate) fn start<B, F>(mut make: F, ahead: usize) -> Box<dyn Iterator<Item = Result<B>> + Send>
where
    B: Send + 'static,
    F: FnMut(&dyn Fn() -> bool) -> Option<Result<B>> + Send + 'static,
{
    let threads = !cfg!(target_family = "wasm");
    if ahead == 0 || !threads {
        return Box::new(std::iter::from_fn(move || make(&|| true)));
    }
    // One batch more than the channel holds is ready: the one whose sending waits.
    let (sender, batches) = sync_channel(ahead - 1);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let work = move || {
        let go_on = || !stopped.load(Ordering::Relaxed);
        while let Some(batch) = make(&go_on) {
            let failed = batch.is_err();
            let nobody_waits = sender.send(batch).is_err();
            if failed || nobody_waits {
                break;
            }
        }
    };
    match thread::Builder::new().name("wgrad-data".into()).spawn(work) {
        Ok(thread) => Box::new(Prefetch { batches: Some(batches), stop, thread: Some(thread) }),
        Err(cause) => {
            let message = "no thread to make batches on; without prefetch none is needed";
            let error = Error::caused_by(ErrorKind::Unsupported, "DataLoader::prefetch", message, cause);
            Box::new(std::iter::once(Err(error)))
        }
    }
}

/// The consumer's end. Dropping it ends the thread, and waits for that: for one item at most.
struct Prefetch<B> {
    batches: Option<Receiver<Result<B>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<B> Iterator for Prefetch<B> {
    type Item = Result<B>;
    fn next(&mut self) -> Option<Result<B>> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl<B> Drop for Prefetch<B> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits to send wakes up when the receiver goes.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // It catches panics itself; one that slipped through has shown as an epoch that ended early.
            let _ = thread.join();
        }
    }
}
