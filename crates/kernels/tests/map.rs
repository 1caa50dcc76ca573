//! Elementwise programs on every adapter against plain Rust.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use half::{bf16, f16};
use wgrad_plan::{Backend, Instruction};
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Random};
use wgrad_tensor::ops::table::ROWS;
use wgrad_tensor::random::{normal_f32, philox, uniform_f32};

/// Positions in order.
fn line(count: usize) -> Layout {
    Layout::contiguous(&[count].into())
}

fn row(name: &str) -> &'static Elementwise {
    ROWS.iter().find(|row| row.name == name).unwrap()
}

/// All dtypes as f64 of their values, and their bytes.
fn samples(dtype: DType) -> (Vec<u8>, usize) {
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        2.5,
        -2.7,
        255.4,
        256.0,
        65_504.0,
        65_519.0,
        65_520.0,
        1e9,
        -1e9,
        3e9,
        5e9,
        1e-7,
        5.96e-8,
        2.9e-8,
        6.1e-5,
        1e-40,
        1.0009766,
        1.00048828125,
        1.00146484375,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let ints = [
        0i64,
        1,
        -1,
        2,
        127,
        128,
        255,
        256,
        257,
        65_535,
        -65_536,
        16_777_217,
        2_147_483_647,
        -2_147_483_648,
        4_294_967_295,
    ];
    let bytes: Vec<u8> = match dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::BF16 => {
            floats.iter().flat_map(|&v| Scalar::Float(v).to_bytes(dtype)).collect()
        }
        _ => ints.iter().flat_map(|&v| Scalar::Int(v).to_bytes(dtype)).collect(),
    };
    let count = bytes.len() / dtype.size();
    (bytes, count)
}

fn expected_cast(bytes: &[u8], from: DType, to: DType) -> Vec<u8> {
    let one = |bytes: &[u8]| -> Vec<u8> {
        macro_rules! to {
            ($v:expr, $wide:expr) => {{
                let v = $v;
                match to {
                    DType::F32 => f32::to_bytes(&[v as f32]),
                    DType::F64 => f64::to_bytes(&[v as f64]),
                    DType::F16 => f16::to_bytes(&[f16::from_f32(v as f32)]),
                    DType::BF16 => bf16::to_bytes(&[bf16::from_f32(v as f32)]),
                    DType::I32 => i32::to_bytes(&[v as i32]),
                    DType::U32 => u32::to_bytes(&[v as u32]),
                    DType::U8 => u8::to_bytes(&[v as u8]),
                    DType::Bool => bool::to_bytes(&[v as f64 != 0.0]),
                }
            }};
        }
        match from {
            DType::F32 => to!(f32::from_bytes(bytes)[0], ()),
            DType::F64 => to!(f64::from_bytes(bytes)[0], ()),
            DType::F16 => to!(f16::from_bytes(bytes)[0].to_f32(), ()),
            DType::BF16 => to!(bf16::from_bytes(bytes)[0].to_f32(), ()),
            DType::I32 => to!(i32::from_bytes(bytes)[0], ()),
            DType::U32 => to!(u32::from_bytes(bytes)[0], ()),
            DType::U8 | DType::Bool => to!(bytes[0], ()),
        }
    };
    bytes.chunks(from.size()).flat_map(one).collect()
}

#[test]
fn casts_between_all_dtypes() {
    for gpu in gpus() {
        for from in DType::ALL {
            for to in DType::ALL.into_iter().filter(|&to| to != from) {
                if [from, to].contains(&DType::F64) && !gpu.describe().f64 {
                    continue;
                }
                let (bytes, count) = samples(from);
                let mut build = Build::default();
                let x = build.input(&[count], from);
                let code = vec![Instruction::Load(0, from), build.compute(Map::Cast, &[0], to, &[])];
                build.map(&[count], code, &[1], vec![x]);
                let outputs = build.run(gpu, &[gpu.upload(&bytes).unwrap()]).unwrap();
                let found = pollster::block_on(gpu.read(&outputs[0], outputs[0].bytes())).unwrap();
                let expected = expected_cast(&bytes, from, to);
                for at in 0..count {
                    let (f, e) = (&found[at * to.size()..][..to.size()], &expected[at * to.size()..][..to.size()]);
                    let given = &bytes[at * from.size()..][..from.size()];
                    let nan = |bytes: &[u8]| match to {
                        DType::F32 => f32::from_bytes(bytes)[0].is_nan(),
                        DType::F64 => f64::from_bytes(bytes)[0].is_nan(),
                        DType::F16 => f16::from_bytes(bytes)[0].is_nan(),
                        DType::BF16 => bf16::from_bytes(bytes)[0].is_nan(),
                        _ => false,
                    };
                    // A GPU may take numbers below the normal range of f32 for 0.
                    let tiny =
                        to == DType::F64 && f64::from_bytes(f)[0].abs() < 1e-37 && f64::from_bytes(e)[0].abs() < 1e-37;
                    let tiny = tiny
                        || to == DType::F32
                            && f32::from_bytes(f)[0].abs() < 1.2e-38
                            && f32::from_bytes(e)[0].abs() < 1.2e-38;
                    let tiny = tiny || to == DType::BF16 && bf16::from_bytes(e)[0].to_f32().abs() < 1.2e-38;
                    let name = &gpu.describe().name;
                    assert!(
                        f == e || (nan(f) && nan(e)) || tiny,
                        "{name}: {from} {given:?} as {to} is {f:?}, not {e:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn windows_of_every_shape_of_stride() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        // (shape, strides, offset) on a buffer of 4096.
        let cases: Vec<(Vec<usize>, Vec<isize>, usize)> = vec![
            (vec![], vec![], 17),
            (vec![1], vec![1], 4),
            (vec![5], vec![1], 0),
            (vec![4099 - 100], vec![1], 8),
            (vec![7, 8], vec![8, 1], 0),
            (vec![7, 8], vec![16, 1], 4),
            (vec![7, 8], vec![1, 7], 0),
            (vec![6, 8], vec![1, 0], 3),
            (vec![6, 8], vec![0, 1], 12),
            (vec![6, 8], vec![0, 1], 13),
            (vec![6, 8], vec![-8, 1], 40),
            (vec![9], vec![-1], 8),
            (vec![3, 4, 5], vec![1, 15, 3], 2),
            (vec![2, 3, 2, 3, 2], vec![72, 1, 36, 4, 12], 0),
            (vec![2, 0, 3], vec![3, 3, 1], 0),
            (vec![3, 1, 5], vec![5, 99, 1], 1),
        ];
        for dtype in DType::ALL.into_iter().filter(|&dtype| dtype != DType::F64 || gpu.describe().f64) {
            let bytes: Vec<u8> = (0..4100 * dtype.size()).map(|_| dice.bits() as u8).collect();
            let bytes = if dtype == DType::Bool { bytes.iter().map(|b| b & 1).collect() } else { bytes };
            let buffer = gpu.upload(&bytes).unwrap();
            for (shape, strides, offset) in &cases {
                let mut build = Build::default();
                let x = build.input(&[4100], dtype);
                let view = window(&x, shape, strides, *offset);
                // Itself and the same through another window: two loads on one buffer, two stores.
                let code = vec![Instruction::Load(0, dtype), Instruction::Load(1, dtype)];
                build.map(shape, code, &[0, 1], vec![view.clone(), view.clone()]);
                let outputs = build.run(gpu, std::slice::from_ref(&buffer)).unwrap();
                for output in &outputs {
                    let found = pollster::block_on(gpu.read(output, output.bytes())).unwrap();
                    let expected: Vec<u8> = coordinates(shape)
                        .iter()
                        .flat_map(|at| bytes[locate(&view, at) * dtype.size()..][..dtype.size()].to_vec())
                        .collect();
                    // Float registers may lose a NaN's payload, and numbers below the normal range.
                    let normal = |bytes: &[u8]| -> Vec<u8> {
                        match dtype {
                            DType::F32 => bytes.chunks(4).flat_map(|c| normal32(f32::from_bytes(c)[0])).collect(),
                            DType::F64 => bytes.chunks(8).flat_map(|c| normal64(f64::from_bytes(c)[0])).collect(),
                            _ => bytes.to_vec(),
                        }
                    };
                    let name = &gpu.describe().name;
                    assert_eq!(normal(&found), normal(&expected), "{name}: {dtype} {shape:?} {strides:?} {offset}");
                }
            }
        }
    }
}

fn normal32(v: f32) -> [u8; 4] {
    (if v.is_nan() {
        f32::NAN
    } else if v.is_subnormal() {
        0.0
    } else {
        v
    })
    .to_le_bytes()
}

fn normal64(v: f64) -> [u8; 8] {
    (if v.is_nan() {
        f64::NAN
    } else if v.is_subnormal() {
        0.0
    } else {
        v
    })
    .to_le_bytes()
}

#[test]
fn mixed_dtypes_constants_and_where() {
    let mut dice = Dice::new();
    for gpu in gpus() {
        let count = 1003;
        let (a, b) = (dice.floats(count), dice.floats(count));
        let mut build = Build::default();
        let (x, y) = (build.input(&[count], DType::F32), build.input(&[count], DType::F32));
        let code = vec![
            Instruction::Load(0, DType::F32),
            Instruction::Load(1, DType::F32),
            build.compute(Map::Row(row("gt")), &[0, 1], DType::Bool, &[]),
            build.compute(Map::Constant, &[], DType::F32, &[Scalar::Float(f64::NEG_INFINITY)]),
            build.compute(Map::Where, &[2, 0, 3], DType::F32, &[]),
            build.compute(Map::Cast, &[1], DType::F16, &[]),
            build.compute(Map::Cast, &[2], DType::U8, &[]),
            build.generate(Map::Arange, line(count), DType::I32, &[Scalar::Int(5), Scalar::Int(-3)]),
        ];
        build.map(&[count], code, &[2, 4, 5, 6, 7], vec![x, y]);
        let outputs = build.run(gpu, &[upload(gpu, &a), upload(gpu, &b)]).unwrap();
        let wins: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a > b).collect();
        assert_eq!(read::<bool>(gpu, &outputs[0]).unwrap(), wins);
        let picked: Vec<f32> = a.iter().zip(&wins).map(|(&a, &w)| if w { a } else { f32::NEG_INFINITY }).collect();
        assert_eq!(read::<f32>(gpu, &outputs[1]).unwrap(), picked);
        let halves: Vec<f16> = b.iter().map(|&b| f16::from_f32(b)).collect();
        assert_eq!(read::<f16>(gpu, &outputs[2]).unwrap(), halves);
        let bytes: Vec<u8> = wins.iter().map(|&w| u8::from(w)).collect();
        assert_eq!(read::<u8>(gpu, &outputs[3]).unwrap(), bytes);
        let counted: Vec<i32> = (0..count as i32).map(|i| 5 - 3 * i).collect();
        assert_eq!(read::<i32>(gpu, &outputs[4]).unwrap(), counted);
    }
}

#[test]
fn random_numbers_are_those_of_the_cpu() {
    for gpu in gpus() {
        let (seed, stream, count) = (0x1234_5678_9abc_def0u64, 0xfeed_0000_0007u64, 5001);
        let mut build = Build::default();
        let scalars = [Scalar::Bits(seed), Scalar::Bits(stream)];
        let code = vec![
            build.generate(Map::Random(Random::Bits), line(count), DType::U32, &scalars),
            build.generate(Map::Random(Random::Uniform), line(count), DType::F32, &scalars),
            build.generate(Map::Random(Random::Normal), line(count), DType::F32, &scalars),
        ];
        build.map(&[count], code, &[0, 1, 2], vec![]);
        let outputs = build.run(gpu, &[]).unwrap();
        let words: Vec<_> = (0..count as u64).map(|i| philox(seed, stream, i)).collect();
        let bits: Vec<u32> = words.iter().map(|w| w[0]).collect();
        assert_eq!(read::<u32>(gpu, &outputs[0]).unwrap(), bits);
        let uniform: Vec<f32> = words.iter().map(uniform_f32).collect();
        assert_eq!(read::<f32>(gpu, &outputs[1]).unwrap(), uniform);
        let normal: Vec<f64> = words.iter().map(|w| f64::from(normal_f32(w))).collect();
        assert_close(&read::<f32>(gpu, &outputs[2]).unwrap(), &normal, 3e-6, &gpu.describe().name);
    }
}

#[test]
fn more_workgroups_than_one_axis_of_a_grid_holds() {
    for gpu in gpus() {
        // One element for each invocation of 256, so that 65,535 workgroups are passed.
        let count = 256 * 65_535 + 300;
        if gpu.describe().max_buffer < count as u64 * 4 {
            println!("SKIPPED: {} has no buffer of {count} words", gpu.describe().name);
            continue;
        }
        let mut build = Build::default();
        let code = vec![build.generate(Map::Arange, line(count), DType::U32, &[Scalar::Int(3), Scalar::Int(1)])];
        build.map(&[count], code, &[0], vec![]);
        let view = window(&build.whole(0), &[count], &[-1], count - 1);
        build.map(&[count], vec![Instruction::Load(0, DType::U32)], &[0], vec![view]);
        let outputs = build.run(gpu, &[]).unwrap();
        let found = read::<u32>(gpu, &outputs[1]).unwrap();
        let wrong = (0..count).find(|&i| found[i] as usize != count - 1 - i + 3);
        assert_eq!(wrong.map(|i| (i, found[i])), None, "{}", gpu.describe().name);
    }
}

#[test]
fn a_new_shape_or_number_compiles_nothing() {
    for gpu in gpus() {
        let step = |count: usize, number: f64| {
            let mut build = Build::default();
            let x = build.input(&[count, 3], DType::F32);
            let turned = window(&x, &[3, count], &[1, 3], 0);
            let code = vec![
                Instruction::Load(0, DType::F32),
                build.compute(Map::Constant, &[], DType::F32, &[Scalar::Float(number)]),
                build.compute(Map::Row(row("mul")), &[0, 1], DType::F32, &[]),
            ];
            build.map(&[3, count], code, &[2], vec![turned]);
            run::<f32>(gpu, &build, &[upload(gpu, &vec![2.0f32; count * 3])])
        };
        assert_eq!(step(5, 0.5)[0], 1.0);
        // Other tests compile beside this one, so the count is taken of a device of its own.
        let own = wgrad_kernels::Gpu::open(&wgrad_kernels::Choice::Backend(gpu.describe().backend.clone())).unwrap();
        let mut build = Build::default();
        let x = build.input(&[6], DType::F32);
        let code = vec![Instruction::Load(0, DType::F32), build.compute(Map::Row(row("neg")), &[0], DType::F32, &[])];
        build.map(&[6], code, &[1], vec![x]);
        run::<f32>(&own, &build, &[upload(&own, &[1.0f32; 6])]);
        let first = own.stats();
        let mut build = Build::default();
        let x = build.input(&[9, 11], DType::F32);
        let code = vec![Instruction::Load(0, DType::F32), build.compute(Map::Row(row("neg")), &[0], DType::F32, &[])];
        build.map(&[9, 11], code, &[1], vec![x]);
        assert_eq!(run::<f32>(&own, &build, &[upload(&own, &[1.0f32; 99])]), vec![-1.0; 99]);
        assert_eq!((first.pipelines, own.stats().pipelines, own.stats().kernels), (1, 1, 2));
    }
}

#[test]
fn starts_of_slices_are_numbers_of_the_run() {
    for gpu in gpus() {
        let data: Vec<f32> = (0..60).map(|i| i as f32).collect();
        let input = upload(gpu, &data);
        for (row, column) in [(1, 3), (2, 1), (0, 5)] {
            let mut build = Build::default();
            let x = window(&build.input(&[6, 10], DType::F32), &[3, 5], &[10, 1], 0);
            build.scalars.extend([Scalar::Int(7), Scalar::Int(row), Scalar::Int(column)]);
            let x = wgrad_plan::Operand { starts: vec![(1, 10), (2, 1)], ..x };
            build.map(&[3, 5], vec![Instruction::Load(0, DType::F32)], &[0], vec![x]);
            let at = |i: i64| ((row + i / 5) * 10 + column + i % 5) as f32;
            let expected: Vec<f32> = (0..15).map(at).collect();
            assert_eq!(run::<f32>(gpu, &build, std::slice::from_ref(&input)), expected);
        }
    }
}
