//! Bind groups, kept for later dispatches that bind the same: making one costs more than all else of a dispatch.

use crate::stats::{Counters, count};
use std::num::NonZeroU64;
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
pub(crate) struct Groups {
    known: IdMap<Bound, usize>,
    groups: Vec<wgpu::BindGroup>,
    epoch: u64,
}

impl Groups {
    /// The number of the group that binds this.
    pub fn number_of(&mut self, device: &wgpu::Device, counters: &Counters, bound: Bound) -> usize {
        if let Some(&number) = self.known.get(&bound) {
            return number;
        }
        count(&counters.bind_groups);
        self.groups.push(bound.group(device));
        self.known.insert(bound, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// The group with this number, which is of this epoch.
    pub fn get(&self, number: usize) -> wgpu::BindGroup {
        self.groups[number].clone()
    }

    /// Numbers hold as long as this is the same.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Lets all go if they are too many.
    pub fn make_room(&mut self) {
        if self.groups.len() >= KEPT {
            self.clear();
        }
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        *self = Groups { epoch: self.epoch + 1, ..Groups::default() };
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
