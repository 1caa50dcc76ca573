//! Programs of cheap steps, whatever is joined in them: the same bits as step by step.

use crate::harness::{Code, Input, Random, run};
use wgrad_tensor::dtype::{DType, Element};
use wgrad_tensor::elementwise::Elementwise;
use wgrad_tensor::op::{Meta, Reduction};
use wgrad_tensor::ops::table;

/// One instruction, by the numbers of the registers that it takes.
#[derive(Clone, Copy, Debug)]
enum Made {
    Load(usize),
    Row(&'static Elementwise, usize, usize),
    Reduce(Reduction, usize),
}

fn write(code: &mut Code, made: Made) -> usize {
    match made {
        Made::Load(operand) => code.load(operand, DType::F32),
        Made::Row(row, x, _) if row.arity == 1 => code.row(row, &[x]),
        Made::Row(row, x, y) => code.row(row, &[x, y]),
        Made::Reduce(kind, x) => code.reduce(kind, x),
    }
}

#[test]
fn joined_steps_give_the_bits_of_single_ones() {
    let mut random = Random::new();
    let rows_of_table = [&table::ADD, &table::SUB, &table::MUL, &table::DIV, &table::EXP, &table::RELU, &table::MUL];
    let kinds = [Reduction::Sum, Reduction::Max, Reduction::Min];
    for turn in 0..150 {
        let rows = 1 + random.below(9);
        let length = [128, 129, 200, 767, 768, 1024, 2048, 2051, 4097, 8191, 8192, 8192][random.below(12)];
        let shape = [rows, length];
        // An element for each place, each row, or each place of a row.
        let windows = [([rows, length], [length as isize, 1]), ([rows, 1], [1, 0]), ([1, length], [0, 1])];
        let inputs = windows.map(|(held, strides)| {
            let values: Vec<f32> = random.floats(held[0] * held[1]).iter().map(|x| x * 0.5 + 0.1).collect();
            Input::new(&values, held).window(shape, &strides, 0)
        });
        let mut made = vec![Made::Load(0), Made::Load(1), Made::Load(2)];
        let mut per_row = vec![false, true, false];
        for _ in 0..4 + random.below(14) {
            let [x, y] = [0, 0].map(|_| made.len() - 1 - random.below(made.len().min(5)));
            if random.below(4) == 0 && !per_row[x] {
                made.push(Made::Reduce(kinds[random.below(3)], x));
                per_row.push(true);
            } else {
                let row = rows_of_table[random.below(7)];
                made.push(Made::Row(row, x, y));
                per_row.push(per_row[x] && (row.arity == 1 || per_row[y]));
            }
        }
        let last = made.len() - 1;
        let stores: Vec<usize> = (3..made.len()).filter(|&i| i == last || random.below(5) == 0).collect();
        let meta = |i: usize| Meta::new(&shape[..if per_row[i] { 1 } else { 2 }], DType::F32);

        let mut code = Code::new(&shape, 1);
        made.iter().for_each(|&one| assert!(write(&mut code, one) < made.len()));
        let outputs: Vec<Meta> = stores.iter().map(|&i| meta(i)).collect();
        let joined = run(code.storing(&stores), &inputs, &outputs).unwrap();

        let mut single: Vec<Input> = inputs.to_vec();
        for (i, &one) in made.iter().enumerate().skip(3) {
            let mut code = Code::new(&shape, 1);
            let (x, y) = match one {
                Made::Row(_, x, y) => (x, y),
                Made::Reduce(_, x) | Made::Load(x) => (x, x),
            };
            let [a, b] = [0, 1].map(|operand| code.load(operand, DType::F32));
            let y = match one {
                Made::Row(row, ..) => (write(&mut code, Made::Row(row, a, b)), y),
                Made::Reduce(kind, _) => (write(&mut code, Made::Reduce(kind, a)), x),
                Made::Load(_) => continue,
            };
            let operands = [single[x].clone(), single[y.1].clone()];
            let found = run(code.storing(&[y.0]), &operands, &[meta(i)]).unwrap();
            let (held, strides) = if per_row[i] { ([rows, 1], [1, 0]) } else { windows[0] };
            single.push(Input::new(&f32::from_bytes(&found[0]), held).window(shape, &strides, 0));
        }
        for (&store, found) in stores.iter().zip(&joined) {
            let bits = |values: Vec<f32>| -> Vec<u32> {
                values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
            };
            let seen = single[store].seen::<f32>();
            let exact = if per_row[store] { seen.iter().copied().step_by(length).collect() } else { seen };
            assert!(bits(f32::from_bytes(found)) == bits(exact), "{turn}: register {store} of {shape:?} {made:?}");
        }
    }
}
