//! Deep learning on any GPU: one codebase for Vulkan, Metal, DX12, WebGPU and the CPU.
