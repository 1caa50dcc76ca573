//! What follows a product is computed in the product's kernel, or by those who read it: against plain loops on every
//! device.

mod common;

use common::{assert_near, devices, floats};
use wgrad::prelude::*;
use wgrad::tensor::registry::Array;

#[track_caller]
fn assert_is(found: &Tensor, expected: &Array) -> wgrad::Result<()> {
    assert_near(found, expected, 2e-5)
}

fn product(a: &Array, b: &Array) -> Array {
    Array::from_fn(&[a.shape[0], b.shape[1]], |p| (0..a.shape[1]).map(|k| a.at(&[p[0], k]) * b.at(&[k, p[1]])).sum())
}

fn columns(a: &Array) -> Array {
    Array::from_fn(&a.shape[1..], |p| (0..a.shape[0]).map(|row| a.at(&[row, p[0]])).sum())
}

fn each(a: &Array, f: impl Fn(usize, usize, f64) -> f64) -> Array {
    Array::from_fn(&a.shape, |p| f(p[0], p[1], a.at(p)))
}

// What somebody holds is written in any case: so nobody holds the products.

/// Rows, inner size and columns.
const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [5, 3, 7], [33, 20, 17], [128, 16, 64], [3, 9, 1100]];

#[test]
fn folds_over_columns_and_rows_of_what_follows() -> wgrad::Result<()> {
    for device in devices() {
        for [m, k, n] in SIZES {
            let ((a, a_), (b, b_)) = (floats(&[m, k], 0, device), floats(&[k, n], 1, device));
            let ((w, w_), (y, y_)) = (floats(&[n], 2, device), floats(&[m, n], 3, device));
            let sums = {
                let p = a.matmul(&b);
                let weighted = &p * &w;
                [p.sum(0), (&p * &y).sum(0), &weighted - (&weighted * &y).sum_keepdim(-1)]
            };
            wgrad::eval_all(&sums)?;
            let p_ = product(&a_, &b_);
            let weighted = each(&p_, |_, j, x| x * w_.at(&[j]));
            let row = |i: usize| (0..n).map(|j| weighted.at(&[i, j]) * y_.at(&[i, j])).sum::<f64>();
            assert_is(&sums[0], &columns(&p_))?;
            assert_is(&sums[1], &columns(&each(&p_, |i, j, x| x * y_.at(&[i, j]))))?;
            assert_is(&sums[2], &each(&weighted, |i, _, x| x - row(i)))?;
        }
    }
    Ok(())
}

#[test]
fn a_product_that_two_values_are_made_of() -> wgrad::Result<()> {
    for device in devices() {
        for [m, k, n] in SIZES {
            let ((a, a_), (b, b_)) = (floats(&[m, k], 4, device), floats(&[k, n], 5, device));
            let ((w, w_), (y, y_)) = (floats(&[n], 6, device), floats(&[m, n], 7, device));
            let z = {
                let p = a.matmul(&b);
                &p * &w - (&p * y.exp()).sum_keepdim(-1)
            };
            let p_ = product(&a_, &b_);
            let row = |i: usize| (0..n).map(|j| p_.at(&[i, j]) * y_.at(&[i, j]).exp()).sum::<f64>();
            assert_is(&z, &each(&p_, |i, j, x| x * w_.at(&[j]) - row(i)))?;
        }
    }
    Ok(())
}

#[test]
fn two_folds_that_see_it_in_two_orders() -> wgrad::Result<()> {
    for device in devices() {
        for [m, k, n] in SIZES {
            let ((a, a_), (b, b_)) = (floats(&[m, k], 8, device), floats(&[k, n], 9, device));
            let (w, w_) = floats(&[m, n], 10, device);
            let sums = {
                let p = a.matmul(&b);
                let follows = &p * &w;
                [p.sum(0), follows.sum(0), follows.flip(1).sum(0)]
            };
            wgrad::eval_all(&sums)?;
            let p_ = product(&a_, &b_);
            let follows = columns(&each(&p_, |i, j, x| x * w_.at(&[i, j])));
            assert_is(&sums[0], &columns(&p_))?;
            assert_is(&sums[1], &follows)?;
            assert_is(&sums[2], &Array::from_fn(&[n], |p| follows.at(&[n - 1 - p[0]])))?;
        }
    }
    Ok(())
}
