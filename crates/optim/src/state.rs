//! Saving what an optimizer keeps, and going on from there.

use crate::optimizer::{Optimizer, Rule, Slot};
use std::collections::HashMap;
use wgrad_tensor::op::Meta;
use wgrad_tensor::{DType, Error, ErrorKind, Result, Tensor};

/// The name of a parameter's count of steps, beside what the rule keeps.
const COUNT: &str = "step";

impl<R: Rule> Optimizer<R> {
    /// Every parameter's count of steps, and what is kept for it once there is one: `conv1.weight.step`,
    /// `conv1.weight.exp_avg`. The options are left out: they belong to the program.
    ///
    /// Loaded into an optimizer of the same options over the same parameters, training goes on bit for bit.
    ///
    /// ```no_run
    /// # use wgrad_optim::AdamW;
    /// # fn example(mut optimizer: AdamW, device: &wgrad_tensor::Device) -> wgrad_tensor::Result<()> {
    /// wgrad_io::save("optimizer.safetensors", &optimizer.state(), &Default::default())?;
    /// optimizer.load_state(&wgrad_io::load("optimizer.safetensors", device)?.tensors)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        for (slot, name) in self.slots.iter().zip(self.names()) {
            let count = Tensor::from_slice(&[slot.count], [0usize; 0], &slot.param.device());
            state.push((format!("{name}.{COUNT}"), count));
            let kept = self.rule.kept().iter().zip(&slot.kept);
            state.extend(kept.map(|(kind, tensor)| (format!("{name}.{kind}"), tensor.clone())));
        }
        state
    }

    /// Goes on from what [`state`](Optimizer::state) gave, moved to the devices of the parameters.
    ///
    /// # Errors
    /// Names, shapes or dtypes that are not these parameters', all of them listed; and values that cannot be read.
    /// Nothing has changed then.
    #[cfg(not(target_arch = "wasm32"))]
    #[track_caller]
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        pollster::block_on(self.load_state_async(state))
    }

    /// The asynchronous form of [`load_state`](Optimizer::load_state).
    ///
    /// # Errors
    /// As [`load_state`](Optimizer::load_state).
    pub async fn load_state_async(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let by_name = state.iter().map(|(name, tensor)| (&name[..], tensor)).collect();
        let mut given = Given { by_name, faults: Vec::new() };
        let mut slots = self.slots.clone();
        for (slot, name) in slots.iter_mut().zip(self.names()) {
            self.load_slot(slot, &name, &mut given).await?;
        }
        given.finish()?;
        self.slots = slots;
        Ok(())
    }

    async fn load_slot(&self, slot: &mut Slot, name: &str, given: &mut Given<'_>) -> Result<()> {
        slot.kept.clear();
        let Some(count) = given.take(name, COUNT, &Meta::new([0usize; 0], DType::U32))? else { return Ok(()) };
        slot.count = count.item_async().await?;
        if slot.count > 0 {
            for kind in self.rule.kept() {
                if let Some(tensor) = given.take(name, kind, slot.param.meta()?)? {
                    slot.kept.push(tensor.to_device_async(&slot.param.device()).await?);
                }
            }
        }
        Ok(())
    }
}

/// The tensors of a state that have not found their place yet, and what is wrong so far.
struct Given<'a> {
    by_name: HashMap<&'a str, &'a Tensor>,
    faults: Vec<String>,
}

impl<'a> Given<'a> {
    /// The tensor of this name, if it is there and as expected.
    fn take(&mut self, param: &str, kind: &str, expected: &Meta) -> Result<Option<&'a Tensor>> {
        let name = format!("{param}.{kind}");
        let Some(tensor) = self.by_name.remove(&name[..]) else {
            self.faults.push(format!("missing: {name} {} {}", expected.shape, expected.dtype));
            return Ok(None);
        };
        let found = tensor.meta()?;
        if found != expected {
            let (Meta { shape, dtype }, needed) = (found, expected);
            self.faults.push(format!("different: {name} is {shape} {dtype}, not {} {}", needed.shape, needed.dtype));
            return Ok(None);
        }
        Ok(Some(tensor))
    }

    /// Everything is in its place, or an error that lists what is not.
    fn finish(mut self) -> Result<()> {
        self.faults.extend(self.by_name.into_keys().map(|name| format!("unexpected: {name}")));
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort();
        let message = format!("the state does not fit the optimizer\n  {}", self.faults.join("\n  "));
        Err(Error::new(ErrorKind::Value, "load_state", message))
    }
}
