use super::*;
use crate::dataset::InMemory;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

type Plain = fn(Vec<usize>) -> Result<Vec<usize>>;

fn loader(items: usize) -> DataLoader<InMemory<usize>, Plain> {
    DataLoader::new((0..items).collect(), Ok as Plain)
}

fn served<B>(epoch: Epoch<B>) -> Vec<B> {
    epoch.map(|batch| batch.unwrap()).collect()
}

/// A dataset from outside: it counts what is asked of it, and lives as long as somebody holds `alive`.
struct Counted<F> {
    len: usize,
    asked: Arc<AtomicUsize>,
    item: F,
}

impl<F: Fn(usize) -> Result<usize> + Send + Sync> Dataset for Counted<F> {
    type Item = usize;
    fn len(&self) -> usize {
        self.len
    }
    fn get(&self, index: usize) -> Result<usize> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        (self.item)(index)
    }
}

fn counted<F>(len: usize, item: F) -> (Counted<F>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    (Counted { len, asked: asked.clone(), item }, asked)
}

#[test]
fn without_shuffle_items_come_in_order_and_the_last_batch_is_small() {
    let batches = served(loader(7).batch_size(3).iter());
    assert_eq!(batches, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(loader(7).batch_size(3).len(), 3);
}

#[test]
fn drop_last_leaves_out_only_a_small_batch() {
    let some = loader(7).batch_size(3).drop_last(true);
    assert_eq!((some.len(), served(some.iter())), (2, vec![vec![0, 1, 2], vec![3, 4, 5]]));
    let even = loader(6).batch_size(3).drop_last(true);
    assert_eq!((even.len(), served(even.iter()).len()), (2, 2));
    assert!(loader(2).batch_size(3).drop_last(true).is_empty());
}

#[test]
fn an_order_depends_on_seed_and_epoch_only() {
    let a = loader(100).batch_size(8).shuffle(5);
    let b = loader(100).batch_size(30).shuffle(5).prefetch(2);
    let flat = |epoch: Epoch<Vec<usize>>| served(epoch).concat();
    assert_eq!(flat(a.epoch(3)), flat(b.epoch(3)));
    assert_eq!(flat(a.epoch(3)), a.order(3));
    assert_ne!(a.order(3), a.order(4));
    assert_ne!(a.order(3), loader(100).shuffle(6).order(3));
    let mut all = a.order(3);
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[test]
fn iter_counts_epochs_and_epoch_does_not() {
    let loader = loader(20).shuffle(1);
    assert_eq!(served(loader.iter()), served(loader.epoch(0)));
    assert_eq!(served((&loader).into_iter()), served(loader.epoch(1)));
    assert_eq!(served(loader.iter()), served(loader.epoch(2)));
}

#[test]
fn prefetch_changes_nothing_but_when_batches_are_made() {
    for ahead in [1, 2, 100] {
        let (plain, fetched) =
            (loader(50).batch_size(7).shuffle(9), loader(50).batch_size(7).shuffle(9).prefetch(ahead));
        assert_eq!(served(plain.epoch(4)), served(fetched.epoch(4)));
    }
}

#[test]
fn prefetch_makes_as_many_batches_as_it_should_before_they_are_asked_for() {
    let (dataset, asked) = counted(100, Ok);
    let epoch = DataLoader::new(dataset, Ok as Plain).batch_size(5).prefetch(3).iter();
    let settled = |expected: usize| {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            asked.load(Ordering::SeqCst) >= expected
        })
    };
    assert!(settled(15));
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(asked.load(Ordering::SeqCst), 15);
    drop(epoch);
}

#[test]
fn dropping_an_epoch_half_way_ends_its_thread() {
    let (dataset, asked) = counted(1_000_000, Ok);
    let alive = Arc::new(dataset);
    let loader = DataLoader::new(alive.clone(), Ok as Plain).batch_size(10).prefetch(4);
    let mut epoch = loader.iter();
    assert_eq!(epoch.next().unwrap().unwrap().len(), 10);
    drop(epoch);
    drop(loader);
    // The thread is gone, and its share in the dataset with it.
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(asked.load(Ordering::SeqCst) <= 60);
}

#[test]
fn dropping_an_epoch_waits_for_one_item_and_not_for_a_batch() {
    let (dataset, asked) = counted(1000, |index| {
        std::thread::sleep(Duration::from_millis(5));
        Ok(index)
    });
    let epoch = DataLoader::new(dataset, Ok as Plain).batch_size(1000).prefetch(1).iter();
    std::thread::sleep(Duration::from_millis(20));
    drop(epoch);
    assert!(asked.load(Ordering::SeqCst) < 500);
}

#[test]
fn an_error_arrives_in_its_place_and_ends_the_epoch() {
    for ahead in [0, 1, 8] {
        let (dataset, _) = counted(10, |index| match index {
            5 => Err(Error::new(ErrorKind::File, "disk", "gone")),
            _ => Ok(index),
        });
        let mut epoch = DataLoader::new(dataset, Ok as Plain).batch_size(2).prefetch(ahead).iter();
        assert_eq!(epoch.next().unwrap().unwrap(), [0, 1]);
        assert_eq!(epoch.next().unwrap().unwrap(), [2, 3]);
        assert_eq!(epoch.next().unwrap().unwrap_err().message(), "gone");
        assert!(epoch.next().is_none() && epoch.next().is_none());
    }
}

#[test]
fn a_panic_is_an_error_with_its_text() {
    for ahead in [0, 2] {
        let (dataset, _) = counted(3, |index| if index == 1 { panic!("no item {index}") } else { Ok(index) });
        let mut epoch = DataLoader::new(dataset, Ok as Plain).prefetch(ahead).iter();
        assert!(epoch.next().unwrap().is_ok());
        let error = epoch.next().unwrap().unwrap_err();
        assert_eq!(error.message(), "making a batch panicked: no item 1");
        assert!(epoch.next().is_none());
    }
    let broken = |_: Vec<usize>| -> Result<()> { panic!("no batch") };
    let error = DataLoader::new((0..3).collect::<InMemory<_>>(), broken).iter().next().unwrap().unwrap_err();
    assert_eq!(error.message(), "making a batch panicked: no batch");
}

#[test]
fn a_batch_size_of_0_is_an_error_and_no_items_are_no_batches() {
    let none = loader(3).batch_size(0);
    let mut epoch = none.iter();
    assert_eq!(epoch.next().unwrap().unwrap_err().kind(), ErrorKind::Value);
    assert!(epoch.next().is_none() && none.is_empty());
    assert!(loader(0).prefetch(1).iter().next().is_none());
}

#[test]
fn the_size_hint_is_true() {
    let mut epoch = loader(5).batch_size(2).iter();
    assert_eq!(epoch.size_hint(), (1, Some(3)));
    epoch.next();
    assert_eq!(epoch.size_hint(), (1, Some(2)));
    assert_eq!(epoch.by_ref().count(), 2);
    assert_eq!(epoch.size_hint(), (0, Some(0)));
}

#[test]
fn threads_can_share_a_loader() {
    let loader = loader(64).batch_size(4).shuffle(2).prefetch(1);
    let sum = |epoch| served(loader.epoch(epoch)).concat().iter().sum::<usize>();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|epoch| scope.spawn(move || sum(epoch))).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 64 * 63 / 2));
    });
}
