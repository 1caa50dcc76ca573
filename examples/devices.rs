//! Lists the devices that wgrad can use: each adapter with what wgrad would use of it, and the CPU.

use wgrad::device;

fn main() {
    let adapters = device::adapters();
    for adapter in &adapters {
        println!("{adapter}");
        println!("   largest tensor        {} MiB", adapter.max_buffer >> 20);
        println!("   buffers in a kernel   {}", adapter.max_bindings);
        println!(
            "   workgroups            {} invocations, {} KiB",
            adapter.max_invocations,
            adapter.max_workgroup_bytes >> 10
        );
        println!(
            "   features              {}",
            features(&[("f64", adapter.f64), ("f16", adapter.f16), ("subgroups", adapter.subgroups)])
        );
    }
    if adapters.is_empty() {
        println!("no GPU adapter was found: is a Vulkan, Metal or DX12 driver installed?");
    }
    println!("cpu: {}", device::cpu());
    println!("   features              f64");
    match device::best() {
        Ok(best) => println!("the best of them is {best}"),
        Err(error) => println!("the best of them does not open: {error}"),
    }
}

fn features(list: &[(&str, bool)]) -> String {
    let there: Vec<&str> = list.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if there.is_empty() { "none beyond the baseline".to_string() } else { there.join(", ") }
}
