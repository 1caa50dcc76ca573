//! What goes wrong, said so that the line at fault can be found.

use crate::op::Meta;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A result with wgrad's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes that do not fit together.
    Shape,
    /// An axis that the tensor does not have.
    Axis,
    /// An index outside the axis it points into.
    Index,
    /// A dtype that the operation does not take.
    DType,
    /// Tensors on different devices.
    Device,
    /// No adapter answers to the request.
    NoAdapter,
    /// More memory than the device gives.
    OutOfMemory,
    /// An operation without a gradient, on the way back.
    NotDifferentiable,
    /// A gradient for a tensor that the loss does not depend on.
    NoGradient,
    /// A second `backward` over a graph that the first one consumed.
    GraphConsumed,
    /// A file that is not what it should be.
    File,
    /// A kernel that does not build.
    ShaderBuild,
    /// The device went away.
    DeviceLost,
    /// Something this backend cannot do.
    Unsupported,
    /// An argument outside its range.
    Value,
}

/// What an operation has against its inputs, before the call's place and shapes are known.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its class.
    pub kind: ErrorKind,
    /// What is wrong, in one sentence.
    pub message: Cow<'static, str>,
}

impl Problem {
    /// A problem of a class, in words.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Problem { kind, message: message.into() }
    }
}

/// An error that names the operation, the shapes and dtypes it was given, and the caller's file and line.
///
/// Cloning is cheap: a failed tensor hands the same error to all that is computed from it.
#[derive(Clone)]
pub struct Error(Arc<Content>);

struct Content {
    kind: ErrorKind,
    op: Cow<'static, str>,
    message: Cow<'static, str>,
    inputs: Vec<Meta>,
    location: Option<&'static Location<'static>>,
    scope: Option<Arc<str>>,
    backtrace: Backtrace,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of the calling line.
    #[track_caller]
    pub fn new(kind: ErrorKind, op: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Error::at(Problem::new(kind, message), op.into(), Vec::new(), Some(Location::caller()), None)
    }

    /// An error that another one caused.
    #[track_caller]
    pub fn caused_by(
        kind: ErrorKind,
        op: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let mut error = Error::new(kind, op, message);
        if let Some(content) = Arc::get_mut(&mut error.0) {
            content.source = Some(source.into());
        }
        error
    }

    /// A problem with the call it arose in.
    pub fn at(
        problem: Problem,
        op: Cow<'static, str>,
        inputs: Vec<Meta>,
        location: Option<&'static Location<'static>>,
        scope: Option<Arc<str>>,
    ) -> Self {
        Error(Arc::new(Content {
            kind: problem.kind,
            op,
            message: problem.message,
            inputs,
            location,
            scope,
            backtrace: Backtrace::capture(),
            source: None,
        }))
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation at fault.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Shape and dtype of each input, where the error arose from a call on tensors.
    pub fn inputs(&self) -> &[Meta] {
        &self.0.inputs
    }

    /// The caller's file and line.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = &*self.0;
        write!(f, "{}: {}", content.op, content.message)?;
        for (i, input) in content.inputs.iter().enumerate() {
            let comma = if i == 0 { "\n  given " } else { ", " };
            write!(f, "{comma}{} {}", input.shape, input.dtype)?;
        }
        if let Some(at) = content.location {
            write!(f, "\n  at {}:{}:{}", at.file(), at.line(), at.column())?;
        }
        if let Some(scope) = &content.scope {
            write!(f, "\n  in {scope}")?;
        }
        if content.backtrace.status() == BacktraceStatus::Captured {
            write!(f, "\n{}", content.backtrace)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error in {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
