//! Counts lines, words and bytes of every text file below directories, as `wc` does, by extension.
//!
//! ```text
//! wordcount [--ext EXT]... [DIRECTORY]...        DIRECTORY is / if there is none
//! ```
//!
//! A word is a run of characters that are not white space, as in a UTF-8 locale. As `cat FILE.. | wc` has
//! it, a word goes on in the next file where one ends without a line break; files come in the order in
//! which `find` visits them. Symbolic links are skipped. A file is text if there is no NUL in its first
//! 8 KiB; with `--ext` every file with one of the extensions counts.

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
pub(crate) struct Count {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
    /// Whether it begins and ends inside a word.
    begins_in_word: bool,
    ends_in_word: bool,
}

impl Count {
    /// Counts more of the same text.
    fn add(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let space = match byte {
                b' ' | 0x09..=0x0d => 1,
                0..0x80 => 0,
                _ => wide_space(&text[at..]),
            };
            self.lines += u64::from(byte == b'\n');
            self.words += u64::from(space == 0 && !self.ends_in_word);
            self.ends_in_word = space == 0;
            self.begins_in_word |= self.bytes == 0 && at == 0 && space == 0;
            at += space.max(1);
        }
        self.bytes += text.len() as u64;
    }

    /// Appends what comes after it: parts may be counted anywhere, as long as they are joined in order.
    fn append(&mut self, next: Self) {
        let joined = self.ends_in_word && next.begins_in_word;
        *self = Self {
            files: self.files + next.files,
            lines: self.lines + next.lines,
            words: self.words + next.words - u64::from(joined),
            bytes: self.bytes + next.bytes,
            begins_in_word: if self.bytes == 0 {
                next.begins_in_word
            } else {
                self.begins_in_word
            },
            ends_in_word: if next.bytes == 0 {
                self.ends_in_word
            } else {
                next.ends_in_word
            },
        };
    }
}

/// The length of the white-space character beyond ASCII that the text begins with; 0 if there is none.
fn wide_space(text: &[u8]) -> usize {
    match *text {
        [0xc2, 0xa0, ..] => 2,
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f | 0xa0, ..]
        | [0xe3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// What a task finds: counts by extension, and what could not be read.
pub(crate) type Counted = (BTreeMap<String, Count>, Vec<String>);

#[task]
pub(crate) fn count_files(paths: Vec<String>, any_content: bool) -> Counted {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    for path in paths {
        match count_file(Path::new(&path), any_content, &mut buffer) {
            Ok(Some(count)) => counts
                .entry(extension(Path::new(&path)))
                .or_default()
                .append(count),
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
    // Bytes at the front of the buffer that may be the beginning of a character.
    let mut kept = 0;
    loop {
        let read = match file.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let text = &buffer[..kept + read];
        if count.bytes == 0 && !any_content && text[..text.len().min(8 << 10)].contains(&0) {
            return Ok(None);
        }
        let cut = match text {
            _ if read == 0 => 0,
            [.., 0xc2 | 0xe1..=0xe3] => 1,
            [.., 0xe1..=0xe3, _] => 2,
            _ => 0,
        };
        count.add(&text[..text.len() - cut]);
        if read == 0 {
            return Ok(Some(count));
        }
        let end = text.len();
        buffer.copy_within(end - cut..end, 0);
        kept = cut;
    }
}

/// Finds files and puts them into batches of about equal cost, as the tasks ask for them.
pub(crate) struct Batches {
    extensions: Vec<String>,
    /// Those still to be looked at, the next one last.
    directories: Vec<PathBuf>,
    /// Those being looked at, each inside of the one before.
    open: Vec<(PathBuf, fs::ReadDir)>,
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
            let Some((directory, entries)) = self.open.last_mut() else {
                let directory = self.directories.pop()?;
                self.enter(directory);
                continue;
            };
            let Some(entry) = entries.next() else {
                self.open.pop();
                continue;
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let problem = format!("{}: {error}", directory.display());
                    self.problems.push(problem);
                    continue;
                }
            };
            let path = entry.path();
            let Some(kind) = self.note(entry.file_type(), &path) else {
                continue;
            };
            if kind.is_dir() {
                self.enter(path);
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

    fn enter(&mut self, directory: PathBuf) {
        if let Some(entries) = self.note(fs::read_dir(&directory), &directory) {
            self.open.push((directory, entries));
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

/// What is to be counted, as the arguments say.
pub(crate) fn batches() -> Result<Batches, Failure> {
    let mut batches = Batches {
        extensions: Vec::new(),
        directories: Vec::new(),
        open: Vec::new(),
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
    batches.directories.reverse();
    Ok(batches)
}

fn main() -> Result<ExitCode, Failure> {
    let mut batches = batches()?;
    let counted = par_map(count_files, &mut batches)?;
    Ok(ExitCode::from(u8::from(!report(batches, counted)?)))
}

/// Prints the table; says whether everything could be read.
pub(crate) fn report(mut batches: Batches, counted: Vec<Counted>) -> io::Result<bool> {
    if batches.progress {
        eprint!("\r\x1b[K");
    }
    let mut rows: BTreeMap<String, Count> = BTreeMap::new();
    let mut total = Count::default();
    for (counts, problems) in counted {
        batches.problems.extend(problems);
        for (extension, count) in counts {
            rows.entry(extension).or_default().append(count);
        }
    }
    for row in rows.values() {
        total += *row;
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
            ..
        } = row;
        writeln!(
            out,
            "{name:16} {files:>9} {lines:>11} {words:>12} {bytes:>14}"
        )?;
    }
    for problem in &batches.problems {
        eprintln!("wordcount: {problem}");
    }
    Ok(batches.problems.is_empty())
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    fn count(text: &[u8]) -> Count {
        let mut count = Count::default();
        count.add(text);
        count
    }

    /// Hunts words counted twice or lost where a text is cut: at every cut that leaves characters whole,
    /// the parts joined must be what the whole is.
    #[test]
    fn parts_joined_in_order_are_the_whole() {
        let text = "one two\u{a0}three\n\n  f\u{fc}nf\u{3000}six\u{2028}\tseven ";
        let whole = count(text.as_bytes());
        assert_eq!((whole.lines, whole.words), (2, 6));
        for (cut, _) in text.char_indices() {
            let (first, second) = text.as_bytes().split_at(cut);
            let mut joined = count(first);
            joined.append(count(b""));
            joined.append(count(second));
            assert_eq!(
                (joined.lines, joined.words, joined.bytes),
                (whole.lines, whole.words, whole.bytes),
                "cut at {cut}"
            );
        }
    }
}
