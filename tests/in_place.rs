//! Memory that is used again: results take the place of what nothing needs any more, and never of what somebody holds.

mod common;

use common::{devices, seed};
use wgrad::MemoryReport;
use wgrad::prelude::*;
use wgrad::tensor::registry::samples;

#[test]
fn inputs_that_are_held_keep_their_values_and_results_do_not_depend_on_it() -> wgrad::Result<()> {
    for device in devices().iter().take(2) {
        for (stream, sample) in samples().iter().enumerate() {
            let draw = |(i, spec): (usize, &wgrad::tensor::registry::Spec)| {
                let array = spec.draw(seed(), (stream * 16 + i) as u64);
                let tensor = array.to_tensor(spec.dtype(DType::F32), device);
                tensor.eval().map(|()| tensor)
            };
            let all = || sample.inputs.iter().enumerate().map(draw).collect::<wgrad::Result<Vec<_>>>();
            let held = all()?;
            let before: Vec<Vec<u8>> = held.iter().map(Tensor::to_bytes).collect::<wgrad::Result<_>>()?;
            let from_held = (sample.run)(&held).to_bytes()?;
            let after: Vec<Vec<u8>> = held.iter().map(Tensor::to_bytes).collect::<wgrad::Result<_>>()?;
            assert!(before == after, "{} of {:?} changed an input on {device}", sample.op, sample.inputs);
            let result = (sample.run)(&all()?);
            assert!(
                result.to_bytes()? == from_held,
                "{} of {:?} differs on {device} where nobody holds its inputs",
                sample.op,
                sample.inputs
            );
        }
    }
    Ok(())
}

#[test]
fn a_chain_of_steps_runs_in_one_buffer() -> wgrad::Result<()> {
    let mut devices = vec![device::cpu_with_threads(2)];
    // One that computes nothing takes memory as all GPUs do; those that others test on here hold more than this test's.
    #[cfg(feature = "gpu")]
    devices.push(Device::new(wgrad::plan::Planned::new(wgrad_kernels::Gpu::noop()?)));
    for device in &devices {
        let count = 1 << 18;
        let mut x = Tensor::ones([count], DType::F32, device);
        let (index, one) = (Tensor::zeros([1], DType::U32, device), Tensor::ones([1], DType::F32, device));
        wgrad::eval_all([&x, &index, &one])?;
        device.reset_peak_memory();
        for _ in 0..10 {
            x = (x + 1.0).sqrt();
            x.eval()?;
            x = x.scatter_add(0, &index, &one);
            x.eval()?;
        }
        assert!(device.stats().peak_bytes < 5 * count as u64, "{:?}", device.stats());
        let held = x.clone();
        x = (x + 1.0).sqrt();
        x.eval()?;
        assert!(device.stats().peak_bytes >= 8 * count as u64, "{:?}", device.stats());
        drop(held);
        if device.describe().backend == "cpu" {
            assert!((x.mean(..).item::<f32>()? - 1.618).abs() < 1e-3);
        }
    }
    Ok(())
}

#[test]
fn an_optimizer_step_leaves_the_parameters_that_somebody_holds() -> wgrad::Result<()> {
    for device in devices() {
        let model = Linear::new(300, 200, device);
        let mut optimizer = AdamW::new(model.parameters(), 1e-2);
        let x = Tensor::uniform([32, 300], -1.0, 1.0, DType::F32, device);
        let mut step = || -> wgrad::Result<()> { optimizer.step(model.forward(&x).square().mean(..).backward()?) };
        step()?;
        let old = model.weight.tensor();
        let before = old.to_vec::<f32>()?;
        step()?;
        assert_eq!(old.to_vec::<f32>()?, before, "on {device}");
        assert_ne!(model.weight.tensor().to_vec::<f32>()?, before, "on {device}");
    }
    Ok(())
}

#[test]
fn the_report_tells_who_holds_what() -> wgrad::Result<()> {
    for device in devices() {
        let model = Linear::new(64, 32, device);
        let mut optimizer = AdamW::new(model.parameters(), 1e-3);
        let x = Tensor::ones([8, 64], DType::F32, device);
        let gradients = model.forward(&x).square().mean(..).backward()?;
        wgrad::eval_all(gradients.tensors())?;
        let report = MemoryReport::new(device).model(&model).gradients(&gradients).optimizer(&optimizer);
        let bytes = 4 * (64 * 32 + 32);
        assert_eq!((report.parameters, report.gradients, report.optimizer), (bytes, bytes, 0), "{report}");
        optimizer.step(gradients)?;
        let report = MemoryReport::new(device).model(&model).optimizer(&optimizer);
        assert_eq!((report.parameters, report.optimizer), (bytes, 2 * bytes), "{report}");
        assert!(report.peak >= 3 * bytes, "{report}");
    }
    Ok(())
}

#[test]
fn a_softmax_of_short_and_long_rows_takes_the_place_of_its_input() -> wgrad::Result<()> {
    let device = device::cpu_with_threads(2);
    for [rows, length] in [[8192, 128], [64, 20_000], [3, 1]] {
        let make = || Tensor::uniform([rows, length], -2.0, 2.0, DType::F32, &device);
        device.manual_seed(5);
        let held = make();
        held.eval()?;
        let expected = held.softmax(-1).to_vec::<f32>()?;
        device.manual_seed(5);
        let alone = make();
        alone.eval()?;
        device.reset_peak_memory();
        let before = device.stats().peak_bytes;
        let result = alone.softmax(-1);
        drop(alone);
        result.eval()?;
        let more = device.stats().peak_bytes - before;
        assert_eq!(result.to_vec::<f32>()?, expected);
        // Tiles, but no second copy.
        let whole = (4 * rows * length) as u64;
        assert!(length == 1 || more < whole / 2, "{more} bytes more for {rows} rows of {length}, {whole} bytes");
    }
    Ok(())
}

#[test]
fn what_follows_a_product_or_a_scatter_takes_the_place_of_what_it_adds_to() -> wgrad::Result<()> {
    for device in devices() {
        let random = |shape: &[usize]| {
            let tensor = Tensor::uniform(shape, -1.0, 1.0, DType::F32, device);
            tensor.eval().map(|()| tensor)
        };
        let (x, w, index) =
            (random(&[300, 40])?, random(&[40, 500])?, Tensor::from_slice(&[2u32; 500], [1, 500], device));
        let added = |base: &Tensor| x.matmul(&w).relu() + base;
        let scattered = |base: &Tensor| base.scatter_add(0, &index, &w.slice(0, 0..1));
        for step in [&added as &dyn Fn(&Tensor) -> Tensor, &scattered] {
            let base = random(&[300, 500])?;
            let before = base.to_vec::<f32>()?;
            let of_held = step(&base).to_vec::<f32>()?;
            assert!(base.to_vec::<f32>()? == before, "a tensor that is held was changed on {device}");
            let result = step(&base);
            drop(base);
            assert!(result.to_vec::<f32>()? == of_held, "on {device}");
        }
    }
    let device = device::cpu_with_threads(2);
    let (x, w) = (Tensor::ones([4096, 8], DType::F32, &device), Tensor::ones([8, 1024], DType::F32, &device));
    let mut sum = Tensor::ones([4096, 1024], DType::F32, &device);
    wgrad::eval_all([&x, &w, &sum])?;
    device.reset_peak_memory();
    for _ in 0..3 {
        sum = x.matmul(&w) + sum;
        sum.eval()?;
    }
    let one = 4 * 4096 * 1024;
    assert!(device.stats().peak_bytes < one + one / 2, "{:?}", device.stats());
    assert!(sum.to_vec::<f32>()?.iter().all(|&sum| sum == 25.0));
    Ok(())
}
