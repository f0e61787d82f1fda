//! What `#[task]` writes.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, LitStr, Result, ReturnType, Type};

use crate::check;

/// Expands `#[task(arguments)] item`.
pub(crate) fn task(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let name = parse_name(arguments)?;
    let function = parse_function(item)?;
    check::function(&function)?;

    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    // Documentation and lint levels that concern the item go to the static. Lint levels are wanted
    // inside as well, and everything else (`#[inline]`, `#[track_caller]`, ..) concerns the function.
    let is_outer = |path: &syn::Path| {
        ["doc", "deprecated", "allow", "expect", "warn"]
            .iter()
            .any(|outer| path.is_ident(outer))
    };
    let is_inner = |path: &syn::Path| !["doc", "deprecated"].iter().any(|o| path.is_ident(o));
    let outer = attrs
        .iter()
        .filter(|a| is_outer(a.path()) && !a.path().is_ident("expect"));
    let inner = attrs.iter().filter(|a| is_inner(a.path()));

    let identifier = &sig.ident;
    let name = match name {
        Some(name) => quote!(#name),
        None => quote!(::core::concat!(
            ::core::module_path!(),
            "::",
            ::core::stringify!(#identifier)
        )),
    };

    let argument_types: Vec<&Type> = sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let (returned, kind) = match &sig.output {
        ReturnType::Default => (quote!(()), format_ident!("Plain")),
        ReturnType::Type(_, ty) => (quote!(#ty), kind_of(ty)),
    };
    // The types are written in every place with the span of the attribute, but for the checks, which
    // then are what points at the type that does not fit.
    let checks = argument_types
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> ::hart_guest::__private::argument::<#ty>();));
    let check_returned = match &sig.output {
        ReturnType::Default => quote!(),
        ReturnType::Type(_, ty) => {
            let check = if kind == "Plain" {
                "returned"
            } else {
                "returned_result"
            };
            let check = format_ident!("{check}", span = ty.span());
            quote_spanned!(ty.span()=> ::hart_guest::__private::#check::<#ty>();)
        }
    };

    let mut inner_signature = sig.clone();
    // Not a name that the body could mean by accident: inside the block it hides outer items.
    inner_signature.ident = syn::Ident::new("__task", identifier.span());

    Ok(quote! {
        #(#outer)*
        #[allow(non_upper_case_globals)]
        #vis static #identifier: ::hart_guest::Task<
            fn(#(#argument_types),*) -> #returned,
            ::hart_guest::#kind,
        > = {
            #(#inner)*
            #inner_signature #block

            const _: () = {
                #(#checks)*
                #check_returned
            };

            ::hart_guest::__task!(
                #name,
                fn(#(#argument_types),*) -> #returned,
                ::hart_guest::#kind,
                __task
            )
        };
    })
}

fn parse_function(item: TokenStream) -> Result<ItemFn> {
    let span = item.clone();
    syn::parse2(item).map_err(|error| {
        // A trait method without a body, an `impl` block, a struct: all the same mistake.
        let mut message = Error::new_spanned(
            &span,
            "`#[task]` goes on a free function: `#[task] fn name(arguments) -> result { .. }`",
        );
        if !span.is_empty() {
            message.combine(error);
        }
        message
    })
}

fn parse_name(arguments: TokenStream) -> Result<Option<LitStr>> {
    let mut name = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("name") {
            let value: LitStr = meta.value()?.parse()?;
            if value.value().is_empty() {
                return Err(Error::new(value.span(), "a task needs a name"));
            }
            name = Some(value);
            Ok(())
        } else {
            Err(meta.error("`#[task]` knows only `name = \"..\"`"))
        }
    });
    parser.parse2(arguments)?;
    Ok(name)
}

/// A macro sees no types, only words: what is called `Result` is taken to be one.
fn kind_of(ty: &Type) -> syn::Ident {
    let fallible = match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "Result"),
        Type::Paren(inner) => return kind_of(&inner.elem),
        Type::Group(inner) => return kind_of(&inner.elem),
        _ => false,
    };
    syn::Ident::new(
        if fallible { "Fallible" } else { "Plain" },
        Span::call_site(),
    )
}
