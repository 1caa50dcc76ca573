//! Bind groups, kept for later dispatches that bind the same: making one costs more than all else of a dispatch.

use crate::journal::lock;
use crate::stats::{Counters, count};
use std::num::NonZeroU64;
use std::sync::Mutex;
use wgrad_tensor::ids::IdMap;

/// The most groups that are kept. Where plans bind ever new buffers, all go and those in use come again.
const KEPT: usize = 1 << 14;

/// What a group binds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub layout: wgpu::BindGroupLayout,
    /// Inputs, then outputs.
    pub buffers: Vec<wgpu::Buffer>,
    /// Where parameters lie, and how many bytes a kernel sees of them.
    pub params: Option<(wgpu::Buffer, NonZeroU64)>,
}

/// The groups of a device. They keep their buffers from being freed, so they must go where that is wanted.
#[derive(Default)]
pub(crate) struct Groups(Mutex<IdMap<Bound, wgpu::BindGroup>>);

impl Groups {
    /// The group that binds this.
    pub fn get(&self, device: &wgpu::Device, counters: &Counters, bound: Bound) -> wgpu::BindGroup {
        let mut groups = lock(&self.0);
        if let Some(group) = groups.get(&bound) {
            return group.clone();
        }
        if groups.len() == KEPT {
            groups.clear();
        }
        count(&counters.bind_groups);
        let group = bound.group(device);
        groups.insert(bound, group.clone());
        group
    }

    /// Lets all go.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

impl Bound {
    fn group(&self, device: &wgpu::Device) -> wgpu::BindGroup {
        let storage = self.buffers.iter().map(wgpu::Buffer::as_entire_binding);
        let uniform = self.params.iter().map(|(buffer, size)| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size: Some(*size) })
        });
        let entries: Vec<_> = (0..)
            .zip(storage.chain(uniform))
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries })
    }
}
