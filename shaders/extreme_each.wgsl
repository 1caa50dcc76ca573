// The largest or smallest element and its position, with one invocation per output.

alias Number = f32;

//{ interface
struct Params {
    outputs: u32,
    length: u32,
    slices: u32,
    stride: u32,
}

// Where the first element of an output lies.
fn outer(index: u32) -> u32 {
    return index * params.length;
}

// What `inner` reads in every turn of a loop.
struct Inner {
    stride: u32,
}

fn inward() -> Inner {
    return Inner(params.stride);
}

// How far from an output's first element its element `index` lies.
fn inner(inward: Inner, index: u32) -> u32 {
    return index * inward.stride;
}
//}

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read_write> values: array<Number>;
@group(0) @binding(2) var<storage, read_write> positions: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

override threads: u32 = 64;

//{ beats
// Whether x wins over y; equal ones do not. NaN wins over numbers.
fn beats(x: Number, y: Number) -> bool {
    return x > y || (is_nan(x) && !is_nan(y));
}
//}

//{ nan
fn is_nan(x: Number) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
//}

//{ position
// What to call an element: its number along the axes, or, in a second pass over slices, what the first one found.
fn position_of(at: u32, place: u32) -> u32 {
    return at;
}
//}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = (group.y * groups.x + group.x) * threads + lane;
    let slices = params.slices;
    if item >= params.outputs * slices {
        return;
    }
    // Where an output has many elements they are cut in slices, and a second pass looks through the slices' results.
    let base = outer(item / slices);
    let steps = inward();
    let slice = (params.length + slices - 1u) / slices;
    let start = (item % slices) * slice;
    let end = min(start + slice, params.length);
    var position = start;
    var best = input[base + inner(steps, start)];
    for (var at = start + 1u; at < end; at++) {
        let value = input[base + inner(steps, at)];
        if beats(value, best) {
            best = value;
            position = at;
        }
    }
    values[item] = best;
    positions[item] = position_of(position, base + inner(steps, position));
}
