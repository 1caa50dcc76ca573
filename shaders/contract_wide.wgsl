// A contraction, out[batch, row, column] = sum over k of left[batch, row, k] * right[batch, k, column], by tiles of
// 128 x 128 that pass through workgroup memory 8 deep. An invocation holds 8 rows and 8 columns in registers: twice 4,
// 64 apart, so that neighbours read neighbouring words.

alias Number = f32;
alias Element0 = Number;
alias Element1 = Number;

//{ operands
struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    batches: u32,
    slices: u32,
    slice: u32,
}

// Where a row of the left operand and a column of the right one lie, and how far along the depth.
struct Row {
    at: u32,
}

struct Column {
    at: u32,
}

struct Step {
    left: u32,
    right: u32,
    right_stride: u32,
}

fn left_row(batch: u32, row: u32) -> Row {
    return Row((batch * params.rows + row) * params.depth);
}

fn right_column(batch: u32, column: u32) -> Column {
    return Column(batch * params.depth * params.columns + column);
}

fn step_at(k: u32) -> Step {
    return Step(k, k * params.columns, params.columns);
}

fn next_step(step: Step) -> Step {
    return Step(step.left + 1u, step.right + step.right_stride, step.right_stride);
}

fn element0(at: u32) -> Number {
    return input0[at];
}

fn element1(at: u32) -> Number {
    return input1[at];
}

fn left(row: Row, step: Step) -> Number {
    return element0(row.at + step.left);
}

fn right(column: Column, step: Step) -> Number {
    return element1(column.at + step.right);
}

// Where the result goes.
fn destination(batch: u32, row: u32, column: u32) -> u32 {
    return (batch * params.rows + row) * params.columns + column;
}
//}

@group(0) @binding(0) var<storage, read> input0: array<Element0>;
@group(0) @binding(1) var<storage, read> input1: array<Element1>;
@group(0) @binding(3) var<uniform> params: Params;

//{ finish
@group(0) @binding(2) var<storage, read_write> output0: array<Number>;

// What becomes of an element of the result; other kernels do more with it than store it.
fn finish(index: u32, value: Number) {
    output0[index] = value;
}
//}

const TILE: u32 = 128u;
const DEPTH: u32 = 8u;
const QUADS: u32 = 32u;

// Whether neighbours in memory are neighbours in depth: it decides which invocation loads what.
override left_runs_deep: bool = true;
override right_runs_deep: bool = false;

// [k][quad of rows], [k][quad of columns].
var<workgroup> left_tile: array<vec4<Number>, DEPTH * QUADS>;
var<workgroup> right_tile: array<vec4<Number>, DEPTH * QUADS>;

//{ multiply
fn multiply_add(x: vec4<Number>, y: vec4<Number>, sum: vec4<Number>) -> vec4<Number> {
    return fma(x, y, sum);
}
//}

// Four rows at one place of the depth; nothing beyond its end.
fn load_left(k: u32, end: u32, row0: Row, row1: Row, row2: Row, row3: Row) -> vec4<Number> {
    if k >= end {
        return vec4<Number>();
    }
    let step = step_at(k);
    return vec4<Number>(left(row0, step), left(row1, step), left(row2, step), left(row3, step));
}

fn load_right(k: u32, end: u32, column0: Column, column1: Column, column2: Column, column3: Column) -> vec4<Number> {
    if k >= end {
        return vec4<Number>();
    }
    let step = step_at(k);
    return vec4<Number>(right(column0, step), right(column1, step), right(column2, step), right(column3, step));
}

fn store(batch: u32, slice: u32, row: u32, column: u32, value: vec4<Number>) {
    if row >= params.rows || column >= params.columns {
        return;
    }
    let base = slice * params.batches * params.rows * params.columns;
    for (var i = 0u; i < min(4u, params.columns - column); i++) {
        finish(base + destination(batch, row, column + i), value[i]);
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var item = group.y * groups.x + group.x;
    let wide = (params.columns + TILE - 1u) / TILE;
    let high = (params.rows + TILE - 1u) / TILE;
    let tile_column = (item % wide) * TILE;
    item /= wide;
    let tile_row = (item % high) * TILE;
    item /= high;
    let batch = item % params.batches;
    // A long depth is cut in slices; a reduction adds their results. Groups beyond the last slice find no depth.
    let slice = item / params.batches;

    let left_quad = select(lane % QUADS, lane / DEPTH, left_runs_deep);
    let left_k = select(lane / QUADS, lane % DEPTH, left_runs_deep);
    let right_quad = select(lane % QUADS, lane / DEPTH, right_runs_deep);
    let right_k = select(lane / QUADS, lane % DEPTH, right_runs_deep);

    // Rows and columns beyond the end repeat the last one; they are not stored.
    let last_row = params.rows - 1u;
    let last_column = params.columns - 1u;
    let load_row = tile_row + left_quad * 4u;
    let load_column = tile_column + right_quad * 4u;
    let row0 = left_row(batch, min(load_row, last_row));
    let row1 = left_row(batch, min(load_row + 1u, last_row));
    let row2 = left_row(batch, min(load_row + 2u, last_row));
    let row3 = left_row(batch, min(load_row + 3u, last_row));
    let column0 = right_column(batch, min(load_column, last_column));
    let column1 = right_column(batch, min(load_column + 1u, last_column));
    let column2 = right_column(batch, min(load_column + 2u, last_column));
    let column3 = right_column(batch, min(load_column + 3u, last_column));

    var sum0a = vec4<Number>();
    var sum0b = vec4<Number>();
    var sum1a = vec4<Number>();
    var sum1b = vec4<Number>();
    var sum2a = vec4<Number>();
    var sum2b = vec4<Number>();
    var sum3a = vec4<Number>();
    var sum3b = vec4<Number>();
    var sum4a = vec4<Number>();
    var sum4b = vec4<Number>();
    var sum5a = vec4<Number>();
    var sum5b = vec4<Number>();
    var sum6a = vec4<Number>();
    var sum6b = vec4<Number>();
    var sum7a = vec4<Number>();
    var sum7b = vec4<Number>();
    let own_column = lane % 16u;
    let own_row = lane / 16u;
    let end = min((slice + 1u) * params.slice, params.depth);
    let begin = slice * params.slice;
    var x = load_left(begin + left_k, end, row0, row1, row2, row3);
    var y = load_right(begin + right_k, end, column0, column1, column2, column3);
    for (var start = begin; start < end; start += DEPTH) {
        left_tile[left_k * QUADS + left_quad] = x;
        right_tile[right_k * QUADS + right_quad] = y;
        workgroupBarrier();
        // The next tile is on its way from memory while this one is multiplied.
        x = load_left(start + DEPTH + left_k, end, row0, row1, row2, row3);
        y = load_right(start + DEPTH + right_k, end, column0, column1, column2, column3);
        for (var k = 0u; k < DEPTH; k++) {
            let a = left_tile[k * QUADS + own_row];
            let b = left_tile[k * QUADS + own_row + 16u];
            let c = right_tile[k * QUADS + own_column];
            let d = right_tile[k * QUADS + own_column + 16u];
            sum0a = multiply_add(vec4<Number>(a.x), c, sum0a);
            sum0b = multiply_add(vec4<Number>(a.x), d, sum0b);
            sum1a = multiply_add(vec4<Number>(a.y), c, sum1a);
            sum1b = multiply_add(vec4<Number>(a.y), d, sum1b);
            sum2a = multiply_add(vec4<Number>(a.z), c, sum2a);
            sum2b = multiply_add(vec4<Number>(a.z), d, sum2b);
            sum3a = multiply_add(vec4<Number>(a.w), c, sum3a);
            sum3b = multiply_add(vec4<Number>(a.w), d, sum3b);
            sum4a = multiply_add(vec4<Number>(b.x), c, sum4a);
            sum4b = multiply_add(vec4<Number>(b.x), d, sum4b);
            sum5a = multiply_add(vec4<Number>(b.y), c, sum5a);
            sum5b = multiply_add(vec4<Number>(b.y), d, sum5b);
            sum6a = multiply_add(vec4<Number>(b.z), c, sum6a);
            sum6b = multiply_add(vec4<Number>(b.z), d, sum6b);
            sum7a = multiply_add(vec4<Number>(b.w), c, sum7a);
            sum7b = multiply_add(vec4<Number>(b.w), d, sum7b);
        }
        workgroupBarrier();
    }
    if slice < params.slices {
        let row = tile_row + own_row * 4u;
        let column = tile_column + own_column * 4u;
        store(batch, slice, row, column, sum0a);
        store(batch, slice, row, column + 64u, sum0b);
        store(batch, slice, row + 1u, column, sum1a);
        store(batch, slice, row + 1u, column + 64u, sum1b);
        store(batch, slice, row + 2u, column, sum2a);
        store(batch, slice, row + 2u, column + 64u, sum2b);
        store(batch, slice, row + 3u, column, sum3a);
        store(batch, slice, row + 3u, column + 64u, sum3b);
        store(batch, slice, row + 64u, column, sum4a);
        store(batch, slice, row + 64u, column + 64u, sum4b);
        store(batch, slice, row + 65u, column, sum5a);
        store(batch, slice, row + 65u, column + 64u, sum5b);
        store(batch, slice, row + 66u, column, sum6a);
        store(batch, slice, row + 66u, column + 64u, sum6b);
        store(batch, slice, row + 67u, column, sum7a);
        store(batch, slice, row + 67u, column + 64u, sum7b);
    }
}
