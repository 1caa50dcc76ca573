//! The waist between plans and what runs them.

use crate::plan::{Given, Plan};
use std::fmt::Debug;
use wgrad_tensor::Result;
use wgrad_tensor::device::{BoxFuture, Buffer, Description, Stats};

/// What runs plans.
pub trait Backend: Send + Sync + Debug {
    /// What the device says of itself.
    fn describe(&self) -> &Description;

    /// Copies `bytes` to the device. It does not wait.
    fn upload(&self, bytes: &[u8]) -> Result<Buffer>;

    /// Runs a plan and gives the buffers of its outputs. `inputs` has a buffer for each of [`Plan::inputs`]; the memory
    /// of one that nobody else holds is used again as soon as the plan frees its value. It does not wait for a GPU: what
    /// goes wrong there is the error of the next read.
    fn run(&self, plan: &Plan, inputs: Vec<Buffer>, given: &Given<'_>) -> Result<Vec<Buffer>>;

    /// What the device has done and holds, where it counts that; `plans` and `evaluations` are not its own to count.
    fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Gives the memory that waits for reuse back to the system.
    fn release_free_memory(&self) {}

    /// Starts anew to look for the most bytes in use.
    fn reset_peak_memory(&self) {}

    /// Copies a buffer's `bytes` first bytes to the host, with any error that the device has met since the last read.
    fn read(&self, buffer: &Buffer, bytes: usize) -> BoxFuture<'static, Result<Vec<u8>>>;

    /// Waits until everything asked for is done.
    fn sync(&self) -> BoxFuture<'static, Result<()>>;
}
