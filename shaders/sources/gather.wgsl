// The elements that an index tensor picks along an axis. A bad index is clamped and noted.

//{ width
const PER_WORD: u32 = 1u;
const WORDS: u32 = 1u;
//}

@group(0) @binding(2) var<uniform> params: Params;

//{ source
@group(0) @binding(0) var<storage, read> input0: array<u32>;
@group(0) @binding(1) var<storage, read> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> status: array<atomic<u32>>;

//{ windows
struct Params {
    count: u32,
    axis_size: u32,
    axis_stride: u32,
    slot: u32,
}

// Where the index of an element lies, and the element at index 0.
fn locate(index: u32) -> vec2<u32> {
    return vec2<u32>(index, 0u);
}
//}

fn fetch(at: u32, part: u32) -> u32 {
    let word = input0[(at * WORDS + part) / PER_WORD];
    return (word >> (at % PER_WORD * (32u / PER_WORD))) & (0xffffffffu >> (32u - 32u / PER_WORD));
}

fn element(index: u32, part: u32) -> u32 {
    let at = locate(index);
    var pick = picks[at.x];
    if pick >= params.axis_size {
        // Two words to a step: whether there was a bad index, and the largest one.
        atomicMax(&status[params.slot], 1u);
        atomicMax(&status[params.slot + 1u], pick);
        pick = params.axis_size - 1u;
    }
    return fetch(at.y + pick * params.axis_stride, part);
}
//}
