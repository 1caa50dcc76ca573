//! wgrad's CPU backend: threads, SIMD and a fast matrix product.
//!
//! [`Cpu`] runs plans step by step. Programs go block by block through all their instructions while the block is
//! in the nearest cache; matrix products are the `gemm` crate's; everything else is a loop of its own. Work is cut by
//! fixed sizes, so the same inputs give the same bits every time, for any number of threads.

mod backend;
mod buffer;
mod conv;
mod copy;
mod custom;
mod fold;
mod gemm;
mod index;
mod matmul;
mod movement;
mod program;
mod reduce;
mod simd;
mod step;
mod threads;
mod view;

pub use backend::Cpu;
