// A contraction, out[batch, row, column] = sum over k of left[batch, row, k] * right[batch, k, column], without
// workgroup memory: an invocation holds a block of 4 rows and 4 columns in registers. For small sizes, and for CPUs.

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

override threads: u32 = 64;

//{ multiply
fn multiply_add(x: vec4<Number>, y: vec4<Number>, sum: vec4<Number>) -> vec4<Number> {
    return fma(x, y, sum);
}
//}

fn store(batch: u32, slice: u32, row: u32, column: u32, value: vec4<Number>) {
    if row >= params.rows {
        return;
    }
    let base = slice * params.batches * params.rows * params.columns;
    for (var i = 0u; i < min(4u, params.columns - column); i++) {
        finish(base + destination(batch, row, column + i), value[i]);
    }
}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var item = (group.y * groups.x + group.x) * threads + lane;
    let wide = (params.columns + 3u) / 4u;
    let high = (params.rows + 3u) / 4u;
    let column = (item % wide) * 4u;
    item /= wide;
    let row = (item % high) * 4u;
    item /= high;
    let batch = item % params.batches;
    // A long depth is cut in slices; a reduction adds their results.
    let slice = item / params.batches;
    if slice >= params.slices {
        return;
    }
    // Rows and columns beyond the end repeat the last one; they are not stored.
    let last_row = params.rows - 1u;
    let last_column = params.columns - 1u;
    let row0 = left_row(batch, row);
    let row1 = left_row(batch, min(row + 1u, last_row));
    let row2 = left_row(batch, min(row + 2u, last_row));
    let row3 = left_row(batch, min(row + 3u, last_row));
    let column0 = right_column(batch, column);
    let column1 = right_column(batch, min(column + 1u, last_column));
    let column2 = right_column(batch, min(column + 2u, last_column));
    let column3 = right_column(batch, min(column + 3u, last_column));
    var sum0 = vec4<Number>();
    var sum1 = vec4<Number>();
    var sum2 = vec4<Number>();
    var sum3 = vec4<Number>();
    let end = min((slice + 1u) * params.slice, params.depth);
    var step = step_at(slice * params.slice);
    for (var k = slice * params.slice; k < end; k++) {
        let y = vec4<Number>(right(column0, step), right(column1, step), right(column2, step), right(column3, step));
        sum0 = multiply_add(vec4<Number>(left(row0, step)), y, sum0);
        sum1 = multiply_add(vec4<Number>(left(row1, step)), y, sum1);
        sum2 = multiply_add(vec4<Number>(left(row2, step)), y, sum2);
        sum3 = multiply_add(vec4<Number>(left(row3, step)), y, sum3);
        step = next_step(step);
    }
    store(batch, slice, row, column, sum0);
    store(batch, slice, row + 1u, column, sum1);
    store(batch, slice, row + 2u, column, sum2);
    store(batch, slice, row + 3u, column, sum3);
}
