//! The largest or smallest element with its position.

use super::reduce::Folded;
use super::{Input, Launch, Lowering, THREADS};
use crate::memory::GpuBuffer;
use crate::pipelines::{Source, file};
use std::sync::Arc;
use wgrad_shaders::fill;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::op::Extreme;

/// Invocations of a workgroup that combines its parts as a tree.
const TREE: usize = 256;

impl Lowering<'_> {
    pub(super) fn extreme(
        &mut self,
        extreme: Extreme,
        axes: &[usize],
        input: &Input,
        value: &Arc<GpuBuffer>,
        position: &Arc<GpuBuffer>,
    ) -> Result<(), Problem> {
        let number = self.number(input.dtype)?;
        let folded = Folded::new(input, axes);
        let (outputs, length) = (folded.outer.count(), folded.inner.count());
        if outputs > 0 && length == 0 {
            return Err(Problem::new(ErrorKind::Value, "nothing is the largest or smallest of no elements"));
        }
        let tree = if self.engine.software { outputs < 16 && length > 4096 } else { length > 64 };
        let (name, groups) = if tree { ("extreme_tree", outputs) } else { ("extreme_each", outputs.div_ceil(THREADS)) };
        let launch = Launch {
            key: folded.key(name, input.dtype).number(extreme as usize),
            inputs: vec![input.buffer.raw()],
            outputs: vec![value.raw(), position.raw()],
            params: folded.params(1, 0),
            groups,
        };
        self.launch(launch, || {
            let text = file(name)?.replace("alias Number = f32;", &format!("alias Number = {number};"));
            let text = fill(&text, "interface", &folded.interface());
            let nan = if input.dtype.is_float() { format!("is_nan_{number}(x)") } else { "false".to_owned() };
            let text = fill(&text, "nan", &format!("fn is_nan(x: Number) -> bool {{\n    return {nan};\n}}\n"));
            let text = match extreme {
                Extreme::Max => text,
                Extreme::Min => text.replace("return x > y ||", "return x < y ||"),
            };
            let threads = if tree { TREE } else { THREADS };
            Ok(Source::own(format!("arg{extreme:?} {number}").to_lowercase(), &text, &[("threads", threads as f64)]))
        })
    }
}
