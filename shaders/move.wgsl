// Moves elements of any kind: `element(index, part)` says which bits go where. An invocation writes one whole word,
// which holds PER_WORD elements, or is one of the WORDS parts of an element.

//{ width
const PER_WORD: u32 = 1u;
const WORDS: u32 = 1u;
//}

//{ source
struct Params {
    count: u32,
}

@group(0) @binding(0) var<storage, read> input0: array<u32>;

fn element(index: u32, part: u32) -> u32 {
    return input0[index * WORDS + part];
}
//}

@group(0) @binding(1) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

override threads: u32 = 256;

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = (group.y * groups.x + group.x) * threads + lane;
    let first = item * PER_WORD / WORDS;
    if first >= params.count {
        return;
    }
    var word = element(first, item % WORDS);
    for (var i = 1u; i < PER_WORD && first + i < params.count; i++) {
        word |= element(first + i, 0u) << (i * (32u / PER_WORD));
    }
    output[item] = word;
}
