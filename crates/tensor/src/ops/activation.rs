//! Activation functions, composed of rows of the table.

use crate::tensor::Tensor;
use std::f64::consts::PI;

impl Tensor {
    /// GELU by its tanh approximation. PyTorch: `F.gelu(approximate="tanh")`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let inner = (self + self.square() * self * 0.044715) * (2.0 / PI).sqrt();
        self * (inner.tanh() + 1.0) * 0.5
    }

    /// `x sigmoid(x)`. PyTorch: `F.silu`.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// `x` above 0, `slope * x` below. PyTorch: `F.leaky_relu`.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.gt(0.0).where_(self, self * slope)
    }

    /// `x` above 0, `alpha (e^x - 1)` below. PyTorch: `F.elu`.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        // The exponential sees no positive number: an overflow there would make the unused branch's gradient NaN.
        let positive = self.gt(0.0);
        let below = positive.where_(0.0, self).expm1() * alpha;
        positive.where_(self, below)
    }

    /// `log(1 + e^x)`, without overflow. PyTorch: `F.softplus`.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        // Not relu and abs: at 0 their gradients are 0, and this one's is a half.
        let positive = self.gt(0.0);
        positive.where_(self, 0.0) + positive.where_(-self, self).exp().log1p()
    }

    /// `log sigmoid(x)`, without overflow. PyTorch: `F.logsigmoid`.
    #[track_caller]
    pub fn log_sigmoid(&self) -> Tensor {
        -(-self).softplus()
    }

    /// `x` clamped to 0 to 6. PyTorch: `F.relu6`.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.clamp(0.0, 6.0)
    }

    /// `clamp(x / 6 + 1 / 2, 0, 1)`. PyTorch: `F.hardsigmoid`.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        (self / 6.0 + 0.5).clamp(0.0, 1.0)
    }

    /// `x tanh(softplus(x))`. PyTorch: `F.mish`.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self * self.softplus().tanh()
    }
}
