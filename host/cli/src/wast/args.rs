//! The command line of `hart wast`.

use crate::limits::LimitArgs;
use crate::scheduling::SchedulingArgs;
use crate::simulation::{SeedRange, seeds};
use clap::Args;
use hart_sim::Faults;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hart wast tests/*.wast
  hart wast --preempt fuel --slice 10000 tests/tasks.wast
  hart wast --sim --seeds 0..100 tests/tasks.wast   a hundred simulated orders of events

Directives: component and module, with definition and instance; register, invoke, get, assert_return,
assert_trap, assert_exception, assert_exhaustion, assert_invalid, assert_malformed, assert_unlinkable.
A component may import WASI, hart:exec/tasks, and the exported functions and core modules of a
component that was registered before it; a core module what others export, and `spectest`. All core
modules of a script are in one store.

Exit codes: 0 if every file passed; 1 if one failed; 2 if one could not be read; 3 if the simulated
machine found a bug in the scheduler.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WastArgs {
    #[command(flatten)]
    pub(crate) scheduling: SchedulingArgs,

    /// Run each script on simulated machines, the same way every time; a failure shows its seed.
    /// --slice then counts units of fuel
    #[arg(long, conflicts_with_all = ["workers", "preempt"], help_heading = "Simulation")]
    pub(crate) sim: bool,

    /// Seeds to try for each script, until one fails [default: 0..1]
    #[arg(long, value_name = "A..B", value_parser = seeds, requires = "sim", help_heading = "Simulation")]
    pub(crate) seeds: Option<SeedRange>,

    /// Faults to inject, only those that do not change results: stall,slow,late,spurious,offline,jump
    #[arg(
        long,
        value_name = "KINDS",
        requires = "sim",
        help_heading = "Simulation"
    )]
    pub(crate) faults: Option<Faults>,

    /// What is to be invalid, malformed or unlinkable may be so for any reason: texts of errors differ between runtimes
    #[arg(long)]
    pub(crate) ignore_error_messages: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// Scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}
