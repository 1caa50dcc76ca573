// A reduction with `lanes` invocations per output, which combine their parts as a tree.

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

override threads: u32 = 256;
override lanes: u32 = 256;

var<workgroup> parts: array<Number, threads>;

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
    @builtin(local_invocation_index) thread: u32,
) {
    // Where there are few outputs, the elements of each are cut in slices, and a second pass reduces the slices' results.
    let slices = params.slices;
    let item = (group.y * groups.x + group.x) * (threads / lanes) + thread / lanes;
    let lane = thread % lanes;
    let live = item < params.outputs * slices;
    var total = identity();
    if live {
        let base = outer(item / slices);
        let steps = inward();
        let end = params.length;
        let stride = lanes * slices;
        var at = (item % slices) * lanes + lane;
        while at < end {
            // Sums of sums keep the error small, as in reduce_each.
            var block = input[base + inner(steps, at)];
            at += stride;
            for (var i = 1u; i < 32u && at < end; i++) {
                block = combine(block, input[base + inner(steps, at)]);
                at += stride;
            }
            total = combine(total, block);
        }
    }
    parts[thread] = total;
    for (var reach = lanes / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if lane < reach {
            parts[thread] = combine(parts[thread], parts[thread + reach]);
        }
    }
    if live && lane == 0u {
        output[item] = parts[thread];
    }
}
