//! wgrad as a stranger uses it: a crate outside the workspace that depends on `wgrad` by path, trains XOR, and brings an
//! elementwise op and a layer of its own.

use std::path::Path;
use std::process::Command;

const MANIFEST: &str = r#"[package]
name = "stranger"
version = "0.1.0"
edition = "2024"

[dependencies]
wgrad = { path = "WGRAD" }

[workspace]
"#;

const PROGRAM: &str = r#"use wgrad::prelude::*;

wgrad::elementwise! {
    /// `x / (1 + |x|)`, with its gradient `1 / (1 + |x|)^2`.
    pub algebraic SOFTSIGN: softsign(x) -> y { x / (T::of(1.0) + x.magnitude()) } "x / (1.0 + abs(x))" {
        INPUTS, g => g / (1.0 + x.abs()).square()
    }
}

/// A linear map and a softsign: a layer of one's own.
#[derive(Module)]
struct Soft(Linear);

impl Layer for Soft {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x).elementwise(&SOFTSIGN, &[])
    }
}

#[derive(Module)]
struct Xor { hidden: Soft, output: Linear }

fn train(device: &Device) -> wgrad::Result<f32> {
    device.manual_seed(1);
    let inputs = Tensor::new([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], device);
    let targets = Tensor::new([[0.0f32], [1.0], [1.0], [0.0]], device);
    let model = Xor { hidden: Soft(Linear::new(2, 8, device)), output: Linear::new(8, 1, device) };
    let mut optimizer = Adam::new(model.parameters(), 0.05);
    for _ in 0..400 {
        let logits = model.output.forward(&model.hidden.forward(&inputs));
        optimizer.step(logits.bce_with_logits_loss(&targets).backward()?)?;
    }
    let answers = model.output.forward(&model.hidden.forward(&inputs)).sigmoid();
    println!("{answers}");
    (answers - targets).abs().max(..).item()
}

fn main() -> wgrad::Result<()> {
    for device in device::all() {
        let error = train(&device)?;
        println!("{device}: largest error {error}");
        assert!(error < 0.1);
        let x = Tensor::new([-2.0f64, 0.5], &device::cpu());
        wgrad::autograd::gradcheck(|v| v[0].elementwise(&SOFTSIGN, &[]), &[x], 1e-6)?;
    }
    Ok(())
}
"#;

/// XOR is trained in at most so many lines.
const LINES: usize = 30;

#[test]
fn a_crate_outside_the_workspace_builds_and_trains() -> Result<(), Box<dyn std::error::Error>> {
    let start = PROGRAM.find("fn train").ok_or("the program trains")?;
    let end = PROGRAM.find("fn main").ok_or("the program has a main")?;
    assert!(PROGRAM[start..end].trim_end().lines().count() <= LINES);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir()?;
    std::fs::create_dir(directory.path().join("src"))?;
    let path = root.display().to_string().replace('\\', "/");
    std::fs::write(directory.path().join("Cargo.toml"), MANIFEST.replace("WGRAD", &path))?;
    std::fs::write(directory.path().join("src/main.rs"), PROGRAM)?;
    // The same versions as the workspace's own, which are here already.
    std::fs::copy(root.join("../../Cargo.lock"), directory.path().join("Cargo.lock"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| root.join("../../target").into());
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--target-dir"])
        .arg(&target)
        // As a new crate builds first, but for what only a debugger wants.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .current_dir(directory.path())
        .output()?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{complained}");
    assert!(said.contains("largest error"), "{said}");
    Ok(())
}
