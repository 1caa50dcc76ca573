//! Loops that are compiled once for each set of vector instructions, and chosen when they run.

use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

/// A loop with its arguments.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Runs it. Mark it `#[inline(always)]`, and what it calls: only what is inlined is compiled for the instructions
    /// at hand.
    fn run(self) -> Self::Output;
}

/// The best instructions of this machine, found once: asking takes longer than a short loop.
pub fn arch() -> Arch {
    static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);
    *ARCH
}

/// Runs a loop with the best instructions of this machine.
#[inline]
pub fn vectorised<K: Kernel>(kernel: K) -> K::Output {
    struct Run<K>(K);
    impl<K: Kernel> WithSimd for Run<K> {
        type Output = K::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> K::Output {
            self.0.run()
        }
    }
    arch().dispatch(Run(kernel))
}
