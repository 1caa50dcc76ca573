//! What goes wrong on a device, said as errors. Each test has devices of its own: the read that finds out errs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::*;
use wgrad_kernels::{Choice, Gpu, adapters};
use wgrad_plan::{Backend, Instruction};
use wgrad_tensor::ErrorKind;
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::op::Map;

fn own_gpus() -> Vec<Gpu> {
    if adapters().is_empty() {
        println!("SKIPPED: this system shows no adapter, so nothing ran on a GPU");
    }
    adapters().iter().map(|adapter| Gpu::open(&Choice::Index(adapter.index)).unwrap()).collect()
}

#[test]
fn a_bad_index_is_an_error_of_the_next_read_and_then_all_is_well() {
    for gpu in &own_gpus() {
        let source = upload(gpu, &[1.0f32, 2.0, 3.0]);
        let gather = |indices: &[i32]| {
            let mut build = Build::default();
            let (x, index) = (build.input(&[3], DType::F32), build.input(&[indices.len()], DType::I32));
            build.op(TestOp::Gather(0), vec![x, index], &[indices.len()], DType::F32);
            build.run(gpu, &[source.clone(), gpu.upload(&i32::to_bytes(indices)).unwrap()]).unwrap().remove(0)
        };
        let good = gather(&[2, 0]);
        let bad = gather(&[1, 5, 0]);
        // What is computed from a bad result before anyone knows is bad as well.
        let mut build = Build::default();
        let x = build.input(&[3], DType::F32);
        build.reduce(wgrad_tensor::op::Reduction::Sum, &[0], x);
        let descendant = build.run(gpu, std::slice::from_ref(&bad)).unwrap().remove(0);
        let error = read::<f32>(gpu, &good).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{error}");
        assert!(error.message().contains("index 5") && error.message().contains("size 3"), "{error}");
        assert!(error.location().is_some_and(|at| at.file().ends_with("errors.rs")), "{error}");
        for _ in 0..2 {
            assert_eq!(read::<f32>(gpu, &bad).unwrap_err().kind(), ErrorKind::Index);
            assert_eq!(read::<f32>(gpu, &descendant).unwrap_err().kind(), ErrorKind::Index);
        }
        assert_eq!(build.run(gpu, &[bad]).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(read::<f32>(gpu, &good).unwrap(), [3.0, 1.0]);
        let negative = gather(&[-1]);
        let error = pollster::block_on(gpu.sync()).unwrap_err();
        assert!(error.message().contains("index -1"), "{error}");
        drop(negative);
        assert_eq!(read::<f32>(gpu, &gather(&[0, 1, 2])).unwrap(), [1.0, 2.0, 3.0]);

        let mut build = Build::default();
        let operands =
            vec![build.input(&[4], DType::F32), build.input(&[2], DType::U32), build.input(&[2], DType::F32)];
        build.op(TestOp::ScatterAdd(0), operands, &[4], DType::F32);
        let inputs = [upload(gpu, &[0.0f32; 4]), upload(gpu, &[1u32, 4]), upload(gpu, &[1.0f32, 1.0])];
        let out = build.run(gpu, &inputs).unwrap().remove(0);
        let error = read::<f32>(gpu, &out).unwrap_err();
        assert!(error.kind() == ErrorKind::Index && error.message().contains("index 4"), "{error}");
    }
}

#[test]
fn too_much_memory_is_an_error_that_names_size_and_limit() {
    for gpu in &own_gpus() {
        let most = gpu.describe().max_buffer as usize;
        let mut build = Build::default();
        let code = vec![build.compute(Map::Constant, &[], DType::F32, &[Scalar::Float(1.0)])];
        build.map(&[most / 4 + 1], code, &[0], vec![]);
        let error = build.run(gpu, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        assert!(error.message().contains(&most.to_string()), "{error}");
        // The device goes on.
        assert_eq!(read::<f32>(gpu, &upload(gpu, &[1.0f32, 2.0])).unwrap(), [1.0, 2.0]);
    }
}

#[test]
fn an_absent_adapter_is_an_error_that_lists_what_is_there() {
    let error = Gpu::open(&Choice::Name("no such card".into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoAdapter);
    for adapter in adapters() {
        assert!(error.message().contains(&adapter.name), "{error}");
    }
    assert!(Gpu::open(&Choice::Index(999)).is_err());
}

#[test]
fn choices_are_read_from_text() {
    let choice = |text: &str| text.parse::<Choice>().unwrap();
    assert_eq!(choice("best"), Choice::Best);
    assert_eq!(choice(" 2 "), Choice::Index(2));
    assert_eq!(choice("Vulkan"), Choice::Backend("vulkan".into()));
    assert_eq!(choice("software"), Choice::Kind("software".into()));
    assert_eq!(choice("H200"), Choice::Name("h200".into()));
    for adapter in adapters() {
        let found = Gpu::open(&choice(adapter.backend)).unwrap();
        assert_eq!(found.describe().backend, adapter.backend);
        let kind = adapter.kind.split(' ').next().unwrap();
        assert_eq!(Gpu::open(&choice(kind)).unwrap().describe().kind, adapter.kind);
        assert!(found.describe().name.contains(&adapter.name) || adapters().len() > 1);
    }
}

#[test]
fn buffers_are_reused_and_reads_check_their_length() {
    for gpu in &own_gpus() {
        let mut build = Build::default();
        let x = build.input(&[1000], DType::F32);
        build.map(&[1000], vec![Instruction::Load(0, DType::F32)], &[0], vec![x]);
        let input = upload(gpu, &vec![3.0f32; 1000]);
        let mut seen = None;
        for round in 0..20 {
            assert_eq!(run::<f32>(gpu, &build, std::slice::from_ref(&input)), vec![3.0; 1000]);
            let stats = gpu.stats();
            if round > 2 {
                assert_eq!(seen.unwrap_or(stats.buffers), stats.buffers);
                seen = Some(stats.buffers);
            }
        }
        let stats = gpu.stats();
        assert_eq!(
            (stats.kernels, stats.pipelines, stats.uploads, stats.parameter_blocks, stats.reads),
            (20, 1, 1, 20, 20)
        );
        assert_eq!(pollster::block_on(gpu.read(&input, 4001)).unwrap_err().kind(), ErrorKind::Value);
        assert_eq!(pollster::block_on(gpu.read(&input, 0)).unwrap(), []);
        for bytes in [0usize, 1, 2, 3, 4, 5, 4099] {
            let data: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
            let buffer = gpu.upload(&data).unwrap();
            assert_eq!(pollster::block_on(gpu.read(&buffer, bytes)).unwrap(), data);
        }
    }
}

#[test]
fn runs_that_nobody_reads_do_not_pile_up() {
    for gpu in &own_gpus() {
        let mut build = Build::default();
        let (x, index) = (build.input(&[3], DType::F32), build.input(&[2], DType::U32));
        build.op(TestOp::Gather(0), vec![x, index], &[2], DType::F32);
        let source = upload(gpu, &[1.0f32, 2.0, 3.0]);
        let (good, bad) = (upload(gpu, &[0u32, 2]), upload(gpu, &[0u32, 3]));
        let gather = |index: &wgrad_tensor::device::Buffer| build.run(gpu, &[source.clone(), index.clone()]).unwrap();
        let first = gather(&bad);
        for _ in 0..2000 {
            // A device that is far behind may hold more; it never holds all.
            gather(&good);
        }
        assert!(gpu.stats().buffers < 1500, "{:?}", gpu.stats());
        assert_eq!(read::<f32>(gpu, &source).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(read::<f32>(gpu, &first[0]).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(read::<f32>(gpu, &gather(&good)[0]).unwrap(), [1.0, 3.0]);
    }
}
