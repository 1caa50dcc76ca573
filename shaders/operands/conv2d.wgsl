// A convolution as a contraction: rows are output channels, columns are output pixels, the depth is channel and tap.
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
    return Row((group * params.rows + row) * params.depth);
}

fn left(row: Row, k: u32) -> Number {
    return input1[row.at + k];
}

fn right_column(group: u32, column: u32) -> Column {
    let pixels = params.out_height * params.out_width;
    let pixel = column % pixels;
    let image = (column / pixels) * params.batches + group;
    return Column(
        image * params.channels * params.height * params.width,
        (pixel / params.out_width) * params.stride_y - params.padding_y,
        (pixel % params.out_width) * params.stride_x - params.padding_x,
    );
}

fn right(column: Column, k: u32) -> Number {
    let tap = k / params.kernel_width;
    let y = column.y + (tap % params.kernel_height) * params.dilation_y;
    let x = column.x + (k % params.kernel_width) * params.dilation_x;
    // Positions left of or above the image wrap around to large numbers.
    if y >= params.height || x >= params.width {
        return Number(0);
    }
    return input0[column.at + ((tap / params.kernel_height) * params.height + y) * params.width + x];
}

fn destination(group: u32, row: u32, column: u32) -> u32 {
    let pixels = params.out_height * params.out_width;
    let image = (column / pixels) * params.batches + group;
    return (image * params.rows + row) * pixels + column % pixels;
}
//}
