// A contraction, out[batch, row, column] = sum over k of left[batch, row, k] * right[batch, k, column], without
// workgroup memory: an invocation holds a block of 8 rows and 8 columns in registers. For CPUs, where each load costs as much as many
// products.

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

fn store(batch: u32, slice: u32, row: u32, column: u32, low: vec4<Number>, high: vec4<Number>) {
    if row >= params.rows {
        return;
    }
    let base = slice * params.batches * params.rows * params.columns;
    for (var i = 0u; i < min(8u, params.columns - column); i++) {
        finish(base + destination(batch, row, column + i), select(high, low, i < 4u)[i % 4u]);
    }
}

@compute @workgroup_size(threads)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var item = (group.y * groups.x + group.x) * threads + lane;
    let wide = (params.columns + 7u) / 8u;
    let high = (params.rows + 7u) / 8u;
    let column = (item % wide) * 8u;
    item /= wide;
    let row = (item % high) * 8u;
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
    let row4 = left_row(batch, min(row + 4u, last_row));
    let row5 = left_row(batch, min(row + 5u, last_row));
    let row6 = left_row(batch, min(row + 6u, last_row));
    let row7 = left_row(batch, min(row + 7u, last_row));
    let column0 = right_column(batch, column);
    let column1 = right_column(batch, min(column + 1u, last_column));
    let column2 = right_column(batch, min(column + 2u, last_column));
    let column3 = right_column(batch, min(column + 3u, last_column));
    let column4 = right_column(batch, min(column + 4u, last_column));
    let column5 = right_column(batch, min(column + 5u, last_column));
    let column6 = right_column(batch, min(column + 6u, last_column));
    let column7 = right_column(batch, min(column + 7u, last_column));
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
    let end = min((slice + 1u) * params.slice, params.depth);
    var step = step_at(slice * params.slice);
    for (var k = slice * params.slice; k < end; k++) {
        let a = vec4<Number>(right(column0, step), right(column1, step), right(column2, step), right(column3, step));
        let b = vec4<Number>(right(column4, step), right(column5, step), right(column6, step), right(column7, step));
        let x0 = vec4<Number>(left(row0, step));
        sum0a = multiply_add(x0, a, sum0a);
        sum0b = multiply_add(x0, b, sum0b);
        let x1 = vec4<Number>(left(row1, step));
        sum1a = multiply_add(x1, a, sum1a);
        sum1b = multiply_add(x1, b, sum1b);
        let x2 = vec4<Number>(left(row2, step));
        sum2a = multiply_add(x2, a, sum2a);
        sum2b = multiply_add(x2, b, sum2b);
        let x3 = vec4<Number>(left(row3, step));
        sum3a = multiply_add(x3, a, sum3a);
        sum3b = multiply_add(x3, b, sum3b);
        let x4 = vec4<Number>(left(row4, step));
        sum4a = multiply_add(x4, a, sum4a);
        sum4b = multiply_add(x4, b, sum4b);
        let x5 = vec4<Number>(left(row5, step));
        sum5a = multiply_add(x5, a, sum5a);
        sum5b = multiply_add(x5, b, sum5b);
        let x6 = vec4<Number>(left(row6, step));
        sum6a = multiply_add(x6, a, sum6a);
        sum6b = multiply_add(x6, b, sum6b);
        let x7 = vec4<Number>(left(row7, step));
        sum7a = multiply_add(x7, a, sum7a);
        sum7b = multiply_add(x7, b, sum7b);
        step = next_step(step);
    }
    store(batch, slice, row, column, sum0a, sum0b);
    store(batch, slice, row + 1u, column, sum1a, sum1b);
    store(batch, slice, row + 2u, column, sum2a, sum2b);
    store(batch, slice, row + 3u, column, sum3a, sum3b);
    store(batch, slice, row + 4u, column, sum4a, sum4b);
    store(batch, slice, row + 5u, column, sum5a, sum5b);
    store(batch, slice, row + 6u, column, sum6a, sum6b);
    store(batch, slice, row + 7u, column, sum7a, sum7b);
}
