//! Pictures of digits: the item, the batch of tensors, and how one looks in a terminal.

use crate::collate::Collate;
use std::fmt;
use wgrad_tensor::{Device, Error, ErrorKind, Result, Tensor};

/// The width and the height of a digit's picture.
pub const SIDE: usize = 28;

/// How many pixels a digit's picture has.
pub const PIXELS: usize = SIDE * SIDE;

/// A picture of a digit with its label. It displays as 14 lines of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// The rows of the picture, from the top; 0 is paper and 255 is ink.
    pub pixels: [u8; PIXELS],
    /// The digit that it shows, 0 to 9.
    pub label: u8,
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&half_blocks(&self.pixels))
    }
}

/// A picture of 28 pixels per row as text: two rows of pixels to a line, ink where a pixel is darker than a third.
///
/// ```
/// let mut pixels = [0; 28 * 28];
/// pixels[..28].fill(255);
/// let text = wgrad_data::half_blocks(&pixels);
/// assert_eq!(text.lines().count(), 14);
/// assert_eq!(text.lines().next(), Some("▀".repeat(28).as_str()));
/// ```
pub fn half_blocks(pixels: &[u8]) -> String {
    let ink = |row: &[u8], x: usize| row.get(x).is_some_and(|&value| value > 85);
    let mut text = String::with_capacity(pixels.len() * 3);
    for rows in pixels.chunks(2 * SIDE) {
        let (top, bottom) = rows.split_at(rows.len().min(SIDE));
        text.extend((0..SIDE).map(|x| match (ink(top, x), ink(bottom, x)) {
            (false, false) => ' ',
            (true, false) => '▀',
            (false, true) => '▄',
            (true, true) => '█',
        }));
        text.push('\n');
    }
    text
}

/// Pictures with their labels, as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The pictures, `[n, 1, 28, 28]`, f32.
    pub images: Tensor,
    /// The labels, `[n]`, u32.
    pub labels: Tensor,
}

/// Makes a [`Batch`] on a device from [`Digit`]s. Pixels become numbers from 0 to 1, unless [normalized](Self::normalize).
///
/// ```
/// use wgrad_data::{BatchDigits, DataLoader, Mnist};
/// use wgrad_tensor::{Device, Result};
///
/// fn one_epoch(device: &Device) -> Result<()> {
///     let mnist = Mnist::load("mnist")?;
///     let loader = DataLoader::new(mnist.train, BatchDigits::new(device)).batch_size(64).shuffle(1).prefetch(2);
///     for batch in &loader {
///         let batch = batch?;
///         println!("{:?} {:?}", batch.images, batch.labels);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct BatchDigits {
    device: Device,
    /// The number for each of the 256 values of a pixel.
    levels: [f32; 256],
}

impl BatchDigits {
    /// Batches on `device`.
    pub fn new(device: &Device) -> Self {
        BatchDigits { device: device.clone(), levels: std::array::from_fn(|value| value as f32 / 255.0) }
    }

    /// Subtracts `mean` from the numbers from 0 to 1, then divides by `deviation`. Usual for MNIST: 0.1307 and 0.3081.
    pub fn normalize(mut self, mean: f32, deviation: f32) -> Self {
        self.levels = std::array::from_fn(|value| (value as f32 / 255.0 - mean) / deviation);
        self
    }
}

impl Collate<Digit> for BatchDigits {
    type Batch = Batch;

    fn collate(&self, items: Vec<Digit>) -> Result<Batch> {
        if !self.levels.iter().all(|level| level.is_finite()) {
            let message = "normalizing with this mean and deviation gives numbers that are not finite";
            return Err(Error::new(ErrorKind::Value, "BatchDigits::normalize", message));
        }
        let pixels = items.iter().flat_map(|digit| digit.pixels).map(|value| self.levels[value as usize]).collect();
        let labels = items.iter().map(|digit| digit.label as u32).collect();
        let images = Tensor::from_vec(pixels, [items.len(), 1, SIDE, SIDE], &self.device);
        let labels = Tensor::from_vec(labels, [items.len()], &self.device);
        // What went wrong in the upload shows here, not in whatever is computed from the batch.
        images.try_shape()?;
        labels.try_shape()?;
        Ok(Batch { images, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wgrad_tensor::device::{BoxFuture, Buffer, Description, Runtime, Storage};
    use wgrad_tensor::node::Edge;

    /// A device that only remembers.
    #[derive(Debug)]
    struct Memory(Description);

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl Storage for Bytes {
        fn bytes(&self) -> usize {
            self.0.len()
        }
    }

    impl Runtime for Memory {
        fn describe(&self) -> &Description {
            &self.0
        }
        fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
            match bytes.len() as u64 <= self.0.max_buffer {
                true => Ok(Arc::new(Bytes(bytes.to_vec()))),
                false => Err(Error::new(ErrorKind::OutOfMemory, "upload", "full")),
            }
        }
        fn evaluate(&self, _roots: &[Edge]) -> Result<()> {
            Err(Error::new(ErrorKind::Unsupported, "evaluate", "this device only remembers"))
        }
        fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>> {
            let any: &dyn std::any::Any = &**buffer;
            Box::pin(std::future::ready(Ok(any.downcast_ref::<Bytes>().unwrap().0[..bytes].to_vec())))
        }
        fn sync(&self) -> BoxFuture<'static, Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn device(max_buffer: u64) -> Device {
        Device::new(Memory(Description {
            name: "memory".into(),
            backend: "memory".into(),
            kind: "cpu".into(),
            driver: String::new(),
            f64: true,
            f16: true,
            subgroups: false,
            max_buffer,
            max_bindings: 8,
        }))
    }

    fn digit(value: u8, label: u8) -> Digit {
        let mut pixels = [value; PIXELS];
        pixels[0] = 0;
        Digit { pixels, label }
    }

    #[test]
    fn a_batch_has_the_shapes_and_values_it_should() {
        let batch = BatchDigits::new(&device(1 << 20)).collate(vec![digit(255, 7), digit(51, 2)]).unwrap();
        assert_eq!(*batch.images.try_shape().unwrap(), [2, 1, 28, 28]);
        let pixels = batch.images.to_vec::<f32>().unwrap();
        assert_eq!((pixels[0], pixels[1], pixels[PIXELS], pixels[PIXELS + 1]), (0.0, 1.0, 0.0, 0.2));
        assert_eq!(batch.labels.to_vec::<u32>().unwrap(), [7, 2]);
    }

    #[test]
    fn normalizing_shifts_and_scales() {
        let collate = BatchDigits::new(&device(1 << 20)).normalize(0.2, 0.5);
        let pixels = collate.collate(vec![digit(255, 0)]).unwrap().images.to_vec::<f32>().unwrap();
        assert_eq!((pixels[0], pixels[1]), (-0.4, 1.6));
        let zero = BatchDigits::new(&device(1 << 20)).normalize(0.2, 0.0);
        assert_eq!(zero.collate(vec![digit(1, 0)]).unwrap_err().kind(), ErrorKind::Value);
    }

    #[test]
    fn a_full_device_is_an_error_of_the_batch() {
        let error = BatchDigits::new(&device(1000)).collate(vec![digit(1, 0)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn half_blocks_show_each_pixel_in_its_place() {
        let mut picture = Digit { pixels: [0; PIXELS], label: 0 };
        picture.pixels[0] = 255;
        picture.pixels[SIDE + 1] = 200;
        picture.pixels[2] = 86;
        picture.pixels[SIDE + 2] = 86;
        picture.pixels[3] = 85;
        picture.pixels[PIXELS - 1] = 255;
        let text = picture.to_string();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        assert!(lines.len() == 14 && lines.iter().all(|line| line.len() == SIDE));
        assert_eq!(lines[0][..4], ['▀', '▄', '█', ' ']);
        assert_eq!(lines[13][27], '▄');
        assert_eq!(half_blocks(&[255; 30]), format!("██{}\n", "▀".repeat(26)));
        assert_eq!(half_blocks(&[]), "");
    }
}
