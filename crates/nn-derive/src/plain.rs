//! Types that hold no parameters, known by their names.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

const PLAIN: &[&str] = &[
    "bool",
    "char",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "str",
    "String",
    "PhantomData",
];

/// Containers that are plain where all they contain is.
const CONTAINERS: &[&str] = &["Option", "Vec", "Box", "Arc", "Rc"];

/// Whether a field of this type cannot hold a parameter.
pub fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(is_plain_segment),
        Type::Array(array) => is_plain(&array.elem),
        Type::Slice(slice) => is_plain(&slice.elem),
        Type::Reference(reference) => is_plain(&reference.elem),
        Type::Paren(inner) => is_plain(&inner.elem),
        Type::Group(inner) => is_plain(&inner.elem),
        Type::Tuple(tuple) => tuple.elems.iter().all(is_plain),
        Type::BareFn(_) => true,
        _ => false,
    }
}

fn is_plain_segment(segment: &PathSegment) -> bool {
    let name = segment.ident.to_string();
    if PLAIN.contains(&&name[..]) {
        return true;
    }
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return false };
    let plain_argument = |argument: &GenericArgument| matches!(argument, GenericArgument::Type(ty) if is_plain(ty));
    CONTAINERS.contains(&&name[..]) && arguments.args.iter().all(plain_argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn plain_types_are_known_through_containers() {
        let plain: [Type; 9] = [
            parse_quote!(usize),
            parse_quote!(std::string::String),
            parse_quote!(Option<[f64; 2]>),
            parse_quote!(&'static str),
            parse_quote!(Vec<(u32, bool)>),
            parse_quote!(PhantomData<T>),
            parse_quote!(fn(&Tensor) -> Tensor),
            parse_quote!(Arc<str>),
            parse_quote!(()),
        ];
        assert!(plain.iter().all(is_plain));
    }

    #[test]
    fn whatever_may_hold_parameters_is_not_plain() {
        let other: [Type; 6] = [
            parse_quote!(Linear),
            parse_quote!(Vec<Linear>),
            parse_quote!(Option<T>),
            parse_quote!((usize, Param)),
            parse_quote!(HashMap<String, Linear>),
            parse_quote!(Box<dyn Layer>),
        ];
        assert!(!other.iter().any(is_plain));
    }
}
