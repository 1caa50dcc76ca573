//! What a model is made of, by name.

use crate::state::{self, Cell};
use crate::{Buffer, Mode, Param, Scope};
use std::collections::HashSet;
use std::sync::Arc;
use wgrad_tensor::device::BoxFuture;
use wgrad_tensor::{Device, Result, Tensor};

/// Anything with parameters: a layer, a model, a list of them.
///
/// Derive it: `#[derive(Module)]` visits every field; plain data (numbers, strings) is skipped, and so is a field
/// marked `#[module(skip)]`. Names are the paths of fields, `blocks.3.attention.weight`, as in PyTorch.
///
/// ```
/// # use wgrad_nn::{Linear, Module, Param};
/// #[derive(Module)]
/// struct Model {
///     layers: Vec<Linear>,
///     gain: Option<Param>,
///     width: usize,
/// }
/// ```
///
/// A field that is neither plain data nor a module is a compile error, so that no parameter is lost in silence:
///
/// ```compile_fail
/// # use wgrad_nn::{Linear, Module};
/// struct Forgotten {
///     layer: Linear,
/// }
///
/// #[derive(Module)]
/// struct Model {
///     inner: Forgotten,
/// }
/// ```
///
/// All methods take `&self`: parameters are shared cells.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Module`",
    label = "its parameters would not be found",
    note = "give `{Self}` a `#[derive(Module)]`, or mark the field `#[module(skip)]` if it holds no parameters"
)]
pub trait Module {
    /// Shows every part to the visitor, in the order of the fields.
    ///
    /// ```
    /// # use wgrad_nn::{Module, Param, Visitor};
    /// struct Scale { weight: Param, bias: Option<Param> }
    ///
    /// impl Module for Scale {
    ///     fn visit(&self, visitor: &mut Visitor<'_>) {
    ///         visitor.kind("Scale");
    ///         visitor.field("weight", &self.weight);
    ///         visitor.field("bias", &self.bias);
    ///     }
    /// }
    /// ```
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// Every parameter once: tied ones under their first name. PyTorch: `parameters`.
    fn parameters(&self) -> Vec<Param> {
        self.named_parameters().into_iter().map(|(_, param)| param).collect()
    }

    /// Every parameter once, with its name: tied ones under their first. PyTorch: `named_parameters`.
    fn named_parameters(&self) -> Vec<(String, Param)> {
        let params = cells_once(self).into_iter().filter_map(|(name, cell)| match cell {
            Cell::Param(param) => Some((name, param)),
            Cell::Buffer(_) => None,
        });
        params.collect()
    }

    /// Every buffer once, with its name. PyTorch: `named_buffers`.
    fn named_buffers(&self) -> Vec<(String, Buffer)> {
        let buffers = cells_once(self).into_iter().filter_map(|(name, cell)| match cell {
            Cell::Param(_) => None,
            Cell::Buffer(buffer) => Some((name, buffer)),
        });
        buffers.collect()
    }

    /// What is to be saved: the values of parameters and then of buffers, without gradients. Tied ones are listed under
    /// each of their names. PyTorch: `state_dict`.
    fn state(&self) -> Vec<(String, Tensor)> {
        cells(self).into_iter().map(|(name, cell)| (name, cell.value())).collect()
    }

    /// Sets parameters and buffers to what [`state`](Module::state) gave, moved to the device where each one is.
    ///
    /// Every name must be there, and no other; of a tied parameter's names one is enough, and the last one counts.
    ///
    /// # Errors
    /// Values that do not fit, all of them in one [`LoadError`](crate::LoadError), which is the error's source; and
    /// values that cannot be computed. Nothing is changed then. PyTorch: `load_state_dict(strict=True)`.
    #[track_caller]
    fn load_state(&self, state: &[(String, Tensor)]) -> Result<()> {
        state::load(&cells(self), state)
    }

    /// How many numbers the parameters hold; tied ones count once.
    fn count_parameters(&self) -> usize {
        self.parameters().iter().filter_map(|param| param.meta().ok()).map(|meta| meta.shape.count()).sum()
    }

    /// Makes all parameters want no gradient, or want it again. PyTorch: `requires_grad_`.
    fn freeze(&self, frozen: bool) {
        walk(self, &mut |_, part| {
            if let Part::Param(param) = part {
                param.freeze(frozen);
            }
        });
    }

    /// Makes all layers behave as in training. PyTorch: `train`.
    fn train(&self) {
        set_training(self, true);
    }

    /// Makes all layers behave as in use: dropout passes everything, batch norm uses its running statistics.
    /// PyTorch: `eval`.
    fn eval(&self) {
        set_training(self, false);
    }

    /// Moves parameters and buffers to a device. Make optimizers after this: they hold state on the old one.
    ///
    /// # Errors
    /// A value that cannot be read or written; nothing is moved then.
    #[cfg(not(target_arch = "wasm32"))]
    fn to_device(&self, device: &Device) -> Result<()> {
        pollster::block_on(self.to_device_async(device))
    }

    /// The asynchronous form of [`to_device`](Module::to_device).
    fn to_device_async(&self, device: &Device) -> BoxFuture<'static, Result<()>> {
        Box::pin(state::move_to(cells_once(self), device.clone()))
    }
}

/// What a visit finds.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A module, by the name of its type: its parts follow.
    Kind(&'static str),
    /// A parameter.
    Param(&'a Param),
    /// A buffer.
    Buffer(&'a Buffer),
    /// A flag of training.
    Mode(&'a Mode),
    /// A layer's name.
    Scope(&'a Scope),
}

/// Walks the parts of a module and keeps track of their names; it also tells parameters and scopes their names.
pub struct Visitor<'a> {
    path: String,
    named: HashSet<u64>,
    report: &'a mut dyn FnMut(&str, Part<'_>),
}

impl<'a> Visitor<'a> {
    /// A visitor that hands each part and its path to `report`. Start it with `module.visit(&mut visitor)`.
    pub fn new(report: &'a mut dyn FnMut(&str, Part<'_>)) -> Self {
        Visitor { path: String::new(), named: HashSet::new(), report }
    }

    /// Visits the part called `name` of the module at hand.
    pub fn field(&mut self, name: &str, part: &dyn Module) {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        part.visit(self);
        self.path.truncate(outer);
    }

    /// Says the type's name of the module at hand; summaries show it.
    pub fn kind(&mut self, name: &'static str) {
        (self.report)(&self.path, Part::Kind(name));
    }

    fn leaf(&mut self, part: Part<'_>) {
        match part {
            // A tied parameter keeps the first of its names.
            Part::Param(param) if self.named.insert(param.id()) => param.set_name(&self.path),
            Part::Scope(scope) => scope.set_name(self.path.rsplit_once('.').map_or("", |(layer, _)| layer)),
            _ => {}
        }
        (self.report)(&self.path, part);
    }
}

/// Takes `path` for a name, unless a walk that started further out gave a longer one: `encoder.0.weight` stays when
/// `encoder` alone is walked.
pub(crate) fn better_name(name: &mut Option<Arc<str>>, path: &str) {
    let longer = name.as_deref().and_then(|name| name.strip_suffix(path)).is_some_and(|outer| outer.ends_with('.'));
    if !path.is_empty() && !longer {
        *name = Some(path.into());
    }
}

pub(crate) fn walk<M: Module + ?Sized>(module: &M, report: &mut dyn FnMut(&str, Part<'_>)) {
    module.visit(&mut Visitor::new(report));
}

/// Parameters and then buffers, tied ones under each of their names.
fn cells<M: Module + ?Sized>(module: &M) -> Vec<(String, Cell)> {
    let (mut params, mut buffers) = (Vec::new(), Vec::new());
    walk(module, &mut |path, part| match part {
        Part::Param(param) => params.push((path.to_string(), Cell::Param(param.clone()))),
        Part::Buffer(buffer) => buffers.push((path.to_string(), Cell::Buffer(buffer.clone()))),
        _ => {}
    });
    params.extend(buffers);
    params
}

/// Parameters and then buffers, tied ones under the first of their names.
fn cells_once<M: Module + ?Sized>(module: &M) -> Vec<(String, Cell)> {
    let mut seen = HashSet::new();
    let mut cells = cells(module);
    cells.retain(|(_, cell)| seen.insert(cell.id()));
    cells
}

fn set_training<M: Module + ?Sized>(module: &M, training: bool) {
    walk(module, &mut |_, part| {
        if let Part::Mode(mode) = part {
            mode.set_training(training);
        }
    });
}

impl Module for Param {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.leaf(Part::Param(self));
    }
}

impl Module for Buffer {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.leaf(Part::Buffer(self));
    }
}

impl Module for Mode {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.leaf(Part::Mode(self));
    }
}

impl Module for Scope {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.leaf(Part::Scope(self));
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(part) = self {
            part.visit(visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

impl<M: Module> Module for [M] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (index, part) in self.iter().enumerate() {
            visitor.field(&index.to_string(), part);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self[..].visit(visitor);
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self[..].visit(visitor);
    }
}

impl<A: Module, B: Module> Module for (A, B) {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("0", &self.0);
        visitor.field("1", &self.1);
    }
}

impl<A: Module, B: Module, C: Module> Module for (A, B, C) {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("0", &self.0);
        visitor.field("1", &self.1);
        visitor.field("2", &self.2);
    }
}
