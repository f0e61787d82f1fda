//! The source files of each package of a workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A package, and the text of each of its source files.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its folder, from the workspace's root: `host/cli`.
    pub folder: String,
    /// Its name in Rust code: `hart_cli`.
    pub name: String,
    /// The text of each file, by its path from the package's `src`: `machine/state.rs`.
    pub files: BTreeMap<String, String>,
}

impl Package {
    /// A package that stands nowhere but here.
    pub fn new<'a>(
        folder: &str,
        name: &str,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let files = files.into_iter();
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            files: files
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        }
    }

    /// A file's path from the workspace's root.
    pub fn path(&self, file: &str) -> String {
        format!("{}/src/{file}", self.folder)
    }

    /// The files that the compiler starts at.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(|file| {
            let parts: Vec<_> = file.split('/').collect();
            matches!(
                parts[..],
                ["lib.rs" | "main.rs"] | ["bin", _] | ["bin", _, "main.rs"]
            )
        })
    }
}

/// Reads every package that the workspace in `root` lists as a member.
///
/// # Panics
/// If a file cannot be read, or a manifest has no `members` or no `name`.
pub fn workspace(root: &Path) -> Vec<Package> {
    let manifest = read(&root.join("Cargo.toml"));
    let members = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("the workspace's manifest has a list of members")
        .0;
    let mut packages = Vec::new();
    for folder in quoted(members) {
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .and_then(|rest| quoted(rest).next())
            .unwrap_or_else(|| panic!("{folder}/Cargo.toml has no name"));
        let mut package = Package::new(folder, &name.replace('-', "_"), []);
        let source = root.join(folder).join("src");
        if source.is_dir() {
            collect(&source, "", &mut package.files);
        }
        packages.push(package);
    }
    packages
}

/// Every second piece between quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry
            .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
            .path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(format!("{prefix}{name}"), read(&path));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
