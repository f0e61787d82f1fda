//! Who imports whom: paths are followed to the files that define what they name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::modules::{FileId, ModuleId, Modules};
use crate::source::Package;

/// How many re-exports of re-exports are followed. More than this are a circle of globs.
const MAX_DEPTH: usize = 8;

/// Imports between files.
#[derive(Debug, Default)]
pub struct Graph {
    /// From a file, to a file, and the names that it uses of it.
    pub(crate) arrows: BTreeMap<FileId, BTreeMap<FileId, BTreeSet<String>>>,
}

/// An import, to be shown: `from -> to (names)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The importing file, from the workspace's root.
    pub from: String,
    /// The file that defines the names.
    pub to: String,
    /// The names.
    pub names: Vec<String>,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -> {} ({})",
            self.from,
            self.to,
            self.names.join(", ")
        )
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Module(ModuleId),
    Item(FileId, String),
}

impl Graph {
    /// Reads the imports of all packages.
    pub fn new(packages: &[Package]) -> Self {
        Self::of(&Modules::read(packages))
    }

    pub(crate) fn of(modules: &Modules) -> Self {
        let mut graph = Self::default();
        for (id, module) in modules.all.iter().enumerate() {
            if !modules.with_code.contains(&module.file) {
                continue;
            }
            for import in &module.imports {
                let mut targets = modules.follow(id, &import.path, 0);
                if import.name.is_none() {
                    targets = modules.all_of(&targets);
                }
                graph.add(modules, &module.file, targets);
            }
            for path in &module.paths {
                let mut targets = modules.follow(id, path, 0);
                if path.len() == 1 {
                    // One word can be a variable that is called like a module.
                    targets.retain(|target| matches!(target, Target::Item(..)));
                }
                graph.add(modules, &module.file, targets);
            }
            for name in &module.macros {
                let key = (module.file.package, name.clone());
                let found = modules.macros.get(&key);
                let target = found.map(|file| Target::Item(file.clone(), format!("{name}!")));
                graph.add(modules, &module.file, target.into_iter().collect());
            }
        }
        graph
    }

    fn add(&mut self, modules: &Modules, from: &FileId, targets: Vec<Target>) {
        for target in targets {
            let (to, name) = match target {
                Target::Item(file, name) => (file, name),
                Target::Module(id) => {
                    let file = modules.all[id].file.clone();
                    (file, "the module".to_owned())
                }
            };
            if to != *from {
                let arrows = self.arrows.entry(from.clone()).or_default();
                arrows.entry(to).or_default().insert(name);
            }
        }
    }

    /// The files of the same package that `from` imports. Cargo forbids circles of packages.
    fn next(&self, from: &FileId) -> impl Iterator<Item = &FileId> {
        let package = from.package;
        let to = self.arrows.get(from).into_iter().flat_map(BTreeMap::keys);
        to.filter(move |file| file.package == package)
    }

    /// For each set of files that import each other, the shortest way round.
    pub(crate) fn circles(&self) -> Vec<(BTreeSet<FileId>, Vec<FileId>)> {
        let reach: BTreeMap<_, _> = self.arrows.keys().map(|f| (f, self.reach(f))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (file, reached) in &reach {
            if !reached.contains(*file) || seen.contains(*file) {
                continue;
            }
            let back = |other: &&FileId| reach.get(*other).is_some_and(|r| r.contains(*file));
            let circle: BTreeSet<FileId> = reached.iter().copied().filter(back).cloned().collect();
            let ways = circle.iter().filter_map(|file| self.way_round(file));
            let shortest = ways.min_by_key(Vec::len).unwrap_or_default();
            seen.extend(circle.iter().cloned());
            circles.push((circle, shortest));
        }
        circles
    }

    /// All that `from` imports, directly or not.
    fn reach(&self, from: &FileId) -> BTreeSet<&FileId> {
        let mut reached = BTreeSet::new();
        let mut left: Vec<_> = self.next(from).collect();
        while let Some(file) = left.pop() {
            if reached.insert(file) {
                left.extend(self.next(file));
            }
        }
        reached
    }

    /// The shortest way from a file back to itself; it is at both ends.
    fn way_round(&self, start: &FileId) -> Option<Vec<FileId>> {
        let mut before: BTreeMap<&FileId, &FileId> = BTreeMap::new();
        let mut left = VecDeque::from([start]);
        while let Some(file) = left.pop_front() {
            for next in self.next(file) {
                if before.contains_key(next) {
                    continue;
                }
                before.insert(next, file);
                if next == start {
                    let mut way = vec![start.clone()];
                    let mut at = before[start];
                    while at != start {
                        way.push(at.clone());
                        at = before[at];
                    }
                    way.push(start.clone());
                    way.reverse();
                    return Some(way);
                }
                left.push_back(next);
            }
        }
        None
    }

    /// An arrow with its paths and names.
    pub(crate) fn arrow(&self, packages: &[Package], from: &FileId, to: &FileId) -> Arrow {
        let path = |file: &FileId| packages[file.package].path(&file.path);
        let names = self.arrows.get(from).and_then(|arrows| arrows.get(to));
        Arrow {
            from: path(from),
            to: path(to),
            names: names.into_iter().flatten().cloned().collect(),
        }
    }

    /// Every import between two files.
    pub fn arrows(&self, packages: &[Package]) -> Vec<Arrow> {
        let pairs = self.arrows.iter();
        pairs
            .flat_map(|(from, to)| to.keys().map(move |to| self.arrow(packages, from, to)))
            .collect()
    }
}

impl Modules {
    /// What `path` means in module `id`; nothing if it leads out of the workspace.
    fn follow(&self, id: ModuleId, path: &[String], depth: usize) -> Vec<Target> {
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let start = match first.as_str() {
            "crate" => vec![Target::Module(self.root(id))],
            "self" => vec![Target::Module(id)],
            "super" => self.all[id]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            "" => match rest.split_first() {
                Some((library, rest)) => {
                    return self.walk(self.library(library), rest, depth);
                }
                None => Vec::new(),
            },
            name => {
                let found = self.lookup(id, name, !rest.is_empty(), depth);
                if found.is_empty() {
                    self.library(name)
                } else {
                    found
                }
            }
        };
        self.walk(start, rest, depth)
    }

    fn walk(&self, start: Vec<Target>, path: &[String], depth: usize) -> Vec<Target> {
        let mut targets = start;
        for (at, name) in path.iter().enumerate() {
            let more = at + 1 < path.len();
            let step = |target| match target {
                Target::Item(..) => vec![target],
                Target::Module(id) if name == "super" => self.all[id]
                    .parent
                    .map(Target::Module)
                    .into_iter()
                    .collect(),
                Target::Module(id) => {
                    let found = self.lookup(id, name, more, depth);
                    if found.is_empty() {
                        // Written by a macro, or brought in from outside of the workspace.
                        vec![Target::Item(self.all[id].file.clone(), name.clone())]
                    } else {
                        found
                    }
                }
            };
            targets = targets.into_iter().flat_map(step).collect();
        }
        targets
    }

    /// What `name` means in module `id`. A module and a function can share a name: with `more` segments behind it the
    /// module is meant.
    fn lookup(&self, id: ModuleId, name: &str, more: bool, depth: usize) -> Vec<Target> {
        let module = &self.all[id];
        let children = || {
            let found = module.children.get(name).into_iter().flatten();
            found.map(|&id| Target::Module(id)).collect::<Vec<_>>()
        };
        if more && module.children.contains_key(name) {
            return children();
        }
        if module.items.contains(name) {
            return vec![Target::Item(module.file.clone(), name.to_owned())];
        }
        let mut found: Vec<Target> = Vec::new();
        for import in &module.imports {
            if import.name.as_deref() != Some(name) {
                continue;
            }
            let itself = import.path.first().is_some_and(|first| first == name);
            found.extend(if itself && !module.children.contains_key(name) {
                // `use name::..`: not this very line again, but a library.
                self.walk(self.library(name), &import.path[1..], depth + 1)
            } else {
                self.follow(id, &import.path, depth + 1)
            });
        }
        if found.is_empty() {
            found = children();
        }
        if found.is_empty() {
            for import in module.imports.iter().filter(|i| i.name.is_none()) {
                for target in self.follow(id, &import.path, depth + 1) {
                    if let Target::Module(from) = target
                        && from != id
                        && depth < MAX_DEPTH
                    {
                        found.extend(self.lookup(from, name, more, depth + 1));
                    }
                }
            }
        }
        found.dedup();
        found
    }

    /// What `*` brings in: all that the modules define and re-export.
    fn all_of(&self, targets: &[Target]) -> Vec<Target> {
        let mut all = targets.to_vec();
        for target in targets {
            if let Target::Module(id) = target {
                for import in &self.all[*id].imports {
                    all.extend(self.follow(*id, &import.path, 1));
                }
            }
        }
        all
    }

    fn root(&self, mut id: ModuleId) -> ModuleId {
        while let Some(parent) = self.all[id].parent {
            id = parent;
        }
        id
    }

    fn library(&self, name: &str) -> Vec<Target> {
        let found = self.libraries.get(name);
        found.map(|&id| Target::Module(id)).into_iter().collect()
    }
}
