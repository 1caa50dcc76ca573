//! wgrad's GPU backend, on wgpu: Vulkan, Metal, DX12, GL and WebGPU.
