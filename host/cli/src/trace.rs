//! `--trace FILE`, `--report FILE`, and a profile: the file, from before a run to after it.

use crate::failure::Failure;
use crate::output::to_stderr;
use hart_host::Trace;
use hart_sim::Recording;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that a trace goes to.
#[derive(Debug)]
pub(crate) struct TraceFile {
    /// The option that named it.
    option: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
}

impl TraceFile {
    /// Creates the file, or empties it. A file that cannot be written is an error before the run, not after it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create(option: &'static str, path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::usage(format!(
                "{option}: cannot be written: {error}; name a file in a directory that you may write to"
            ))
            .at(path)
        })?;
        Ok(Self {
            option,
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    /// Writes what the workers did, and warns if that is not all of it.
    ///
    /// # Errors
    /// If it cannot be written to its end.
    pub(crate) fn write(self, trace: &Trace) -> Result<(), Failure> {
        let path = self.path.clone();
        let written = self.write_with(|file| trace.write(file))?;
        if written.forgotten > 0 {
            to_stderr(&format!(
                "hart: note: {}: has the last {} polls and waits; {} before them were not kept\n",
                crate::output::one_line(&path.display().to_string()),
                written.events,
                written.forgotten
            ));
        }
        Ok(())
    }

    /// Writes what the workers did as a page of HTML under `title`, from the very text that a trace has.
    ///
    /// # Errors
    /// If it cannot be written to its end.
    pub(crate) fn write_report(self, trace: &Trace, title: &str) -> Result<(), Failure> {
        let failed =
            |why: String| Failure::new(1, format!("{}: {why}", self.option)).at(&self.path);
        let mut text = Vec::new();
        trace
            .write(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        // A program that ends before a worker has polled it once has nothing to show.
        let recording = Recording::read(&text[..]).map_err(|error| failed(error.to_string()))?;
        let page = recording.html_report(title);
        self.write_with(|file| file.write_all(page.as_bytes()))
    }

    /// Writes what `write` writes.
    ///
    /// # Errors
    /// If it cannot be written to its end.
    pub(crate) fn write_with<T>(
        mut self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<T>,
    ) -> Result<T, Failure> {
        let written = write(&mut self.file).and_then(|written| {
            self.file.flush()?;
            Ok(written)
        });
        written.map_err(|error| {
            Failure::new(
                1,
                format!(
                    "{}: cannot be written to its end: {error}; free space, or name another file",
                    self.option
                ),
            )
            .at(&self.path)
        })
    }
}
