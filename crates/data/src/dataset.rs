//! What a dataset is, and datasets made from other datasets.

use crate::rng::Rng;
use std::sync::Arc;
use wgrad_tensor::{Error, ErrorKind, Result};

/// Items that can be fetched by index, from several threads.
///
/// ```
/// use wgrad_data::Dataset;
/// use wgrad_tensor::Result;
///
/// /// Points of a parabola.
/// struct Parabola;
///
/// impl Dataset for Parabola {
///     type Item = (f32, f32);
///     fn len(&self) -> usize {
///         100
///     }
///     fn get(&self, index: usize) -> Result<(f32, f32)> {
///         let x = index as f32 / 100.0;
///         Ok((x, x * x))
///     }
/// }
///
/// let (training, held_out) = Parabola.split(80, 0)?;
/// assert_eq!((training.len(), held_out.len()), (80, 20));
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// One example.
    type Item: Send;

    /// How many items there are.
    fn len(&self) -> usize;

    /// The item at `index`. The same index gives the same item.
    fn get(&self, index: usize) -> Result<Self::Item>;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same items, each passed through `f` when it is fetched.
    fn map<T, F>(self, f: F) -> Map<Self, F>
    where
        Self: Sized,
        T: Send,
        F: Fn(Self::Item) -> Result<T> + Send + Sync,
    {
        Map { dataset: self, f }
    }

    /// The items at `indices`, in that order; a range will do. An index that is not there fails when it is fetched.
    fn subset(self, indices: impl IntoIterator<Item = usize>) -> Subset<Self>
    where
        Self: Sized,
    {
        Subset { dataset: self, indices: indices.into_iter().collect() }
    }

    /// Two parts that share no item: `first` items drawn at random, and the others. The seed decides which.
    fn split(self, first: usize, seed: u64) -> Result<(Part<Self>, Part<Self>)>
    where
        Self: Sized,
    {
        let len = self.len();
        if first > len {
            let message = format!("the first part is to have {first} items, the dataset has {len}");
            return Err(Error::new(ErrorKind::Value, "Dataset::split", message));
        }
        let mut indices: Vec<usize> = (0..len).collect();
        Rng::stream(seed, 0).shuffle(&mut indices);
        let others = indices.split_off(first);
        let shared = Arc::new(self);
        Ok((shared.clone().subset(indices), shared.subset(others)))
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    type Item = D::Item;
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        (**self).get(index)
    }
}

/// A dataset whose items lie in memory.
///
/// ```
/// use wgrad_data::{Dataset, InMemory};
///
/// let words = InMemory::from(vec!["tensor", "graph", "plan"]);
/// assert_eq!(words.get(1)?, "graph");
/// assert!(words.get(3).is_err());
/// # Ok::<(), wgrad_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InMemory<T>(Vec<T>);

impl<T> InMemory<T> {
    /// The items, in order.
    pub fn items(&self) -> &[T] {
        &self.0
    }
}

impl<T> From<Vec<T>> for InMemory<T> {
    fn from(items: Vec<T>) -> Self {
        InMemory(items)
    }
}

impl<T> FromIterator<T> for InMemory<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        InMemory(items.into_iter().collect())
    }
}

impl<T: Clone + Send + Sync> Dataset for InMemory<T> {
    type Item = T;
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> Result<T> {
        self.0.get(index).cloned().ok_or_else(|| no_such_item("InMemory::get", index, self.0.len()))
    }
}

/// A dataset with a function applied to each item; see [`Dataset::map`].
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    dataset: D,
    f: F,
}

impl<D, T, F> Dataset for Map<D, F>
where
    D: Dataset,
    T: Send,
    F: Fn(D::Item) -> Result<T> + Send + Sync,
{
    type Item = T;
    fn len(&self) -> usize {
        self.dataset.len()
    }
    fn get(&self, index: usize) -> Result<T> {
        (self.f)(self.dataset.get(index)?)
    }
}

/// Some items of a dataset; see [`Dataset::subset`] and [`Dataset::split`].
#[derive(Clone, Debug)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D> Subset<D> {
    /// Where in the whole dataset the items lie.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    type Item = D::Item;
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        match self.indices.get(index) {
            Some(&inner) => self.dataset.get(inner),
            None => Err(no_such_item("Subset::get", index, self.indices.len())),
        }
    }
}

/// One of the parts of a dataset that was [split](Dataset::split).
pub type Part<D> = Subset<Arc<D>>;

/// The error for an index outside a dataset.
pub(crate) fn no_such_item(op: &'static str, index: usize, len: usize) -> Error {
    Error::new(ErrorKind::Index, op, format!("item {index} of a dataset with {len}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: u32) -> InMemory<u32> {
        (0..len).collect()
    }

    #[test]
    fn an_index_outside_is_an_error() {
        let error = numbers(3).get(3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index);
        assert_eq!(error.message(), "item 3 of a dataset with 3");
        assert!(numbers(0).is_empty() && !numbers(1).is_empty());
    }

    #[test]
    fn map_applies_to_each_item_and_can_fail() {
        let halves = numbers(4).map(|n| match n % 2 {
            0 => Ok(n / 2),
            _ => Err(Error::new(ErrorKind::Value, "half", "odd")),
        });
        assert_eq!((halves.len(), halves.get(2).unwrap()), (4, 1));
        assert_eq!(halves.get(3).unwrap_err().message(), "odd");
    }

    #[test]
    fn a_subset_keeps_its_own_order() {
        let some = numbers(10).subset([7, 0, 7, 20]);
        assert_eq!((some.get(0).unwrap(), some.get(1).unwrap(), some.get(2).unwrap()), (7, 0, 7));
        assert_eq!(some.get(3).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(some.get(4).unwrap_err().message(), "item 4 of a dataset with 4");
        assert_eq!(numbers(10).subset(2..5).len(), 3);
    }

    #[test]
    fn a_split_loses_and_shares_nothing() {
        let (a, b) = numbers(100).split(70, 3).unwrap();
        assert_eq!((a.len(), b.len()), (70, 30));
        let mut all: Vec<u32> = (0..70).map(|i| a.get(i).unwrap()).chain((0..30).map(|i| b.get(i).unwrap())).collect();
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(numbers(100).split(70, 3).unwrap().0.indices(), a.indices());
        assert_ne!(numbers(100).split(70, 4).unwrap().0.indices(), a.indices());
        assert_eq!(numbers(1).split(2, 0).unwrap_err().kind(), ErrorKind::Value);
    }

    #[test]
    fn a_trait_object_is_a_dataset() {
        let shared: Arc<dyn Dataset<Item = u32>> = Arc::new(numbers(5));
        assert_eq!((shared.len(), shared.get(4).unwrap()), (5, 4));
    }
}
