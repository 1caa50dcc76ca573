//! From wgrad's recorded graph to a plan that a backend can run.
//!
//! A [`Plan`] is a list of [`Step`]s over numbered values. A [`Backend`] runs it; [`Planned`] makes any backend a
//! [`wgrad_tensor::device::Runtime`].

mod backend;
mod cache;
mod collect;
mod emit;
mod finite;
mod graph;
mod groups;
mod items;
mod kept;
mod memory;
mod order;
mod padding;
mod paper;
mod plan;
mod planned;
mod planner;
mod profile;
mod read;
mod space;
mod text;
mod turns;

pub use backend::Backend;
pub use kept::Kept;
pub use padding::{Bound, Padding};
pub use paper::{Notes, Paper, Run};
pub use plan::{Given, Instruction, Operand, Origin, Plan, Program, ScalarRange, Step, ValueId, Watch, Work};
pub use planned::Planned;
pub use profile::{KernelRun, Profile};
pub use turns::{Need, take_turns};
