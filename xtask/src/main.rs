//! Chores of the project: `cargo xtask --help`.

mod browser;
mod peers;
mod shaders;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

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
    /// Writes the plans that tests compare with, `tests/plans/*.txt`, anew. Look at what git says has changed.
    Bless,
    /// Checks random graphs on every device found, as the tests do with a hundred of them.
    Soak {
        /// How many for each device.
        #[arg(default_value_t = 5000)]
        graphs: u32,
    },
    /// Does the same work with wgrad and with PyTorch, NumPy, candle and Burn, checks that all give the same numbers, and
    /// prints how long they take, by turns. A run of everything also leaves its table in `benches/results`.
    Peers(peers::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Shaders { dump, no_browser } => shaders::check(dump, !no_browser),
        Chore::Bless => test("plans", ("WGRAD_BLESS", "1".to_owned())),
        Chore::Soak { graphs } => test("random_graphs", ("WGRAD_GRAPHS", graphs.to_string())),
        Chore::Peers(arguments) => peers::compare(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one of the facade's tests with a variable set.
fn test(name: &str, (variable, value): (&str, String)) -> Result<bool, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(["test", "--release", "--package", "wgrad", "--test", name, "--", "--nocapture"])
        .env(variable, value)
        .status()
        .map(|status| status.success())
        .map_err(|error| format!("cargo does not start: {error}"))
}
