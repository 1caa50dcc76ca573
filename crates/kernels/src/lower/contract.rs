//! Matrix products and convolutions: sums over a depth.

use super::cast::{cast, load, stored};
use super::finish::Finish;
use super::form::{Cut, Form, Shape, Side};
use super::part::without_last;
use super::walk::Walk;
use super::{Input, Launch, Lowering, THREADS, TURNS};
use crate::params::Params;
use crate::pipelines::{Key, Source, file};
use wgrad_plan::{Instruction, Program};
use wgrad_shaders::fill;
use wgrad_tensor::dtype::DType;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::Window2d;

/// How a contraction's operands are found: the file, the text where the file leaves it open, and the parameters.
struct Operands {
    name: &'static str,
    key: Key,
    interface: String,
    params: Params,
    overrides: Vec<(&'static str, f64)>,
}

impl Lowering<'_> {
    pub(super) fn matmul(&mut self, left: &Input, right: &Input, finish: &Finish<'_>) -> Result<(), Problem> {
        let shape = &finish.shape;
        let rank = shape.len();
        if rank < 2 || left.layout.shape.len() != rank || right.layout.shape.len() != rank {
            return Err(Problem::new(ErrorKind::Shape, "a matrix product takes operands of one rank, 2 or more"));
        }
        let flat = as_one_product(&left.layout, &right.layout);
        let (x, y) = flat.as_ref().map_or((&left.layout, &right.layout), |(x, y)| (x, y));
        let (row, column) = (x.shape.len() - 2, x.shape.len() - 1);
        let batch = |layout: &Layout| without_last(layout, 2);
        let walk = Walk::new(&[&batch(x), &batch(y)]);
        let shape = Shape {
            rows: x.shape[row],
            columns: y.shape[column],
            depth: x.shape[column],
            batches: x.shape[..row].iter().product(),
            counts_examples: Side::Rows,
            left_runs_deep: x.strides[column].abs() == 1 || x.strides[row].abs() != 1,
            right_runs_deep: y.strides[row].abs() == 1 && y.strides[column].abs() != 1,
        };
        let mut params = Params::default();
        params.strides(&[x.strides[row], x.strides[column], y.strides[row], y.strides[column]]);
        walk.params(&mut params);
        let operands = Operands {
            name: "operands/matmul",
            key: Key::new("matmul").number(walk.sizes.len()),
            interface: format!(
                "struct Params {{\n{COMMON}    left_row: u32,\n    left_k: u32,\n    right_k: u32,\n    right_column: u32,\n{}}}\n\n{}",
                walk.fields("batch_"),
                ["left_batch", "right_batch"]
                    .iter()
                    .enumerate()
                    .map(|(window, name)| format!(
                        "fn {name}(index: u32) -> u32 {{\n{}    return {};\n}}\n",
                        walk.decode("batch_"),
                        walk.place("batch_", window)
                    ))
                    .collect::<String>()
            ),
            params,
            overrides: Vec::new(),
        };
        self.contract(&shape, operands, [left, right], finish)
    }

    pub(super) fn conv2d(
        &mut self,
        window: &Window2d,
        input: &Input,
        weight: &Input,
        finish: &Finish<'_>,
    ) -> Result<(), Problem> {
        let sizes = Convolution::new(window, &input.layout.shape, &weight.layout.shape, &finish.shape)?;
        let shape = Shape {
            rows: sizes.out_channels,
            columns: sizes.images * sizes.out_height * sizes.out_width,
            depth: sizes.channels * sizes.taps(),
            batches: window.groups,
            counts_examples: Side::Columns,
            left_runs_deep: true,
            right_runs_deep: false,
        };
        let operands = sizes.operands("operands/conv2d", window);
        self.contract(&shape, operands, [input, weight], finish)
    }

    pub(super) fn conv2d_input(
        &mut self,
        window: &Window2d,
        grad: &Input,
        weight: &Input,
        finish: &Finish<'_>,
    ) -> Result<(), Problem> {
        let sizes = Convolution::new(window, &finish.shape, &weight.layout.shape, &grad.layout.shape)?;
        let shape = Shape {
            rows: sizes.channels,
            columns: sizes.images * sizes.height * sizes.width,
            depth: sizes.out_channels * sizes.taps(),
            batches: window.groups,
            counts_examples: Side::Columns,
            left_runs_deep: true,
            right_runs_deep: false,
        };
        let mut operands = sizes.operands("operands/conv2d_input", window);
        // Without gaps between windows there is nothing to divide.
        let unit = window.stride == [1, 1];
        operands.key = operands.key.number(usize::from(unit));
        operands.overrides.push(("unit_stride", f64::from(u8::from(unit))));
        self.contract(&shape, operands, [grad, weight], finish)
    }

    pub(super) fn conv2d_weight(
        &mut self,
        window: &Window2d,
        grad: &Input,
        input: &Input,
        finish: &Finish<'_>,
    ) -> Result<(), Problem> {
        let sizes = Convolution::new(window, &input.layout.shape, &finish.shape, &grad.layout.shape)?;
        let shape = Shape {
            rows: sizes.out_channels,
            columns: sizes.channels * sizes.taps(),
            depth: sizes.images * sizes.out_height * sizes.out_width,
            batches: window.groups,
            counts_examples: Side::Neither,
            left_runs_deep: true,
            right_runs_deep: true,
        };
        let operands = sizes.operands("operands/conv2d_weight", window);
        self.contract(&shape, operands, [grad, input], finish)
    }

    /// Workgroup memory pays where a real GPU fills the tiles; a CPU rather keeps much in each invocation. A smaller batch
    /// is to take the same kernel, so what its examples are counted in decides little.
    fn form(&self, shape: &Shape, dtype: DType) -> Form {
        let wide = Form::Wide.blocks([shape.rows, shape.columns], shape.batches);
        match self.engine.software {
            true if shape.steady() >= 6 => Form::Broad,
            false if shape.rows.min(shape.columns) > 96 && wide >= 96 && dtype != DType::F64 => Form::Wide,
            false if shape.steady() > 16 => Form::Tiled,
            _ => Form::Blocked,
        }
    }

    fn contract(
        &mut self,
        shape: &Shape,
        operands: Operands,
        inputs: [&Input; 2],
        finish: &Finish<'_>,
    ) -> Result<(), Problem> {
        let dtype = finish.program.product().unwrap_or(inputs[0].dtype);
        let count = shape.rows * shape.columns * shape.batches;
        if count == 0 {
            return Ok(());
        }
        let form = self.form(shape, dtype);
        let cut = self.cut(shape, form);
        let most = self.engine.limits.max_storage_buffers_per_shader_stage as usize;
        if cut.slices == 1 && finish.end(inputs.len()).fits(most) {
            return self.contract_into(dtype, shape, operands, inputs, (form, cut), finish);
        }
        let product = self.scratch(count * cut.slices * dtype.size());
        let code = vec![Instruction::Product(dtype)];
        let plain = Program { shape: finish.program.shape.clone(), row_axes: 0, code, stores: vec![0] };
        let outputs = std::slice::from_ref(&product);
        let shape_of = finish.shape.clone();
        let target = Finish { program: &plain, shape: shape_of, inputs: &[], outputs };
        let slices = cut.slices;
        self.contract_into(dtype, shape, operands, inputs, (form, cut), &target)?;
        self.finish_apart(finish, dtype, product, slices)
    }

    /// A long depth under few results is cut in slices that are added afterwards, always in the same order. A smaller batch
    /// is cut as a larger one is, or what follows the product would become another kernel.
    fn cut(&self, shape: &Shape, form: Form) -> Cut {
        let (wanted, least) = match (form, self.engine.software) {
            (Form::Tiled | Form::Wide, _) => (512, 128),
            (_, true) => (64, 512),
            (_, false) => (8192, 64),
        };
        let blocks = form.blocks(shape.filled(), shape.batches);
        let slices = (wanted / blocks).min(shape.depth / least).max(shape.depth.div_ceil(TURNS)).max(1);
        let slice = shape.depth.div_ceil(slices);
        Cut { slice, slices: shape.depth.div_ceil(slice.max(1)).max(1) }
    }

    fn contract_into(
        &mut self,
        dtype: DType,
        shape: &Shape,
        operands: Operands,
        inputs: [&Input; 2],
        (form, cut): (Form, Cut),
        finish: &Finish<'_>,
    ) -> Result<(), Problem> {
        let number = self.number(dtype)?;
        let end = finish.end(inputs.len());
        end.code.dtypes.iter().try_for_each(|&dtype| self.needs(dtype))?;
        let mut params = Params::of(&[shape.rows, shape.columns, shape.depth, shape.batches, cut.slices, cut.slice]);
        params.append(&operands.params);
        params.append(&end.code.params());
        end.windows.params(&mut params);
        let runs = [shape.left_runs_deep, shape.right_runs_deep];
        let name = form.file();
        let tiled = matches!(form, Form::Tiled | Form::Wide);
        let mut key = end.windows.key(operands.key.text(name).number(dtype as usize), &end.code);
        if tiled {
            key = runs.iter().fold(key, |key, &runs| key.number(usize::from(runs)));
        }
        let given = inputs.map(|input| (input.dtype, input.wide));
        if given.iter().any(|&(from, _)| from != dtype) {
            key = given.iter().fold(key, |key, &(from, wide)| key.number(from as usize).number(usize::from(wide)));
        }
        let blocks = form.blocks([shape.rows, shape.columns], shape.batches) * cut.slices;
        let launch = Launch {
            key,
            inputs: inputs.iter().map(|input| input.place).chain(end.arrays.places.iter().copied()).collect(),
            outputs: finish.outputs.to_vec(),
            params,
            groups: if tiled { blocks } else { blocks.div_ceil(THREADS) },
        };
        self.launch(launch, || {
            let open = fill(file(operands.name)?, "interface", &operands.interface);
            let open = fill(&open, "elements", &elements(dtype, given));
            let mut text = file(name)?.replace("alias Number = f32;", &format!("alias Number = {number};"));
            for (i, (from, _)) in given.into_iter().enumerate().filter(|&(_, (from, _))| from != dtype) {
                let alias = |element: &str| format!("alias Element{i} = {element};");
                text = text.replace(&alias("Number"), &alias(stored(from)));
            }
            let text = text.replace("@binding(3) var<uniform>", &format!("@binding({}) var<uniform>", end.bindings()));
            let text = fill(&text, "operands", &with_fields(&between(&open), &end.fields()));
            let text = fill(&text, "finish", &end.text()?);
            let text = if dtype.is_float() { text } else { fill(&text, "multiply", MULTIPLY_WHOLE) };
            let flags = ["left_runs_deep", "right_runs_deep"];
            let mut overrides = operands.overrides;
            if tiled {
                overrides.extend(flags.into_iter().zip(runs).map(|(name, runs)| (name, f64::from(u8::from(runs)))));
            } else {
                overrides.push(("threads", THREADS as f64));
            }
            let label = operands.name.trim_start_matches("operands/");
            Ok(Source::own(end.code.label(&format!("{label} {number}")), &text, &overrides))
        })
    }
}

/// One product with the rows of all batches, where they share the right operand and the left one's rows are evenly apart.
fn as_one_product(left: &Layout, right: &Layout) -> Option<(Layout, Layout)> {
    let row = left.shape.len() - 2;
    if row == 0 || (0..row).any(|axis| right.shape[axis] != 1 && right.strides[axis] != 0) {
        return None;
    }
    let (size, stride) = match without_last(left, 1).merged().as_slice() {
        [] => (1, 0),
        &[run] => run,
        _ => return None,
    };
    let two = |layout: &Layout, rows: usize, stride: isize| Layout {
        shape: [rows, layout.shape[row + 1]].into(),
        strides: [stride, layout.strides[row + 1]].as_slice().into(),
        offset: layout.offset,
    };
    Some((two(left, size, stride), two(right, right.shape[row], right.strides[row])))
}

/// The fields of every contraction's `Params`.
const COMMON: &str =
    "    rows: u32,\n    columns: u32,\n    depth: u32,\n    batches: u32,\n    slices: u32,\n    slice: u32,\n";

const MULTIPLY_WHOLE: &str = "fn multiply_add(x: vec4<Number>, y: vec4<Number>, sum: vec4<Number>) -> vec4<Number> {\n    return x * y + sum;\n}\n";

/// How an element of each operand is read, and cast where it has another dtype.
fn elements(dtype: DType, given: [(DType, bool); 2]) -> String {
    let element = |(i, (from, wide))| {
        let element = cast(&load(&format!("input{i}"), "at", from, wide), from, dtype);
        format!("fn element{i}(at: u32) -> Number {{\n    return {element};\n}}\n")
    };
    given.into_iter().enumerate().map(element).collect()
}

/// What an operands file gives to a kernel: all but the number type and the bindings, which the kernel has.
fn between(file: &str) -> String {
    file.lines()
        .filter(|line| !line.starts_with("alias ") && !line.starts_with("@group") && !line.starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// An operands text with further fields at the end of its `Params`.
fn with_fields(text: &str, fields: &str) -> String {
    let start = text.find("struct Params {").unwrap_or_default();
    let (before, params) = text.split_at(start);
    before.to_owned() + &params.replacen("\n}", &format!("\n{fields}}}"), 1)
}

/// A convolution's sizes; channels are those of one group.
struct Convolution {
    images: usize,
    channels: usize,
    height: usize,
    width: usize,
    out_channels: usize,
    out_height: usize,
    out_width: usize,
    kernel: [usize; 2],
}

impl Convolution {
    fn new(window: &Window2d, input: &[usize], weight: &[usize], output: &[usize]) -> Result<Self, Problem> {
        match (input, weight, output) {
            (
                &[images, _, height, width],
                &[outs, channels, kernel_height, kernel_width],
                &[_, _, out_height, out_width],
            ) if window.groups > 0 => {
                let kernel = [kernel_height, kernel_width];
                let out_channels = outs / window.groups;
                Ok(Convolution { images, channels, height, width, out_channels, out_height, out_width, kernel })
            }
            _ => Err(Problem::new(ErrorKind::Shape, "a convolution takes four axes and at least one group")),
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn operands(&self, name: &'static str, window: &Window2d) -> Operands {
        let mut params = Params::of(&[self.channels, self.height, self.width]);
        params.sizes(&[self.out_channels, self.out_height, self.out_width]);
        for pair in [self.kernel, window.stride, window.padding, window.dilation] {
            params.sizes(&pair);
        }
        Operands { name, key: Key::new(name), interface: String::new(), params, overrides: Vec::new() }
    }
}
