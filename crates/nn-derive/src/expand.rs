//! From a struct to its implementation of `Module`.

use crate::plain::is_plain;
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Member, Result, Type, parse_quote};

/// The implementation for the struct in `input`, in the words of the crate at `nn`.
pub fn module(input: TokenStream, nn: &TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(input)?;
    let fields = fields(&input)?;
    let mut visits = Vec::new();
    let mut visited_types = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if is_skipped(field)? || is_plain(&field.ty) {
            continue;
        }
        let (member, name) = match &field.ident {
            Some(ident) => (Member::Named(ident.clone()), ident.unraw().to_string()),
            None => (Member::Unnamed(index.into()), index.to_string()),
        };
        // The field's own span, so that the compiler points at a field that is no module.
        visits.push(quote_spanned!(field.ty.span()=> visitor.field(#name, &self.#member);));
        visited_types.push(&field.ty);
    }

    let name = &input.ident;
    let kind = name.unraw().to_string();
    let generics = bounded(&input, &visited_types, nn);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #nn::Module for #name #type_generics #where_clause {
            fn visit(&self, visitor: &mut #nn::Visitor<'_>) {
                visitor.kind(#kind);
                #(#visits)*
            }
        }
    })
}

fn fields(input: &DeriveInput) -> Result<&Fields> {
    let other = match &input.data {
        Data::Struct(data) => return Ok(&data.fields),
        Data::Enum(_) => "an enum",
        Data::Union(_) => "a union",
    };
    let message = format!(
        "Module can be derived for structs only, and `{}` is {other}; write `impl Module for {0}`, with a \
         `visit` that visits what it holds",
        input.ident
    );
    Err(Error::new(input.ident.span(), message))
}

fn is_skipped(field: &Field) -> Result<bool> {
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            skipped = meta.path.is_ident("skip");
            if skipped { Ok(()) } else { Err(meta.error("the one thing to say here is #[module(skip)]")) }
        })?;
    }
    Ok(skipped)
}

/// The struct's generics, with the bound that each generic field is a module.
fn bounded(input: &DeriveInput, visited: &[&Type], nn: &TokenStream) -> syn::Generics {
    let mut generics = input.generics.clone();
    let parameters: Vec<Ident> = input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let generic = visited.iter().filter(|ty| mentions(ty.to_token_stream(), &parameters));
    let bounds: Vec<syn::WherePredicate> = generic.map(|ty| parse_quote!(#ty: #nn::Module)).collect();
    if !bounds.is_empty() {
        generics.make_where_clause().predicates.extend(bounds);
    }
    generics
}

fn mentions(tokens: TokenStream, parameters: &[Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => parameters.contains(&ident),
        TokenTree::Group(group) => mentions(group.stream(), parameters),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: TokenStream) -> String {
        module(input, &quote!(::nn)).map_or_else(|error| error.to_string(), |tokens| tokens.to_string())
    }

    #[test]
    fn fields_are_visited_and_plain_data_is_not() {
        let found = expanded(quote! {
            struct Model { r#type: Linear, width: usize, #[module(skip)] config: Config, names: Vec<(String, f32)> }
        });
        let expected = quote! {
            #[automatically_derived]
            impl ::nn::Module for Model {
                fn visit(&self, visitor: &mut ::nn::Visitor<'_>) {
                    visitor.kind("Model");
                    visitor.field("type", &self.r#type);
                }
            }
        };
        assert_eq!(found, expected.to_string());
    }

    #[test]
    fn generic_fields_have_to_be_modules() {
        let found = expanded(quote!(
            struct Pair<T: Clone, U>(T, Vec<U>, PhantomData<U>, Linear)
            where
                U: Copy;
        ));
        assert!(found.contains("where U : Copy , T : :: nn :: Module , Vec < U > : :: nn :: Module"), "{found}");
        assert!(!found.contains("Linear : "), "{found}");
    }

    #[test]
    fn what_is_no_struct_is_refused_with_a_way_out() {
        assert!(
            expanded(quote!(
                enum Norm {
                    Layer(LayerNorm),
                }
            ))
            .starts_with("Module can be derived for structs only, and `Norm` is an enum; write `impl Module for Norm`")
        );
        assert!(expanded(quote!(union Bits { a: f32 })).contains("`Bits` is a union"));
    }

    #[test]
    fn unknown_attributes_are_refused() {
        assert_eq!(
            expanded(quote!(
                struct Model {
                    #[module(ignore)]
                    a: Linear,
                }
            )),
            "the one thing to say here is #[module(skip)]"
        );
    }
}
