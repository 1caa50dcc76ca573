//! What each kernel cost.

use crate::plan::{Operand, Plan, Program, Step, Work};
use std::collections::HashMap;
use std::fmt::{Display, Formatter, Result, Write};
use std::time::Duration;
use wgrad_tensor::op::{Compute, Map};

/// One kernel that ran while a profile was taken.
#[derive(Clone, Debug)]
pub struct KernelRun {
    /// `map`, `reduce`, `row`, or the op's name.
    pub kind: String,
    /// What it computes: the names of the recorded ops.
    pub ops: String,
    /// The user's file and line of the last of them.
    pub line: String,
    /// The layer, where it was called in one.
    pub scope: String,
    /// How long it took.
    pub time: Duration,
    /// Bytes that it reads and writes, each once.
    pub bytes: u64,
    /// Operations on floats, a multiplication and an addition counting as two.
    pub flops: u64,
}

/// The kernels of a stretch of a program, in order, and what the device can do at best.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The kernels in the order in which they ran.
    pub kernels: Vec<KernelRun>,
    /// Bytes a second that the device copies, as measured.
    pub copy_rate: f64,
    /// Float operations a second of its matrix product, as measured.
    pub multiply_rate: f64,
}

/// Bytes that a step must move, if it reads and writes each element once.
pub(crate) fn bytes(plan: &Plan, step: &Step) -> u64 {
    let mut read: Vec<(usize, u64)> = Vec::new();
    for Operand { value, dtype, layout, .. } in &step.operands {
        let elements: usize = layout.merged().iter().filter(|(_, stride)| *stride != 0).map(|(size, _)| size).product();
        let bytes = (elements.min(plan.values[*value].shape.count()) * dtype.size()) as u64;
        match read.iter_mut().find(|(known, _)| known == value) {
            Some((_, most)) => *most = bytes.max(*most),
            None => read.push((*value, bytes)),
        }
    }
    let written: usize = step.results.iter().map(|&result| plan.values[result].bytes()).sum();
    read.iter().map(|(_, bytes)| bytes).sum::<u64>() + written as u64
}

/// Operations on floats that a step does.
pub(crate) fn flops(plan: &Plan, step: &Step) -> u64 {
    let program = |program: &Program| {
        let per_row = program.per_row(&step.operands);
        let works = |(register, instruction): (usize, &crate::Instruction)| match instruction {
            crate::Instruction::Map { map: Map::Row(_) | Map::Where, .. } if per_row[register] => program.rows(),
            crate::Instruction::Map { map: Map::Row(_) | Map::Where, .. } | crate::Instruction::Reduce(..) => {
                program.count()
            }
            _ => 0,
        };
        program.code.iter().enumerate().map(works).sum::<usize>()
    };
    let shape = |operand: usize| step.operands.get(operand).map(|operand| &operand.layout.shape);
    let own = match &step.work {
        Work::Program(own) => return program(own) as u64,
        Work::Op { op, .. } => match (op.compute(), shape(0), shape(1)) {
            (Compute::Matmul(_), Some(left), Some(right)) => 2 * left.count() * right.last().copied().unwrap_or(0),
            // Each element of the output's gradient, or of the output, meets a window of the weight.
            (Compute::Conv2d(window), Some(_), Some(weight)) => {
                let output = step.results.first().map_or(0, |&result| plan.values[result].shape.count());
                2 * output * weight[1..].iter().product::<usize>() * usize::from(window.groups > 0)
            }
            (Compute::Conv2dInput(_), Some(grad), Some(weight)) => {
                2 * grad.count() * weight[1..].iter().product::<usize>()
            }
            (Compute::Conv2dWeight(_), Some(grad), Some(_)) => {
                let weight = step.results.first().map(|&result| &plan.values[result].shape);
                weight.map_or(0, |weight| 2 * grad.count() * weight[1..].iter().product::<usize>())
            }
            _ => 0,
        },
    };
    let then = match &step.work {
        Work::Op { then: Some(then), .. } => program(then),
        _ => 0,
    };
    (own + then) as u64
}

impl Profile {
    /// The time of all kernels.
    pub fn time(&self) -> Duration {
        self.kernels.iter().map(|kernel| kernel.time).sum()
    }

    /// The kernels as a trace in Chrome's format, for <https://ui.perfetto.dev>: one after the other.
    pub fn to_trace(&self) -> String {
        let mut text = String::from("{\"traceEvents\":[");
        let mut start = 0.0;
        for (number, kernel) in self.kernels.iter().enumerate() {
            let time = kernel.time.as_secs_f64() * 1e6;
            let _ = write!(
                text,
                "{}\n{{\"name\":\"{}\",\"cat\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{start:.3},\"dur\":{time:.3},\"args\":{{\"ops\":\"{}\",\"line\":\"{}\",\"bytes\":{},\"flops\":{}}}}}",
                if number == 0 { "" } else { "," },
                escaped(&format!("{} {}", kernel.kind, kernel.scope)),
                escaped(&kernel.kind),
                escaped(&kernel.ops),
                escaped(&kernel.line),
                kernel.bytes,
                kernel.flops
            );
            start += time;
        }
        text + "\n]}\n"
    }

    /// Writes [`Profile::to_trace`] to a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save_trace(&self, path: impl AsRef<std::path::Path>) -> std::io::Result<()> {
        std::fs::write(path, self.to_trace())
    }
}

/// Text between the quotes of JSON.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Kernels alike, added up.
struct Line<'a> {
    kernel: &'a KernelRun,
    runs: u64,
    time: f64,
    bytes: f64,
    flops: f64,
}

impl Display for Profile {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut known: HashMap<(&str, &str, &str, &str), usize> = HashMap::new();
        for kernel in &self.kernels {
            let key = (&*kernel.kind, &*kernel.ops, &*kernel.line, &*kernel.scope);
            let at = *known.entry(key).or_insert_with(|| {
                lines.push(Line { kernel, runs: 0, time: 0.0, bytes: 0.0, flops: 0.0 });
                lines.len() - 1
            });
            lines[at].runs += 1;
            lines[at].time += kernel.time.as_secs_f64();
            lines[at].bytes += kernel.bytes as f64;
            lines[at].flops += kernel.flops as f64;
        }
        lines.sort_by(|a, b| b.time.total_cmp(&a.time));
        let total = self.time().as_secs_f64().max(f64::MIN_POSITIVE);
        writeln!(f, "    time   share  runs     MB   GB/s  copy  GFLOP/s  multiply  kernel")?;
        for line in &lines {
            let (bytes, flops) = (line.bytes / line.time.max(1e-12), line.flops / line.time.max(1e-12));
            let of =
                |rate: f64, best: f64| if best > 0.0 { format!("{:.0}%", 100.0 * rate / best) } else { String::new() };
            let KernelRun { kind, ops, line: place, scope, .. } = line.kernel;
            writeln!(
                f,
                "{:>6.3} ms {:>5.1}% {:>5} {:>6.1} {:>6.1} {:>5} {:>8.1} {:>9}  {kind}: {} at {place} {scope}",
                line.time * 1e3,
                100.0 * line.time / total,
                line.runs,
                line.bytes / 1e6,
                bytes / 1e9,
                of(bytes, self.copy_rate),
                flops / 1e9,
                of(flops, self.multiply_rate),
                shortened(ops),
            )?;
        }
        write!(
            f,
            "{:.3} ms in {} kernels; this device copies {:.1} GB/s and multiplies {:.1} GFLOP/s",
            total * 1e3,
            self.kernels.len(),
            self.copy_rate / 1e9,
            self.multiply_rate / 1e9
        )
    }
}

/// The first few of many names.
fn shortened(ops: &str) -> String {
    let names: Vec<&str> = ops.split(' ').collect();
    match names.len() {
        0..=6 => ops.to_owned(),
        count => format!("{} and {} more", names[..5].join(" "), count - 5),
    }
}
