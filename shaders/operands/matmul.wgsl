// A matrix product of strided windows. The generator puts the batch axes in `left_batch` and `right_batch`.

alias Number = f32;
alias Element0 = Number;
alias Element1 = Number;

//{ interface
struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    batches: u32,
    slices: u32,
    slice: u32,
    left_row: u32,
    left_k: u32,
    right_k: u32,
    right_column: u32,
    left_offset: u32,
    right_offset: u32,
}

fn left_batch(batch: u32) -> u32 {
    return params.left_offset;
}

fn right_batch(batch: u32) -> u32 {
    return params.right_offset;
}
//}

@group(0) @binding(0) var<storage, read> input0: array<Element0>;
@group(0) @binding(1) var<storage, read> input1: array<Element1>;
@group(0) @binding(3) var<uniform> params: Params;

//{ operands
struct Row {
    at: u32,
}

struct Column {
    at: u32,
}

struct Step {
    left: u32,
    right: u32,
    left_stride: u32,
    right_stride: u32,
}

fn left_row(batch: u32, row: u32) -> Row {
    return Row(left_batch(batch) + row * params.left_row);
}

fn right_column(batch: u32, column: u32) -> Column {
    return Column(right_batch(batch) + column * params.right_column);
}

fn step_at(k: u32) -> Step {
    return Step(k * params.left_k, k * params.right_k, params.left_k, params.right_k);
}

fn next_step(step: Step) -> Step {
    var next = step;
    next.left += step.left_stride;
    next.right += step.right_stride;
    return next;
}

//{ elements
fn element0(at: u32) -> Number {
    return input0[at];
}

fn element1(at: u32) -> Number {
    return input1[at];
}
//}

fn left(row: Row, step: Step) -> Number {
    return element0(row.at + step.left);
}

fn right(column: Column, step: Step) -> Number {
    return element1(column.at + step.right);
}

fn destination(batch: u32, row: u32, column: u32) -> u32 {
    return (batch * params.rows + row) * params.columns + column;
}
//}
