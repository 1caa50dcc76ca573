//! Every shader through a browser's compiler, which is stricter than naga.

use crate::shaders::Shader;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser.cjs");

/// What does not compile. Where a part of what this needs is missing, it says so and finds nothing.
pub fn check(shaders: &[Shader]) -> Result<Vec<String>, String> {
    // WGSL has no f64.
    let taken: Vec<&Shader> = shaders.iter().filter(|shader| !shader.is_f64()).collect();
    let started = Command::new("node").arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            println!("BROWSER SKIPPED: node does not start ({error})");
            return Ok(Vec::new());
        }
    };
    let input = json(&taken);
    if let Some(mut stdin) = child.stdin.take() {
        // A script that ends early has said why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("the browser's script: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(3) {
        println!("BROWSER SKIPPED: {}", text.trim());
        return Ok(Vec::new());
    }
    if !output.status.success() {
        return Err(format!("the browser's script fails: {text}"));
    }
    let failures = text.lines().filter_map(|line| line.strip_prefix("FAILED ")).map(|line| line.replace('\u{1}', "\n"));
    let failures: Vec<String> = failures.map(|failure| format!("browser: {failure}")).collect();
    println!("{}", text.lines().last().unwrap_or_default());
    Ok(failures)
}

fn json(shaders: &[&Shader]) -> String {
    let mut out = String::from("[");
    for (number, shader) in shaders.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let overrides: Vec<String> =
            shader.overrides.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        let _ = write!(
            out,
            "{comma}{{\"name\":{},\"text\":{},\"overrides\":{{{}}}}}",
            quoted(&shader.name),
            quoted(&shader.text),
            overrides.join(",")
        );
    }
    out + "]"
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}
