//! The WGSL kernels of wgrad, embedded.
//!
//! Every file is valid WGSL as it lies on disk. Three kinds of place are replaced by text when a kernel is made:
//! the `alias Number = f32;` line, regions between `//{ name` and `//}`, whose content on disk is the plainest that
//! works, and calls of library functions, whose definitions [`link`] appends.

mod link;

pub use link::{Function, fill, library_functions, link};

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        /// Every file: its name, without `.wgsl`, and its text.
        pub const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../", $name, ".wgsl")))),*];
    };
}
embed! {
    "map",
    "row",
    "extreme_each", "extreme_tree",
    "contract_blocked", "contract_broad", "contract_tiled", "contract_wide",
    "operands/matmul", "operands/conv2d", "operands/conv2d_input", "operands/conv2d_weight",
    "move", "sources/gather",
    "scatter_add", "fold",
    "lib/numbers", "lib/functions", "lib/random", "lib/casts",
}

/// The text of a file, by its path without `.wgsl`: `source("map")`, `source("lib/random")`.
pub fn source(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}

/// The files of shared functions.
pub fn library() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied().filter(|(name, _)| name.starts_with("lib/"))
}
