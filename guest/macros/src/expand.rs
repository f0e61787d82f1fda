//! What `#[task]` writes.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, LitStr, Result, ReturnType, Type};

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
        ReturnType::Default => (quote!(()), "Plain"),
        ReturnType::Type(_, ty) => (quote!(#ty), kind_of(ty)),
    };
    // Here a type has to be one that can travel. With the type's own span, that is where the
    // compiler points.
    let arguments = argument_types
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> ::hart_guest::__private::argument::<#ty>()));
    let returned_value = match (&sig.output, kind) {
        (ReturnType::Type(_, ty), "Fallible") => {
            quote_spanned!(ty.span()=> ::hart_guest::__private::fallible::<#ty>())
        }
        (ReturnType::Type(_, ty), _) => {
            quote_spanned!(ty.span()=> ::hart_guest::__private::plain::<#ty>())
        }
        (ReturnType::Default, _) => quote!(::hart_guest::__private::plain::<()>()),
    };
    let kind = Ident::new(kind, Span::call_site());
    let kind = quote!(::hart_guest::#kind);

    let mut inner_signature = sig.clone();
    // Not a name that the body could mean by accident: inside the block it hides outer items.
    let function = Ident::new("__task", identifier.span());
    inner_signature.ident = function.clone();
    let (returned, kind, start, function) = match sig.asyncness {
        None => (returned, kind, None, function),
        Some(_) => {
            let future = quote!(::hart_guest::TaskFuture<#returned>);
            let names: Vec<_> = (0..argument_types.len())
                .map(|place| format_ident!("argument_{place}"))
                .collect();
            // An `async fn` has a type that nobody can write, and so has its future.
            let start = quote! {
                #[allow(clippy::too_many_arguments)]
                fn __start(#(#names: #argument_types),*) -> #future {
                    ::std::boxed::Box::pin(__task(#(#names),*))
                }
            };
            let kind = quote!(::hart_guest::Async<#kind>);
            (future, kind, Some(start), format_ident!("__start"))
        }
    };

    Ok(quote! {
        #(#outer)*
        #[allow(non_upper_case_globals)]
        #vis static #identifier: ::hart_guest::Task<
            fn(#(#argument_types),*) -> #returned,
            #kind,
        > = {
            #(#inner)*
            #inner_signature #block

            #start

            // It holds the static that is being made here; both only want the other's address.
            static ENTRY: ::hart_guest::__private::Entry =
                ::hart_guest::__private::Entry::new(#name, &#identifier);
            ::hart_guest::__register!(ENTRY);

            ::hart_guest::Task::__new(
                &ENTRY,
                #function,
                (#(#arguments,)*),
                #returned_value,
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
fn kind_of(ty: &Type) -> &'static str {
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
    if fallible { "Fallible" } else { "Plain" }
}
