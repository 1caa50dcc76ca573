//! The elementwise table: one row is a whole operation.

use crate::elementwise::Elementwise;
use crate::ops::arguments::Operand;
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2};

/// Of the normal distribution at 0: `1 / sqrt(2 pi)`.
const DENSITY: f64 = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;

crate::elementwise! {
    /// `e^x`.
    pub real EXP = Exp: exp(x) -> y { x.exp() } "exp(x)" { OUTPUTS, g => g * y }
    /// `2^x`.
    pub real EXP2: exp2(x) -> y { x.exp2() } "exp2(x)" { OUTPUTS, g => g * y * LN_2 }
    /// `e^x - 1`, exact near 0.
    pub real EXPM1: expm1(x) -> y { x.exp_m1() } "expm1(x)" { OUTPUTS, g => g * (y + 1.0) }
    /// The natural logarithm.
    pub real LOG: log(x) -> y { x.ln() } "log(x)" { INPUTS, g => g / x }
    /// The logarithm of base 2.
    pub real LOG2: log2(x) -> y { x.log2() } "log2(x)" { INPUTS, g => g / (x * LN_2) }
    /// `ln(1 + x)`, exact near 0.
    pub real LOG1P: log1p(x) -> y { x.ln_1p() } "log1p(x)" { INPUTS, g => g / (x + 1.0) }
    /// The sine.
    pub real SIN: sin(x) -> y { x.sin() } "sin(x)" { INPUTS, g => g * x.cos() }
    /// The cosine.
    pub real COS: cos(x) -> y { x.cos() } "cos(x)" { INPUTS, g => -(g * x.sin()) }
    /// The tangent.
    pub real TAN: tan(x) -> y { x.tan() } "tan(x)" { OUTPUTS, g => g * (y.square() + 1.0) }
    /// The inverse sine.
    pub real ASIN: asin(x) -> y { x.asin() } "asin_real(x)" { INPUTS, g => g / (1.0 - x.square()).sqrt() }
    /// The inverse cosine.
    pub real ACOS: acos(x) -> y { x.acos() } "acos_real(x)" { INPUTS, g => -(g / (1.0 - x.square()).sqrt()) }
    /// The inverse tangent.
    pub real ATAN: atan(x) -> y { x.atan() } "atan_real(x)" { INPUTS, g => g / (x.square() + 1.0) }
    /// The hyperbolic sine.
    pub real SINH: sinh(x) -> y { x.sinh() } "sinh(x)" { INPUTS, g => g * x.cosh() }
    /// The hyperbolic cosine.
    pub real COSH: cosh(x) -> y { x.cosh() } "cosh(x)" { INPUTS, g => g * x.sinh() }
    /// The hyperbolic tangent.
    pub real TANH: tanh(x) -> y { x.tanh() } "tanh_safe(x)" { OUTPUTS, g => g * (1.0 - y.square()) }
    /// The logistic function, `1 / (1 + e^-x)`.
    pub real SIGMOID: sigmoid(x) -> y { x.sigmoid() } "1.0 / (1.0 + exp(-x))" { OUTPUTS, g => g * y * (1.0 - y) }
    /// The error function, `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`.
    pub real ERF: erf(x) -> y { x.erf() } "erf(x)" {
        INPUTS, g => g * (-x.square()).exp() * FRAC_2_SQRT_PI
    }
    /// `x Phi(x)` with the normal distribution's `Phi`.
    pub real GELU: gelu(x) -> y { x * T::of(0.5) * (T::of(1.0) + (x * T::of(FRAC_1_SQRT_2)).erf()) } "gelu(x)" {
        INPUTS, g => g * x.elementwise(&GELU_SLOPE, &[])
    }
    /// The slope of [`GELU`], `Phi(x) + x phi(x)`.
    pub real GELU_SLOPE: gelu_slope(x) -> y {
        T::of(0.5) * (T::of(1.0) + (x * T::of(FRAC_1_SQRT_2)).erf()) + x * T::of(DENSITY) * (x * x * T::of(-0.5)).exp()
    } "gelu_slope(x)" {
        INPUTS, g => g * (x.square() * -0.5).exp() * (2.0 - x.square()) * DENSITY
    }
    /// The square root.
    pub algebraic SQRT: sqrt(x) -> y { x.sqrt() } "sqrt(x)" { OUTPUTS, g => g / (y * 2.0) }
    /// `1 / sqrt(x)`.
    pub algebraic RSQRT: rsqrt(x) -> y { T::of(1.0) / x.sqrt() } "1.0 / sqrt(x)" {
        OUTPUTS, g => g * y * y * y * -0.5
    }
    /// `1 / x`.
    pub algebraic RECIPROCAL: reciprocal(x) -> y { T::of(1.0) / x } "1.0 / x" { OUTPUTS, g => -(g * y * y) }
    /// The largest whole number not above `x`. Its gradient is zero, as in PyTorch.
    pub algebraic FLOOR: floor(x) -> y { x.floor() } "floor(x)" { NOTHING, g => g.zeros_like() }
    /// The smallest whole number not below `x`. Its gradient is zero, as in PyTorch.
    pub algebraic CEIL: ceil(x) -> y { x.ceil() } "ceil(x)" { NOTHING, g => g.zeros_like() }
    /// The nearest whole number, halves to even. Its gradient is zero, as in PyTorch.
    pub algebraic ROUND: round(x) -> y { x.round() } "round_TYPE(x)" { NOTHING, g => g.zeros_like() }
    /// The whole number towards zero. Its gradient is zero, as in PyTorch.
    pub algebraic TRUNC: trunc(x) -> y { x.trunc() } "trunc(x)" { NOTHING, g => g.zeros_like() }
    /// `-x`.
    pub number NEG: neg(x) -> y { x.negated() } "-x" | "negate_TYPE(x)" { NOTHING, g => -g }
    /// The magnitude; its gradient at 0 is 0.
    pub number ABS: abs(x) -> y { x.magnitude() } "abs(x)" | "abs_TYPE(x)" { INPUTS, g => g * x.sign() }
    /// -1, 0 or 1; NaN for NaN. Its gradient is zero, as in PyTorch.
    pub number SIGN: sign(x) -> y { x.signum_or_zero() } "sign_TYPE(x)" { NOTHING, g => g.zeros_like() }
    /// The larger of `x` and 0; its gradient at 0 is 0.
    pub number RELU: relu(x) -> y { x.larger(T::of(0.0)) } "max_TYPE(x, TYPE(0))" {
        OUTPUTS, g => y.gt(0.0).where_(g, 0.0)
    }
    /// The sum.
    pub number ADD = Add: add(x, z) -> y { x.plus(z) } "x + y" { NOTHING, g => (g.clone(), g.clone()) }
    /// The difference.
    pub number SUB = Sub: sub(x, z) -> y { x.minus(z) } "x - y" { NOTHING, g => (g.clone(), -g) }
    /// The product.
    pub number MUL = Mul: mul(x, z) -> y { x.times(z) } "x * y" { INPUTS, g => (g * z, g * x) }
    /// The quotient; whole numbers round towards zero and give 0 for a zero divisor.
    pub number DIV = Div: div(x, z) -> y { x.over(z) } "x / y" | "divide_TYPE(x, y)" {
        BOTH, g => { let gx = g / z; (gx.clone(), -(gx * y)) }
    }
    /// The remainder with the divisor's sign, as in Python; 0 for a whole zero divisor.
    pub number REMAINDER: remainder(x, z) -> y { x.modulo(z) } "modulo_TYPE(x, y)" {
        INPUTS, g => (g.clone(), -(g * (x / z).floor()))
    }
    /// The larger; NaN if either is. Equal values share the gradient.
    pub number MAXIMUM: maximum(x, z) -> y { x.larger(z) } "max_TYPE(x, y)" {
        INPUTS, g => { let gx = g * share(&x.gt(z), &x.eq(z), g); (gx.clone(), g - gx) }
    }
    /// The smaller; NaN if either is. Equal values share the gradient.
    pub number MINIMUM: minimum(x, z) -> y { x.smaller(z) } "min_TYPE(x, y)" {
        INPUTS, g => { let gx = g * share(&x.lt(z), &x.eq(z), g); (gx.clone(), g - gx) }
    }
    /// `x^y`.
    pub real POW: pow(x, z) -> y { x.powf(z) } "pow_real(x, y)" {
        BOTH, g => {
            // Where both are 0 the gradient is 0, and 0 times 0^-1 would be NaN.
            let exponent = x.eq(0.0).logical_and(z.eq(0.0)).where_(1.0, z - 1.0);
            (g * z * x.pow(exponent), x.eq(0.0).where_(0.0, g * y * x.log()))
        }
    }
    /// The angle of the point (`y`, `x`), in -pi to pi.
    pub real ATAN2: atan2(x, z) -> y { x.atan2(z) } "atan2_real(x, y)" {
        INPUTS, g => { let r = g / (x.square() + z.square()); (&r * z, -(&r * x)) }
    }
    /// The way from `x` to `z`, so far as `weight` says.
    pub algebraic LERP: lerp(x, z, weight) -> y { x + weight * (z - x) } "x + z * (y - x)" {
        INPUTS, g => (g * (1.0 - weight), g * weight, g * (z - x))
    }
    /// Whether they are equal.
    pub compare EQ: eq(x, z) -> y { x == z } "x == y"
    /// Whether they differ.
    pub compare NE: ne(x, z) -> y { x != z } "differs_TYPE(x, y)" | "x != y"
    /// Whether the first is smaller.
    pub compare LT: lt(x, z) -> y { x < z } "x < y"
    /// Whether the first is smaller or equal.
    pub compare LE: le(x, z) -> y { x <= z } "x <= y"
    /// Whether the first is larger.
    pub compare GT: gt(x, z) -> y { x > z } "x > y"
    /// Whether the first is larger or equal.
    pub compare GE: ge(x, z) -> y { x >= z } "x >= y"
    /// Whether it is NaN.
    #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
    pub compare ISNAN: isnan(x) -> y { x != x } "is_nan_TYPE(x)" | "false"
    /// Whether it is finite: neither NaN nor infinite.
    #[allow(clippy::eq_op, reason = "inf - inf and NaN - NaN are NaN, which differs from itself")]
    pub compare ISFINITE: isfinite(x) -> y { x.minus(x) == x.minus(x) } "is_finite_TYPE(x)" | "true"
    /// Whether both hold.
    pub logic AND: logical_and(x, z) -> y { x && z } "x && y"
    /// Whether at least one holds.
    pub logic OR: logical_or(x, z) -> y { x || z } "x || y"
    /// Whether exactly one holds.
    pub logic XOR: logical_xor(x, z) -> y { x != z } "x != y"
    /// Whether it does not hold.
    pub logic NOT: logical_not(x) -> y { !x } "!x"
}

/// The first side's share of a gradient: 1 where it wins, a half where both are equal.
fn share(wins: &Tensor, ties: &Tensor, like: &Tensor) -> Tensor {
    wins.where_(like.constant_like(1.0), ties.where_(like.constant_like(0.5), 0.0))
}

/// Methods of one tensor, each the row of that name.
macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident $row:ident;)*) => {
        /// Elementwise functions.
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                self.elementwise(&$row, &[])
            })*
        }
    };
}

/// Methods of two tensors, each the row of that name.
macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident $row:ident;)*) => {
        /// Elementwise functions of two tensors, or of a tensor and a number, that broadcast.
        #[allow(clippy::should_implement_trait, reason = "the operators are implemented beside these named forms")]
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: impl Operand) -> Tensor {
                self.elementwise_with(&$row, &[], other)
            })*
        }
    };
}

unary_methods! {
    /// `e^x`. PyTorch: `torch.exp`.
    exp EXP;
    /// `2^x`. PyTorch: `torch.exp2`.
    exp2 EXP2;
    /// `e^x - 1`, exact near 0. PyTorch: `torch.expm1`.
    expm1 EXPM1;
    /// The natural logarithm. PyTorch: `torch.log`.
    log LOG;
    /// The logarithm of base 2. PyTorch: `torch.log2`.
    log2 LOG2;
    /// `ln(1 + x)`, exact near 0. PyTorch: `torch.log1p`.
    log1p LOG1P;
    /// The sine. PyTorch: `torch.sin`.
    sin SIN;
    /// The cosine. PyTorch: `torch.cos`.
    cos COS;
    /// The tangent. PyTorch: `torch.tan`.
    tan TAN;
    /// The inverse sine. PyTorch: `torch.asin`.
    asin ASIN;
    /// The inverse cosine. PyTorch: `torch.acos`.
    acos ACOS;
    /// The inverse tangent. PyTorch: `torch.atan`.
    atan ATAN;
    /// The hyperbolic sine. PyTorch: `torch.sinh`.
    sinh SINH;
    /// The hyperbolic cosine. PyTorch: `torch.cosh`.
    cosh COSH;
    /// The hyperbolic tangent. PyTorch: `torch.tanh`.
    tanh TANH;
    /// The logistic function, `1 / (1 + e^-x)`. PyTorch: `torch.sigmoid`.
    sigmoid SIGMOID;
    /// The error function. PyTorch: `torch.erf`.
    erf ERF;
    /// The square root. PyTorch: `torch.sqrt`.
    sqrt SQRT;
    /// `x Phi(x)` with the normal distribution's `Phi`, exact. PyTorch: `F.gelu`.
    gelu GELU;
    /// `1 / sqrt(x)`. PyTorch: `torch.rsqrt`.
    rsqrt RSQRT;
    /// `1 / x`. PyTorch: `torch.reciprocal`.
    reciprocal RECIPROCAL;
    /// The largest whole number not above. PyTorch: `torch.floor`.
    floor FLOOR;
    /// The smallest whole number not below. PyTorch: `torch.ceil`.
    ceil CEIL;
    /// The nearest whole number, halves to even. PyTorch: `torch.round`.
    round ROUND;
    /// The whole number towards zero. PyTorch: `torch.trunc`.
    trunc TRUNC;
    /// The magnitude. PyTorch: `torch.abs`.
    abs ABS;
    /// -1, 0 or 1. PyTorch: `torch.sgn`.
    sign SIGN;
    /// `max(x, 0)`. PyTorch: `torch.relu`.
    relu RELU;
    /// Whether each element is NaN. PyTorch: `torch.isnan`.
    isnan ISNAN;
    /// Whether each element is finite. PyTorch: `torch.isfinite`.
    isfinite ISFINITE;
    /// Whether each element is false. PyTorch: `torch.logical_not`.
    logical_not NOT;
}

binary_methods! {
    /// The sum. PyTorch: `torch.add`.
    add ADD;
    /// The difference. PyTorch: `torch.sub`.
    sub SUB;
    /// The product. PyTorch: `torch.mul`.
    mul MUL;
    /// The quotient; whole numbers round towards zero. PyTorch: `torch.div`.
    div DIV;
    /// The remainder with the divisor's sign. PyTorch: `torch.remainder`.
    remainder REMAINDER;
    /// The larger. PyTorch: `torch.maximum`.
    maximum MAXIMUM;
    /// The smaller. PyTorch: `torch.minimum`.
    minimum MINIMUM;
    /// `x^y`. PyTorch: `torch.pow`.
    pow POW;
    /// The angle of the point (`other`, `self`). PyTorch: `torch.atan2`.
    atan2 ATAN2;
    /// Whether they are equal. PyTorch: `torch.eq`.
    eq EQ;
    /// Whether they differ. PyTorch: `torch.ne`.
    ne NE;
    /// Whether `self` is smaller. PyTorch: `torch.lt`.
    lt LT;
    /// Whether `self` is smaller or equal. PyTorch: `torch.le`.
    le LE;
    /// Whether `self` is larger. PyTorch: `torch.gt`.
    gt GT;
    /// Whether `self` is larger or equal. PyTorch: `torch.ge`.
    ge GE;
    /// Whether both hold. PyTorch: `torch.logical_and`.
    logical_and AND;
    /// Whether at least one holds. PyTorch: `torch.logical_or`.
    logical_or OR;
    /// Whether exactly one holds. PyTorch: `torch.logical_xor`.
    logical_xor XOR;
}

impl Tensor {
    /// From `self` to `end`, so far as `weight` says: `self + weight * (end - self)`. All three broadcast, and the weight
    /// may be a number. PyTorch: `torch.lerp`.
    #[track_caller]
    pub fn lerp(&self, end: &Tensor, weight: impl Operand) -> Tensor {
        self.elementwise_with(&LERP, &[end], weight)
    }
}

/// Every row, for tests and tools that walk the table.
pub static ROWS: &[&Elementwise] = &[
    &EXP,
    &EXP2,
    &EXPM1,
    &LOG,
    &LOG2,
    &LOG1P,
    &SIN,
    &COS,
    &TAN,
    &ASIN,
    &ACOS,
    &ATAN,
    &SINH,
    &COSH,
    &TANH,
    &SIGMOID,
    &ERF,
    &SQRT,
    &RSQRT,
    &GELU,
    &GELU_SLOPE,
    &RECIPROCAL,
    &FLOOR,
    &CEIL,
    &ROUND,
    &TRUNC,
    &NEG,
    &ABS,
    &SIGN,
    &RELU,
    &ADD,
    &SUB,
    &MUL,
    &DIV,
    &REMAINDER,
    &MAXIMUM,
    &MINIMUM,
    &POW,
    &ATAN2,
    &LERP,
    &EQ,
    &NE,
    &LT,
    &LE,
    &GT,
    &GE,
    &ISNAN,
    &ISFINITE,
    &AND,
    &OR,
    &XOR,
    &NOT,
];
