//! The derive that gives a wgrad model its parameters.

mod expand;
mod plain;

use proc_macro::TokenStream;
use quote::quote;

/// Implements `wgrad_nn::Module` for a struct: every field is visited under its name.
///
/// Plain data is skipped: numbers, `bool`, `char`, strings, `PhantomData`, function pointers, and options, lists, arrays
/// and tuples of these. Every other field must be a `Module` itself, so that a forgotten derive is a compile error and
/// never a lost parameter; mark a field that holds no parameters `#[module(skip)]`.
#[proc_macro_derive(Module, attributes(module))]
pub fn module(input: TokenStream) -> TokenStream {
    expand::module(input.into(), &quote!(::wgrad_nn)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// The same, for those who depend on the `wgrad` crate alone: it exports this as `wgrad::nn::Module`.
#[proc_macro_derive(FacadeModule, attributes(module))]
pub fn facade_module(input: TokenStream) -> TokenStream {
    expand::module(input.into(), &quote!(::wgrad::nn)).unwrap_or_else(syn::Error::into_compile_error).into()
}
