//! What of a core module says how much its functions take along.

use wasmparser::{CompositeInnerType, Payload, TypeRef};

/// Index spaces of a module that is being read.
#[derive(Default)]
pub(crate) struct Module {
    /// Of each type: parameters and results of a function, fields of a struct.
    types: Vec<(u64, u64)>,
    /// The types of functions.
    functions: Vec<u32>,
    /// The types of tags.
    tags: Vec<u32>,
    /// Functions that are imported, and those whose code was read.
    read: usize,
}

impl Module {
    pub(crate) fn read(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(groups) => {
                for group in groups.clone() {
                    self.types.extend(group?.types().map(|ty| {
                        let count = |items: usize| items as u64;
                        match &ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => {
                                (count(ty.params().len()), count(ty.results().len()))
                            }
                            CompositeInnerType::Struct(ty) => (count(ty.fields.len()), 1),
                            _ => (1, 1),
                        }
                    }));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            self.functions.push(ty);
                            self.read += 1;
                        }
                        TypeRef::Tag(tag) => self.tags.push(tag.func_type_idx),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::TagSection(tags) => {
                for tag in tags.clone() {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The type of the function whose code comes next.
    pub(crate) fn next_function(&mut self) -> u32 {
        self.read += 1;
        self.functions.get(self.read - 1).copied().unwrap_or(0)
    }

    /// Parameters and results of a type. Of one that is not there, none: the module is not valid.
    pub(crate) fn arity(&self, ty: u32) -> (u64, u64) {
        self.types.get(ty as usize).copied().unwrap_or_default()
    }

    pub(crate) fn function(&self, function: u32) -> (u64, u64) {
        let ty = self.functions.get(function as usize);
        ty.map_or((0, 0), |ty| self.arity(*ty))
    }

    pub(crate) fn tag(&self, tag: u32) -> (u64, u64) {
        let ty = self.tags.get(tag as usize);
        ty.map_or((0, 0), |ty| self.arity(*ty))
    }
}
