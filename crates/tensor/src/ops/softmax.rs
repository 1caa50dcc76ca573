//! Softmax and its logarithm.

use crate::tensor::Tensor;

impl Tensor {
    /// `e^x / sum e^x` along `axis`. PyTorch: `F.softmax`.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let powers = self.less_maximum(axis).exp();
        // One division for each row. The total is at least 1, so its reciprocal is a normal number.
        let share = powers.sum_keepdim(axis).reciprocal();
        powers * share
    }

    /// `x - log sum e^x` along `axis`. PyTorch: `F.log_softmax`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let shifted = self.less_maximum(axis);
        let total = shifted.exp().sum_keepdim(axis).log();
        shifted - total
    }

    /// `log sum e^x` along `axis`, without overflow. PyTorch: `torch.logsumexp`.
    #[track_caller]
    pub fn logsumexp(&self, axis: isize) -> Tensor {
        let maximum = self.detach().max_keepdim(axis);
        // Infinity less infinity is no number; less 0 it is right.
        let maximum = maximum.isfinite().where_(&maximum, 0.0);
        ((self - &maximum).exp().sum_keepdim(axis).log() + maximum).squeeze(axis)
    }

    /// Less its maximum, which keeps exponentials in range. The shift cancels out, so no gradient flows through it.
    #[track_caller]
    fn less_maximum(&self, axis: isize) -> Tensor {
        self - self.detach().max_keepdim(axis)
    }
}
