//! The paths that a piece of code names: in `use` lines, in expressions and types, in attributes and in macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::UseTree;

/// A path as it is written: `crate::machine::State` is `["crate", "machine", "State"]`. One that begins with `::`
/// begins with an empty segment.
pub(crate) type Segments = Vec<String>;

/// One name that a `use` line brings in.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// What it is called here; `None` for `*`.
    pub(crate) name: Option<String>,
    pub(crate) path: Segments,
}

/// The names that a `use` line brings in.
pub(crate) fn imports(item: &syn::ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    let start = match item.leading_colon {
        Some(_) => vec![String::new()],
        None => Vec::new(),
    };
    flatten(&item.tree, start, &mut found);
    found
}

fn flatten(tree: &UseTree, mut path: Segments, found: &mut Vec<Import>) {
    // `a::{self}` is `a`.
    let join = |mut path: Segments, ident: &syn::Ident| {
        if ident != "self" || path.is_empty() {
            path.push(ident.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            flatten(&tree.tree, path, found);
        }
        UseTree::Name(tree) => {
            let path = join(path, &tree.ident);
            let name = path.last().cloned();
            found.push(Import { name, path });
        }
        UseTree::Rename(tree) => found.push(Import {
            name: Some(tree.rename.to_string()),
            path: join(path, &tree.ident),
        }),
        UseTree::Glob(_) => found.push(Import { name: None, path }),
        UseTree::Group(tree) => {
            for tree in &tree.items {
                flatten(tree, path.clone(), found);
            }
        }
    }
}

/// The segments of a path in code.
pub(crate) fn segments(path: &syn::Path) -> Segments {
    let start = path.leading_colon.map(|_| String::new());
    let rest = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string());
    start.into_iter().chain(rest).collect()
}

/// The paths of two segments or more in tokens that no grammar describes: what a macro takes.
pub(crate) fn in_tokens(tokens: TokenStream) -> Vec<Segments> {
    let mut found = Vec::new();
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            // `pub(in a::b)` imports nothing.
            TokenTree::Ident(ident) if ident == "pub" && is_group(tokens.get(at + 1)) => at += 1,
            TokenTree::Group(group) => found.extend(in_tokens(group.stream())),
            TokenTree::Ident(ident) => {
                let mut path = vec![ident.to_string()];
                while is_colons(&tokens[at + 1..])
                    && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                {
                    path.push(next.to_string());
                    at += 3;
                }
                if path.len() > 1 {
                    found.push(path);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_group(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(_)))
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.first()) && colon(tokens.get(1))
}

/// True for what is compiled for tests alone: `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn asks_for_test(meta: &syn::Meta) -> bool {
        match meta {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => {
                let parts = list.parse_args_with(
                    syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated,
                );
                parts.is_ok_and(|parts| parts.iter().any(asks_for_test))
            }
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| asks_for_test(&meta))
    })
}

/// True for what is compiled where a feature is off: `#[cfg(not(feature = ".."))]`.
pub(crate) fn is_without_feature(attributes: &[syn::Attribute]) -> bool {
    let asks = |meta: &syn::Meta| match meta {
        syn::Meta::List(list) if list.path.is_ident("not") => {
            let inner = list.parse_args::<syn::Meta>();
            inner.is_ok_and(|meta| meta.path().is_ident("feature"))
        }
        _ => false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| asks(&meta))
    })
}
