// A reduction with one invocation per output, for many outputs or few elements each.

alias Number = f32;

//{ interface
struct Params {
    outputs: u32,
    length: u32,
    slices: u32,
    identity: u32,
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
@group(0) @binding(1) var<storage, read_write> output: array<Number>;
@group(0) @binding(2) var<uniform> params: Params;

override threads: u32 = 64;
// Whether an output's elements are neighbours in memory; otherwise outputs are. It decides who works beside whom.
override runs_inward: bool = true;

//{ combine
fn combine(x: Number, y: Number) -> Number {
    return x + y;
}
//}

//{ identity
fn identity() -> Number {
    return bitcast<Number>(params.identity);
}
//}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = (group.y * groups.x + group.x) * threads + lane;
    // Where there are few outputs, the elements of each are cut in slices, and a second pass reduces the slices' results.
    let slices = params.slices;
    if item >= params.outputs * slices {
        return;
    }
    let base = outer(select(item % params.outputs, item / slices, runs_inward));
    let steps = inward();
    let slice = (params.length + slices - 1u) / slices;
    var at = select(item / params.outputs, item % slices, runs_inward) * slice;
    let end = min(at + slice, params.length);
    // Sums of sums: the error grows with the count's square root, not with the count.
    var total = identity();
    while at < end {
        let stop = min(at + 128u, end);
        var block = input[base + inner(steps, at)];
        at += 1u;
        while at < stop {
            block = combine(block, input[base + inner(steps, at)]);
            at += 1u;
        }
        total = combine(total, block);
    }
    output[item] = total;
}
