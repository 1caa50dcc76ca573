//! Plans of one step, and random inputs for them.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use wgrad_cpu::Cpu;
use wgrad_plan::{Backend, Bound, Given, Instruction, Operand, Origin, Padding, Plan, Program, Step, Work};
use wgrad_tensor::device::Buffer;
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::error::{ErrorKind, Problem};
use wgrad_tensor::kernel::Custom;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Compute, Extreme, Map, Meta, Metas, Op, OpRef, Product, Reduction, Window2d, Windows};
use wgrad_tensor::random::philox;
use wgrad_tensor::shape::Shape;

/// One thread, and more than the machine may have.
pub fn backends() -> &'static [Cpu; 2] {
    static BACKENDS: OnceLock<[Cpu; 2]> = OnceLock::new();
    BACKENDS.get_or_init(|| [Cpu::with_threads(1), Cpu::with_threads(4)])
}

/// An input with the window that the step has on it.
#[derive(Clone, Debug)]
pub struct Input {
    pub dtype: DType,
    pub bytes: Vec<u8>,
    pub layout: Layout,
    pub padding: Padding,
}

impl Input {
    pub fn new<T: Element>(values: &[T], shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(values.len(), shape.count());
        Input {
            dtype: T::DTYPE,
            bytes: T::to_bytes(values),
            layout: Layout::contiguous(&shape),
            padding: Padding::default(),
        }
    }

    /// The same data through another window.
    pub fn window(mut self, shape: impl Into<Shape>, strides: &[isize], offset: usize) -> Self {
        self.layout = Layout { shape: shape.into(), strides: strides.into(), offset };
        self
    }

    /// What the window sees, in row-major order.
    pub fn seen<T: Element>(&self) -> Vec<T> {
        self.seen_among(&[])
    }

    /// The same, where the padding shows some of these numbers.
    pub fn seen_among<T: Element>(&self, numbers: &[T]) -> Vec<T> {
        let all = T::from_bytes(&self.bytes);
        let element = |i: usize| {
            let outside = |bound: &&Bound| !bound.inside.contains(&bound.layout.locate(i));
            match self.padding.bounds.iter().rev().find(outside) {
                Some(bound) => numbers[bound.number],
                None => all[self.layout.locate(i) - self.padding.before],
            }
        };
        (0..self.layout.shape.count()).map(element).collect()
    }

    /// A window that walks forwards with a number around it: so many places before and after each axis.
    pub fn padded(mut self, amounts: &[(usize, usize)], number: usize) -> Self {
        let inner = self.layout.shape.clone();
        let shape: Shape = inner.iter().zip(amounts).map(|(size, (before, after))| before + size + after).collect();
        let by = |layout: &Layout| -> usize {
            layout.strides.iter().zip(amounts).map(|(&stride, (before, _))| stride as usize * before).sum()
        };
        self.padding.before += by(&self.layout);
        self.layout.shape = shape.clone();
        for bound in &mut self.padding.bounds {
            let by = by(&bound.layout);
            bound.inside = bound.inside.start + by..bound.inside.end + by;
            bound.layout.shape = shape.clone();
        }
        for (axis, (before, _)) in amounts.iter().enumerate() {
            let mut strides = vec![0; shape.len()];
            strides[axis] = 1;
            let layout = Layout { shape: shape.clone(), strides: strides.into(), offset: 0 };
            let inside = *before..before + inner[axis];
            self.padding.bounds.push(Bound { layout, starts: vec![], inside, number });
        }
        self
    }

    /// The window and its padding seen in another way.
    pub fn through(mut self, by: impl Fn(&Layout) -> Layout) -> Self {
        self.layout = by(&self.layout);
        self.padding.bounds.iter_mut().for_each(|bound| bound.layout = by(&bound.layout));
        self
    }

    pub fn shape(&self) -> &Shape {
        &self.layout.shape
    }
}

/// Runs one step on both backends, which must agree in every bit, and gives the outputs' bytes.
pub fn run(work: impl Fn() -> Made, inputs: &[Input], outputs: &[Meta]) -> wgrad_tensor::Result<Vec<Vec<u8>>> {
    let [one, many] = backends();
    let (a, b) = (run_on(one, work(), inputs, outputs), run_on(many, work(), inputs, outputs));
    match (a, b) {
        (Ok(a), Ok(b)) => {
            assert!(a == b, "one thread and several give different bits");
            Ok(a)
        }
        (Err(a), Err(b)) => {
            assert_eq!(a.message(), b.message());
            Err(a)
        }
        (a, b) => panic!("one thread: {:?}, several: {:?}", a.err(), b.err()),
    }
}

pub fn run_on(
    cpu: &Cpu,
    (work, scalars): Made,
    inputs: &[Input],
    outputs: &[Meta],
) -> wgrad_tensor::Result<Vec<Vec<u8>>> {
    let plan = plan(work, inputs, outputs);
    let buffers: Vec<Buffer> = inputs.iter().map(|input| cpu.upload(&input.bytes).unwrap()).collect();
    let results = run_plan(cpu, &plan, &buffers, &scalars)?;
    let read = |(buffer, meta): (&Buffer, &Meta)| pollster::block_on(cpu.read(buffer, meta.bytes()));
    results.iter().zip(outputs).map(read).collect()
}

/// Runs a plan.
pub fn run_plan(cpu: &Cpu, plan: &Plan, inputs: &[Buffer], scalars: &[Scalar]) -> wgrad_tensor::Result<Vec<Buffer>> {
    cpu.run(plan, inputs.to_vec(), &Given { scalars, origin: &|_| origin(), watch: None })
}

pub fn plan(work: Work, inputs: &[Input], outputs: &[Meta]) -> Plan {
    let value = |input: &Input| Meta::new([input.bytes.len() / input.dtype.size()], input.dtype);
    let operand = |(value, input): (usize, &Input)| Operand {
        value,
        dtype: input.dtype,
        layout: input.layout.clone(),
        starts: vec![],
        padding: input.padding.clone(),
    };
    let results: Vec<usize> = (inputs.len()..inputs.len() + outputs.len()).collect();
    Plan {
        values: inputs.iter().map(value).chain(outputs.iter().cloned()).collect(),
        inputs: (0..inputs.len()).collect(),
        outputs: results.clone(),
        steps: vec![Step {
            work,
            operands: inputs.iter().enumerate().map(operand).collect(),
            results,
            frees: vec![],
            in_place: vec![],
            calls: vec![],
        }],
        ..Plan::default()
    }
}

#[track_caller]
pub fn origin() -> Origin {
    Origin { op: Cow::Borrowed("probe"), inputs: vec![], location: Location::caller(), scope: None }
}

/// Runs a step with one output of type `T`.
pub fn run_one<T: Element>(work: impl Fn() -> Made, inputs: &[Input], shape: &[usize]) -> Vec<T> {
    let bytes = run(work, inputs, &[Meta::new(shape, T::DTYPE)]).unwrap();
    T::from_bytes(&bytes[0])
}

/// Work, and the numbers that it takes.
pub type Made = (Work, Vec<Scalar>);

/// The work of an op.
pub fn op(probe: Probe, scalars: &[Scalar]) -> impl Fn() -> Made + use<> {
    let scalars = scalars.to_vec();
    let probe = Arc::new(probe);
    move || {
        let work = Work::Op { op: OpRef::Shared(probe.clone()), scalars: 0..scalars.len(), then: None };
        (work, scalars.clone())
    }
}

/// A reduction of some axes of an input, and the input with those axes last.
pub fn reduce(kind: Reduction, axes: &[usize], input: &Input) -> (impl Fn() -> Made + use<>, [Input; 1]) {
    let mut input = input.clone();
    let layout = &input.layout;
    let kept = (0..layout.shape.len()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let shape: Shape = order.iter().map(|&axis| layout.shape[axis]).collect();
    let strides = order.iter().map(|&axis| layout.strides[axis]).collect();
    input.layout = Layout { shape: shape.clone(), strides, offset: layout.offset };
    let mut code = Code::new(&shape, axes.len());
    let x = code.load(0, input.dtype);
    let total = code.reduce(kind, x);
    (code.storing(&[total]), [input])
}

/// A reduction's only result, of type `T`.
pub fn reduce_one<T: Element>(kind: Reduction, axes: &[usize], input: &Input, out: &[usize]) -> Vec<T> {
    let (work, inputs) = reduce(kind, axes, input);
    run_one(work, &inputs, out)
}

/// A program that is being written.
#[derive(Clone, Debug)]
pub struct Code {
    program: Program,
    scalars: Vec<Scalar>,
}

impl Code {
    pub fn new(shape: &[usize], row_axes: usize) -> Self {
        Code { program: Program { shape: Shape::from(shape), row_axes, code: vec![], stores: vec![] }, scalars: vec![] }
    }

    fn push(&mut self, instruction: Instruction) -> usize {
        self.program.code.push(instruction);
        self.program.code.len() - 1
    }

    pub fn numbers(&mut self, scalars: &[Scalar]) -> std::ops::Range<usize> {
        let start = self.scalars.len();
        self.scalars.extend(scalars);
        start..self.scalars.len()
    }

    pub fn load(&mut self, operand: usize, dtype: DType) -> usize {
        self.push(Instruction::Load(operand, dtype))
    }

    pub fn map(&mut self, map: Map, args: &[usize], dtype: DType) -> usize {
        self.push(Instruction::Map { map, args: args.to_vec(), dtype, scalars: 0..0 })
    }

    /// A row of the table, of f32.
    pub fn row(&mut self, row: &'static Elementwise, args: &[usize]) -> usize {
        self.map(Map::Row(row), args, DType::F32)
    }

    pub fn constant(&mut self, value: f64, dtype: DType) -> usize {
        let scalars = self.numbers(&[Scalar::Float(value)]);
        self.push(Instruction::Map { map: Map::Constant, args: vec![], dtype, scalars })
    }

    pub fn generate(&mut self, map: Map, layout: Layout, dtype: DType, scalars: &[Scalar]) -> usize {
        let scalars = self.numbers(scalars);
        self.push(Instruction::Generate { map, layout, dtype, scalars })
    }

    pub fn reduce(&mut self, kind: Reduction, x: usize) -> usize {
        self.push(Instruction::Reduce(kind, x))
    }

    pub fn pick(&mut self, x: usize, index: usize) -> usize {
        self.push(Instruction::Pick([x, index]))
    }

    pub fn product(&mut self, dtype: DType) -> usize {
        self.push(Instruction::Product(dtype))
    }

    /// The program, with these registers as results.
    pub fn storing(mut self, stores: &[usize]) -> impl Fn() -> Made + use<> {
        self.program.stores = stores.to_vec();
        move || (Work::Program(self.program.clone()), self.scalars.clone())
    }

    /// The program after an op.
    pub fn after(mut self, probe: Probe, stores: &[usize]) -> impl Fn() -> Made + use<> {
        self.program.stores = stores.to_vec();
        let probe = Arc::new(Probe::Giving(Box::new(probe), self.program.shape.clone()));
        move || {
            let then = Some(self.program.clone());
            (Work::Op { op: OpRef::Shared(probe.clone()), scalars: 0..0, then }, self.scalars.clone())
        }
    }
}

/// An op that is nothing but what computes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    Extreme(Extreme, Vec<usize>),
    Matmul,
    Conv2d(Window2d),
    Conv2dInput(Window2d),
    Conv2dWeight(Window2d),
    Fold(Windows),
    Gather(usize),
    ScatterAdd(usize),
    Cat(usize),
    Custom(Twice),
    /// Another one that knows the shape of what it gives.
    Giving(Box<Probe>, Shape),
}

impl Op for Probe {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("probe")
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Metas, Problem> {
        if let Probe::Giving(_, shape) = self {
            return Ok(Metas::from([Meta::new(shape, inputs[0].dtype)]));
        }
        Err(Problem::new(ErrorKind::Unsupported, "has no shape rule"))
    }

    fn compute(&self) -> Compute<'_> {
        match self {
            Probe::Giving(probe, _) => probe.compute(),
            Probe::Extreme(kind, axes) => Compute::Extreme(*kind, axes),
            Probe::Matmul => Compute::Matmul(Product::default()),
            Probe::Conv2d(window) => Compute::Conv2d(window),
            Probe::Conv2dInput(window) => Compute::Conv2dInput(window),
            Probe::Conv2dWeight(window) => Compute::Conv2dWeight(window),
            Probe::Fold(windows) => Compute::Fold(windows),
            Probe::Gather(axis) => Compute::Gather(*axis),
            Probe::ScatterAdd(axis) => Compute::ScatterAdd(*axis),
            Probe::Cat(axis) => Compute::Cat(*axis),
            Probe::Custom(custom) => Compute::Custom(custom),
        }
    }
}

/// Doubles an input, and adds to what its output holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Twice;

impl Custom for Twice {
    fn cpu(
        &self,
        inputs: &[wgrad_tensor::kernel::HostView<'_>],
        scalars: &[Scalar],
        outputs: &mut [wgrad_tensor::kernel::HostViewMut<'_>],
    ) -> Result<(), Problem> {
        let x = inputs[0].as_slice::<f32>().ok_or_else(|| Problem::new(ErrorKind::DType, "takes f32"))?;
        let y = outputs[0].as_slice_mut::<f32>().unwrap();
        y.iter_mut().zip(x).for_each(|(y, x)| *y += scalars[0].as_f64() as f32 * x);
        Ok(())
    }

    fn kernel(&self, _: &[Meta], _: &[Meta], _: &[Scalar]) -> Option<wgrad_tensor::kernel::Kernel> {
        None
    }
}

/// Random numbers that differ from run to run; the seed is printed, for a failure to be repeated.
pub struct Random {
    seed: u64,
    next: u64,
}

impl Random {
    pub fn new() -> Self {
        let fixed = std::env::var("WGRAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = fixed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
        println!("WGRAD_TEST_SEED={seed}");
        Random { seed, next: 0 }
    }

    pub fn bits(&mut self) -> u32 {
        self.next += 1;
        philox(self.seed, 0, self.next)[0]
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }

    /// Floats in [-2, 2).
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.bits() >> 8) as f32 / (1 << 22) as f32 - 2.0).collect()
    }

    pub fn doubles(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| f64::from(self.bits()) / f64::from(1u32 << 30) - 2.0).collect()
    }

    /// Any bits.
    pub fn words(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.bits()).collect()
    }
}

/// Windows of a shape on data of their own: dense, transposed, broadcast, backwards, with gaps.
pub fn windows(random: &mut Random, shape: &[usize]) -> Vec<(Shape, Vec<isize>, usize, usize)> {
    let rank = shape.len();
    let mut windows = Vec::new();
    for kind in 0..5 {
        let mut order: Vec<usize> = (0..rank).collect();
        if kind > 0 {
            for i in (1..rank).rev() {
                order.swap(i, random.below(i + 1));
            }
        }
        let (mut strides, mut next, mut offset) = (vec![0isize; rank], 1, 0);
        for &axis in order.iter().rev() {
            if kind == 2 && random.below(2) == 0 {
                continue;
            }
            strides[axis] = next as isize;
            next *= shape[axis].max(1);
            if kind == 3 && shape[axis] > 0 && random.below(2) == 0 {
                offset += (shape[axis] - 1) * strides[axis] as usize;
                strides[axis] = -strides[axis];
            }
            if kind == 4 {
                next += random.below(3);
            }
        }
        let gap = if kind == 4 { 3 } else { 0 };
        windows.push((Shape::from(shape), strides, offset + gap, next + gap));
    }
    windows
}

/// Checks floats against exact ones; the scale is the size of the terms that were summed.
pub fn assert_near(found: &[f32], exact: &[f64], scale: &[f64], tolerance: f64) {
    assert_eq!(found.len(), exact.len());
    for (i, ((&found, &exact), &scale)) in found.iter().zip(exact).zip(scale).enumerate() {
        let error = (f64::from(found) - exact).abs();
        assert!(
            error <= tolerance * scale.max(1e-30),
            "element {i}: {found} for {exact}, error {error:e} of {scale:e}"
        );
    }
}

/// The position along every axis of row-major position `i`.
pub fn unravel(shape: &[usize], mut i: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (axis, &size) in shape.iter().enumerate().rev() {
        index[axis] = i % size;
        i /= size;
    }
    index
}

/// The row-major position of an index.
pub fn ravel(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (&size, &i)| at * size + i)
}
