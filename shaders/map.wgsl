// Elementwise work over one index space. An item is the elements that one invocation computes: one, the two or four that
// share a word of a narrow kind of number, or four at once.

//{ interface
struct Params {
    items: u32,
}

@group(0) @binding(0) var<storage, read> input0: array<u32>;
@group(0) @binding(1) var<storage, read_write> output0: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
//}

override threads: u32 = 256;

//{ work
fn compute(item: u32) {
    output0[item] = input0[item];
}
//}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = (group.y * groups.x + group.x) * threads + lane;
    if item < params.items {
        compute(item);
    }
}
