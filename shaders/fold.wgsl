// Sums windows back: each output element adds the elements of all windows that held it, one window after the other.

alias Number = f32;

struct Params {
    items: u32,
    inner: u32,
    axis_size: u32,
    windows: u32,
    size: u32,
    step: u32,
    dilation: u32,
}

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read_write> output: array<Number>;
@group(0) @binding(2) var<uniform> params: Params;

override threads: u32 = 256;

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = (group.y * groups.x + group.x) * threads + lane;
    if item >= params.items {
        return;
    }
    let inner = item % params.inner;
    let position = (item / params.inner) % params.axis_size;
    let outer = item / params.inner / params.axis_size;
    var sum = Number(0);
    for (var k = 0u; k < params.size; k++) {
        // Where the window that holds this position as its element k starts; it wraps around where there is none.
        let start = position - k * params.dilation;
        let window = start / params.step;
        if window < params.windows && window * params.step == start {
            sum += input[((outer * params.windows + window) * params.inner + inner) * params.size + k];
        }
    }
    output[item] = sum;
}
