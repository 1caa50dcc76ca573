// The gradient of a convolution for its input: rows are input channels, columns are input pixels, the depth is output
// channel and tap.
// `channels` and `out_channels` are those of one group; `batches` counts groups.

alias Number = f32;

@group(0) @binding(0) var<storage, read> input0: array<Number>;
@group(0) @binding(1) var<storage, read> input1: array<Number>;
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

struct Column {
    at: u32,
    y: u32,
    x: u32,
}

fn left_row(group: u32, row: u32) -> Row {
    let taps = params.kernel_height * params.kernel_width;
    return Row((group * params.out_channels * params.channels + row) * taps);
}

fn left(row: Row, k: u32) -> Number {
    let taps = params.kernel_height * params.kernel_width;
    return input1[row.at + (k / taps) * params.channels * taps + k % taps];
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

fn right(column: Column, k: u32) -> Number {
    let tap = k / params.kernel_width;
    // Where the window that met this pixel with this tap started; it wraps around to a large number where none did.
    let y = column.y - (tap % params.kernel_height) * params.dilation_y;
    let x = column.x - (k % params.kernel_width) * params.dilation_x;
    let out_y = y / params.stride_y;
    let out_x = x / params.stride_x;
    if out_y >= params.out_height || out_x >= params.out_width
        || out_y * params.stride_y != y || out_x * params.stride_x != x {
        return Number(0);
    }
    return input0[column.at + ((tap / params.kernel_height) * params.out_height + out_y) * params.out_width + out_x];
}

fn destination(group: u32, row: u32, column: u32) -> u32 {
    let pixels = params.height * params.width;
    let image = (column / pixels) * params.batches + group;
    return (image * params.rows + row) * pixels + column % pixels;
}
//}
