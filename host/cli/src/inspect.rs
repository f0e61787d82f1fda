//! `hart inspect FILE`.

use crate::failure::Failure;
use crate::load;
use crate::output::{one_line, to_stdout};
use crate::units::show_size;
use clap::Args;
use hart_host::{Inspection, Profile};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The guest: a .wasm, a .wat or a .cwasm file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What an import is granted by: the start of its name, and how.
const GRANTS: [(&str, &str); 13] = [
    ("hart:exec/", "yes: it may spawn tasks"),
    (
        "wasi:cli/environment",
        "yes, without variables: --env and -S inherit-env give some",
    ),
    ("wasi:cli/", "yes"),
    ("wasi:clocks/", "yes"),
    ("wasi:io/", "yes"),
    ("wasi:random/", "yes"),
    (
        "wasi:filesystem/",
        "yes, without directories: --dir gives some",
    ),
    (
        "wasi:sockets/",
        "yes, without network: -S inherit-network allows it",
    ),
    ("wasi:http/types", "yes"),
    (
        "wasi:http/",
        "yes, and every request is refused: --allow-http and -S http allow some",
    ),
    ("wasi:config/", "no: -S config allows it"),
    ("wasi:keyvalue/", "no: -S keyvalue allows it"),
    (
        "wasi:logging/",
        "no: compose it with a component that provides it",
    ),
];

/// Prints what a guest imports and exports, what it needs, and what it would be granted.
///
/// # Errors
/// A file that is no guest.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let bytes = load::read_file(&args.file, true)?;
    let found = hart_host::inspect(&bytes).map_err(|error| load::explain(&error).at(&args.file))?;
    let shown = one_line(&args.file.display().to_string());
    to_stdout(&render(&shown, bytes.len() as u64, &found));
    Ok(())
}

fn render(file: &str, length: u64, found: &Inspection) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut text = String::new();
    let kind = match (&found.precompiled, found.is_core_module) {
        (Some(_), _) => "compiled code of a component",
        (None, true) => "a core module, of which a component is made",
        (None, false) => "a component",
    };
    let _ = writeln!(text, "{file}: {kind}, {}", show_size(length));
    if let Some(compiled) = &found.precompiled {
        let pool = match compiled.profile {
            Profile::Dense => "dense",
            _ => "fast",
        };
        let _ = writeln!(
            text,
            "compiled for   --preempt {} --pool {pool}",
            compiled.preemption
        );
    }
    let _ = writeln!(text, "spawns tasks   {}", yes(found.spawns));
    let _ = writeln!(text, "async          {}", yes(found.uses_async));
    if found.precompiled.is_some() {
        return text;
    }
    let _ = writeln!(text, "code           {}", show_size(found.code));
    let _ = writeln!(
        text,
        "memories       {}, the largest begins with {}",
        found.memories,
        show_size(found.largest_memory)
    );
    let _ = writeln!(text, "tables         {}", found.tables);
    let _ = writeln!(
        text,
        "an instance    takes {} of the pool's slots (--instances)",
        found.slots
    );
    let _ = writeln!(text, "\nimports, and whether they are granted");
    for import in &found.imports {
        let granted = GRANTS.iter().find(|(start, _)| import.starts_with(start));
        let granted = granted.map_or(
            "no: compose it with a component that provides it",
            |(_, how)| how,
        );
        let _ = writeln!(text, "  {}\n      {granted}", one_line(import));
    }
    let _ = writeln!(text, "\nexports, and how they are used");
    for export in &found.exports {
        let used = if export.starts_with("wasi:cli/run@") {
            "hart FILE"
        } else if export.starts_with("wasi:http/") {
            "hart serve FILE"
        } else if export.starts_with("hart:exec/entry") {
            "its tasks are called by it"
        } else {
            "hart --invoke"
        };
        let _ = writeln!(text, "  {}\n      {used}", one_line(export));
    }
    text
}
