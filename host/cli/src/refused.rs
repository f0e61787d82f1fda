//! Options of `wasmtime run` that hart refuses, each with what to use instead.

use clap::Args;

/// Nobody makes one.
#[derive(Clone, Debug)]
pub(crate) enum Never {}

/// The options, and what to use instead.
pub(crate) const REFUSED: [(&str, &str); 5] = [
    (
        "--config",
        "options are on the command line; `hart serve` takes a file",
    ),
    (
        "--gdbstub",
        "hart has no debugger for guests; use -g with a native one",
    ),
    (
        "--preload",
        "link modules beforehand, or compose components with `wac plug`",
    ),
    (
        "--record",
        "use `hart sim`, whose runs are the same every time",
    ),
    (
        "--target",
        "hart runs code of this machine; `hart compile --target` makes it for another",
    ),
];

/// Parsed so that they are refused with a word.
#[derive(Args, Clone, Debug)]
pub(crate) struct RefusedArgs {
    #[arg(long, hide = true, value_name = "FILE", value_parser = refuse::<0>)]
    config: Option<Never>,
    #[arg(long, hide = true, value_name = "PORT", value_parser = refuse::<1>)]
    gdbstub: Option<Never>,
    #[arg(long, hide = true, value_name = "NAME=FILE", value_parser = refuse::<2>)]
    preload: Option<Never>,
    #[arg(short = 'R', long, hide = true, value_name = "KEY", value_parser = refuse::<3>)]
    record: Option<Never>,
    #[arg(long, hide = true, value_name = "TRIPLE", value_parser = refuse::<4>)]
    target: Option<Never>,
}

fn refuse<const AT: usize>(_: &str) -> Result<Never, String> {
    Err(REFUSED[AT].1.to_owned())
}
