// Adds elements to the places that an index tensor names along an axis, in ascending order, without atomics: an
// invocation owns a part of the axis at one place of the other axes, and walks all elements that could fall there.

alias Number = f32;

//{ windows
struct Params {
    items: u32,
    places: u32,
    axis_size: u32,
    axis_stride: u32,
    part: u32,
    start: u32,
    end: u32,
    pick_stride: u32,
    slot: u32,
}

// For a place of the other axes: where its first output lies, its first index, and whether there are indices at all.
fn locate(place: u32) -> vec3<u32> {
    return vec3<u32>(place, place, 1u);
}
//}

@group(0) @binding(0) var<storage, read> picks: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<Number>;
@group(0) @binding(2) var<storage, read_write> output: array<Number>;
@group(0) @binding(3) var<storage, read_write> status: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> params: Params;

override threads: u32 = 64;

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
    let at = locate(item % params.places);
    let axis_size = params.axis_size;
    let axis_stride = params.axis_stride;
    let pick_stride = params.pick_stride;
    let start = (item / params.places) * params.part;
    let end = min(start + params.part, axis_size);
    let last = select(0u, params.end, at.z != 0u);
    for (var i = params.start; i < last; i++) {
        var pick = picks[at.y + i * pick_stride];
        if pick >= axis_size {
            // Two words to a step: whether there was a bad index, and the largest one.
            atomicMax(&status[params.slot], 1u);
            atomicMax(&status[params.slot + 1u], pick);
            pick = axis_size - 1u;
        }
        if pick >= start && pick < end {
            output[at.x + pick * axis_stride] += source[at.y + i * pick_stride];
        }
    }
}
