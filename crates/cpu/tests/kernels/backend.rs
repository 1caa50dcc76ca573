//! Plans of several steps, memory, and what the device says of itself.

use crate::harness::{Code, Input, Probe, Random, Twice, backends, op, plan, reduce, run, run_on, run_one, run_plan};
use std::sync::Arc;
use wgrad_cpu::Cpu;
use wgrad_plan::{Backend, Instruction, Operand, Padding, Plan, Program, Step, Work};
use wgrad_tensor::device::Storage;
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, Reduction};
use wgrad_tensor::shape::Shape;

#[test]
fn it_describes_itself() {
    let cpu = Cpu::with_threads(2);
    let about = cpu.describe();
    assert_eq!((&*about.name, &*about.backend, &*about.kind), ("CPU (2 threads)", "cpu", "cpu"));
    assert!(about.f64 && !about.f16 && about.max_buffer == isize::MAX as u64);
    assert_eq!(Cpu::with_threads(1).describe().name, "CPU (1 thread)");
    assert_eq!(format!("{cpu:?}"), "CPU (2 threads)");
    pollster::block_on(cpu.sync()).unwrap();
}

#[test]
fn reading_trims() {
    let cpu = &backends()[0];
    let buffer = cpu.upload(&[1, 2, 3, 4, 5]).unwrap();
    assert_eq!(buffer.bytes(), 5);
    assert_eq!(pollster::block_on(cpu.read(&buffer, 3)).unwrap(), [1, 2, 3]);
    assert_eq!(pollster::block_on(cpu.read(&buffer, 0)).unwrap(), [0u8; 0]);
}

/// Two steps; the value between them is freed, an input is an output too, and an output is asked for twice.
#[test]
fn values_pass_from_step_to_step() {
    let count = 100_000;
    let layout = Layout::contiguous(&Shape::from([count]));
    let padding = Padding::default;
    let operand =
        |value, dtype| vec![Operand { value, dtype, layout: layout.clone(), starts: vec![], padding: padding() }];
    let cast = Instruction::Map { map: Map::Cast, args: vec![0], dtype: DType::F32, scalars: 0..0 };
    let plan = || Plan {
        values: vec![Meta::new([count], DType::I32), Meta::new([count], DType::F32), Meta::new([1], DType::F32)],
        inputs: vec![0],
        outputs: vec![2, 0, 2],
        steps: vec![
            Step {
                work: Work::Program(Program {
                    shape: Shape::from([count]),
                    row_axes: 0,
                    code: vec![Instruction::Load(0, DType::I32), cast.clone()],
                    stores: vec![1],
                }),
                operands: operand(0, DType::I32),
                results: vec![1],
                frees: vec![],
                in_place: vec![],
                calls: vec![],
            },
            Step {
                work: Work::Program(Program {
                    shape: Shape::from([count]),
                    row_axes: 1,
                    code: vec![Instruction::Load(0, DType::F32), Instruction::Reduce(Reduction::Sum, 0)],
                    stores: vec![1],
                }),
                operands: operand(1, DType::F32),
                results: vec![2],
                frees: vec![1],
                in_place: vec![],
                calls: vec![],
            },
        ],
        ..Plan::default()
    };
    let values: Vec<i32> = (0..count as i32).map(|i| i % 100).collect();
    for cpu in backends() {
        let input = cpu.upload(&i32::to_bytes(&values)).unwrap();
        let outputs = run_plan(cpu, &plan(), &[input], &[]).unwrap();
        let read = |i: usize| pollster::block_on(cpu.read(&outputs[i], 4 * count)).unwrap();
        assert_eq!(f32::from_bytes(&read(0)), [4_950_000.0]);
        assert_eq!((i32::from_bytes(&read(1)), read(2)), (values.clone(), read(0)));
    }
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    for shape in [vec![1 << 62], vec![1 << 40, 1 << 40], vec![1 << 46]] {
        let mut code = Code::new(&shape, 0);
        let one = code.constant(1.0, DType::F32);
        let work = code.storing(&[one]);
        let meta = Meta::new(&*shape, DType::F32);
        for cpu in backends() {
            let error = run_on(cpu, work(), &[], std::slice::from_ref(&meta)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            assert_eq!(error.op(), "probe");
        }
    }
}

#[derive(Debug)]
struct Foreign;
impl Storage for Foreign {
    fn bytes(&self) -> usize {
        4
    }
}

#[test]
fn buffers_of_other_devices_are_refused() {
    let cpu = &backends()[0];
    let input = Input::new(&[1f32], [1]);
    let (work, inputs) = reduce(Reduction::Sum, &[0], &input);
    let plan = plan(work().0, &inputs, &[Meta::new([1], DType::F32)]);
    let run = |inputs: &[_]| run_plan(cpu, &plan, inputs, &[]).unwrap_err().kind();
    assert_eq!(run(&[Arc::new(Foreign)]), ErrorKind::Device);
    assert_eq!(run(&[]), ErrorKind::Value);
    assert_eq!(run(&[cpu.upload(&[]).unwrap()]), ErrorKind::Device);
    let foreign: wgrad_tensor::device::Buffer = Arc::new(Foreign);
    assert_eq!(pollster::block_on(cpu.read(&foreign, 4)).unwrap_err().kind(), ErrorKind::Device);
}

#[test]
fn ops_from_outside() {
    let mut random = Random::new();
    let x = random.floats(40_000);
    let probe = || Probe::Custom(Twice);
    // Run it twice: the second output is memory that was used before, and must be zero again.
    for _ in 0..2 {
        let found = run_one::<f32>(op(probe(), &[Scalar::Float(2.0)]), &[Input::new(&x, [40_000])], &[40_000]);
        assert!(found.iter().zip(&x).all(|(y, x)| *y == 2.0 * x));
    }
    let error = run(op(probe(), &[]), &[Input::new(&[1i32], [1])], &[Meta::new([1], DType::I32)]).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::DType, "takes f32"));
}
