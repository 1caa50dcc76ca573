//! What the Rust programs share: how they are spoken to, what they start from, and what they show of their results.
//!
//! `protocol.py` is the same for Python; the numbers of both are equal, bit for bit.

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Work made ready. A call does it once, waits until it is done, and drops what it made. Where it is asked to show its
/// result, it gives the numbers; a training step always gives its loss.
pub type Work = Box<dyn FnMut(bool) -> Outcome<Vec<f32>>>;

/// The name of a work, and what makes it ready on a device.
pub type Named<D> = (&'static str, fn(&D) -> Outcome<Work>);

/// How many additions of three numbers `tiny_adds` does, one after the other.
pub const TINY_ADDS: usize = 1_000_000;
/// What it adds. All sums are exact.
pub const TINY: [f32; 3] = [0.25, -0.5, 1.0];

pub const MNIST_BATCH: usize = 64;
pub const GPT_BATCH: usize = 12;
pub const GPT_CONTEXT: usize = 128;
pub const GPT_WIDTH: usize = 128;
pub const GPT_HEADS: usize = 4;
pub const GPT_LAYERS: usize = 4;
pub const GPT_VOCABULARY: usize = 65;
pub const LEARNING_RATE: f64 = 1e-3;

/// Says what the program is and which works it knows, then answers lines until there are no more:
///
/// * `first NAME` makes the work ready and does it once. The answer is the milliseconds that it took, and numbers that
///   further runs show.
/// * `time NAME COUNT` does it again. The answer is the milliseconds of each run.
pub fn serve<D>(title: &str, device: &D, works: &[Named<D>]) -> Outcome<()> {
    println!("{title}");
    println!("{}", works.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" "));
    let mut ready = HashMap::new();
    for line in std::io::stdin().lines() {
        match answer(&line?, device, works, &mut ready) {
            Ok(numbers) => println!("{}", numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")),
            Err(error) => println!("error {}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

fn answer<D>(line: &str, device: &D, works: &[Named<D>], ready: &mut HashMap<&'static str, Work>) -> Outcome<Vec<f64>> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["first", name] => {
            let (name, make) = works.iter().find(|(known, _)| *known == name).ok_or("there is no such work")?;
            let mut work = make(device)?;
            let mut numbers = vec![milliseconds(&mut work)?];
            numbers.extend(shown(&mut work)?);
            ready.insert(name, work);
            Ok(numbers)
        }
        ["time", name, count] => {
            let work = ready.get_mut(name).ok_or("that is not ready")?;
            (0..count.parse()?).map(|_| milliseconds(work)).collect()
        }
        _ => Err("what is asked is `first NAME` or `time NAME COUNT`".into()),
    }
}

/// How long one run takes, until its result is dropped.
fn milliseconds(work: &mut Work) -> Outcome<f64> {
    let start = Instant::now();
    work(false)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Numbers of a result to compare, at least three: the losses of training steps, or what there is of elements.
fn shown(work: &mut Work) -> Outcome<Vec<f64>> {
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        numbers.extend(excerpt(&work(true)?));
    }
    Ok(numbers)
}

/// All numbers where they are few; else 64 of them, from first to last, and the root of the mean square of all.
fn excerpt(values: &[f32]) -> Vec<f64> {
    const KEPT: usize = 64;
    if values.len() <= KEPT {
        return values.iter().copied().map(f64::from).collect();
    }
    let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    let kept = (0..KEPT).map(|i| f64::from(values[i * (values.len() - 1) / (KEPT - 1)]));
    kept.chain([(squares / values.len() as f64).sqrt()]).collect()
}

/// Well-mixed bits for the `index`-th number of what is called `name`.
fn bits(name: &str, index: u32) -> u32 {
    let seed = name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut x = seed ^ index.wrapping_mul(0x9E37_79B1);
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// Numbers from -1 to 1, the same for the same name.
pub fn numbers(name: &str, count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| (bits(name, i) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

/// Whole numbers below `limit`, the same for the same name.
pub fn indices(name: &str, count: usize, limit: usize) -> Vec<u32> {
    (0..count as u32).map(|i| bits(name, i) % limit as u32).collect()
}

/// What the parameter called `name` starts as: numbers that get smaller with the inputs that a matrix (`[out, in, ..]`)
/// adds up. Norms start as they always do, without a call.
pub fn initial(name: &str, shape: &[usize]) -> Vec<f32> {
    let added: usize = shape[1..].iter().product();
    let scale = if shape.len() == 1 { 0.05 } else { 1.0 / (added as f64).sqrt() };
    numbers(name, shape[0] * added).into_iter().map(|x| (f64::from(x) * scale) as f32).collect()
}
