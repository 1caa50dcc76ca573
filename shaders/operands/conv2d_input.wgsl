// The gradient of a convolution for its input: rows are input channels, columns are input pixels, the depth is output
// channel and tap.
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

// An output channel and tap: where its weight lies, its place in a window, where its channel lies. The rest is constant.
struct Step {
    weight: u32,
    y: u32,
    x: u32,
    plane: u32,
    height: u32,
    width: u32,
    dilation_y: u32,
    dilation_x: u32,
    end_y: u32,
    end_x: u32,
    next_weight: u32,
    stride_y: u32,
    stride_x: u32,
}

override unit_stride: bool = false;

fn left_row(group: u32, row: u32) -> Row {
    let taps = params.kernel_height * params.kernel_width;
    return Row((group * params.out_channels * params.channels + row) * taps);
}

fn right_column(group: u32, column: u32) -> Column {
    let pixels = params.height * params.width;
    let pixel = column % pixels;
    let image = (column / pixels) * params.batches + group;
    return Column(
        image * params.out_channels * params.out_height * params.out_width,
        pixel / params.width + params.padding_y,
        pixel % params.width + params.padding_x,
    );
}

fn step_at(k: u32) -> Step {
    let taps = params.kernel_height * params.kernel_width;
    let channel = k / taps;
    let tap = k % taps;
    return Step(
        channel * params.channels * taps + tap,
        (tap / params.kernel_width) * params.dilation_y,
        (tap % params.kernel_width) * params.dilation_x,
        channel * params.out_height * params.out_width,
        params.out_height, params.out_width, params.dilation_y, params.dilation_x,
        params.kernel_height * params.dilation_y, params.kernel_width * params.dilation_x,
        (params.channels - 1u) * taps, params.stride_y, params.stride_x,
    );
}

fn next_step(step: Step) -> Step {
    var next = step;
    next.weight += 1u;
    next.x += step.dilation_x;
    if next.x == step.end_x {
        next.x = 0u;
        next.y += step.dilation_y;
        if next.y == step.end_y {
            next.y = 0u;
            next.plane += step.height * step.width;
            next.weight += step.next_weight;
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
    return element1(row.at + step.weight);
}

fn right(column: Column, step: Step) -> Number {
    // Where the window that met this pixel with this tap started; it wraps around to a large number where none did.
    var y = column.y - step.y;
    var x = column.x - step.x;
    if !unit_stride {
        let start_y = y;
        let start_x = x;
        y /= step.stride_y;
        x /= step.stride_x;
        if y * step.stride_y != start_y || x * step.stride_x != start_x {
            return Number(0);
        }
    }
    if y >= step.height || x >= step.width {
        return Number(0);
    }
    return element0(column.at + step.plane + y * step.width + x);
}

fn destination(group: u32, row: u32, column: u32) -> u32 {
    let pixels = params.height * params.width;
    let image = (column / pixels) * params.batches + group;
    return (image * params.rows + row) * pixels + column % pixels;
}
//}
