// Work over rows: reductions of a row, and what is computed of each place with their results. A row, or a slice of one,
// is shared by `params.lanes` invocations that combine their parts through workgroup memory, or one has it for itself.

//{ interface
struct Params {
    items: u32,
    rows: u32,
    length: u32,
    slices: u32,
    // A power of two.
    lanes: u32,
}

@group(0) @binding(0) var<storage, read> input0: array<f32>;
@group(0) @binding(1) var<storage, read_write> output0: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
//}

override threads: u32 = 256;
// Whether invocations share rows.
override shares_rows: bool = true;
// Whether neighbouring invocations take neighbouring rows; otherwise they take neighbouring places of one row.
override across: bool = false;

//{ parts
var<workgroup> parts_f32_0: array<f32, threads>;
//}

//{ work
// `item` is a row, or one of the slices that rows are cut in where there are few; a second pass then reduces the slices'
// results. `next` is how far the invocation is that has the next place of the row.
fn compute(item: u32, lane: u32, thread: u32, next: u32) {
    // Invocations beyond the last row repeat it, so that all meet at the barriers. They do not store.
    let live = item < params.items;
    let length = params.length;
    let own = min(item, params.items - 1u);
    let row = select(own / params.slices, own % params.rows, across);
    let slice = select(own % params.slices, own / params.rows, across);
    let lanes = params.lanes;
    let first = slice * lanes + lane;
    let stride = lanes * params.slices;
    // Sums of sums: the error grows with the count's square root, not with the count.
    var total = 0.0;
    for (var at = first; at < length;) {
        var block = 0.0;
        for (var turn = 0u; turn < 64u && at < length; turn++) {
            block += input0[row * length + at];
            at += stride;
        }
        total += block;
    }
    parts_f32_0[thread] = total;
    for (var reach = lanes / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if lane < reach {
            parts_f32_0[thread] += parts_f32_0[thread + reach * next];
        }
    }
    workgroupBarrier();
    let sum = parts_f32_0[thread - lane * next];
    if live && lane == 0u {
        output0[item] = sum;
    }
}
//}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lanes = select(1u, params.lanes, shares_rows);
    let rows = threads / lanes;
    let item = (group.y * groups.x + group.x) * rows + select(thread / lanes, thread % rows, across);
    compute(item, select(thread % lanes, thread / rows, across), thread, select(1u, rows, across));
}
