//! From a handful of items to one batch.

use wgrad_tensor::Result;

/// How items become a batch. Closures `Fn(Vec<Item>) -> Result<Batch>` are ones; a type of its own is for what has options.
///
/// ```
/// use wgrad_data::Collate;
///
/// struct Mean;
///
/// impl Collate<f32> for Mean {
///     type Batch = f32;
///     fn collate(&self, items: Vec<f32>) -> wgrad_tensor::Result<f32> {
///         Ok(items.iter().sum::<f32>() / items.len() as f32)
///     }
/// }
///
/// assert_eq!(Mean.collate(vec![1.0, 2.0, 6.0])?, 3.0);
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
pub trait Collate<Item>: Send + Sync {
    /// What a batch is.
    type Batch: Send;

    /// One batch of at least one item.
    fn collate(&self, items: Vec<Item>) -> Result<Self::Batch>;
}

impl<Item, Batch, F> Collate<Item> for F
where
    Batch: Send,
    F: Fn(Vec<Item>) -> Result<Batch> + Send + Sync,
{
    type Batch = Batch;
    fn collate(&self, items: Vec<Item>) -> Result<Batch> {
        self(items)
    }
}
