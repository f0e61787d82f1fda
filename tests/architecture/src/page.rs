//! The tables of the architecture page: which room may use which.
//!
//! A table that begins with `| crate |` says what each crate may use. A table that begins with `| room |` stands under a
//! heading that names its crate. In both, the last column lists what the row may use, each name in backticks. A room is a
//! folder of the crate's `src`, or a file that stands alone; a row may name several that belong together.

use std::collections::BTreeMap;

/// What the architecture page allows.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What each crate may use, by folders.
    pub crates: Table,
    /// The rooms of each crate, by the crate's folder.
    pub rooms: BTreeMap<String, Table>,
}

/// A table, from the top.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Its rows.
    pub rows: Vec<Room>,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Room {
    /// What the row is about: one folder or file, or several that are one room.
    pub names: Vec<String>,
    /// What it may use.
    pub may_use: Vec<String>,
}

impl Page {
    /// Reads the tables of a page in Markdown.
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix('#') {
                let title = title.trim_start_matches('#').trim();
                heading = names(title).into_iter().next().unwrap_or_default();
            }
            let is_crates = line.starts_with("| crate |");
            if !is_crates && !line.starts_with("| room |") {
                continue;
            }
            // The line under the head of a table.
            lines.next();
            let rows = lines.by_ref().map_while(row).collect();
            if is_crates {
                page.crates = Table { rows };
            } else {
                page.rooms.insert(heading.clone(), Table { rows });
            }
        }
        page
    }
}

impl Table {
    /// The row of a file: the one with the longest name that the file's path begins with.
    pub(crate) fn row_of(&self, file: &str) -> Option<usize> {
        let stem = file.trim_end_matches(".rs");
        let fits = |name: &str| {
            stem.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let rows = self.rows.iter().enumerate();
        rows.flat_map(|(at, row)| row.names.iter().map(move |name| (at, name)))
            .filter(|(_, name)| fits(name))
            .max_by_key(|(_, name)| name.len())
            .map(|(at, _)| at)
    }

    /// True if row `from` may use row `to`.
    pub(crate) fn allows(&self, from: usize, to: usize) -> bool {
        let to = &self.rows[to].names;
        self.rows[from]
            .may_use
            .iter()
            .any(|allowed| to.contains(allowed))
    }

    /// Names that rows may use and that no row has.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &String> {
        let used = self.rows.iter().flat_map(|row| &row.may_use);
        used.filter(|name| !self.rows.iter().any(|row| row.names.contains(name)))
    }
}

fn row(line: &str) -> Option<Room> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').collect();
    Some(Room {
        names: names(cells.first()?),
        may_use: names(cells.get(2)?),
    })
}

/// What stands in backticks; a folder's last slash is left out.
fn names(cell: &str) -> Vec<String> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect()
}
