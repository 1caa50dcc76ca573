//! safetensors files of wgrad: bit-exact, checked, atomic.
