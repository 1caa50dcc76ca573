//! Plans built by hand, every adapter of this system, and random numbers.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

pub mod reference;

use std::hash::{BuildHasher, RandomState};
use std::panic::Location;
use std::sync::OnceLock;
use wgrad_kernels::{Choice, Gpu, Tuning, adapters};
use wgrad_plan::{
    Backend, Bound, Given, Instruction, Kept, Operand, Origin, Padding, Plan, Program, ScalarRange, Step, ValueId, Work,
};
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::error::{Problem, Result};
use wgrad_tensor::layout::{Layout, Strides};
use wgrad_tensor::op::{Compute, Extreme, Map, Meta, Metas, Op, OpRef, Product, Reduction, Window2d, Windows};
use wgrad_tensor::ops::table::ROWS;
use wgrad_tensor::shape::Shape;

/// Every adapter that opens. A system without one says so.
pub fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let found = adapters();
        if found.is_empty() {
            println!("SKIPPED: this system shows no adapter, so nothing ran on a GPU");
        }
        // Every adapter runs both forms of every kernel.
        let open = |adapter: &wgrad_kernels::Adapter, tuning| {
            println!("on {adapter}, {tuning:?}");
            pollster::block_on(Gpu::open_async(&Choice::Index(adapter.index), tuning)).unwrap()
        };
        found
            .iter()
            .flat_map(|adapter| [Tuning::Hardware, Tuning::Software].map(|tuning| open(adapter, tuning)))
            .collect()
    })
}

/// Random numbers, fresh for every run; the seed is printed for a failing test.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(1u8));
        println!("SEED={seed}");
        Dice(seed)
    }
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }
    /// In (-1, 1).
    pub fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// An op that is what its fields say.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum TestOp {
    Extreme(Extreme, Vec<usize>),
    Matmul,
    Conv2d(Window2d),
    Conv2dInput(Window2d),
    Conv2dWeight(Window2d),
    Fold(Windows),
    Gather(usize),
    ScatterAdd(usize),
    Cat(usize),
    /// Another one that knows the shape of what it gives.
    Giving(Box<TestOp>, Shape),
}

impl Op for TestOp {
    fn name(&self) -> std::borrow::Cow<'static, str> {
        "test".into()
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        match self {
            TestOp::Giving(_, shape) => Ok(Metas::from([Meta::new(shape, inputs[0].dtype)])),
            _ => Ok(Metas::new()),
        }
    }
    fn compute(&self) -> Compute<'_> {
        match self {
            TestOp::Extreme(extreme, axes) => Compute::Extreme(*extreme, axes),
            TestOp::Matmul => Compute::Matmul(Product::default()),
            TestOp::Conv2d(window) => Compute::Conv2d(window),
            TestOp::Conv2dInput(window) => Compute::Conv2dInput(window),
            TestOp::Conv2dWeight(window) => Compute::Conv2dWeight(window),
            TestOp::Fold(windows) => Compute::Fold(windows),
            TestOp::Gather(axis) => Compute::Gather(*axis),
            TestOp::ScatterAdd(axis) => Compute::ScatterAdd(*axis),
            TestOp::Cat(axis) => Compute::Cat(*axis),
            TestOp::Giving(op, _) => op.compute(),
        }
    }
}

/// A plan in the making, and the numbers that it is given.
#[derive(Default)]
pub struct Build {
    pub plan: Plan,
    pub scalars: Vec<Scalar>,
    lines: Vec<&'static Location<'static>>,
}

impl Build {
    pub fn value(&mut self, shape: &[usize], dtype: DType) -> ValueId {
        self.plan.values.push(Meta::new(shape, dtype));
        self.plan.values.len() - 1
    }
    pub fn input(&mut self, shape: &[usize], dtype: DType) -> Operand {
        let value = self.value(shape, dtype);
        self.plan.inputs.push(value);
        self.whole(value)
    }
    pub fn whole(&self, value: ValueId) -> Operand {
        let meta = &self.plan.values[value];
        Operand {
            value,
            dtype: meta.dtype,
            layout: Layout::contiguous(&meta.shape),
            starts: Vec::new(),
            padding: Padding::default(),
        }
    }
    /// A window that walks forwards, with a number around it: `before` and after each axis, up to a shape.
    pub fn padded(&mut self, x: &Operand, before: &[usize], shape: &[usize], value: Scalar) -> Operand {
        let number = self.numbers(&[value]).start;
        let shape = Shape::from(shape);
        let grown = |layout: &Layout| {
            let by: usize = layout.strides.iter().zip(before).map(|(&stride, before)| stride as usize * before).sum();
            (Layout { shape: shape.clone(), ..layout.clone() }, by)
        };
        let (layout, by) = grown(&x.layout);
        let mut padding = Padding { before: x.padding.before + by, bounds: Vec::new() };
        for bound in &x.padding.bounds {
            let (layout, by) = grown(&bound.layout);
            let inside = bound.inside.start + by..bound.inside.end + by;
            padding.bounds.push(Bound { layout, inside, ..bound.clone() });
        }
        for axis in 0..shape.len() {
            let mut strides = Strides::from_elem(0, shape.len());
            strides[axis] = 1;
            let inside = before[axis]..before[axis] + x.layout.shape[axis];
            let layout = Layout { shape: shape.clone(), strides, offset: 0 };
            padding.bounds.push(Bound { layout, starts: Vec::new(), inside, number });
        }
        Operand { layout, padding, ..x.clone() }
    }
    fn numbers(&mut self, scalars: &[Scalar]) -> ScalarRange {
        let start = self.scalars.len();
        self.scalars.extend(scalars);
        start..self.scalars.len()
    }
    pub fn compute(&mut self, map: Map, args: &[usize], dtype: DType, scalars: &[Scalar]) -> Instruction {
        let scalars = self.numbers(scalars);
        Instruction::Map { map, args: args.to_vec(), dtype, scalars }
    }
    /// The row of the table with this name.
    pub fn row(&mut self, name: &str, args: &[usize], dtype: DType) -> Instruction {
        let row = ROWS.iter().find(|row| row.name == name).unwrap();
        self.compute(Map::Row(row), args, dtype, &[])
    }
    pub fn constant(&mut self, value: f64) -> Instruction {
        self.compute(Map::Constant, &[], DType::F32, &[Scalar::Float(value)])
    }
    pub fn generate(&mut self, map: Map, layout: Layout, dtype: DType, scalars: &[Scalar]) -> Instruction {
        let scalars = self.numbers(scalars);
        Instruction::Generate { map, layout, dtype, scalars }
    }
    #[track_caller]
    pub fn step(&mut self, work: Work, operands: Vec<Operand>, results: Vec<ValueId>) {
        self.plan.kept = Kept::default();
        self.plan.outputs.extend(&results);
        self.plan.steps.push(Step {
            work,
            operands,
            results,
            frees: Vec::new(),
            in_place: Vec::new(),
            calls: vec![self.lines.len()],
        });
        self.lines.push(Location::caller());
    }
    #[track_caller]
    pub fn op(&mut self, op: TestOp, operands: Vec<Operand>, shape: &[usize], dtype: DType) {
        self.op_with(op, &[], operands, shape, dtype);
    }
    #[track_caller]
    pub fn op_with(&mut self, op: TestOp, scalars: &[Scalar], operands: Vec<Operand>, shape: &[usize], dtype: DType) {
        let result = self.value(shape, dtype);
        let scalars = self.numbers(scalars);
        self.step(Work::Op { op: shared(op), scalars, then: None }, operands, vec![result]);
    }
    /// An op with a program after it, one result for each of `stores`.
    #[track_caller]
    pub fn op_then(
        &mut self,
        op: TestOp,
        shape: &[usize],
        code: Vec<Instruction>,
        stores: &[usize],
        operands: Vec<Operand>,
    ) {
        let program = Program { shape: Shape::from(shape), row_axes: 0, code, stores: stores.to_vec() };
        let results = self.results(&program, &vec![false; program.code.len()]);
        let op = shared(TestOp::Giving(Box::new(op), program.shape.clone()));
        self.step(Work::Op { op, scalars: 0..0, then: Some(program) }, operands, results);
    }
    /// A program over `operands`, one result for each of `stores`.
    #[track_caller]
    pub fn map(&mut self, shape: &[usize], code: Vec<Instruction>, stores: &[usize], operands: Vec<Operand>) {
        self.rows(shape, 0, code, stores, operands);
    }
    /// The same with the last `row_axes` axes for a row.
    #[track_caller]
    pub fn rows(
        &mut self,
        shape: &[usize],
        row_axes: usize,
        code: Vec<Instruction>,
        stores: &[usize],
        operands: Vec<Operand>,
    ) {
        let program = Program { shape: Shape::from(shape), row_axes, code, stores: stores.to_vec() };
        let results = self.results(&program, &program.per_row(&operands));
        self.step(Work::Program(program), operands, results);
    }
    fn results(&mut self, program: &Program, per_row: &[bool]) -> Vec<ValueId> {
        let dtypes = program.dtypes();
        let result = |&store: &usize| {
            let axes = program.shape.len() - if per_row[store] { program.row_axes } else { 0 };
            self.value(&program.shape[..axes], dtypes[store])
        };
        program.stores.iter().map(result).collect()
    }
    /// A reduction over any axes of a window.
    #[track_caller]
    pub fn reduce(&mut self, reduction: Reduction, axes: &[usize], x: Operand) {
        let rank = x.layout.shape.len();
        let order: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).chain(axes.iter().copied()).collect();
        let x = permuted(&x, &order);
        let (shape, dtype) = (x.layout.shape.to_vec(), x.dtype);
        let code = vec![Instruction::Load(0, dtype), Instruction::Reduce(reduction, 0)];
        self.rows(&shape, axes.len(), code, &[1], vec![x]);
    }
    pub fn run(&self, gpu: &Gpu, inputs: &[Buffer]) -> Result<Vec<Buffer>> {
        let origin = |step: &Step| {
            let location = self.lines[step.calls[0]];
            Origin { op: "test".into(), inputs: Vec::new(), location, scope: None }
        };
        gpu.run(&self.plan, inputs.to_vec(), &Given { scalars: &self.scalars, origin: &origin, watch: None })
    }
}

fn shared(op: TestOp) -> OpRef {
    OpRef::Shared(std::sync::Arc::new(op))
}

/// An operand seen in another way, with its padding.
pub fn seen(operand: &Operand, by: impl Fn(&Layout) -> Layout) -> Operand {
    let mut operand = Operand { layout: by(&operand.layout), ..operand.clone() };
    operand.padding.bounds.iter_mut().for_each(|bound| bound.layout = by(&bound.layout));
    operand
}

pub fn window(operand: &Operand, shape: &[usize], strides: &[isize], offset: usize) -> Operand {
    let layout = Layout { shape: Shape::from(shape), strides: strides.into(), offset };
    Operand { layout, ..operand.clone() }
}

pub fn permuted(operand: &Operand, order: &[usize]) -> Operand {
    let layout = &operand.layout;
    let shape: Vec<usize> = order.iter().map(|&axis| layout.shape[axis]).collect();
    let strides: Vec<isize> = order.iter().map(|&axis| layout.strides[axis]).collect();
    window(operand, &shape, &strides, layout.offset)
}

pub fn upload<T: Element>(gpu: &Gpu, values: &[T]) -> Buffer {
    gpu.upload(&T::to_bytes(values)).unwrap()
}

pub fn read<T: Element>(gpu: &Gpu, buffer: &Buffer) -> Result<Vec<T>> {
    pollster::block_on(gpu.read(buffer, buffer.bytes())).map(|bytes| T::from_bytes(&bytes))
}

/// Uploads, runs, and reads the first output.
pub fn run<T: Element>(gpu: &Gpu, build: &Build, inputs: &[Buffer]) -> Vec<T> {
    let outputs = build.run(gpu, inputs).unwrap();
    read(gpu, &outputs[0]).unwrap()
}

#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found);
        let close = (found - expected).abs() <= tolerance * (1.0 + expected.abs());
        let same = found == expected || (found.is_nan() && expected.is_nan());
        assert!(close || same, "{what}: element {at} is {found}, not {expected}");
    }
}

/// Every element's coordinates, row-major.
pub fn coordinates(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &size in shape {
        all = all.iter().flat_map(|c: &Vec<usize>| (0..size).map(move |i| [c.as_slice(), &[i]].concat())).collect();
    }
    all
}

pub fn locate(operand: &Operand, at: &[usize]) -> usize {
    let steps = at.iter().zip(&operand.layout.strides).map(|(&i, &stride)| i as isize * stride);
    (operand.layout.offset as isize + steps.sum::<isize>()) as usize
}
