//! A table of a model's layers.

use crate::module::walk;
use crate::{Mode, Module, Part};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use wgrad_tensor::{Error, Result, Shape, Tensor};

/// A table of a model's layers: names, kinds, output shapes and how many parameters each has. Print it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The layers, in the order of the model.
    pub rows: Vec<Row>,
    /// How many numbers the parameters hold; tied ones count once, with the first layer that has them.
    pub parameters: usize,
    /// Those of them that training changes.
    pub trainable: usize,
    /// What parameters and buffers take in memory.
    pub bytes: usize,
    /// What went wrong in `forward`, if anything did.
    pub error: Option<Error>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name, empty for the model itself.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// The shape of its last output; `None` where `forward` did not reach it, and for modules without a
    /// [`Scope`](crate::Scope).
    pub output: Option<Shape>,
    /// How many numbers its own parameters hold.
    pub parameters: usize,
}

thread_local! {
    /// The outputs of the scopes that ran, by the scope's id, while a summary is made.
    static OUTPUTS: RefCell<Option<HashMap<u64, Result<Shape>>>> = const { RefCell::new(None) };
}

/// Notes the output of a scope, for a summary that may be in the making.
pub(crate) fn note(scope: u64, output: &Tensor) {
    OUTPUTS.with_borrow_mut(|outputs| {
        if let Some(outputs) = outputs {
            outputs.insert(scope, output.try_shape());
        }
    });
}

/// A table of the layers in `model`, with the output shapes that `forward` gives them.
///
/// `forward` calls the model on an input of the shape of interest: `summary(&model, || model.forward(&x))`. Nothing is
/// computed: recording knows all shapes. It runs in evaluation mode, so that running statistics and random numbers stay
/// as they are. PyTorch has it in a package of its own, `torchinfo.summary`.
pub fn summary<M: Module + ?Sized, R>(model: &M, forward: impl FnOnce() -> R) -> Summary {
    let outputs = outputs_of(model, forward);
    let mut summary = Summary { rows: Vec::new(), parameters: 0, trainable: 0, bytes: 0, error: None };
    let mut seen = HashSet::new();
    // Where a row was reached by `forward` or holds parameters; the others only group.
    let mut shown = Vec::new();
    walk(model, &mut |path, part| match part {
        Part::Kind(kind) => {
            summary.rows.push(Row { name: path.to_string(), kind, output: None, parameters: 0 });
            shown.push(false);
        }
        Part::Scope(scope) => {
            let Some(at) = owner(&summary.rows, path) else { return };
            shown[at] = true;
            match outputs.get(&scope.id()) {
                Some(Ok(shape)) => summary.rows[at].output = Some(shape.clone()),
                Some(Err(error)) => summary.error = summary.error.take().or(Some(error.clone())),
                None => {}
            }
        }
        Part::Param(param) => {
            let Ok(meta) = param.meta() else { return };
            let first_time = seen.insert(param.id());
            let count = if first_time { meta.shape.count() } else { 0 };
            summary.parameters += count;
            summary.trainable += if param.is_frozen() { 0 } else { count };
            summary.bytes += count * meta.dtype.size();
            if let Some(at) = owner(&summary.rows, path) {
                shown[at] = true;
                summary.rows[at].parameters += count;
            }
        }
        Part::Buffer(buffer) => {
            let first_time = seen.insert(buffer.id());
            summary.bytes += if first_time { buffer.meta().map_or(0, |meta| meta.bytes()) } else { 0 };
        }
        Part::Mode(_) => {}
    });
    let mut shown = shown.into_iter();
    summary.rows.retain(|_| shown.next() == Some(true));
    summary
}

/// The row of the innermost module that holds the part at `path`.
fn owner(rows: &[Row], path: &str) -> Option<usize> {
    let holds =
        |row: &Row| row.name.is_empty() || path.strip_prefix(&row.name[..]).is_some_and(|inner| inner.starts_with('.'));
    rows.iter().rposition(holds)
}

/// Runs `forward` in evaluation mode, and gives the output of each scope.
fn outputs_of<M: Module + ?Sized, R>(model: &M, forward: impl FnOnce() -> R) -> HashMap<u64, Result<Shape>> {
    /// Puts everything back as it was, even where `forward` panics.
    struct Restore(Vec<(Mode, bool)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.iter().for_each(|(mode, training)| mode.set_training(*training));
            OUTPUTS.set(None);
        }
    }
    let mut modes = Vec::new();
    walk(model, &mut |_, part| {
        if let Part::Mode(mode) = part {
            modes.push((mode.clone(), mode.is_training()));
        }
    });
    let _restore = Restore(modes);
    model.eval();
    OUTPUTS.set(Some(HashMap::new()));
    forward();
    OUTPUTS.take().unwrap_or_default()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![["layer", "kind", "output", "parameters"].map(String::from)];
        lines.extend(self.rows.iter().map(|row| {
            [
                if row.name.is_empty() { "(model)".to_string() } else { row.name.clone() },
                row.kind.to_string(),
                row.output.as_ref().map_or("-".to_string(), Shape::to_string),
                if row.parameters == 0 { "-".to_string() } else { grouped(row.parameters) },
            ]
        }));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let (w0, w1, w2, w3) = (width(0), width(1), width(2), width(3));
        for [name, kind, output, parameters] in &lines {
            writeln!(f, "{name:<w0$}  {kind:<w1$}  {output:<w2$}  {parameters:>w3$}")?;
        }
        write!(
            f,
            "{} parameters: {} trainable, {} frozen; {} with buffers",
            grouped(self.parameters),
            grouped(self.trainable),
            grouped(self.parameters - self.trainable),
            size(self.bytes)
        )?;
        match &self.error {
            Some(error) => write!(f, "\nforward failed: {error}"),
            None => Ok(()),
        }
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn size(bytes: usize) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}
