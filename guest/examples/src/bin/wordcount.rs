//! Counts lines, words and bytes of every text file below directories, as `wc` does, by extension.
//!
//! ```text
//! wordcount [--ext EXT]... [DIRECTORY]...        DIRECTORY is / if there is none
//! ```
//!
//! A word is a run of bytes that are not white space (`wc` in the C locale). Symbolic links are
//! skipped. A file is text if there is no NUL in its first 8 KiB; with `--ext` every file with one
//! of the extensions counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hart_guest::{Failure, par_map, task};
use serde::{Deserialize, Serialize};

/// A task's work: a few milliseconds, so that starting it costs little and cores end together.
const BATCH_BYTES: u64 = 2 << 20;
/// What opening a file costs, in bytes that could be counted meanwhile.
const OPEN_BYTES: u64 = 8 << 10;

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Count {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
}

/// What a task finds: counts by extension, and what could not be read.
type Counted = (BTreeMap<String, Count>, Vec<String>);

#[task]
fn count_files(paths: Vec<String>, any_content: bool) -> Counted {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    for path in paths {
        match count_file(Path::new(&path), any_content, &mut buffer) {
            Ok(Some(count)) => *counts.entry(extension(Path::new(&path))).or_default() += count,
            Ok(None) => {}
            Err(error) => problems.push(format!("{path}: {error}")),
        }
    }
    (counts, problems)
}

fn count_file(path: &Path, any_content: bool, buffer: &mut [u8]) -> io::Result<Option<Count>> {
    let mut file = File::open(path)?;
    let mut count = Count {
        files: 1,
        ..Count::default()
    };
    let mut in_word = false;
    loop {
        let read = match file.read(buffer) {
            Ok(0) => return Ok(Some(count)),
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if count.bytes == 0 && !any_content && read[..read.len().min(8 << 10)].contains(&0) {
            return Ok(None);
        }
        count.bytes += read.len() as u64;
        for &byte in read {
            let space = matches!(byte, b' ' | 0x09..=0x0d);
            count.lines += u64::from(byte == b'\n');
            count.words += u64::from(!space && !in_word);
            in_word = !space;
        }
    }
}

/// Finds files and puts them into batches of about equal cost, as the tasks ask for them.
struct Batches {
    extensions: Vec<String>,
    directories: Vec<PathBuf>,
    directory: PathBuf,
    entries: Option<fs::ReadDir>,
    files: u64,
    progress: bool,
    problems: Vec<String>,
}

impl Iterator for Batches {
    type Item = (Vec<String>, bool);

    fn next(&mut self) -> Option<(Vec<String>, bool)> {
        let mut paths = Vec::new();
        let mut cost = 0;
        while cost < BATCH_BYTES {
            let Some((path, bytes)) = self.next_file() else {
                break;
            };
            paths.push(path);
            cost += OPEN_BYTES + bytes;
            self.files += 1;
        }
        if self.progress {
            eprint!("\r{} files", self.files);
        }
        (!paths.is_empty()).then_some((paths, !self.extensions.is_empty()))
    }
}

impl Batches {
    fn next_file(&mut self) -> Option<(String, u64)> {
        loop {
            let Some(entry) = self.entries.as_mut().and_then(Iterator::next) else {
                self.directory = self.directories.pop()?;
                self.entries = self.note(fs::read_dir(&self.directory), &self.directory.clone());
                continue;
            };
            let Some(entry) = self.note(entry, &self.directory.clone()) else {
                continue;
            };
            let path = entry.path();
            let Some(kind) = self.note(entry.file_type(), &path) else {
                continue;
            };
            if kind.is_dir() {
                self.directories.push(path);
            } else if kind.is_file()
                && (self.extensions.is_empty() || self.extensions.contains(&extension(&path)))
                && let Some(metadata) = self.note(entry.metadata(), &path)
            {
                // WASI has no other names, so this is for `cargo test`.
                match path.into_os_string().into_string() {
                    Ok(path) => return Some((path, metadata.len())),
                    Err(name) => self.problems.push(format!("{}: not UTF-8", name.display())),
                }
            }
        }
    }

    fn note<T>(&mut self, result: io::Result<T>, path: &Path) -> Option<T> {
        result
            .map_err(|error| self.problems.push(format!("{}: {error}", path.display())))
            .ok()
    }
}

fn extension(path: &Path) -> String {
    path.extension().map_or(String::new(), |extension| {
        extension.to_string_lossy().into_owned()
    })
}

fn main() -> Result<ExitCode, Failure> {
    let mut batches = Batches {
        extensions: Vec::new(),
        directories: Vec::new(),
        directory: PathBuf::new(),
        entries: None,
        files: 0,
        progress: io::stderr().is_terminal(),
        problems: Vec::new(),
    };
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--ext" {
            let extension = arguments
                .next()
                .ok_or_else(|| Failure::new("--ext needs an extension, such as rs"))?;
            batches
                .extensions
                .push(extension.to_string_lossy().into_owned());
        } else {
            batches.directories.push(argument.into());
        }
    }
    if batches.directories.is_empty() {
        batches.directories.push("/".into());
    }

    let counted = par_map(count_files, &mut batches)?;
    if batches.progress {
        eprint!("\r\x1b[K");
    }
    let mut rows: BTreeMap<String, Count> = BTreeMap::new();
    let mut total = Count::default();
    for (counts, problems) in counted {
        batches.problems.extend(problems);
        for (extension, count) in counts {
            *rows.entry(extension).or_default() += count;
            total += count;
        }
    }

    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(name_a, a), (name_b, b)| b.bytes.cmp(&a.bytes).then(name_a.cmp(name_b)));
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:16} {:>9} {:>11} {:>12} {:>14}",
        "extension", "files", "lines", "words", "bytes"
    )?;
    for (extension, row) in rows.iter().chain([&("total".to_string(), total)]) {
        let name = if extension.is_empty() {
            "(none)".to_string()
        } else {
            extension.escape_debug().to_string()
        };
        let Count {
            files,
            lines,
            words,
            bytes,
        } = row;
        writeln!(
            out,
            "{name:16} {files:>9} {lines:>11} {words:>12} {bytes:>14}"
        )?;
    }
    for problem in &batches.problems {
        eprintln!("wordcount: {problem}");
    }
    Ok(ExitCode::from(u8::from(!batches.problems.is_empty())))
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}
