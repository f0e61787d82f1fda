//! `hart completions SHELL` and `hart man`: what clap makes of the command line's definition.

use crate::failure::Failure;
use crate::output::to_stdout;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hart completions bash > ~/.local/share/bash-completion/completions/hart
  hart completions zsh > ~/.zfunc/_hart
  hart completions fish > ~/.config/fish/completions/hart.fish";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Which shell they are for
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write a page for each subcommand into this directory, instead of hart(1) to standard output
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
}

/// Prints what makes a shell complete hart's options.
pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "hart", &mut text);
    to_stdout(&String::from_utf8_lossy(&text));
}

/// Prints or writes the manual pages.
///
/// # Errors
/// A directory that cannot be written.
pub(crate) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let Some(directory) = &args.directory else {
        let mut text = Vec::new();
        // Into memory: that cannot fail.
        let _ = clap_mangen::Man::new(command).render(&mut text);
        to_stdout(&String::from_utf8_lossy(&text));
        return Ok(());
    };
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory).map_err(|error| {
        let failure = Failure::usage(format!(
            "cannot be written to: {error}; name a directory that is there"
        ));
        failure.at(directory)
    })
}
