//! The rows of the elementwise table: one row is a whole operation.

use crate::dtype::DType;
use crate::op::{Call, Gradients, Reads};
use crate::real::fuses;
use smallvec::smallvec;
use std::hash::{Hash, Hasher};

/// A loop over blocks of equal element count: inputs in, output out, all aligned for their dtype. Of two inputs one may be
/// a single element, which then meets every element of the other.
pub type Loop = fn(&[&[u8]], &mut [u8]);

/// An elementwise operation: the name, its meaning in Rust, in WGSL, and its gradient.
///
/// All inputs have one dtype; the output has it too, or is bool. Write rows with [`crate::elementwise!`].
#[derive(Debug)]
pub struct Elementwise {
    /// The method's name.
    pub name: &'static str,
    /// How many inputs: 1, 2 or 3.
    pub arity: usize,
    /// The dtypes it takes.
    pub dtypes: &'static [DType],
    /// Whether the output is bool.
    pub to_bool: bool,
    /// The WGSL expression over `x`, `y`, `z`; functions of `shaders/lib/` may be called, and `TYPE` stands for the
    /// inputs' type (`modulo_TYPE(x, y)` calls `modulo_f32`).
    pub wgsl: &'static str,
    /// The expression for integers and bools, where another is needed.
    pub wgsl_integer: Option<&'static str>,
    /// Whether WGSL has the expression in f64 (its transcendental functions have no f64 form).
    pub wgsl_f64: bool,
    /// The loop for a dtype of `dtypes`.
    pub cpu: fn(DType) -> Option<Loop>,
    /// Which of the steps that backends know it is, if it is one.
    pub basic: Option<Basic>,
    /// What the gradient reads.
    pub reads: Reads,
    /// The gradient for each input, from a call; `None` where there is none.
    pub gradient: Option<fn(&Call<'_>) -> Gradients>,
}

/// The few steps that backends know by what they compute, since many of them take less time than one walk over memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basic {
    /// `x + y`.
    Add,
    /// `x - y`.
    Sub,
    /// `x * y`.
    Mul,
    /// `x / y`.
    Div,
    /// `e^x`.
    Exp,
}

impl PartialEq for Elementwise {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Elementwise {}
impl Hash for Elementwise {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// What a row's gradient expression may give: one gradient per input.
pub trait IntoGradients {
    /// The list.
    fn into_gradients(self) -> Gradients;
}
impl IntoGradients for crate::Tensor {
    fn into_gradients(self) -> Gradients {
        smallvec![Some(self)]
    }
}
impl IntoGradients for (crate::Tensor, crate::Tensor) {
    fn into_gradients(self) -> Gradients {
        smallvec![Some(self.0), Some(self.1)]
    }
}
impl IntoGradients for (crate::Tensor, crate::Tensor, crate::Tensor) {
    fn into_gradients(self) -> Gradients {
        smallvec![Some(self.0), Some(self.1), Some(self.2)]
    }
}

/// One element of a result. Mark `of` with `#[inline(always)]`: only so does a loop of it become vector instructions.
pub trait Unary {
    /// What it takes.
    type In: bytemuck::Pod;
    /// What it gives.
    type Out: bytemuck::Pod;
    /// The function.
    fn of(x: Self::In) -> Self::Out;
    /// The same, for processors with fused multiply-adds.
    #[inline(always)]
    fn fused(x: Self::In) -> Self::Out {
        Self::of(x)
    }
}

/// As [`Unary`], of two inputs.
pub trait Binary {
    /// What it takes.
    type In: bytemuck::Pod;
    /// What it gives.
    type Out: bytemuck::Pod;
    /// The function.
    fn of(x: Self::In, y: Self::In) -> Self::Out;
    /// The same, for processors with fused multiply-adds.
    #[inline(always)]
    fn fused(x: Self::In, y: Self::In) -> Self::Out {
        Self::of(x, y)
    }
}

/// As [`Unary`], of three inputs.
pub trait Ternary {
    /// What it takes.
    type In: bytemuck::Pod;
    /// What it gives.
    type Out: bytemuck::Pod;
    /// The function.
    fn of(x: Self::In, y: Self::In, z: Self::In) -> Self::Out;
    /// The same, for processors with fused multiply-adds.
    #[inline(always)]
    fn fused(x: Self::In, y: Self::In, z: Self::In) -> Self::Out {
        Self::of(x, y, z)
    }
}

/// Runs `F` over a block of one input.
pub fn each1<F: Unary>(inputs: &[&[u8]], out: &mut [u8]) {
    struct Each<'a, F: Unary>(&'a [F::In], &'a mut [F::Out]);
    impl<F: Unary> pulp::WithSimd for Each<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _simd: S) {
            let of = |x: F::In| if fuses::<S>() { F::fused(x) } else { F::of(x) };
            for (out, &x) in self.1.iter_mut().zip(self.0) {
                *out = of(x);
            }
        }
    }
    if let (Some(x), Ok(out)) = (slice(inputs, 0), bytemuck::try_cast_slice_mut(out)) {
        arch().dispatch(Each::<F>(x, out));
    }
}

/// Runs `F` over blocks of two inputs, or over a block and an element.
pub fn each2<F: Binary>(inputs: &[&[u8]], out: &mut [u8]) {
    struct Each<'a, F: Binary>([&'a [F::In]; 2], &'a mut [F::Out]);
    impl<F: Binary> pulp::WithSimd for Each<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _simd: S) {
            let of = |x: F::In, y: F::In| if fuses::<S>() { F::fused(x, y) } else { F::of(x, y) };
            match self.0 {
                [x, y] if x.len() == y.len() => {
                    for ((out, &x), &y) in self.1.iter_mut().zip(x).zip(y) {
                        *out = of(x, y);
                    }
                }
                [&[x], y] => {
                    for (out, &y) in self.1.iter_mut().zip(y) {
                        *out = of(x, y);
                    }
                }
                [x, &[y]] => {
                    for (out, &x) in self.1.iter_mut().zip(x) {
                        *out = of(x, y);
                    }
                }
                _ => debug_assert!(false, "inputs differ in length"),
            }
        }
    }
    if let (Some(x), Some(y), Ok(out)) = (slice(inputs, 0), slice(inputs, 1), bytemuck::try_cast_slice_mut(out)) {
        arch().dispatch(Each::<F>([x, y], out));
    }
}

/// Runs `F` over blocks of three inputs.
pub fn each3<F: Ternary>(inputs: &[&[u8]], out: &mut [u8]) {
    struct Each<'a, F: Ternary>([&'a [F::In]; 3], &'a mut [F::Out]);
    impl<F: Ternary> pulp::WithSimd for Each<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _simd: S) {
            let of = |x: F::In, y: F::In, z: F::In| if fuses::<S>() { F::fused(x, y, z) } else { F::of(x, y, z) };
            let [x, y, z] = self.0;
            for (((out, &x), &y), &z) in self.1.iter_mut().zip(x).zip(y).zip(z) {
                *out = of(x, y, z);
            }
        }
    }
    let [x, y, z] = [0, 1, 2].map(|i| slice(inputs, i));
    if let (Some(x), Some(y), Some(z), Ok(out)) = (x, y, z, bytemuck::try_cast_slice_mut(out)) {
        arch().dispatch(Each::<F>([x, y, z], out));
    }
}

/// The best instructions of this machine, found once: asking takes longer than a short loop.
fn arch() -> pulp::Arch {
    static ARCH: std::sync::LazyLock<pulp::Arch> = std::sync::LazyLock::new(pulp::Arch::new);
    *ARCH
}

/// Input `i` as elements; a caller that breaks [`Loop`]'s contract gets nothing computed in a release build.
fn slice<'a, T: bytemuck::Pod>(inputs: &[&'a [u8]], i: usize) -> Option<&'a [T]> {
    let slice = inputs.get(i).and_then(|bytes| bytemuck::try_cast_slice(bytes).ok());
    debug_assert!(slice.is_some(), "input {i} is missing or misaligned");
    slice
}

/// Writes rows of the elementwise table: each is a whole operation.
///
/// ```text
/// /// documentation
/// pub CLASS NAME: name(x, ..) -> y { Rust expression } "WGSL expression" { READS, g => gradient }
/// ```
///
/// The class names the dtypes and the Rust expression's type:
///
/// | class | dtypes | arguments | result |
/// |---|---|---|---|
/// | `real` | f32, f64 | [`Real`](crate::real::Real) | the same |
/// | `algebraic` | f32, f64, in WGSL too | [`Real`](crate::real::Real) | the same |
/// | `number` | f32, f64, i32, u32 | [`Number`](crate::real::Number) | the same |
/// | `compare` | f32, f64, i32, u32 | [`Number`](crate::real::Number) | `bool` |
/// | `logic` | bool | `bool` | `bool` |
///
/// A second WGSL text after `|` serves integers. The gradient, `g` times the derivative, is an expression of tensors
/// (a pair for two inputs) that may read the inputs and the output `y` as the word before it declares: `NOTHING`,
/// `INPUTS`, `OUTPUTS` or `BOTH`. Without that block the operation has no gradient, and `backward` says so.
///
/// ```
/// use wgrad_tensor::{Tensor, elementwise};
///
/// elementwise! {
///     /// `x / (1 + |x|)`.
///     pub algebraic SOFTSIGN: softsign(x) -> y { x / (T::of(1.0) + x.magnitude()) } "x / (1.0 + abs(x))" {
///         INPUTS, g => g / (1.0 + x.abs()).square()
///     }
/// }
///
/// fn softsign(x: &Tensor) -> Tensor {
///     x.elementwise(&SOFTSIGN, &[])
/// }
/// ```
#[macro_export]
macro_rules! elementwise {
    ($($(#[$doc:meta])* $vis:vis $class:ident $NAME:ident $(= $basic:ident)?: $name:ident($($x:ident),+) -> $y:ident { $cpu:expr }
        $wgsl:literal $(| $integer:literal)? $({ $reads:ident, $g:ident => $gradient:expr })?)*) => {$(
        $(#[$doc])*
        $vis static $NAME: $crate::elementwise::Elementwise = {
            fn cpu(dtype: $crate::DType) -> Option<$crate::elementwise::Loop> {
                $crate::elementwise!(@cpu $class dtype ($($x),+) $cpu)
            }
            $crate::elementwise::Elementwise {
                name: stringify!($name),
                arity: [$(stringify!($x)),+].len(),
                dtypes: $crate::elementwise!(@dtypes $class),
                to_bool: $crate::elementwise!(@to_bool $class),
                wgsl: $wgsl,
                wgsl_integer: $crate::elementwise!(@optional $($integer)?),
                wgsl_f64: $crate::elementwise!(@wgsl_f64 $class),
                cpu,
                basic: $crate::elementwise!(@basic $($basic)?),
                reads: $crate::elementwise!(@reads $($reads)?),
                gradient: $crate::elementwise!(@gradient ($($x),+) $y $($g => $gradient)?),
            }
        };
    )*};

    (@optional) => { None };
    (@optional $value:literal) => { Some($value) };

    (@basic) => { None };
    (@basic $basic:ident) => { Some($crate::elementwise::Basic::$basic) };

    (@reads) => { $crate::op::Reads::NOTHING };
    (@reads $reads:ident) => { $crate::op::Reads::$reads };

    (@dtypes real) => { &[$crate::DType::F32, $crate::DType::F64] };
    (@dtypes algebraic) => { &[$crate::DType::F32, $crate::DType::F64] };
    (@dtypes logic) => { &[$crate::DType::Bool] };
    (@dtypes $class:ident) => { &[$crate::DType::F32, $crate::DType::F64, $crate::DType::I32, $crate::DType::U32] };

    (@to_bool compare) => { true };
    (@to_bool $class:ident) => { false };

    (@wgsl_f64 real) => { false };
    (@wgsl_f64 $class:ident) => { true };

    (@cpu real $dtype:ident $args:tt $cpu:expr) => {{
        $crate::elementwise!(@define real::Real, T, $args, $cpu);
        match $dtype {
            $crate::DType::F32 => Some($crate::elementwise!(@loop f32, f32, $args, |v| v, $crate::real::Fused)),
            $crate::DType::F64 => Some($crate::elementwise!(@loop f64, f64, $args, |v| v)),
            _ => None,
        }
    }};
    (@cpu algebraic $dtype:ident $args:tt $cpu:expr) => {
        $crate::elementwise!(@cpu real $dtype $args $cpu)
    };
    (@cpu number $dtype:ident $args:tt $cpu:expr) => {{
        $crate::elementwise!(@define real::Number, T, $args, $cpu);
        match $dtype {
            $crate::DType::F32 => Some($crate::elementwise!(@loop f32, f32, $args, |v| v)),
            $crate::DType::F64 => Some($crate::elementwise!(@loop f64, f64, $args, |v| v)),
            $crate::DType::I32 => Some($crate::elementwise!(@loop i32, i32, $args, |v| v)),
            $crate::DType::U32 => Some($crate::elementwise!(@loop u32, u32, $args, |v| v)),
            _ => None,
        }
    }};
    (@cpu compare $dtype:ident $args:tt $cpu:expr) => {{
        $crate::elementwise!(@define real::Number, bool, $args, $cpu);
        match $dtype {
            $crate::DType::F32 => Some($crate::elementwise!(@loop f32, u8, $args, |v| v as u8)),
            $crate::DType::F64 => Some($crate::elementwise!(@loop f64, u8, $args, |v| v as u8)),
            $crate::DType::I32 => Some($crate::elementwise!(@loop i32, u8, $args, |v| v as u8)),
            $crate::DType::U32 => Some($crate::elementwise!(@loop u32, u8, $args, |v| v as u8)),
            _ => None,
        }
    }};
    (@cpu logic $dtype:ident ($($x:ident),+) $cpu:expr) => {{
        #[inline(always)]
        fn row($($x: u8),+) -> bool {
            $(let $x = $x != 0;)+
            $cpu
        }
        match $dtype {
            $crate::DType::Bool => Some($crate::elementwise!(@loop u8, u8, ($($x),+), |v| v as u8)),
            _ => None,
        }
    }};

    (@define real::Real, $result:ident, ($($x:ident),+), $cpu:expr) => {
        #[inline(always)]
        fn row<T: $crate::real::Real>($($x: T),+) -> $result {
            $cpu
        }
    };
    (@define real::Number, $result:ident, ($($x:ident),+), $cpu:expr) => {
        #[inline(always)]
        fn row<T: $crate::real::Number>($($x: T),+) -> $result {
            $cpu
        }
    };

    (@loop $t:ty, $r:ty, ($x:ident), |$v:ident| $wrap:expr $(, $fused:ty)?) => {{
        struct Element;
        impl $crate::elementwise::Unary for Element {
            type In = $t;
            type Out = $r;
            #[inline(always)]
            fn of($x: $t) -> $r {
                let $v = row($x);
                $wrap
            }
            $(#[inline(always)]
            fn fused($x: $t) -> $r {
                row(<$fused>::from($x)).into()
            })?
        }
        $crate::elementwise::each1::<Element>
    }};
    (@loop $t:ty, $r:ty, ($x:ident, $y:ident), |$v:ident| $wrap:expr $(, $fused:ty)?) => {{
        struct Element;
        impl $crate::elementwise::Binary for Element {
            type In = $t;
            type Out = $r;
            #[inline(always)]
            fn of($x: $t, $y: $t) -> $r {
                let $v = row($x, $y);
                $wrap
            }
            $(#[inline(always)]
            fn fused($x: $t, $y: $t) -> $r {
                row(<$fused>::from($x), <$fused>::from($y)).into()
            })?
        }
        $crate::elementwise::each2::<Element>
    }};
    (@loop $t:ty, $r:ty, ($x:ident, $y:ident, $z:ident), |$v:ident| $wrap:expr $(, $fused:ty)?) => {{
        struct Element;
        impl $crate::elementwise::Ternary for Element {
            type In = $t;
            type Out = $r;
            #[inline(always)]
            fn of($x: $t, $y: $t, $z: $t) -> $r {
                let $v = row($x, $y, $z);
                $wrap
            }
            $(#[inline(always)]
            fn fused($x: $t, $y: $t, $z: $t) -> $r {
                row(<$fused>::from($x), <$fused>::from($y), <$fused>::from($z)).into()
            })?
        }
        $crate::elementwise::each3::<Element>
    }};

    (@gradient $args:tt $y:ident) => { None };
    (@gradient ($($x:ident),+) $y:ident $g:ident => $gradient:expr) => {{
        #[allow(unused_variables, reason = "a rule reads what it needs")]
        fn gradient(call: &$crate::op::Call<'_>) -> $crate::op::Gradients {
            let ([$($x),+], [$y], [Some($g)]) = (call.inputs, call.outputs, call.grads) else { return $crate::op::Gradients::new() };
            $crate::elementwise::IntoGradients::into_gradients($gradient)
        }
        Some(gradient)
    }};
}
