//! Chores of the project: `cargo xtask --help`.

mod browser;
mod shaders;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the project.")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Compiles every shader, as it lies on disk and as tests generate it, for every target: SPIR-V, MSL, HLSL and GLSL
    /// with naga, and WebGPU with a browser's Tint where Chromium and playwright-core are there.
    Shaders {
        /// A folder of shaders that a run with WGRAD_DUMP_SHADERS=FOLDER left; without it the tests are run to make one.
        #[arg(long)]
        dump: Option<PathBuf>,
        /// Leave the browser out.
        #[arg(long)]
        no_browser: bool,
    },
}

fn main() -> ExitCode {
    let Chore::Shaders { dump, no_browser } = Arguments::parse().chore;
    match shaders::check(dump, !no_browser) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
