//! The loader: a dataset in shuffled batches, epoch after epoch.

use crate::collate::Collate;
use crate::dataset::Dataset;
use crate::prefetch;
use crate::rng::Rng;
use std::any::Any;
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wgrad_tensor::{Error, ErrorKind, Result};

/// Serves a dataset in batches, one epoch at a time.
///
/// ```
/// use wgrad_data::{DataLoader, InMemory};
///
/// let numbers: InMemory<u32> = (0..10).collect();
/// let loader = DataLoader::new(numbers, |items: Vec<u32>| Ok(items)).batch_size(4).shuffle(42).prefetch(2);
/// for epoch in 0..3 {
///     let mut seen = 0;
///     for batch in loader.epoch(epoch) {
///         seen += batch?.len();
///     }
///     assert_eq!(seen, 10);
/// }
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
///
/// An epoch ends at its first error. A panic in the dataset or in the collate function is an error, too.
#[derive(Debug)]
pub struct DataLoader<D, C> {
    source: Arc<Source<D, C>>,
    batch_size: usize,
    shuffle: Option<u64>,
    drop_last: bool,
    prefetch: usize,
    next_epoch: AtomicU64,
}

impl<D, C> DataLoader<D, C>
where
    D: Dataset,
    C: Collate<D::Item>,
{
    /// A loader that serves single items in the dataset's order. To share a dataset between loaders, pass an [`Arc`] of it.
    pub fn new(dataset: D, collate: C) -> Self {
        DataLoader {
            source: Arc::new(Source { dataset, collate }),
            batch_size: 1,
            shuffle: None,
            drop_last: false,
            prefetch: 0,
            next_epoch: AtomicU64::new(0),
        }
    }

    /// How many items a batch has; the last one of an epoch may have fewer. 0 makes every epoch an error.
    pub fn batch_size(mut self, items: usize) -> Self {
        self.batch_size = items;
        self
    }

    /// A new order for each epoch. It depends on the seed and on the epoch's number, and on nothing else.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// Whether to leave out the last batch of an epoch where it is smaller than the others.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// Makes batches on a background thread, up to this many ahead; 0 makes each one when it is asked for.
    ///
    /// The batches are the same either way. On targets without threads this changes nothing.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// How many batches an epoch has.
    pub fn len(&self) -> usize {
        let items = self.source.dataset.len();
        match (self.batch_size, self.drop_last) {
            (0, _) => 0,
            (size, true) => items / size,
            (size, false) => items.div_ceil(size),
        }
    }

    /// Whether an epoch has no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.source.dataset
    }

    /// The indices of the items in the order in which an epoch visits them.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.source.dataset.len()).collect();
        if let Some(seed) = self.shuffle {
            Rng::stream(seed, epoch).shuffle(&mut indices);
        }
        indices
    }
}

impl<D, C> DataLoader<D, C>
where
    D: Dataset + 'static,
    C: Collate<D::Item> + 'static,
{
    /// The batches of the next epoch: the first call gives epoch 0, the second epoch 1, and so on.
    pub fn iter(&self) -> Epoch<C::Batch> {
        self.epoch(self.next_epoch.fetch_add(1, Ordering::Relaxed))
    }

    /// The batches of one epoch, by its number. It does not change which epoch [`iter`](DataLoader::iter) gives next.
    pub fn epoch(&self, epoch: u64) -> Epoch<C::Batch> {
        let len = self.len();
        if self.batch_size == 0 {
            let error = Error::new(ErrorKind::Value, "DataLoader", "a batch size of 0");
            return Epoch { batches: Box::new(std::iter::once(Err(error))), left: 1 };
        }
        let (source, size, order) = (self.source.clone(), self.batch_size, self.order(epoch));
        let mut next = 0;
        let make = move |go_on: &dyn Fn() -> bool| {
            let indices = order.chunks(size).take(len).nth(next)?;
            next += 1;
            source.batch(indices, go_on)
        };
        Epoch { batches: prefetch::start(make, self.prefetch), left: len }
    }
}

impl<D, C> IntoIterator for &DataLoader<D, C>
where
    D: Dataset + 'static,
    C: Collate<D::Item> + 'static,
{
    type Item = Result<C::Batch>;
    type IntoIter = Epoch<C::Batch>;
    fn into_iter(self) -> Epoch<C::Batch> {
        self.iter()
    }
}

/// What batches are made from.
#[derive(Debug)]
struct Source<D, C> {
    dataset: D,
    collate: C,
}

impl<D, C> Source<D, C>
where
    D: Dataset,
    C: Collate<D::Item>,
{
    /// The batch of these items, or nothing where `go_on` says so between two of them.
    fn batch(&self, indices: &[usize], go_on: &dyn Fn() -> bool) -> Option<Result<C::Batch>> {
        let make = || {
            let mut items = Vec::with_capacity(indices.len());
            for &index in indices {
                if !go_on() {
                    return None;
                }
                match self.dataset.get(index) {
                    Ok(item) => items.push(item),
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(self.collate.collate(items))
        };
        // Nothing that a panic could leave half done is used again: the epoch ends with the error.
        catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| Some(Err(panicked(&*panic))))
    }
}

/// The error for a panic while a batch was made.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Value, "DataLoader", format!("making a batch panicked: {}", text.unwrap_or("no message")))
}

/// The batches of one epoch. It ends after the first error. Dropping it early ends its thread.
pub struct Epoch<B> {
    batches: Box<dyn Iterator<Item = Result<B>> + Send>,
    left: usize,
}

impl<B> Iterator for Epoch<B> {
    type Item = Result<B>;

    fn next(&mut self) -> Option<Result<B>> {
        if self.left == 0 {
            return None;
        }
        let batch = self.batches.next().unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Value, "DataLoader", format!("ended {} batches early", self.left)))
        });
        self.left = if batch.is_ok() { self.left - 1 } else { 0 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error can end it sooner.
        (self.left.min(1), Some(self.left))
    }
}

impl<B> FusedIterator for Epoch<B> {}

impl<B> std::fmt::Debug for Epoch<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Epoch({} batches left)", self.left)
    }
}

#[cfg(test)]
mod tests;
