//! Loops over threads. Wherever it decides a result, work is cut by fixed sizes, never by the number of threads.

use rayon::ThreadPool;
use rayon::prelude::*;

/// Elements that are worth a task of their own.
pub const TASK: usize = 32 << 10;

/// The threads that kernels run on.
#[derive(Debug)]
pub struct Threads(Option<ThreadPool>);

impl Threads {
    /// `count` threads; one, or an environment without threads, means the caller's own.
    pub fn new(count: usize) -> Self {
        let pool = (count > 1).then(|| {
            let name = |i| format!("wgrad-cpu-{i}");
            rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(name).build().ok()
        });
        Threads(pool.flatten())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Runs `f` where the loops of this module are parallel.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(f),
            None => f(),
        }
    }
}

/// Whether loops are parallel here.
pub fn parallel() -> bool {
    rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1
}

/// How many of so many elements make a task, where that decides no result: many, since each task starts anew, but few
/// enough that no thread is left with much more than others.
pub fn task(elements: usize) -> usize {
    let threads = if parallel() { rayon::current_num_threads() } else { 1 };
    (elements / (12 * threads)).clamp(TASK, 8 * TASK)
}

/// Calls `f` with each item.
pub fn for_each<I: Send>(items: Vec<I>, f: impl Fn(I) + Send + Sync) {
    if items.len() > 1 && parallel() {
        items.into_par_iter().with_max_len(1).for_each(f);
    } else {
        items.into_iter().for_each(f);
    }
}

/// Calls `f` with each item, up to the first that fails.
pub fn try_for_each<I: Send, E: Send>(items: Vec<I>, f: impl Fn(I) -> Result<(), E> + Send + Sync) -> Result<(), E> {
    if items.len() > 1 && parallel() {
        // Collecting keeps the order, so that the error is the same every time.
        let results: Vec<_> = items.into_par_iter().with_max_len(1).map(f).collect();
        results.into_iter().collect()
    } else {
        items.into_iter().try_for_each(f)
    }
}

/// Calls `f` with each piece of `size` elements (the last may be shorter) and its number.
pub fn chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let size = size.max(1);
    if out.len() > size && parallel() {
        out.par_chunks_mut(size).with_max_len(1).enumerate().for_each(|(i, piece)| f(i, piece));
    } else {
        out.chunks_mut(size).enumerate().for_each(|(i, piece)| f(i, piece));
    }
}
