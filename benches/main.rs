//! How fast wgrad is, on the CPU and on each adapter found.
//!
//! ```text
//! cargo bench                                  all groups, on all devices
//! cargo bench -- matmul                        one group
//! cargo bench -- vulkan                        one device
//! cargo bench -- --save-baseline before        keep the figures under a name
//! cargo bench -- --baseline before             compare with them
//! cargo bench -- --test                        run each once, without measuring
//! ```
//!
//! Every measured call records an operation on evaluated random inputs, evaluates it and waits for the device. Before
//! that, the same call's results are held against a computation in f64 that shares no code with wgrad.
//!
//! "elem/s" counts elements for elementwise work, reductions and softmax, floating-point operations for matrix products
//! and convolutions (a multiplication and an addition are two), and images for the training step. Adapters that are
//! software on the CPU get smaller sizes; each measurement's name holds its size.

mod conv;
mod elementwise;
mod matmul;
mod recording;
mod reduction;
mod softmax;
mod target;
mod training;

use criterion::Criterion;
use std::time::Duration;
use target::{Target, targets};

fn main() {
    let targets = targets();
    for target in &targets {
        println!("{target}");
    }
    if targets.len() == 1 {
        println!("no adapter was found: measuring the CPU alone");
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let groups: [fn(&mut Criterion, &[Target]); 7] = [
        matmul::group,
        elementwise::group,
        reduction::group,
        softmax::group,
        conv::group,
        training::group,
        recording::group,
    ];
    for group in groups {
        group(&mut criterion, &targets);
    }
    criterion.final_summary();
}
