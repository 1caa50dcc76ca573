//! The recorded graph: what is computed when, what stays alive, and gradients of every order.

mod common;

use common::devices;
use wgrad::autograd::gradcheck;
use wgrad::prelude::*;

fn leaf(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, values.len(), device).requires_grad()
}

#[test]
fn gradients_of_gradients() -> wgrad::Result<()> {
    for device in devices() {
        let x = leaf(&[0.5, -1.25], device);
        // f = x^4: 4 x^3, 12 x^2, 24 x.
        let f = x.square().square();
        let first = grad(&f.sum(..), &[&x])?.remove(0);
        let second = grad(&first.sum(..), &[&x])?.remove(0);
        let third = grad(&second.sum(..), &[&x])?.remove(0);
        assert_eq!(third.to_vec::<f32>()?, [12.0, -30.0], "on {device}");
        assert_eq!(second.to_vec::<f32>()?, [3.0, 18.75], "on {device}");
        assert_eq!(first.to_vec::<f32>()?, [0.5, -7.8125], "on {device}");
    }
    Ok(())
}

#[test]
fn value_and_gradients_of_a_function() -> wgrad::Result<()> {
    let device = device::cpu();
    let (x, y) = (Tensor::new([3.0f32], &device), Tensor::new([4.0f32], &device));
    let (value, gradients) = value_and_grad(|v| (&v[0] * &v[1]).sum(..), &[&x, &y])?;
    assert_eq!(value.item::<f32>()?, 12.0);
    assert_eq!(gradients[0].item::<f32>()?, 4.0);
    assert_eq!(gradients[1].item::<f32>()?, 3.0);
    Ok(())
}

#[test]
fn a_gradient_for_an_intermediate_tensor() -> wgrad::Result<()> {
    let device = device::cpu();
    let x = leaf(&[2.0], &device);
    let middle = &x * 3.0;
    let y = middle.square().sum(..);
    assert_eq!(grad(&y, &[&middle])?[0].item::<f32>()?, 12.0);
    assert_eq!(grad(&y, &[&x])?[0].item::<f32>()?, 36.0);
    Ok(())
}

#[test]
fn detach_and_no_grad_cut() -> wgrad::Result<()> {
    let device = device::cpu();
    let x = leaf(&[2.0, 5.0], &device);
    let y = (&x * x.detach()).sum(..);
    assert_eq!(y.backward()?.get(&x)?.to_vec::<f32>()?, [2.0, 5.0]);
    let cut = no_grad(|| x.exp());
    assert!(!cut.is_tracked() && x.exp().is_tracked());
    Ok(())
}

#[test]
fn a_leaf_used_twice_gets_the_sum() -> wgrad::Result<()> {
    for device in devices() {
        let x = leaf(&[1.0, 2.0], device);
        let loss = (&x * 2.0 + x.square()).sum(..);
        assert_eq!(loss.backward()?.get(&x)?.to_vec::<f32>()?, [4.0, 6.0], "on {device}");
    }
    Ok(())
}

#[test]
fn reading_the_loss_before_or_after_backward_gives_the_same_bits() -> wgrad::Result<()> {
    for device in devices() {
        let values: Vec<f32> = (0..35).map(|i| (i as f32 * 0.37).sin()).collect();
        let run = |read_first: bool| -> wgrad::Result<(f32, Vec<f32>)> {
            let x = Tensor::from_slice(&values, [5, 7], device).requires_grad();
            let w = (Tensor::from_slice(&values, [7, 5], device) * 0.5).requires_grad();
            let loss = x.matmul(&w).gelu().log_softmax(-1).square().mean(..);
            let early = read_first.then(|| loss.item::<f32>()).transpose()?;
            let gradients = loss.backward()?;
            let gradient = gradients.get(&w)?.to_vec::<f32>()?;
            Ok((early.map_or_else(|| loss.item::<f32>(), Ok)?, gradient))
        };
        assert_eq!(run(true)?, run(false)?, "on {device}");
    }
    Ok(())
}

#[test]
fn evaluating_out_of_order_and_from_threads_gives_the_same_bits() -> wgrad::Result<()> {
    for device in devices() {
        let x = Tensor::normal([64, 33], 0.0, 1.0, DType::F32, device);
        x.eval()?;
        let chain = || {
            let a = x.exp();
            let b = a.sum(1);
            let c = (&a / b.unsqueeze(1)).log();
            (a, b, c)
        };
        let (a, b, c) = chain();
        let forwards = (a.to_vec::<f32>()?, b.to_vec::<f32>()?, c.to_vec::<f32>()?);
        let (a, b, c) = chain();
        let last = c.to_vec::<f32>()?;
        assert_eq!((a.to_vec::<f32>()?, b.to_vec::<f32>()?, last), forwards, "on {device}");
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| chain().2.to_vec::<f32>())).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "panicked")).collect()
        });
        for result in results {
            assert_eq!(result.map_err(|m| wgrad::Error::new(wgrad::ErrorKind::Value, "thread", m))??, forwards.2);
        }
    }
    Ok(())
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes() -> wgrad::Result<()> {
    let device = device::cpu();
    let x = leaf(&[1.0], &device);
    let mut y = x.clone();
    for _ in 0..100_000 {
        y = y * 1.000_01;
    }
    let gradients = y.sum(..).backward()?;
    let gradient = gradients.get(&x)?;
    drop(y);
    // e, but for the rounding of a hundred thousand products in f32.
    let found = gradient.item::<f32>()?;
    assert!((found - std::f32::consts::E).abs() < 0.02, "{found}");
    drop(gradients);
    drop(gradient);

    // Each of these reads its input for its gradient.
    let (mut y, mut value, mut slope) = (x.clone(), 1.0f64, 1.0);
    for _ in 0..100_000 {
        y = y.sin();
        slope *= value.cos();
        value = value.sin();
    }
    let gradients = y.sum(..).backward()?;
    let found = [y.item::<f32>()?, gradients.get(&x)?.item::<f32>()?].map(f64::from);
    assert!((found[0] / value - 1.0).abs() < 1e-3, "{found:?}, not {value}");
    assert!((found[1] / slope - 1.0).abs() < 1e-2, "{found:?}, not {slope}");
    drop((y, gradients));

    let mut dropped = x;
    for _ in 0..100_000 {
        dropped = dropped + 1.0;
    }
    drop(dropped);
    Ok(())
}

#[test]
fn a_frozen_parameter_costs_no_gradient_work() -> wgrad::Result<()> {
    let device = device::cpu();
    let (frozen, trained) = (Linear::new(3, 3, &device), Linear::new(3, 1, &device));
    frozen.freeze(true);
    let hidden = frozen.forward(&Tensor::ones([2, 3], DType::F32, &device));
    assert!(!hidden.is_tracked(), "what frozen parameters compute is not recorded for a walk back");
    let gradients = trained.forward(&hidden).sum(..).backward()?;
    assert_eq!(gradients.len(), 2);
    assert!(!gradients.contains(&frozen.weight.tensor()));
    Ok(())
}

#[test]
fn a_check_that_can_fail() {
    wgrad::elementwise! {
        /// The sine, with a wrong gradient.
        real WRONG: wrong_sine(x) -> y { x.sin() } "sin(x)" { INPUTS, g => g * x.sin() }
    }
    let x = Tensor::new([0.3f64, 0.8], &device::cpu());
    assert!(gradcheck(|v| v[0].elementwise(&WRONG, &[]), &[x], 1e-6).is_err());
}

#[test]
fn what_an_evaluation_leaves_aside_is_there_for_the_next() -> wgrad::Result<()> {
    let device = device::cpu_with_threads(1);
    let x = Tensor::new([1.0f32, 2.0], &device);
    let evaluations = || device.stats().evaluations;
    let aside = &x * 3.0;
    let half = (&x + 1.0) * &aside;
    (&x - 1.0).eval()?;
    assert_eq!(evaluations(), 1);
    // A failed evaluation leaves the others as they were.
    let index = Tensor::from_slice(&[9u32], [1], &device);
    assert!((&x - 2.0).gather(0, &index).eval().is_err());
    half.eval()?;
    assert_eq!(evaluations(), 3);
    assert_eq!(aside.to_vec::<f32>()?, [3.0, 6.0]);
    assert_eq!(half.to_vec::<f32>()?, [6.0, 18.0]);
    assert_eq!(evaluations(), 3, "what is held is computed with what it was computed for");

    let (leaf, before) = (x.requires_grad(), evaluations());
    let inner = (&leaf * 2.0).exp();
    let loss = inner.sum(..);
    drop(inner);
    loss.eval()?;
    let gradient = loss.backward()?.get(&leaf)?;
    assert!((gradient.to_vec::<f32>()?[0] - 2.0 * 2f32.exp()).abs() < 1e-4);
    assert_eq!(evaluations(), before + 2);
    Ok(())
}
