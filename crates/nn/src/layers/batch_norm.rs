//! Normalising each channel over a batch.

use super::affine;
use crate::fail::refuse;
use crate::{Buffer, Layer, Mode, Module, Param, Scope};
use wgrad_tensor::{DType, Device, ErrorKind, Tensor};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` for each channel of `[n, channels, h, w]`. PyTorch:
/// `nn.BatchNorm2d`.
///
/// In training, mean and (biased) variance are the batch's, and the running ones move by `momentum` towards the batch's
/// mean and unbiased variance. In evaluation the running ones are used. See [`Module::train`] and [`Module::eval`].
#[derive(Clone, Debug, Module)]
pub struct BatchNorm2d {
    /// `[channels]`, starts as ones.
    pub weight: Option<Param>,
    /// `[channels]`, starts as zeros.
    pub bias: Option<Param>,
    /// `[channels]`, starts as zeros.
    pub running_mean: Buffer,
    /// `[channels]`, starts as ones.
    pub running_var: Buffer,
    /// How far the running statistics move in one step: 0.1.
    pub momentum: f64,
    /// What keeps the root from zero: 1e-5.
    pub eps: f64,
    /// Training or evaluating.
    pub mode: Mode,
    /// Its name in the model.
    pub scope: Scope,
}

impl BatchNorm2d {
    /// Normalises `channels` channels.
    #[track_caller]
    pub fn new(channels: usize, device: &Device) -> BatchNorm2d {
        let (zeros, ones) = (Tensor::zeros(channels, DType::F32, device), Tensor::ones(channels, DType::F32, device));
        BatchNorm2d {
            weight: Some(Param::new(ones.clone())),
            bias: Some(Param::new(zeros.clone())),
            running_mean: Buffer::new(zeros),
            running_var: Buffer::new(ones),
            momentum: 0.1,
            eps: 1e-5,
            mode: Mode::default(),
            scope: Scope::default(),
        }
    }

    /// The same without weight and bias. PyTorch: `affine=False`.
    pub fn without_affine(self) -> BatchNorm2d {
        BatchNorm2d { weight: None, bias: None, ..self }
    }

    /// Normalises by the batch's own statistics and moves the running ones. `count` numbers make up a channel.
    #[track_caller]
    fn by_batch(&self, input: &Tensor, count: usize) -> Tensor {
        let mean = input.mean_keepdim([0, 2, 3]);
        let centred = input - &mean;
        let var = centred.square().mean_keepdim([0, 2, 3]);
        let unbiased = var.detach() * (count as f64 / (count as f64 - 1.0));
        let moved = |old: &Tensor, new: Tensor| old * (1.0 - self.momentum) + new.flatten(..) * self.momentum;
        self.running_mean.update(|old| moved(old, mean.detach()));
        self.running_var.update(|old| moved(old, unbiased));
        centred * (var + self.eps).rsqrt()
    }

    fn by_running(&self, input: &Tensor) -> Tensor {
        let (mean, var) = (along_channels(self.running_mean.tensor()), along_channels(self.running_var.tensor()));
        (input - mean) * (var + self.eps).rsqrt()
    }
}

/// `[channels]` laid along the channels of `[n, channels, h, w]`.
#[track_caller]
fn along_channels(tensor: Tensor) -> Tensor {
    tensor.reshape([-1, 1, 1])
}

impl Layer for BatchNorm2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.scope.run(|| {
            let Ok(meta) = input.meta() else { return input.clone() };
            let refuse = |kind, message| refuse("batch_norm", kind, message, input, &[&self.running_mean.tensor()]);
            let [n, c, h, w] = meta.shape[..] else {
                return refuse(ErrorKind::Shape, "takes [n, channels, h, w]");
            };
            // Without this look one channel would broadcast to all, and a wrong dtype would end up in the statistics.
            match self.running_mean.meta() {
                Ok(own) if own.shape[..] != [c] => {
                    return refuse(ErrorKind::Shape, "the channels are not those of the running statistics");
                }
                Ok(own) if own.dtype != meta.dtype => {
                    return refuse(
                        ErrorKind::DType,
                        "the dtype is not that of the running statistics; cast one of them",
                    );
                }
                _ => {}
            }
            let normal = match self.mode.is_training() {
                true if n * h * w < 2 => {
                    return refuse(ErrorKind::Shape, "one number for each channel has no variance to train with");
                }
                true => self.by_batch(input, n * h * w),
                false => self.by_running(input),
            };
            affine(normal, &self.weight, &self.bias, along_channels)
        })
    }
}
