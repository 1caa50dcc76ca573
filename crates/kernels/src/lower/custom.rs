//! Ops from outside.

use super::{Input, Launch, Lowering};
use crate::lowered::Place;
use crate::params::Params;
use crate::pipelines::{Key, Source};
use wgrad_tensor::dtype::Scalar;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::kernel::Custom;
use wgrad_tensor::op::Meta;

impl Lowering<'_> {
    pub(super) fn custom(
        &mut self,
        custom: &dyn Custom,
        scalars: &[Scalar],
        inputs: &[Input],
        outputs: &[Place],
        metas: &[Meta],
    ) -> Result<(), Problem> {
        let given: Vec<Meta> = inputs.iter().map(|input| Meta::new(&input.layout.shape, input.dtype)).collect();
        let kernel = custom.kernel(&given, metas, scalars).ok_or_else(|| {
            let name = &self.engine.description.name;
            Problem::new(ErrorKind::Unsupported, format!("has no kernel for {name}; use the CPU"))
        })?;
        if kernel.grid.contains(&0) {
            return Ok(());
        }
        let limit = self.engine.limits.max_compute_workgroups_per_dimension;
        if kernel.grid.iter().any(|&groups| groups > limit) {
            let message = format!("a grid of {:?} workgroups; the device starts {limit} along an axis", kernel.grid);
            return Err(Problem::new(ErrorKind::Unsupported, message));
        }
        let mut params = Params::default();
        params.words(&kernel.params);
        let overrides = kernel.overrides.iter();
        let key = overrides.fold(Key::new("custom").text(&kernel.source).text(&kernel.entry), |key, (name, value)| {
            key.text(name).number(value.to_bits() as usize)
        });
        let launch = Launch {
            key: key.number(inputs.len()).number(outputs.len()),
            inputs: inputs.iter().map(|input| input.place).collect(),
            outputs: outputs.to_vec(),
            params,
            groups: 1,
        };
        self.launch_grid(launch, kernel.grid, || {
            Ok(Source {
                label: kernel.label.to_string(),
                text: wgrad_shaders::link(&kernel.source),
                entry: kernel.entry.to_string(),
                overrides: kernel.overrides.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
                trusted: false,
            })
        })
    }
}
