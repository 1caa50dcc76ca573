//! Every row of the elementwise table on every adapter against the CPU.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use wgrad_plan::{Backend, Instruction};
use wgrad_tensor::dtype::{DType, Element};
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::op::Map;
use wgrad_tensor::ops::table::ROWS;

fn edges() -> Vec<f32> {
    let mut edges = vec![0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 7.5, -7.5, 100.0, -100.0, 1e-3, -1e-3];
    edges.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30, -1e30, 1e-30, 16_777_217.0, 0.25, 1.5, 2.5, -2.5]);
    edges
}

/// What a row gives on the CPU.
fn on_cpu<T: Element, R: Element>(row: &Elementwise, args: &[Vec<T>]) -> Vec<R> {
    let bytes: Vec<Vec<u8>> = args.iter().map(|arg| T::to_bytes(arg)).collect();
    let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let mut words = vec![0u64; args[0].len()];
    let out: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let out = &mut out[..args[0].len() * R::DTYPE.size()];
    (row.cpu)(T::DTYPE).unwrap()(&slices, out);
    R::from_bytes(out)
}

fn row_on_gpu<T: Element, R: Element>(gpu: &wgrad_kernels::Gpu, row: &'static Elementwise, args: &[Vec<T>]) -> Vec<R> {
    let mut build = Build::default();
    let shape = [args[0].len()];
    let operands: Vec<_> = args.iter().map(|_| build.input(&shape, T::DTYPE)).collect();
    let mut code: Vec<_> = (0..args.len()).map(|i| Instruction::Load(i, T::DTYPE)).collect();
    code.push(build.compute(Map::Row(row), &(0..args.len()).collect::<Vec<_>>(), R::DTYPE, &[]));
    build.map(&shape, code, &[args.len()], operands);
    let inputs: Vec<_> = args.iter().map(|arg| upload(gpu, arg)).collect();
    run(gpu, &build, &inputs)
}

fn pairs<T: Copy>(values: &[T]) -> (Vec<T>, Vec<T>) {
    values.iter().flat_map(|&x| values.iter().map(move |&y| (x, y))).unzip()
}

/// Arguments of a row: all pairs of values, and with them one weight after the other.
fn arguments<T: Copy>(arity: usize, values: &[T], weights: &[T]) -> Vec<Vec<T>> {
    let (x, y) = pairs(values);
    match arity {
        1 => vec![values.to_vec()],
        2 => vec![x, y],
        _ => {
            let weights = weights.iter().copied().cycle().take(x.len()).collect();
            vec![x, y, weights]
        }
    }
}

#[test]
fn every_row_in_f32_agrees_with_the_cpu() {
    let mut dice = Dice::new();
    let mut values = edges();
    values.extend((0..40).map(|_| dice.float() * 4.0));
    let mut wrong = Vec::new();
    for gpu in gpus() {
        let name = &gpu.describe().name;
        for row in ROWS.iter().filter(|row| row.dtypes.contains(&DType::F32)) {
            let args = arguments(row.arity, &values, &[0.0, 0.3, 0.5, 0.75, 1.0]);
            let of = |at: usize| args.iter().map(|arg| arg[at]).collect::<Vec<_>>();
            if row.to_bool {
                let (found, expected) = (row_on_gpu::<f32, bool>(gpu, row, &args), on_cpu::<f32, bool>(row, &args));
                for at in 0..found.len() {
                    if found[at] != expected[at] {
                        wrong.push(format!("{name}: {}{:?} is {}", row.name, of(at), found[at]));
                    }
                }
                continue;
            }
            let found = row_on_gpu::<f32, f32>(gpu, row, &args);
            let expected = on_cpu::<f32, f32>(row, &args);
            for at in 0..found.len() {
                let (found, expected) = (found[at], expected[at]);
                // Drivers may answer anything for a tangent or sine of a huge angle.
                let huge = match row.name {
                    "sin" | "cos" | "tan" => of(at)[0].abs() > 1e4,
                    "remainder" => (of(at)[0] / of(at)[1]).abs() > 1e7,
                    _ => false,
                };
                let (f, e) = (f64::from(found), f64::from(expected));
                // A power is the exponential of a product, whose rounding grows with it. For a base near 1, WGSL lets its
                // logarithm be wrong by 2^-21, and the exponent multiplies that: 3.3e-7, a twelfth of 4e-6.
                let steep = match row.name {
                    "pow" => 1.0 + e.abs().max(1e-30).ln().abs() / 8.0 + f64::from(of(at)[1].abs().min(1e30)) / 12.0,
                    _ => 1.0,
                };
                // A way between two numbers is as exact as the larger of them.
                let size = if row.arity == 3 { f64::from(of(at)[0].abs().max(of(at)[1].abs()).min(1e38)) } else { 0.3 };
                let close =
                    (f - e).abs() <= steep * 4e-6 * e.abs().max(size).max(0.3) || (f.is_nan() && e.is_nan()) || f == e;
                // Numbers too small or too large for an f32's normal range may become 0 or infinite.
                let range = e.abs() < 1.2e-38 && f.abs() < 1.2e-38 || e.abs() > 1e38 && f.abs() > 1e38 && f * e > 0.0;
                if !(close || huge || range) {
                    wrong.push(format!("{name}: {}{:?} is {found}, not {expected}", row.name, of(at)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_row_in_whole_numbers_agrees_with_the_cpu() {
    let mut dice = Dice::new();
    let mut values = vec![0, 1, -1, 2, -2, 3, -3, 7, -7, i32::MAX, i32::MIN, i32::MIN + 1, 65_536];
    values.extend((0..20).map(|_| dice.bits() as i32));
    values.extend((0..20).map(|_| dice.bits() as i32 % 100));
    let unsigned: Vec<u32> = values.iter().map(|&v| v as u32).collect();
    for gpu in gpus() {
        for row in ROWS.iter().filter(|row| row.dtypes.contains(&DType::I32)) {
            macro_rules! check {
                ($values:expr, $t:ty) => {{
                    let (x, y) = pairs(&$values);
                    let args = if row.arity == 1 { vec![$values.clone()] } else { vec![x, y] };
                    let of = |at: usize| args.iter().map(|arg| arg[at]).collect::<Vec<$t>>();
                    if row.to_bool {
                        let (found, expected) =
                            (row_on_gpu::<$t, bool>(gpu, row, &args), on_cpu::<$t, bool>(row, &args));
                        let wrong = (0..found.len()).find(|&at| found[at] != expected[at]);
                        assert_eq!(wrong.map(of), None, "{}: {}", gpu.describe().name, row.name);
                    } else {
                        let (found, expected) = (row_on_gpu::<$t, $t>(gpu, row, &args), on_cpu::<$t, $t>(row, &args));
                        let wrong = (0..found.len()).find(|&at| found[at] != expected[at]);
                        assert_eq!(wrong.map(of), None, "{}: {} {found:?}", gpu.describe().name, row.name);
                    }
                }};
            }
            check!(values, i32);
            check!(unsigned, u32);
        }
    }
}

#[test]
fn logic_and_f64_rows_agree_with_the_cpu() {
    let values: Vec<f64> = edges().iter().map(|&v| f64::from(v)).collect();
    for gpu in gpus() {
        let name = &gpu.describe().name;
        let both = vec![false, false, true, true, true];
        let other = vec![false, true, false, true, true];
        for row in ROWS.iter().filter(|row| row.dtypes == [DType::Bool]) {
            let args = if row.arity == 1 { vec![both.clone()] } else { vec![both.clone(), other.clone()] };
            assert_eq!(
                row_on_gpu::<bool, bool>(gpu, row, &args),
                on_cpu::<bool, bool>(row, &args),
                "{name}: {}",
                row.name
            );
        }
        for row in ROWS.iter().filter(|row| row.dtypes.contains(&DType::F64)) {
            let args = arguments(row.arity, &values, &[0.0, 0.3, 0.5, 0.75, 1.0]);
            if !gpu.describe().f64 || !row.wgsl_f64 {
                let mut build = Build::default();
                let operands: Vec<_> = args.iter().map(|_| build.input(&[1], DType::F64)).collect();
                let mut code: Vec<_> = (0..args.len()).map(|i| Instruction::Load(i, DType::F64)).collect();
                let to = if row.to_bool { DType::Bool } else { DType::F64 };
                code.push(build.compute(Map::Row(row), &(0..args.len()).collect::<Vec<_>>(), to, &[]));
                build.map(&[1], code, &[args.len()], operands);
                let inputs: Vec<_> = args.iter().map(|_| upload(gpu, &[1.0f64])).collect();
                let error = build.run(gpu, &inputs).unwrap_err();
                assert_eq!(error.kind(), wgrad_tensor::ErrorKind::Unsupported, "{name}: {}", row.name);
                continue;
            }
            if row.to_bool {
                let (found, expected) = (row_on_gpu::<f64, bool>(gpu, row, &args), on_cpu::<f64, bool>(row, &args));
                assert_eq!(found, expected, "{name}: {}", row.name);
                continue;
            }
            let (found, expected) = (row_on_gpu::<f64, f64>(gpu, row, &args), on_cpu::<f64, f64>(row, &args));
            for at in 0..found.len() {
                let of: Vec<_> = args.iter().map(|arg| arg[at]).collect();
                let (f, e) = (found[at], expected[at]);
                let huge = row.name == "remainder" && (of[0] / of[1]).abs() > 1e4;
                let size = if row.arity == 3 { of[0].abs().max(of[1].abs()).min(1e300) } else { 0.0 };
                let close = (f - e).abs() <= 1e-12 * e.abs().max(size) || (f.is_nan() && e.is_nan()) || f == e || huge;
                assert!(close, "{name}: {}{of:?} is {f}, not {e}", row.name);
            }
        }
    }
}
