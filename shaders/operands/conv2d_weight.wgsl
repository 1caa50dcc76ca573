// The gradient of a convolution for its weight: rows are output channels, columns are channel and tap, the depth is
// output pixel of every image.
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

// An output pixel: where its gradient lies, its window's place, and the same as a distance in the input. The rest is
// constant.
struct Step {
    grad: u32,
    y: u32,
    x: u32,
    distance: u32,
    height: u32,
    width: u32,
    stride_y: u32,
    stride_x: u32,
    end_y: u32,
    end_x: u32,
    next_grad: u32,
    next_image: u32,
}

fn left_row(group: u32, row: u32) -> Row {
    return Row((group * params.rows + row) * params.out_height * params.out_width);
}

fn right_column(group: u32, column: u32) -> Column {
    let tap = column / params.kernel_width;
    let channel = group * params.channels + tap / params.kernel_height;
    let y = (tap % params.kernel_height) * params.dilation_y - params.padding_y;
    let x = (column % params.kernel_width) * params.dilation_x - params.padding_x;
    return Column((channel * params.height + y) * params.width + x, y, x);
}

fn step_at(k: u32) -> Step {
    let line = k / params.out_width;
    let image = line / params.out_height;
    let y = (line % params.out_height) * params.stride_y;
    let x = (k % params.out_width) * params.stride_x;
    let pixels = params.out_height * params.out_width;
    let channels = params.batches * params.channels;
    return Step(
        image * params.batches * params.rows * pixels + k % pixels,
        y, x, (image * channels * params.height + y) * params.width + x,
        params.height, params.width, params.stride_y, params.stride_x,
        params.out_height * params.stride_y, params.out_width * params.stride_x,
        (params.batches * params.rows - 1u) * pixels, channels * params.height * params.width,
    );
}

fn next_step(step: Step) -> Step {
    var next = step;
    next.grad += 1u;
    next.x += step.stride_x;
    next.distance += step.stride_x;
    if next.x == step.end_x {
        next.x = 0u;
        next.y += step.stride_y;
        next.distance += step.stride_y * step.width - step.end_x;
        if next.y == step.end_y {
            next.y = 0u;
            next.distance += step.next_image - step.end_y * step.width;
            next.grad += step.next_grad;
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
    return element0(row.at + step.grad);
}

fn right(column: Column, step: Step) -> Number {
    if column.y + step.y >= step.height || column.x + step.x >= step.width {
        return Number(0);
    }
    return element1(column.at + step.distance);
}

fn destination(group: u32, row: u32, column: u32) -> u32 {
    return (group * params.rows + row) * params.columns + column;
}
//}
