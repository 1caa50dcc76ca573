//! Who is compared, and how their programs are built and started.

use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Device {
    /// The processor
    Cpu,
    /// The Vulkan adapter that wgrad finds, and Burn by itself
    Vulkan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    Wgrad,
    Pytorch,
    Numpy,
    Candle,
    Burn,
}

impl Device {
    fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Vulkan => "vulkan",
        }
    }

    /// Who can compute there.
    pub fn peers(self) -> &'static [Peer] {
        match self {
            Device::Cpu => &[Peer::Wgrad, Peer::Pytorch, Peer::Numpy, Peer::Candle, Peer::Burn],
            Device::Vulkan => &[Peer::Wgrad, Peer::Burn],
        }
    }
}

/// A program that is ready to be started.
pub struct Launch {
    program: PathBuf,
    argument: PathBuf,
    threads: usize,
}

impl Launch {
    /// Builds the program of a peer, or finds what runs it.
    pub fn new(peer: Peer, device: Device, folder: &Path, python: &Path, threads: usize) -> Result<Launch, String> {
        let scripts = folder.join("python");
        let (program, argument) = match peer {
            Peer::Wgrad => (build(folder, "wgrad", None)?, device.name().into()),
            Peer::Candle => (build(folder, "candle", None)?, device.name().into()),
            Peer::Burn => (build(folder, "burn", Some(device.name()))?, device.name().into()),
            Peer::Pytorch => (interpreter(python)?, scripts.join("with_torch.py")),
            Peer::Numpy => (interpreter(python)?, scripts.join("with_numpy.py")),
        };
        Ok(Launch { program, argument, threads })
    }

    /// What starts it. What it keeps for later starts it finds and leaves in `caches`: Mesa and Burn keep kernels, and Burn
    /// keeps them beside the outermost `Cargo.toml` above the folder that it starts in, if there is one.
    pub fn command(&self, caches: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.argument).current_dir(caches).env("XDG_CACHE_HOME", caches);
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"] {
            command.env(variable, self.threads.to_string());
        }
        command
    }
}

/// Builds one of the packages in `folder`; the answer is its program.
fn build(folder: &Path, name: &str, feature: Option<&str>) -> Result<PathBuf, String> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => std::path::absolute(target).map_err(|error| error.to_string())?,
        None => folder.join("../../target"),
    };
    let target = target.join("peers");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--manifest-path"])
        .arg(folder.join(name).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(feature.map(|feature| format!("--features={feature}")))
        .status()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !status.success() {
        return Err("it does not build".to_owned());
    }
    Ok(target.join("release").join(format!("peer-{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// The interpreter itself, where the name that it goes by stands for a script that looks for it.
fn interpreter(python: &Path) -> Result<PathBuf, String> {
    let output = Command::new(python)
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
