//! Plain loops, compiled once for each instruction set and chosen when they run.

use pulp::{Arch, Simd, WithSimd};

/// Calls `f` with the best instructions of this machine.
///
/// `f` must be a function marked `#[inline(always)]`: only what is inlined here is compiled for those instructions.
#[inline]
pub fn vectorised<A, R>(f: impl FnOnce(A) -> R, args: A) -> R {
    struct Call<F, A>(F, A);
    impl<A, R, F: FnOnce(A) -> R> WithSimd for Call<F, A> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> R {
            (self.0)(self.1)
        }
    }
    Arch::new().dispatch(Call(f, args))
}
