//! From wgrad's recorded graph to a plan that a backend can run.
//!
//! A [`Plan`] is a list of [`Step`]s over numbered values. A [`Backend`] runs it; [`Planned`] makes any backend a
//! [`wgrad_tensor::device::Runtime`].

mod backend;
mod collect;
mod plan;
mod planned;
mod planner;

pub use backend::Backend;
pub use plan::{Instruction, Operand, Origin, Plan, Program, Step, ValueId, Work};
pub use planned::Planned;
