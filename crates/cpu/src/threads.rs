//! Loops over threads. Wherever it decides a result, work is cut by fixed sizes, never by the number of threads.

use rayon::{Scope, ThreadPool};
use std::cell::RefCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Elements that are worth a task of their own.
pub const TASK: usize = 32 << 10;

/// How often a thread that is done looks whether the others are, before it sleeps.
const LOOKS: usize = 2000;

/// The threads that kernels run on.
#[derive(Debug)]
pub struct Threads(Option<Arc<ThreadPool>>);

thread_local! {
    /// The threads that share this one's loops, where it is none of them.
    static HELPERS: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

impl Threads {
    /// `count` threads; one, or an environment without threads, means the caller's own.
    pub fn new(count: usize) -> Self {
        let pool = (count > 1).then(|| {
            let name = |i| format!("wgrad-cpu-{i}");
            rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(name).build().ok()
        });
        Threads(pool.flatten().map(Arc::new))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// Runs `f` where the loops of this module and of libraries are parallel: on one of the threads.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(f),
            None => f(),
        }
    }

    /// Runs `f` on this thread, where only the loops of this module are parallel: nobody waits for a thread to wake up.
    pub fn run_here<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also if `f` panics.
        struct Before(Option<Arc<ThreadPool>>);
        impl Drop for Before {
            fn drop(&mut self) {
                HELPERS.set(self.0.take());
            }
        }
        let _before = Before(HELPERS.replace(self.0.clone()));
        f()
    }
}

/// How many threads share a loop here.
pub fn count() -> usize {
    let helpers = HELPERS.with_borrow(|pool| pool.as_ref().map(|pool| pool.current_num_threads()));
    helpers.or_else(|| rayon::current_thread_index().map(|_| rayon::current_num_threads())).unwrap_or(1)
}

/// How many of the elements that are left make the next task, where that decides no result: many at first, since each task
/// starts anew, and few at the end, so that all threads are done at the same time ("guided" in OpenMP).
pub fn task(left: usize) -> usize {
    (left / (3 * count())).max(TASK)
}

/// Calls `f` with each item.
pub fn for_each<I: Send>(items: Vec<I>, f: impl Fn(I) + Send + Sync) {
    let count = items.len();
    share(items.into_iter(), count, f);
}

/// Calls `f` with each item, up to the first that fails.
pub fn try_for_each<I: Send, E: Send>(items: Vec<I>, f: impl Fn(I) -> Result<(), E> + Send + Sync) -> Result<(), E> {
    if items.len() < 2 || count() < 2 {
        return items.into_iter().try_for_each(f);
    }
    // Of several errors the first, so that it is the same every time.
    let first: Mutex<Option<(usize, E)>> = Mutex::new(None);
    let count = items.len();
    share(items.into_iter().enumerate(), count, |(i, item)| {
        if let Err(error) = f(item) {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(before, _)| i < *before) {
                *first = Some((i, error));
            }
        }
    });
    let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    first.map_or(Ok(()), |(_, error)| Err(error))
}

/// Calls `f` with each piece of `size` elements (the last may be shorter) and its number.
pub fn chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let size = size.max(1);
    let count = out.len().div_ceil(size);
    share(out.chunks_mut(size).enumerate(), count, |(i, piece)| f(i, piece));
}

/// Calls `f` with each of so many items: whoever has time takes the next.
fn share<I: Send>(items: impl Iterator<Item = I> + Send, length: usize, f: impl Fn(I) + Send + Sync) {
    let others = count().min(length).saturating_sub(1);
    if others == 0 {
        return items.for_each(f);
    }
    let (queue, busy) = (Mutex::new(items), AtomicUsize::new(others));
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return };
            f(item);
        }
    };
    let (work, busy) = (&work, &busy);
    fn together<'s>(scope: &Scope<'s>, others: usize, work: &'s (impl Fn() + Sync), busy: &'s AtomicUsize) {
        for _ in 0..others {
            scope.spawn(|_| {
                work();
                busy.fetch_sub(1, Ordering::Release);
            });
        }
        work();
        let done = || busy.load(Ordering::Acquire) == 0;
        (0..LOOKS).take_while(|_| !done()).for_each(|_| spin_loop());
    }
    match HELPERS.with_borrow(Clone::clone) {
        Some(pool) => pool.in_place_scope(|scope| together(scope, others, work, busy)),
        None => rayon::in_place_scope(|scope| together(scope, others, work, busy)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Threads, count, for_each, try_for_each};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A loop on this thread and on a pool's, within another or not, sees every item once and fails with its first error.
    #[test]
    fn every_item_is_seen_and_the_first_error_told() {
        let threads = Threads::new(3);
        let check = || {
            assert_eq!(count(), 3);
            let sum = AtomicU64::new(0);
            for_each((0..50).collect(), |i: u64| {
                for_each((0..20).collect(), |j: u64| {
                    sum.fetch_add(100 * i + j, Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 20 * 100 * (49 * 50 / 2) + 50 * (19 * 20 / 2));
            for _ in 0..50 {
                let found = try_for_each((0..200).collect(), |i: u64| if i % 70 == 69 { Err(i) } else { Ok(()) });
                assert_eq!(found, Err(69));
            }
        };
        threads.run_here(check);
        threads.run(check);
        assert_eq!(count(), 1, "a thread that takes part no longer counts the others as its own");
    }
}
