//! What of a core module says how much its functions take along, and how large the images are that its memories and
//! tables begin with.

use wasmparser::{
    CompositeInnerType, ConstExpr, DataKind, ElementItems, ElementKind, Operator, Payload,
    TableInit, TypeRef,
};

/// The most that an image of a memory has of bytes that are in no data segment: wasmtime makes none where it would have
/// more, unless half of it is data.
const SPARSE: u64 = 16 << 20;

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
    /// For each table, how many elements the image of it has at most, and how many it has.
    tables: Vec<(u64, u64)>,
    memories: Vec<Data>,
}

/// What data segments put into a memory.
#[derive(Clone, Copy, Default)]
struct Data {
    bytes: u64,
    /// From where to where.
    range: Option<(u64, u64)>,
}

impl Data {
    fn add(&mut self, from: u64, bytes: u64) {
        let to = from + bytes;
        let (first, last) = self.range.unwrap_or((from, to));
        self.range = Some((first.min(from), last.max(to)));
        self.bytes += bytes;
    }

    fn image(&self) -> u64 {
        let (first, last) = self.range.unwrap_or_default();
        (last - first).min(SPARSE.max(self.bytes.saturating_mul(2)))
    }
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
                        // What is imported has no image.
                        TypeRef::Table(_) => self.tables.push((0, 0)),
                        TypeRef::Memory(_) => self.memories.push(Data::default()),
                        TypeRef::Global(_) => {}
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
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let table = table?;
                    let all = table.ty.initial;
                    let image = match table.init {
                        TableInit::RefNull => 0,
                        TableInit::Expr(_) => all,
                    };
                    self.tables.push((image, all));
                }
            }
            Payload::MemorySection(memories) => {
                // How many it says that there are may be a lie, so each is read.
                for memory in memories.clone() {
                    memory?;
                    self.memories.push(Data::default());
                }
            }
            Payload::ElementSection(elements) => {
                for element in elements.clone() {
                    let element = element?;
                    let count = match element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    if let ElementKind::Active {
                        table_index,
                        offset_expr,
                    } = element.kind
                        && let Some(from) = constant(&offset_expr)
                        && let Some((image, all)) =
                            self.tables.get_mut(table_index.unwrap_or(0) as usize)
                    {
                        *image = (*image).max(from.saturating_add(u64::from(count)).min(*all));
                    }
                }
            }
            Payload::DataSection(data) => {
                for data in data.clone() {
                    let data = data?;
                    if let DataKind::Active {
                        memory_index,
                        offset_expr,
                    } = data.kind
                        && let Some(from) = constant(&offset_expr)
                        && let Some(memory) = self.memories.get_mut(memory_index as usize)
                        && !data.data.is_empty()
                    {
                        memory.add(from, data.data.len() as u64);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Bytes of the images of its memories, and elements of those of its tables.
    pub(crate) fn images(&self) -> (u64, u64) {
        (
            self.memories.iter().map(Data::image).sum(),
            self.tables.iter().map(|(image, _)| image).sum(),
        )
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

/// Where a segment goes, if that is known; there is no image of what has others.
fn constant(expr: &ConstExpr<'_>) -> Option<u64> {
    match expr.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        // Higher up there is no memory.
        Operator::I64Const { value } => u64::try_from(value).ok().filter(|from| *from < 1 << 48),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: memory for as many things as a section says that it has. A few bytes of a component could say billions.
    #[test]
    fn a_section_that_lies_about_its_count_takes_no_memory() {
        const SAID: usize = 1 << 20;
        // Of 2^20, in LEB128.
        let said = [0x80, 0x80, 0x40];
        for id in 1..=13 {
            let mut binary = b"\0asm\x01\0\0\0".to_vec();
            binary.extend([id, said.len() as u8]);
            binary.extend(said);
            let mut module = Module::default();
            for payload in wasmparser::Parser::new(0).parse_all(&binary) {
                // Each is cut off, which is an error of the parser's or of ours.
                let read = payload.and_then(|payload| module.read(&payload));
                if read.is_err() {
                    break;
                }
            }
            let room = module.types.capacity()
                + module.functions.capacity()
                + module.tags.capacity()
                + module.tables.capacity()
                + module.memories.capacity();
            assert!(room < SAID / 1_000, "section {id}: room for {room}");
        }
    }
}
