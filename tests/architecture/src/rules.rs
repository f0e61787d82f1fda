//! The three rules, and what is said where one is broken.

use crate::graph::Graph;
use crate::modules::{FileId, Modules};
use crate::page::Page;
use crate::source::Package;

/// What packages are held to.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What may use what.
    pub page: &'a Page,
    /// The folders of the packages that are held to the rules. The others are only read.
    pub held: &'a [&'a str],
    /// Lines of a file, at most.
    pub longest: usize,
}

/// One sentence for each place where a rule is broken; none if all is well.
///
/// # Panics
/// If a source file does not parse, or a `mod` line names a file that is not there.
pub fn check(packages: &[Package], rules: &Rules) -> Vec<String> {
    let modules = Modules::read(packages);
    let house = House {
        packages,
        graph: Graph::of(&modules),
        modules,
        rules,
    };
    let mut broken = Vec::new();
    for folder in rules.held {
        let Some(package) = packages.iter().position(|p| p.folder == *folder) else {
            broken.push(format!("{folder} is held to the rules and is no package"));
            continue;
        };
        house.files(package, &mut broken);
        house.rooms(package, &mut broken);
    }
    house.circles(&mut broken);
    house.crates(&mut broken);
    broken
}

struct House<'a> {
    packages: &'a [Package],
    modules: Modules,
    graph: Graph,
    rules: &'a Rules<'a>,
}

impl House<'_> {
    fn holds(&self, package: usize) -> bool {
        let folder = self.packages[package].folder.as_str();
        self.rules.held.contains(&folder)
    }

    /// Files that are too long, and files that are no part of the program.
    fn files(&self, package: usize, broken: &mut Vec<String>) {
        let source = &self.packages[package];
        for (path, text) in &source.files {
            let lines = text.lines().count();
            let shown = source.path(path);
            if lines > self.rules.longest {
                let longest = self.rules.longest;
                broken.push(format!("{shown} has {lines} lines, more than {longest}"));
            }
            let path = path.clone();
            if !self.modules.reached.contains(&FileId { package, path }) {
                broken.push(format!("{shown} is in no module: no `mod` line names it"));
            }
        }
    }

    fn circles(&self, broken: &mut Vec<String>) {
        for (circle, way) in self.graph.circles() {
            let package = circle.iter().map(|file| file.package).next();
            if !package.is_some_and(|package| self.holds(package)) {
                continue;
            }
            let mut text = format!(
                "a circle of {} files; the shortest way round:",
                circle.len()
            );
            for pair in way.windows(2) {
                let arrow = self.graph.arrow(self.packages, &pair[0], &pair[1]);
                text += &format!("\n    {arrow}");
            }
            let rest: Vec<_> = circle.iter().filter(|file| !way.contains(file)).collect();
            for file in &rest {
                let path = self.packages[file.package].path(&file.path);
                text += &format!("\n    also in it: {path}");
            }
            broken.push(text);
        }
    }

    /// Arrows between rooms that the page does not allow, and rooms of which the page and the code know differently.
    fn rooms(&self, package: usize, broken: &mut Vec<String>) {
        let source = &self.packages[package];
        let folder = &source.folder;
        let Some(table) = self.rules.page.rooms.get(folder) else {
            return;
        };
        for name in table.unknown() {
            broken.push(format!(
                "{folder}: the page lets a room use `{name}`, which has no row"
            ));
        }
        for (at, row) in table.rows.iter().enumerate() {
            if !source
                .files
                .keys()
                .any(|file| table.row_of(file) == Some(at))
            {
                broken.push(format!("{folder}: the room {:?} has no file", row.names));
            }
        }
        for path in source.files.keys() {
            let file = FileId {
                package,
                path: path.clone(),
            };
            if self.modules.with_code.contains(&file) && table.row_of(path).is_none() {
                broken.push(format!("{} is in no room of the page", source.path(path)));
            }
        }
        for (from, arrows) in &self.graph.arrows {
            for to in arrows.keys() {
                if from.package != package || to.package != package {
                    continue;
                }
                if let (Some(a), Some(b)) = (table.row_of(&from.path), table.row_of(&to.path))
                    && a != b
                    && !table.allows(a, b)
                {
                    let arrow = self.graph.arrow(self.packages, from, to);
                    let (a, b) = (&table.rows[a].names, &table.rows[b].names);
                    broken.push(format!("{a:?} may not use {b:?}: {arrow}"));
                }
            }
        }
    }

    /// Arrows between crates that the page does not allow.
    fn crates(&self, broken: &mut Vec<String>) {
        let table = &self.rules.page.crates;
        let row_of = |package: usize| {
            let folder = &self.packages[package].folder;
            table.rows.iter().position(|row| row.names.contains(folder))
        };
        for name in table.unknown() {
            broken.push(format!(
                "the page lets a crate use `{name}`, which has no row"
            ));
        }
        for (from, arrows) in &self.graph.arrows {
            for to in arrows.keys() {
                if let (Some(a), Some(b)) = (row_of(from.package), row_of(to.package))
                    && a != b
                    && !table.allows(a, b)
                {
                    let arrow = self.graph.arrow(self.packages, from, to);
                    let (a, b) = (&table.rows[a].names, &table.rows[b].names);
                    broken.push(format!("{a:?} may not use {b:?}: {arrow}"));
                }
            }
        }
    }
}
