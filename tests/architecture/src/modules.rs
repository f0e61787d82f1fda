//! The modules of a workspace: which file each is in, what it defines, and which paths its code names.

use std::collections::{BTreeSet, HashMap};

use proc_macro2::TokenStream;
use syn::visit::{self, Visit};
use syn::{Attribute, Item};

use crate::paths::{Import, Segments, imports, in_tokens, is_test, is_without_feature, segments};
use crate::source::Package;

pub(crate) type ModuleId = usize;

/// A file: the place of its package in the workspace, and its path from the package's `src`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    pub(crate) package: usize,
    pub(crate) path: String,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: FileId,
    pub(crate) parent: Option<ModuleId>,
    /// A name can stand for two files, one for each platform.
    pub(crate) children: HashMap<String, Vec<ModuleId>>,
    /// Functions, types, constants, and so on.
    pub(crate) items: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths in its code, `use` lines apart.
    pub(crate) paths: Vec<Segments>,
    /// Names of macros that are called without a path.
    pub(crate) macros: BTreeSet<String>,
}

/// All modules of a workspace.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    pub(crate) all: Vec<Module>,
    /// The library of each package, by its name in code.
    pub(crate) libraries: HashMap<String, ModuleId>,
    /// Where each `macro_rules!` is defined.
    pub(crate) macros: HashMap<(usize, String), FileId>,
    /// Files that do more than declare modules and re-export what is in them.
    pub(crate) with_code: BTreeSet<FileId>,
    /// Files that a `mod` line reaches, those for tests among them.
    pub(crate) reached: BTreeSet<FileId>,
}

impl Modules {
    /// # Panics
    /// If a file does not parse, or a `mod` line names a file that is not there.
    pub(crate) fn read(packages: &[Package]) -> Self {
        let mut modules = Self::default();
        for (package, source) in packages.iter().enumerate() {
            for root in source.roots() {
                let path = root.to_owned();
                let file = FileId { package, path };
                let module = modules.read_file(packages, file, None);
                if root == "lib.rs" {
                    modules.libraries.insert(source.name.clone(), module);
                }
            }
        }
        modules
    }

    fn read_file(
        &mut self,
        packages: &[Package],
        file: FileId,
        parent: Option<ModuleId>,
    ) -> ModuleId {
        let source = &packages[file.package];
        let parsed = syn::parse_file(&source.files[&file.path])
            .unwrap_or_else(|error| panic!("{}: {error}", source.path(&file.path)));
        self.reached.insert(file.clone());
        let is_facade = parsed.items.iter().any(declares) && !parsed.items.iter().any(is_code);
        if !is_facade {
            self.with_code.insert(file.clone());
        }
        let module = self.add(file.clone(), parent);
        let mut reader = Reader {
            modules: self,
            packages,
            file: &file,
            inline: Vec::new(),
            module,
            in_body: false,
        };
        for item in &parsed.items {
            reader.visit_item(item);
        }
        module
    }

    fn add(&mut self, file: FileId, parent: Option<ModuleId>) -> ModuleId {
        self.all.push(Module {
            file,
            parent,
            children: HashMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            paths: Vec::new(),
            macros: BTreeSet::new(),
        });
        self.all.len() - 1
    }
}

/// True for `mod name;`.
fn declares(item: &Item) -> bool {
    matches!(item, Item::Mod(item) if item.content.is_none())
}

/// False for what only declares modules or re-exports.
fn is_code(item: &Item) -> bool {
    if is_test(attributes(item)) {
        return false;
    }
    match item {
        Item::Use(_) | Item::ExternCrate(_) => false,
        Item::Mod(item) => match &item.content {
            Some((_, items)) => items.iter().any(is_code),
            None => false,
        },
        _ => true,
    }
}

/// Reads the items of one file.
struct Reader<'a> {
    modules: &'a mut Modules,
    packages: &'a [Package],
    file: &'a FileId,
    /// The modules in braces around the place that is read.
    inline: Vec<String>,
    module: ModuleId,
    /// Inside of a function, whose own items have no path.
    in_body: bool,
}

impl Reader<'_> {
    fn here(&mut self) -> &mut Module {
        &mut self.modules.all[self.module]
    }

    fn define(&mut self, name: &syn::Ident) {
        if !self.in_body {
            self.here().items.insert(name.to_string());
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        self.here().paths.extend(in_tokens(tokens));
    }

    /// The file that `mod name;` stands for; `None` if it is another package's.
    fn child_file(&self, item: &syn::ItemMod) -> Option<FileId> {
        let path = &self.file.path;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = |rest: &[String]| {
            let parts = [folder].into_iter().chain(rest.iter().map(String::as_str));
            let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
            parts.join("/")
        };
        let candidates = match path_attribute(&item.attrs) {
            Some(relative) => vec![plain(&folder(&[relative]))?],
            None => {
                let mut below = self.inline.clone();
                let is_root = self.modules.all[self.module].parent.is_none();
                if !is_root && name != "mod.rs" {
                    below.insert(0, name.trim_end_matches(".rs").to_owned());
                }
                below.push(item.ident.to_string());
                let stem = folder(&below);
                vec![format!("{stem}.rs"), format!("{stem}/mod.rs")]
            }
        };
        let source = &self.packages[self.file.package];
        let found = candidates
            .iter()
            .find(|path| source.files.contains_key(*path));
        let path = found.unwrap_or_else(|| {
            let from = source.path(&self.file.path);
            panic!(
                "{from} says `mod {};`, and none of {candidates:?} is there",
                item.ident
            )
        });
        Some(FileId {
            package: self.file.package,
            path: path.clone(),
        })
    }

    /// A module for tests is no part of the house; its files are known all the same.
    fn skip(&mut self, item: &syn::ItemMod) {
        if item.content.is_none()
            && let Some(file) = self.child_file(item)
        {
            let stem = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
            let below = format!("{stem}/");
            let package = file.package;
            for path in self.packages[package].files.keys() {
                if path.starts_with(&below) {
                    let path = path.clone();
                    self.modules.reached.insert(FileId { package, path });
                }
            }
            self.modules.reached.insert(file);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            if let Item::Mod(item) = item {
                self.skip(item);
            }
            return;
        }
        // A module in braces that stands in for one with the feature: that one is read.
        if let Item::Mod(item) = item
            && item.content.is_some()
            && is_without_feature(&item.attrs)
        {
            return;
        }
        match item {
            Item::Const(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    let key = (self.file.package, name.to_string());
                    self.modules.macros.insert(key, self.file.clone());
                }
            }
            Item::Static(item) => self.define(&item.ident),
            Item::Struct(item) => self.define(&item.ident),
            Item::Trait(item) => self.define(&item.ident),
            Item::TraitAlias(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            Item::Union(item) => self.define(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let parent = self.module;
        let child = match &item.content {
            None => match self.child_file(item) {
                Some(file) => self.modules.read_file(self.packages, file, Some(parent)),
                None => return,
            },
            Some((_, items)) => {
                let child = self.modules.add(self.file.clone(), Some(parent));
                self.module = child;
                self.inline.push(name.clone());
                for item in items {
                    self.visit_item(item);
                }
                self.inline.pop();
                self.module = parent;
                child
            }
        };
        let children = &mut self.here().children;
        children.entry(name).or_default().push(child);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.here().imports.extend(imports(item));
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => &item.attrs[..],
            syn::ImplItem::Const(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let outer = std::mem::replace(&mut self.in_body, true);
        visit::visit_block(self, block);
        self.in_body = outer;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.here().paths.push(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        match called.path.get_ident() {
            Some(name) => {
                let name = name.to_string();
                self.here().macros.insert(name);
            }
            None => self.visit_path(&called.path),
        }
        // What a procedural macro quotes is named by the code that it writes, not by this file.
        let is_quoted = called.path.segments.last().is_some_and(|name| {
            ["quote", "quote_spanned", "parse_quote"].contains(&&*name.ident.to_string())
        });
        if !is_quoted {
            self.tokens(called.tokens.clone());
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        if path.is_ident("doc") || path.is_ident("cfg") || path.is_ident("cfg_attr") {
            return;
        }
        match &attribute.meta {
            syn::Meta::List(list) => self.tokens(list.tokens.clone()),
            syn::Meta::NameValue(pair) => self.visit_expr(&pair.value),
            syn::Meta::Path(_) => {}
        }
    }

    // `pub(super)` and `pub(in a::b)` import nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// The path without `..`; `None` if it leads out of the package's `src`.
fn plain(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "." => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let pair = attribute.meta.require_name_value().ok()?;
        match &pair.value {
            syn::Expr::Lit(value) if pair.path.is_ident("path") => match &value.lit {
                syn::Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
