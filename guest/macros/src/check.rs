//! Refuses what cannot be a task, in words that say why and what to write instead.

use syn::visit::{self, Visit};
use syn::{Error, FnArg, ItemFn, Lifetime, Result, ReturnType, Type, TypeImplTrait, TypeReference};

/// How many arguments a task can have: `hart_guest::Signature` is implemented up to this many.
const ARGUMENTS_MAX: usize = 12;

/// Checks `function` and reports everything that is wrong with it at once.
pub(crate) fn function(function: &ItemFn) -> Result<()> {
    let mut problems = Problems::default();
    let signature = &function.sig;

    if let Some(token) = &signature.unsafety {
        problems.add(
            token,
            "a task cannot be an `unsafe fn`: nobody at the spawning side could keep its promises",
        );
    }
    if let Some(abi) = &signature.abi {
        problems.add(abi, "a task is an ordinary Rust function; remove `extern`");
    }
    if let Some(token) = &signature.variadic {
        problems.add(token, "a task cannot take a variable number of arguments");
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        problems.add(
            &signature.generics,
            "a task cannot be generic: the new instance finds it by its name, so there must be \
             exactly one; write one task for each type",
        );
    }
    if signature.inputs.len() > ARGUMENTS_MAX {
        problems.add(
            &signature.inputs,
            "a task can have at most 12 arguments; put them into a struct",
        );
    }
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => problems.add(
                receiver,
                "a task cannot be a method: its instance starts empty, so there is no `self` in it; \
                 write a free function that takes what it needs as an argument",
            ),
            FnArg::Typed(argument) => problems.check_type(&argument.ty, Place::Argument),
        }
    }
    if let ReturnType::Type(_, returned) = &signature.output {
        problems.check_type(returned, Place::Returned);
    }
    problems.into_result()
}

#[derive(Clone, Copy)]
enum Place {
    Argument,
    Returned,
}

#[derive(Default)]
struct Problems {
    error: Option<Error>,
}

impl Problems {
    fn add(&mut self, tokens: impl quote::ToTokens, message: &str) {
        let error = Error::new_spanned(tokens, message);
        match &mut self.error {
            Some(first) => first.combine(error),
            None => self.error = Some(error),
        }
    }

    fn check_type(&mut self, ty: &Type, place: Place) {
        let mut visitor = TypeVisitor {
            problems: self,
            place,
        };
        visitor.visit_type(ty);
    }

    fn into_result(self) -> Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

/// Finds, anywhere inside a type, what cannot travel to another instance.
struct TypeVisitor<'a> {
    problems: &'a mut Problems,
    place: Place,
}

impl TypeVisitor<'_> {
    fn refuse_borrow(&mut self, tokens: impl quote::ToTokens) {
        self.problems.add(
            tokens,
            match self.place {
                Place::Argument => {
                    "a task's arguments are sent to another instance, so they cannot borrow; take \
                     an owned type such as `String`, `PathBuf` or `Vec`"
                }
                Place::Returned => {
                    "a task's result is sent to another instance, so it cannot borrow; return an \
                     owned type such as `String`, `PathBuf` or `Vec`"
                }
            },
        );
    }
}

impl<'ast> Visit<'ast> for TypeVisitor<'_> {
    // Not visited further: one message for each borrow is enough.
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.refuse_borrow(reference);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.refuse_borrow(lifetime);
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        self.problems.add(
            ty,
            "a task needs concrete types in its signature; name the type in place of `impl Trait`",
        );
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        // The types inside a function pointer are its own business; that it cannot be serialized is
        // for serde's message to say.
        if !matches!(ty, Type::BareFn(_)) {
            visit::visit_type(self, ty);
        }
    }
}
