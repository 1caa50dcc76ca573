//! Samples of what chooses by index or condition.

use super::{Array, Kind, Order, Sample, Spec};

pub(super) fn samples() -> Vec<Sample> {
    vec![
        gather(&[4, 5], &[3, 5], 0),
        gather(&[4, 5], &[4, 2], 1),
        gather(&[2, 3, 4], &[2, 7, 4], 1),
        gather(&[3, 4], &[0, 4], 0),
        gather(&[66_001, 3], &[66_001, 1], 1),
        scatter(&[4, 5], &[9, 5], 0),
        scatter(&[2, 3, 4], &[2, 3, 6], 2),
        scatter(&[5], &[0], 0),
        scatter(&[1001, 3], &[70_001, 3], 0),
        Sample::new(
            "index_select",
            vec![Spec::float(&[4, 3]), Spec::index(&[6], 4)],
            |x| x[0].index_select(0, &x[1]),
            |x| Array::from_fn(&[6, 3], |p| x[0].at(&[x[1].data[p[0]] as usize, p[1]])),
        ),
        Sample::new(
            "embedding",
            vec![Spec::float(&[5, 3]), Spec::index(&[2, 4], 5)],
            |x| x[0].embedding(&x[1]),
            |x| Array::from_fn(&[2, 4, 3], |p| x[0].at(&[x[1].at(&p[..2]) as usize, p[2]])),
        ),
        Sample::new(
            "one_hot",
            vec![Spec::index(&[2, 3], 6)],
            |x| x[0].one_hot(5),
            |x| Array::from_fn(&[2, 3, 5], |p| f64::from(u8::from(x[0].at(&p[..2]) == p[2] as f64))),
        )
        .order(Order::None),
        Sample::new(
            "where",
            vec![Spec::of(&[3, 4], Kind::Bool), Spec::float(&[3, 1]), Spec::float(&[4])],
            |x| x[0].where_(&x[1], &x[2]),
            |x| Array::from_fn(&[3, 4], |p| if x[0].at(p) != 0.0 { x[1].at(p) } else { x[2].at(p) }),
        ),
        Sample::new(
            "masked_fill",
            vec![Spec::float(&[3, 5]), Spec::of(&[5], Kind::Bool)],
            |x| x[0].masked_fill(&x[1], -3.5),
            |x| Array::from_fn(&[3, 5], |p| if x[1].at(p) != 0.0 { -3.5 } else { x[0].at(p) }),
        ),
        Sample::new(
            "clamp",
            vec![Spec::float(&[7, 5])],
            |x| x[0].clamp(-0.7, 1.2),
            |x| x[0].map(|v| v.clamp(-0.7, 1.2)),
        )
        // The bounds are constants of the tensor's dtype, so in f32 they are rounded.
        .tolerance(1e-6),
    ]
}

/// `source`, `index` shapes and the axis. Beside the axis, an index reaches as far as its own size.
fn gather(source: &'static [usize], index: &'static [usize], axis: usize) -> Sample {
    Sample::new(
        "gather",
        vec![Spec::float(source), Spec::index(index, source[axis])],
        move |x| x[0].gather(axis as isize, &x[1]),
        move |x| {
            Array::from_fn(index, |p| {
                let mut from = p.to_vec();
                from[axis] = x[1].at(p) as usize;
                x[0].at(&from)
            })
        },
    )
}

fn scatter(base: &'static [usize], source: &'static [usize], axis: usize) -> Sample {
    Sample::new(
        "scatter_add",
        vec![Spec::float(base), Spec::index(source, base[axis]), Spec::float(source)],
        move |x| x[0].scatter_add(axis as isize, &x[1], &x[2]),
        move |x| {
            let mut out = x[0].clone();
            Array::from_fn(source, |p| {
                let mut to = p.to_vec();
                to[axis] = x[1].at(p) as usize;
                let index = to.iter().zip(base).fold(0, |index, (at, size)| index * size + at);
                out.data[index] += x[2].at(p);
                0.0
            });
            out
        },
    )
    .tolerance(1e-5)
}
