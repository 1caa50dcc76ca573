//! Losses, each the mean over all examples.

use crate::error::{ErrorKind, Problem};
use crate::tensor::Tensor;

impl Tensor {
    /// The mean of `-log softmax(self)[label]` over the rows of `[.., classes]`, with labels `[..]` (u32 or i32).
    /// PyTorch: `F.cross_entropy`, where classes are axis 1.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Tensor {
        self.log_softmax(-1).nll_loss(labels)
    }

    /// The mean of `-self[label]` over the rows of log-probabilities `[.., classes]`. PyTorch: `F.nll_loss`.
    #[track_caller]
    pub fn nll_loss(&self, labels: &Tensor) -> Tensor {
        if let (Ok(rows), Ok(shape)) = (self.try_shape(), labels.try_shape())
            && (rows.is_empty() || rows[..rows.len() - 1] != shape[..])
        {
            let problem = Problem::new(ErrorKind::Shape, "takes [.., classes] and one label for each row");
            return self.fail("nll_loss", &[labels], problem);
        }
        -self.gather(-1, &labels.unsqueeze(-1)).mean(..)
    }

    /// The mean of `(self - target)^2`. PyTorch: `F.mse_loss`.
    #[track_caller]
    pub fn mse_loss(&self, target: &Tensor) -> Tensor {
        (self - target).square().mean(..)
    }

    /// The mean of `|self - target|`. PyTorch: `F.l1_loss`.
    #[track_caller]
    pub fn l1_loss(&self, target: &Tensor) -> Tensor {
        (self - target).abs().mean(..)
    }

    /// The mean of `-(t log p + (1 - t) log(1 - p))` of probabilities; logarithms are at least -100, as in PyTorch.
    /// PyTorch: `F.binary_cross_entropy`.
    #[track_caller]
    pub fn bce_loss(&self, target: &Tensor) -> Tensor {
        // The logarithm sees no 0: its infinite gradient would make NaN of the zero that comes in there.
        let log = |p: &Tensor| {
            let zero = p.eq(0.0);
            zero.where_(-100.0, zero.where_(1.0, p).log().maximum(-100.0))
        };
        let (log_p, log_q) = (log(self), log(&(1.0 - self)));
        -(target * log_p + (1.0 - target) * log_q).mean(..)
    }

    /// The mean of the binary cross-entropy of `sigmoid(self)`, without overflow.
    /// PyTorch: `F.binary_cross_entropy_with_logits`.
    #[track_caller]
    pub fn bce_with_logits_loss(&self, target: &Tensor) -> Tensor {
        (self.softplus() - self * target).mean(..)
    }
}
