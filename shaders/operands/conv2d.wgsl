// A convolution as a contraction: rows are output channels, columns are output pixels, the depth is channel and tap.
// `channels` and `out_channels` are those of one group; `batches` counts groups.

alias Number = f32;
alias Element0 = Number;
alias Element1 = Number;

@group(0) @binding(0) var<storage, read> input0: array<Element0>;
@group(0) @binding(1) var<storage, read> input1: array<Element1>;
@group(0) @binding(3) var<uniform> params: Params;

//{ operands
struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    batches: u32,
    slices: u32,
    slice: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    padding_y: u32,
    padding_x: u32,
    dilation_y: u32,
    dilation_x: u32,
}

struct Row {
    at: u32,
}

// Where a column lies in its image, and the window's place on it. Places left of or above the image wrap around to
// large numbers, so that one comparison finds them.
struct Column {
    at: u32,
    y: u32,
    x: u32,
}

// A channel and tap: its number, its place in a window, and the same as a distance in the image. The rest is constant.
struct Step {
    number: u32,
    y: u32,
    x: u32,
    distance: u32,
    height: u32,
    width: u32,
    dilation_y: u32,
    dilation_x: u32,
    end_y: u32,
    end_x: u32,
}

fn left_row(group: u32, row: u32) -> Row {
    return Row((group * params.rows + row) * params.depth);
}

fn right_column(group: u32, column: u32) -> Column {
    let pixels = params.out_height * params.out_width;
    let pixel = column % pixels;
    let image = (column / pixels) * params.batches + group;
    let y = (pixel / params.out_width) * params.stride_y - params.padding_y;
    let x = (pixel % params.out_width) * params.stride_x - params.padding_x;
    return Column((image * params.channels * params.height + y) * params.width + x, y, x);
}

fn step_at(k: u32) -> Step {
    let tap = k / params.kernel_width;
    let channel = tap / params.kernel_height;
    let y = (tap % params.kernel_height) * params.dilation_y;
    let x = (k % params.kernel_width) * params.dilation_x;
    return Step(
        k, y, x, (channel * params.height + y) * params.width + x,
        params.height, params.width, params.dilation_y, params.dilation_x,
        params.kernel_height * params.dilation_y, params.kernel_width * params.dilation_x,
    );
}

fn next_step(step: Step) -> Step {
    var next = step;
    next.number += 1u;
    next.x += step.dilation_x;
    next.distance += step.dilation_x;
    if next.x == step.end_x {
        next.x = 0u;
        next.y += step.dilation_y;
        next.distance += step.dilation_y * step.width - step.end_x;
        if next.y == step.end_y {
            next.y = 0u;
            next.distance += (step.height - step.end_y) * step.width;
        }
    }
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
    return element1(row.at + step.number);
}

fn right(column: Column, step: Step) -> Number {
    if column.y + step.y >= step.height || column.x + step.x >= step.width {
        return Number(0);
    }
    return element0(column.at + step.distance);
}

fn destination(group: u32, row: u32, column: u32) -> u32 {
    let pixels = params.out_height * params.out_width;
    let image = (column / pixels) * params.batches + group;
    return (image * params.rows + row) * pixels + column % pixels;
}
//}
