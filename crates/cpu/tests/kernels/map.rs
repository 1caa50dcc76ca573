//! Elementwise programs.

use crate::harness::{Code, Input, Made, Random, run, run_one, windows};
use half::{bf16, f16};
use wgrad_plan::{Instruction, Program, Work};
use wgrad_tensor::dtype::{DType, Element, Scalar};
use wgrad_tensor::elementwise::{Binary, Elementwise, Loop, Unary, each1, each2};
use wgrad_tensor::error::ErrorKind;
use wgrad_tensor::layout::Layout;
use wgrad_tensor::op::{Map, Meta, Random as Kind, Reads};
use wgrad_tensor::random::{normal_f32, philox, uniform_f32, uniform_f64};
use wgrad_tensor::shape::Shape;

const fn row(name: &'static str, arity: usize, cpu: fn(DType) -> Option<Loop>) -> Elementwise {
    Elementwise {
        name,
        arity,
        dtypes: &[DType::F32],
        to_bool: false,
        wgsl: "",
        wgsl_integer: None,
        wgsl_f64: false,
        cpu,
        basic: None,
        reads: Reads::NOTHING,
        gradient: None,
    }
}

struct Sum;
impl Binary for Sum {
    type In = f32;
    type Out = f32;
    fn of(x: f32, y: f32) -> f32 {
        x + y
    }
}

struct Double;
impl Unary for Double {
    type In = f32;
    type Out = f32;
    fn of(x: f32) -> f32 {
        2.0 * x
    }
}

struct IsPositive;
impl Unary for IsPositive {
    type In = f32;
    type Out = u8;
    fn of(x: f32) -> u8 {
        u8::from(x > 0.0)
    }
}

static ADD: Elementwise = row("add", 2, |dtype| (dtype == DType::F32).then_some(each2::<Sum> as Loop));
static TWICE: Elementwise = row("twice", 1, |dtype| (dtype == DType::F32).then_some(each1::<Double> as Loop));
static POSITIVE: Elementwise = row("positive", 1, |_| Some(each1::<IsPositive>));

fn apply(map: Map, args: &[usize], dtype: DType) -> Instruction {
    Instruction::Map { map, args: args.to_vec(), dtype, scalars: 0..0 }
}

fn program(shape: &[usize], code: Vec<Instruction>, stores: &[usize]) -> impl Fn() -> Made + use<> {
    let (shape, stores) = (Shape::from(shape), stores.to_vec());
    let program = Program { shape, row_axes: 0, code, stores };
    move || (Work::Program(program.clone()), vec![])
}

/// `2 (x + y)`, and whether `x + y` is positive, through every kind of window.
#[test]
fn chains_read_every_window() {
    let mut random = Random::new();
    let shapes: [&[usize]; 11] = [
        &[],
        &[1],
        &[7],
        &[3, 5],
        &[40, 3, 37],
        &[2, 3000],
        &[130, 1, 260],
        &[50_000],
        &[33, 35, 34],
        &[401, 517],
        &[3, 70_001],
    ];
    for shape in shapes {
        for (x, y) in windows(&mut random, shape).into_iter().zip(windows(&mut random, shape).into_iter().rev()) {
            let mut input = |(shape, strides, offset, len): (Shape, Vec<isize>, usize, usize)| {
                Input::new(&random.floats(len), [len]).window(shape, &strides, offset)
            };
            let inputs = [input(x), input(y)];
            let code = vec![
                Instruction::Load(0, DType::F32),
                Instruction::Load(1, DType::F32),
                apply(Map::Row(&ADD), &[0, 1], DType::F32),
                apply(Map::Row(&TWICE), &[2], DType::F32),
                apply(Map::Row(&POSITIVE), &[2], DType::Bool),
            ];
            let outputs = [Meta::new(shape, DType::F32), Meta::new(shape, DType::Bool), Meta::new(shape, DType::F32)];
            let found = run(program(shape, code, &[3, 4, 0]), &inputs, &outputs).unwrap();
            let (x, y) = (inputs[0].seen::<f32>(), inputs[1].seen::<f32>());
            let sum: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            assert_eq!(f32::from_bytes(&found[0]), sum.iter().map(|s| 2.0 * s).collect::<Vec<_>>(), "{shape:?}");
            assert_eq!(bool::from_bytes(&found[1]), sum.iter().map(|&s| s > 0.0).collect::<Vec<_>>());
            assert_eq!(f32::from_bytes(&found[2]), x, "a loaded register can be stored");
        }
    }
}

/// Long programs need several blocks of scratch memory, which are used again.
#[test]
fn registers_live_as_long_as_they_are_needed() {
    let mut random = Random::new();
    let count = 5000;
    let x = Input::new(&random.floats(count), [count]);
    let mut code = Code::new(&[count], 0);
    code.load(0, DType::F32);
    code.constant(0.5, DType::F32);
    let mut exact: Vec<Vec<f32>> = vec![x.seen(), vec![0.5; count]];
    for i in 2..40 {
        let (a, b) = (random.below(i), random.below(i));
        code.row(&ADD, &[a, b]);
        exact.push(exact[a].iter().zip(&exact[b]).map(|(a, b)| a + b).collect());
    }
    let stores = [39, 39, 1, random.below(40), 20];
    let outputs = vec![Meta::new([count], DType::F32); stores.len()];
    let found = run(code.storing(&stores), &[x], &outputs).unwrap();
    for (found, store) in found.iter().zip(stores) {
        assert_eq!(f32::from_bytes(found), exact[store]);
    }
}

#[test]
fn copies_are_exact_for_every_size_of_element() {
    let mut random = Random::new();
    let shapes: [&[usize]; 8] =
        [&[], &[5], &[300, 200], &[17, 33, 65], &[4, 100, 9, 31], &[70_000], &[2, 40_001], &[1, 0, 4]];
    for shape in shapes {
        for (shape, strides, offset, len) in windows(&mut random, shape) {
            let words = random.words(2 * len);
            let code = |dtype| vec![Instruction::Load(0, dtype)];
            let input = Input::new(&words[..len], [len]).window(&shape, &strides, offset);
            assert_eq!(
                run_one::<u32>(program(&shape, code(DType::U32), &[0]), std::slice::from_ref(&input), &shape),
                input.seen()
            );
            let bytes: Vec<u8> = words[..len].iter().map(|&word| word as u8).collect();
            let input = Input::new(&bytes, [len]).window(&shape, &strides, offset);
            assert_eq!(
                run_one::<u8>(program(&shape, code(DType::U8), &[0]), std::slice::from_ref(&input), &shape),
                input.seen()
            );
            let halves: Vec<f16> = words[..len].iter().map(|&word| f16::from_f32((word >> 16) as f32)).collect();
            let input = Input::new(&halves, [len]).window(&shape, &strides, offset);
            assert_eq!(
                run_one::<f16>(program(&shape, code(DType::F16), &[0]), std::slice::from_ref(&input), &shape),
                input.seen()
            );
            let input = Input::new(&random.doubles(len), [len]).window(&shape, &strides, offset);
            assert_eq!(
                run_one::<f64>(program(&shape, code(DType::F64), &[0]), std::slice::from_ref(&input), &shape),
                input.seen()
            );
        }
    }
}

#[test]
fn where_takes_every_dtype() {
    fn check<T: Element>(condition: &[bool], yes: &[T], no: &[T]) {
        let count = condition.len();
        let inputs = [Input::new(condition, [count]), Input::new(yes, [count]), Input::new(no, [count])];
        let code = vec![
            Instruction::Load(0, DType::Bool),
            Instruction::Load(1, T::DTYPE),
            Instruction::Load(2, T::DTYPE),
            apply(Map::Where, &[0, 1, 2], T::DTYPE),
        ];
        let exact: Vec<T> = (0..count).map(|i| if condition[i] { yes[i] } else { no[i] }).collect();
        assert_eq!(run_one::<T>(program(&[count], code, &[3]), &inputs, &[count]), exact);
    }
    let mut random = Random::new();
    let n = 40_003;
    let condition: Vec<bool> = random.words(n).iter().map(|word| word % 2 == 0).collect();
    let (a, b) = (random.words(n), random.words(n));
    check(&condition, &a, &b);
    check(&condition, &random.floats(n), &random.floats(n));
    check(&condition, &random.doubles(n), &random.doubles(n));
    let small = |words: &[u32]| words.iter().map(|&word| word as u8).collect::<Vec<_>>();
    check(&condition, &small(&a), &small(&b));
    let truths = |words: &[u32]| words.iter().map(|&word| word % 3 == 0).collect::<Vec<_>>();
    check(&condition, &truths(&a), &truths(&b));
    let halves = |words: &[u32]| words.iter().map(|&word| f16::from_f32((word % 1000) as f32)).collect::<Vec<_>>();
    check(&condition, &halves(&a), &halves(&b));
    check(
        &condition,
        &a.iter().map(|&x| x as i32).collect::<Vec<_>>(),
        &b.iter().map(|&x| x as i32).collect::<Vec<_>>(),
    );
}

/// Every cast, over values that saturate, round, vanish and are not numbers.
#[test]
fn casts_follow_as() {
    let wide: Vec<f64> = {
        let mut random = Random::new();
        let special = [
            0.0,
            -0.0,
            0.3,
            -0.3,
            0.5,
            1.0,
            -1.0,
            1.5,
            2.5,
            255.0,
            256.0,
            300.0,
            -129.0,
            65504.0,
            65519.9,
            65520.0,
            1e9,
            2147483647.0,
            2147483648.0,
            -2147483648.0,
            -2147483649.0,
            4294967295.0,
            4294967296.0,
            1e20,
            -1e20,
            1e300,
            3e-8,
            2.9802322387695312e-8,
            2.9802322387695313e-8,
            6e-8,
            1e-40,
            1e-300,
            1.00048828125,
            1.0004882812500002,
            1.00146484375,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            3.3895e38,
            3.4e38,
            16777217.0,
        ];
        special.into_iter().chain(random.doubles(3000).iter().map(|x| x * 40_000.0)).collect()
    };
    fn cast<A: Element, B: Element>(x: &[A]) -> Vec<B> {
        let code = vec![Instruction::Load(0, A::DTYPE), apply(Map::Cast, &[0], B::DTYPE)];
        run_one::<B>(program(&[x.len()], code, &[1]), &[Input::new(x, [x.len()])], &[x.len()])
    }
    fn same<A: Element, B: Element>(x: &[A], expected: impl Fn(A) -> B) {
        let bits = |values: &[B]| B::to_bytes(values);
        let (found, expected): (Vec<B>, Vec<B>) = (cast(x), x.iter().map(|&x| expected(x)).collect());
        for ((x, found), expected) in x.iter().zip(&found).zip(&expected) {
            let nan = |v: &B| format!("{v:?}") == "NaN";
            let equal = bits(&[*found]) == bits(&[*expected]) || nan(found) && nan(expected);
            assert!(equal, "{x:?} as {} is {found:?}, not {expected:?}", B::DTYPE);
        }
    }
    macro_rules! from {
        ($a:ty, $values:expr, |$x:ident| $plain:expr) => {{
            let values: Vec<$a> = $values;
            same::<$a, f32>(&values, |$x| $plain as f32);
            same::<$a, f64>(&values, |$x| $plain as f64);
            same::<$a, i32>(&values, |$x| $plain as i32);
            same::<$a, u32>(&values, |$x| $plain as u32);
            same::<$a, u8>(&values, |$x| $plain as u8);
            same::<$a, bool>(&values, |$x| $plain as f64 != 0.0);
            same::<$a, f16>(&values, |$x| nearest($plain as f64, f16::from_bits, f16::to_f64, 0x7c00));
            same::<$a, bf16>(&values, |$x| nearest($plain as f64, bf16::from_bits, bf16::to_f64, 0x7f80));
        }};
    }
    from!(f64, wide.clone(), |x| x);
    from!(f32, wide.iter().map(|&x| x as f32).collect(), |x| x);
    from!(i32, wide.iter().map(|&x| x as i32).collect(), |x| x);
    from!(u32, wide.iter().map(|&x| x as u32).collect(), |x| x);
    from!(u8, (0..=255).collect(), |x| x);
    from!(f16, (0..=u16::MAX).map(f16::from_bits).collect(), |x| x.to_f32());
    from!(bf16, (0..=u16::MAX).map(bf16::from_bits).collect(), |x| x.to_f32());
    from!(bool, vec![false, true], |x| u8::from(x));
}

/// The nearest 16-bit float, ties to even, found by search.
fn nearest<T: Copy>(x: f64, of: fn(u16) -> T, wide: fn(T) -> f64, infinity: u16) -> T {
    if x.is_nan() {
        return of(infinity | 0x0200 | 0x0040);
    }
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    // The first float above the largest finite one stands for infinity.
    let value = |bits: u16| {
        if bits < infinity { wide(of(bits)) } else { 2.0 * wide(of(infinity - 1)) - wide(of(infinity - 2)) }
    };
    let (mut low, mut high) = (0, infinity);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if value(middle) <= x.abs() { low = middle } else { high = middle }
    }
    let (below, above) = (x.abs() - value(low), value(high) - x.abs());
    let up = above < below || above == below && low % 2 == 1;
    of(sign | if up { high } else { low })
}

/// Numbers made from the positions 0, 1, ..
fn generated(map: Map, count: usize, dtype: DType, scalars: &[Scalar]) -> impl Fn() -> Made + use<> {
    let mut code = Code::new(&[count], 0);
    let x = code.generate(map, Layout::contiguous(&Shape::from([count])), dtype, scalars);
    code.storing(&[x])
}

/// Windows over positions: numbers repeat and are left out as the elements of an operand would be.
#[test]
fn generated_numbers_through_every_window() {
    let mut random = Random::new();
    let shapes: [&[usize]; 7] = [&[], &[7], &[3, 5], &[40, 3, 37], &[2, 3000], &[130, 260], &[50_000]];
    for shape in shapes {
        for (seen, strides, offset, _) in windows(&mut random, shape) {
            let layout = Layout { shape: seen, strides: strides.into(), offset };
            let mut code = Code::new(shape, 0);
            let range = [Scalar::Int(-3), Scalar::Int(7)];
            let line = code.generate(Map::Arange, layout.clone(), DType::I32, &range);
            let key = [Scalar::Bits(random.bits().into()), Scalar::Bits(5)];
            let bits = code.generate(Map::Random(Kind::Bits), layout.clone(), DType::U32, &key);
            let outputs = [Meta::new(shape, DType::I32), Meta::new(shape, DType::U32)];
            let found = run(code.storing(&[line, bits]), &[], &outputs).unwrap();
            let at: Vec<usize> = (0..shape.iter().product()).map(|i| layout.locate(i)).collect();
            assert_eq!(i32::from_bytes(&found[0]), at.iter().map(|&i| i as i32 * 7 - 3).collect::<Vec<_>>());
            let words = at.iter().map(|&i| philox(key[0].as_bits(), 5, i as u64)[0]);
            assert_eq!(u32::from_bytes(&found[1]), words.collect::<Vec<_>>(), "{layout:?}");
        }
    }
}

#[test]
fn ranges_and_constants() {
    let count = 70_001;
    let range = |dtype, start: Scalar, step: Scalar| generated(Map::Arange, count, dtype, &[start, step]);
    let found = run_one::<i32>(range(DType::I32, Scalar::Int(-5), Scalar::Int(3)), &[], &[count]);
    assert_eq!(found, (0..count).map(|i| i as i32 * 3 - 5).collect::<Vec<_>>());
    let found = run_one::<f32>(range(DType::F32, Scalar::Float(0.5), Scalar::Float(0.25)), &[], &[count]);
    assert_eq!(found, (0..count).map(|i| 0.5 + 0.25 * i as f32).collect::<Vec<_>>());
    let found = run_one::<f64>(range(DType::F64, Scalar::Float(0.1), Scalar::Float(0.3)), &[], &[count]);
    assert_eq!(found, (0..count).map(|i| 0.1 + 0.3 * i as f64).collect::<Vec<_>>());
    let found = run_one::<u32>(range(DType::U32, Scalar::Int(7), Scalar::Int(1)), &[], &[count]);
    assert_eq!(found, (7..7 + count as u32).collect::<Vec<_>>());
    for dtype in DType::ALL {
        let mut code = Code::new(&[count], 0);
        let three = code.constant(3.0, dtype);
        let found = run(code.storing(&[three]), &[], &[Meta::new([count], dtype)]).unwrap();
        assert_eq!(found[0], Scalar::Float(3.0).to_bytes(dtype).repeat(count), "{dtype}");
    }
}

#[test]
fn random_numbers_are_a_function_of_seed_stream_and_position() {
    let (count, seed, stream) = (40_010, 0x1234_5678_9abc_def0, u64::MAX - 3);
    let key = [Scalar::Bits(seed), Scalar::Bits(stream)];
    let code = |kind, dtype| generated(Map::Random(kind), count, dtype, &key);
    let words = |i: usize| philox(seed, stream, i as u64);
    let all = |f: &dyn Fn(usize) -> f32| (0..count).map(f).collect::<Vec<_>>();
    let bits = run_one::<u32>(code(Kind::Bits, DType::U32), &[], &[count]);
    assert_eq!(bits, (0..count).map(|i| words(i)[0]).collect::<Vec<_>>());
    let uniform = run_one::<f32>(code(Kind::Uniform, DType::F32), &[], &[count]);
    assert_eq!(uniform, all(&|i| uniform_f32(&words(i))));
    let wide = run_one::<f64>(code(Kind::Uniform, DType::F64), &[], &[count]);
    assert_eq!(wide, (0..count).map(|i| uniform_f64(&words(i))).collect::<Vec<_>>());
    let normal = run_one::<f32>(code(Kind::Normal, DType::F32), &[], &[count]);
    for (found, exact) in normal.iter().zip(all(&|i| normal_f32(&words(i)))) {
        assert!((found - exact).abs() <= 4e-6 * exact.abs().max(0.1), "{found} for {exact}");
    }
}

#[test]
fn what_is_not_there_is_a_typed_error() {
    let x = Input::new(&[1u32, 2], [2]);
    let code = vec![Instruction::Load(0, DType::U32), apply(Map::Row(&TWICE), &[0], DType::U32)];
    let error = run(program(&[2], code, &[1]), std::slice::from_ref(&x), &[Meta::new([2], DType::U32)]).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, "probe"));
    assert!(error.message().contains("twice of u32"), "{error}");
    let error =
        run(generated(Map::Random(Kind::Normal), 2, DType::I32, &[]), &[], &[Meta::new([2], DType::I32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let outside = x.window([3], &[1], 0);
    let code = vec![Instruction::Load(0, DType::U32)];
    let error = run(program(&[3], code, &[0]), &[outside], &[Meta::new([3], DType::U32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
}
