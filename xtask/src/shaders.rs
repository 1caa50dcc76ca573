//! Every shader through naga, to every language that wgpu hands to a driver.

use crate::browser;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A whole shader.
pub struct Shader {
    pub name: String,
    pub text: String,
    pub overrides: Vec<(String, f64)>,
}

impl Shader {
    fn new(name: impl Into<String>, text: &str) -> Self {
        // A generated text says in its first line which values its overrides take.
        let given = text.lines().next().and_then(|line| line.strip_prefix("// overrides:")).unwrap_or_default();
        let pairs = given.split_whitespace().filter_map(|pair| pair.split_once('='));
        let overrides = pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect();
        Shader { name: name.into(), text: text.to_owned(), overrides }
    }

    /// Whether only drivers with f64 take it: those behind SPIR-V.
    pub fn is_f64(&self) -> bool {
        let code = self.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric())).any(|word| word == "f64")
    }
}

/// Compiles everything; whether all of it compiled.
pub fn check(dump: Option<PathBuf>, with_browser: bool) -> Result<bool, String> {
    let dump = match dump {
        Some(folder) => folder,
        None => dump_by_tests()?,
    };
    let mut shaders = on_disk();
    let written = shaders.len();
    shaders.extend(generated(&dump)?);
    println!("{written} shaders as they lie on disk, {} generated", shaders.len() - written);

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for shader in &shaders {
        for (target, result) in translate(shader) {
            match result {
                Ok(()) => *counts.entry(target).or_default() += 1,
                Err(message) => failures.push(format!("{} to {target}: {message}", shader.name)),
            }
        }
    }
    for (target, count) in &counts {
        println!("{target:8} {count:5}");
    }
    if with_browser {
        failures.extend(browser::check(&shaders)?);
    }
    for failure in &failures {
        eprintln!("FAILED {failure}\n");
    }
    println!("{} failed", failures.len());
    Ok(failures.is_empty())
}

/// The files of `shaders/`. The library is one text, and once more without f64 for the targets that lack it.
fn on_disk() -> Vec<Shader> {
    let files = wgrad_shaders::FILES.iter().filter(|(name, _)| !name.starts_with("lib/"));
    let mut shaders: Vec<Shader> = files.map(|(name, text)| Shader::new(*name, &wgrad_shaders::link(text))).collect();
    let functions = wgrad_shaders::library_functions();
    let whole: String = functions.iter().map(|function| function.text).collect();
    shaders.push(Shader::new("lib", &whole));
    let portable = functions.iter().filter(|function| !Shader::new("", function.text).is_f64());
    shaders.push(Shader::new("lib without f64", &portable.map(|function| function.text).collect::<String>()));
    shaders
}

/// Runs the tests that start every kernel, and has them leave the texts in a folder.
fn dump_by_tests() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("wgrad-shaders-{}", std::process::id()));
    println!("running the tests for their shaders, into {}", folder.display());
    for arguments in [["-p", "wgrad", "--test", "ops"].as_slice(), ["-p", "wgrad-kernels"].as_slice()] {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .arg("test")
            .args(arguments)
            .env("WGRAD_DUMP_SHADERS", &folder)
            .status()
            .map_err(|error| format!("cargo test does not start: {error}"))?;
        if !status.success() {
            return Err(format!("cargo test {} fails; its shaders say little", arguments.join(" ")));
        }
    }
    Ok(folder)
}

fn generated(folder: &Path) -> Result<Vec<Shader>, String> {
    let say = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    if folder.exists() {
        for entry in std::fs::read_dir(folder).map_err(say)? {
            paths.push(entry.map_err(say)?.path());
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    paths.sort();
    if paths.is_empty() {
        println!("NO GENERATED SHADERS: the tests found no GPU, so only the files on disk are checked");
    }
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        std::fs::read_to_string(path).map(|text| Shader::new(name, &text)).map_err(say)
    };
    paths.iter().map(read).collect()
}

type Outcome = (&'static str, Result<(), String>);

fn translate(shader: &Shader) -> Vec<Outcome> {
    let parsed = naga::front::wgsl::parse_str(&shader.text)
        .map_err(|error| error.emit_to_string_with_path(&shader.text, &shader.name));
    let module = match parsed {
        Ok(module) => module,
        Err(message) => return vec![("WGSL", Err(message))],
    };
    let allowed = if shader.is_f64() { Capabilities::FLOAT64 } else { Capabilities::empty() };
    let info = match Validator::new(ValidationFlags::all(), allowed).validate(&module) {
        Ok(info) => info,
        Err(error) => return vec![("WGSL", Err(error.emit_to_string(&shader.text)))],
    };
    let constants = shader.overrides.iter().cloned().collect();
    let (module, info) = match process_overrides(&module, &info, None, &constants) {
        Ok(resolved) => resolved,
        Err(error) => return vec![("WGSL", Err(format!("overrides: {error}")))],
    };
    let mut outcomes = vec![("WGSL", Ok(())), ("SPIR-V", to_spirv(&module, &info))];
    if !shader.is_f64() {
        outcomes.push(("MSL", to_msl(&module, &info)));
        outcomes.push(("HLSL", to_hlsl(&module, &info)));
        if let Some(entry) = module.entry_points.first() {
            outcomes.push(("GLSL", to_glsl(&module, &info, &entry.name)));
        }
    }
    outcomes
}

fn to_spirv(module: &Module, info: &ModuleInfo) -> Result<(), String> {
    spv::write_vec(module, info, &spv::Options::default(), None).map(drop).map_err(|error| error.to_string())
}

fn to_msl(module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .map(drop)
        .map_err(|error| error.to_string())
}

fn to_hlsl(module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    let entries = written.map_err(|error| error.to_string())?.entry_point_names;
    entries.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.to_string()))
}

fn to_glsl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<(), String> {
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let pipeline =
        glsl::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_owned(), multiview: None };
    let mut text = String::new();
    let policies = naga::proc::BoundsCheckPolicies::default();
    let mut writer =
        glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies).map_err(|error| error.to_string())?;
    writer.write().map(drop).map_err(|error| error.to_string())
}
