//! What is known of a call besides its arguments: the line, the layer, and whether gradients are wanted.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
    static ORIGIN: RefCell<Option<Origin>> = const { RefCell::new(None) };
    static CHECKPOINT: Cell<u64> = const { Cell::new(0) };
    static SCOPE: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The line and layer that new nodes are ascribed to.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The caller's file and line.
    pub location: &'static Location<'static>,
    /// The layer, `blocks.3.attention`.
    pub scope: Option<Arc<str>>,
}

/// Restores what it replaced when dropped.
struct Restore<T: 'static>(&'static std::thread::LocalKey<RefCell<Option<T>>>, Option<T>);

impl<T> Drop for Restore<T> {
    fn drop(&mut self) {
        let before = self.1.take();
        self.0.with(|cell| *cell.borrow_mut() = before);
    }
}

fn replace<T>(key: &'static std::thread::LocalKey<RefCell<Option<T>>>, value: Option<T>) -> Restore<T> {
    Restore(key, key.with(|cell| cell.replace(value)))
}

/// Runs `f` without recording gradients: what it computes from parameters is not tracked. PyTorch: `torch.no_grad`.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            RECORDING.set(self.0);
        }
    }
    let _back = Back(RECORDING.replace(false));
    f()
}

/// Whether gradients are being recorded on this thread.
pub fn is_recording() -> bool {
    RECORDING.get()
}

/// Runs `f` so that the walk back computes again what `f` records, rather than keep it.
pub fn checkpointed<R>(f: impl FnOnce() -> R) -> R {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    struct Back(u64);
    impl Drop for Back {
        fn drop(&mut self) {
            CHECKPOINT.set(self.0);
        }
    }
    let _back = Back(CHECKPOINT.replace(NEXT.fetch_add(1, Ordering::Relaxed)));
    f()
}

/// The number of the stretch that is to be computed again; 0 outside of such stretches.
pub(crate) fn checkpoint() -> u64 {
    CHECKPOINT.get()
}

/// Runs `f` with every node ascribed to `origin`: gradient nodes carry their forward line.
pub fn with_origin<R>(origin: Origin, f: impl FnOnce() -> R) -> R {
    let _restore = replace(&ORIGIN, Some(origin));
    f()
}

/// Runs `f` as a call of `location` where no outer caller is known already: layers hand their own caller's line down.
pub fn called_from<R>(location: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    if ORIGIN.with_borrow(Option::is_some) {
        return f();
    }
    with_origin(Origin { location, scope: None }, f)
}

/// Runs `f` inside the layer called `name`.
pub fn in_scope<R>(name: Arc<str>, f: impl FnOnce() -> R) -> R {
    let _restore = replace(&SCOPE, Some(name));
    f()
}

/// Line and layer for a node recorded now by `caller`.
pub(crate) fn origin(caller: &'static Location<'static>) -> Origin {
    let scope = || SCOPE.with_borrow(Clone::clone);
    ORIGIN.with_borrow(|origin| match origin {
        Some(origin) => Origin { location: origin.location, scope: scope().or_else(|| origin.scope.clone()) },
        None => Origin { location: caller, scope: scope() },
    })
}
