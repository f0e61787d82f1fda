//! The keys of `-O`, `-C` and `-D`.

use super::settings::Tuning;
use crate::keys::{Group, Key, always, required};
use crate::units::{count, switch};
use hart_host::wasmtime::{Config, Inlining, OptLevel, RegallocAlgorithm};
use hart_host::{PoolScan, Tier};

const POOL: &str = "its pools are laid out by --pool, --instances and -W max-memory";
const GC_HEAP: &str = "a heap that is collected is a memory of the pool; -W max-memory limits it";
const DEBUGGER: &str = "it has no debugger for guests; use -g with a native one, or backtraces, which have files and lines";
const LOG: &str = "HART_LOG=hart=trace writes the log to standard error";

/// A key as the tables below have it.
fn key(
    name: &'static str,
    value: &'static str,
    default: &str,
    help: &'static str,
    set: fn(&mut Tuning, Option<&str>) -> Result<(), String>,
) -> Key<Tuning> {
    Key {
        name,
        value,
        default: default.to_owned(),
        help,
        set,
    }
}

/// The keys of `-O`.
pub(crate) fn optimize() -> Group<Tuning> {
    Group {
        flag: "-O",
        title: "-O KEY[=VALUE][,KEY..]: optimization. What is compiled with other keys is cached apart.",
        keys: vec![
            key(
                "opt-level",
                "0|1|2|s",
                "2",
                "How much the compiler optimizes: 0 not at all, 2 for speed, s for speed and size.",
                |tuning, value| {
                    let level = match required(value)? {
                        "0" => OptLevel::None,
                        "1" | "2" => OptLevel::Speed,
                        "s" => OptLevel::SpeedAndSize,
                        other => return Err(format!("`{other}` is none of 0, 1, 2 and s")),
                    };
                    tuning.set(move |config| {
                        config.cranelift_opt_level(level);
                    });
                    Ok(())
                },
            ),
            key(
                "regalloc-algorithm",
                "single-pass|backtracking",
                "backtracking",
                "How registers are allocated: single-pass compiles sooner and runs slower.",
                |tuning, value| {
                    let algorithm = match required(value)? {
                        "backtracking" => RegallocAlgorithm::Backtracking,
                        "single-pass" => RegallocAlgorithm::SinglePass,
                        other => {
                            return Err(format!(
                                "`{other}` is neither backtracking nor single-pass"
                            ));
                        }
                    };
                    tuning.set(move |config| {
                        config.cranelift_regalloc_algorithm(algorithm);
                    });
                    Ok(())
                },
            ),
            key(
                "table-lazy-init",
                "",
                "y",
                "Fill tables when they are first read, not when an instance is made.",
                |tuning, value| tuning.switch(value, Config::table_lazy_init),
            ),
            key(
                "pooling-allocator",
                "",
                "y",
                "Instances come from a pool: always.",
                |_, value| {
                    always(
                        value,
                        true,
                        "instances always come from a pool; leave it out",
                    )
                },
            ),
            key(
                "pooling-pagemap-scan",
                "auto|y|n",
                "auto",
                "As --pool-scan on, off or auto.",
                |tuning, value| {
                    tuning.pool_scan = Some(match value {
                        Some("auto") => PoolScan::Auto,
                        value if switch(value)? => PoolScan::On,
                        _ => PoolScan::Off,
                    });
                    Ok(())
                },
            ),
        ],
        refused: &[
            ("memory-may-move", POOL),
            ("memory-reservation", POOL),
            ("memory-reservation-for-growth", POOL),
            ("memory-guard-size", POOL),
            ("gc-heap-may-move", GC_HEAP),
            ("gc-heap-reservation", GC_HEAP),
            ("gc-heap-reservation-for-growth", GC_HEAP),
            ("gc-heap-guard-size", GC_HEAP),
            ("gc-heap-initial-size", GC_HEAP),
            ("guard-before-linear-memory", POOL),
            ("pooling-decommit-batch-size", POOL),
            ("pooling-memory-keep-resident", POOL),
            ("pooling-table-keep-resident", POOL),
            ("pooling-memory-protection-keys", POOL),
            ("pooling-max-memory-protection-keys", POOL),
            (
                "memory-init-cow",
                "use --pool dense, where memories are copied",
            ),
            ("memory-guaranteed-dense-image-size", POOL),
            ("pooling-total-core-instances", "use --instances"),
            ("pooling-total-component-instances", "use --instances"),
            ("pooling-total-memories", "use --instances"),
            ("pooling-total-tables", "use --instances"),
            ("pooling-total-stacks", "use --instances"),
            ("pooling-max-memory-size", "use -W max-memory-size"),
            ("pooling-table-elements", "use -W max-table-elements"),
            ("pooling-max-core-instance-size", "use -W max-memory"),
            ("pooling-max-unused-warm-slots", POOL),
            ("pooling-async-stack-keep-resident", POOL),
            ("pooling-max-component-instance-size", "use -W max-memory"),
            (
                "pooling-max-core-instances-per-component",
                "use -W max-memory",
            ),
            (
                "pooling-max-memories-per-component",
                "use --instances: an instance takes a slot for each memory",
            ),
            (
                "pooling-max-tables-per-component",
                "use --instances: an instance takes a slot for eight tables",
            ),
            (
                "pooling-max-tables-per-module",
                "a module may have 64 tables",
            ),
            (
                "pooling-max-memories-per-module",
                "a module may have 16 memories",
            ),
            ("pooling-total-gc-heaps", "use --instances"),
            (
                "signals-based-traps",
                "its pools need signals; use --pool dense, where code checks bounds itself",
            ),
            ("dynamic-memory-guard-size", POOL),
            ("static-memory-guard-size", POOL),
            ("static-memory-forced", POOL),
            ("static-memory-maximum-size", POOL),
            ("dynamic-memory-reserved-for-growth", POOL),
            ("gc-zeal-alloc-counter", "it is for those who test wasmtime"),
        ],
    }
}

/// The keys of `-C`.
pub(crate) fn codegen() -> Group<Tuning> {
    Group {
        flag: "-C",
        title: "-C KEY[=VALUE][,KEY..]: how code is generated. What is compiled with other keys is cached apart.",
        keys: vec![
            key(
                "compiler",
                "cranelift|winch",
                "both",
                "The compiler: the same as --tier optimized or baseline.",
                |tuning, value| {
                    tuning.tier = Some(match required(value)? {
                        "cranelift" => Tier::Optimized,
                        "winch" => Tier::Baseline,
                        other => return Err(format!("`{other}` is neither cranelift nor winch")),
                    });
                    Ok(())
                },
            ),
            key(
                "collector",
                "drc",
                "drc",
                "The garbage collector: deferred reference counting.",
                |_, value| match required(value)? {
                    "drc" => Ok(()),
                    other => Err(format!("there is no `{other}` here; leave it out")),
                },
            ),
            key(
                "cranelift-debug-verifier",
                "",
                "n",
                "The compiler checks itself, which takes long.",
                |tuning, value| tuning.switch(value, Config::cranelift_debug_verifier),
            ),
            key(
                "cache",
                "",
                "y",
                "Cache compiled code; n is --no-cache.",
                |tuning, value| {
                    tuning.no_cache = !switch(value)?;
                    Ok(())
                },
            ),
            key(
                "native-unwind-info",
                "",
                "y",
                "Code has what native debuggers and profilers unwind stacks by.",
                |tuning, value| tuning.switch(value, Config::native_unwind_info),
            ),
            key(
                "inlining",
                "y|n",
                "n",
                "Inline functions into each other.",
                |tuning, value| {
                    let inlining = match switch(value)? {
                        true => Inlining::Yes,
                        false => Inlining::No,
                    };
                    tuning.set(move |config| {
                        config.compiler_inlining(inlining);
                    });
                    Ok(())
                },
            ),
            key(
                "metadata-for-internal-asserts",
                "",
                "n",
                "Code has what names a failed check of wasmtime's own.",
                |tuning, value| tuning.switch(value, Config::metadata_for_internal_asserts),
            ),
            key(
                "metadata-for-gc-heap-corruption",
                "",
                "y",
                "Code has what names a heap that was found corrupted.",
                |tuning, value| tuning.switch(value, Config::metadata_for_gc_heap_corruption),
            ),
            key(
                "cranelift-*",
                "VALUE",
                "Cranelift's own",
                "Any setting of Cranelift's, whose names `wasmtime settings` lists. A wrong one can break guests out of \
                 their memory.",
                |tuning, setting| {
                    let setting = setting.unwrap_or_default().trim_start_matches("cranelift-");
                    let (name, value) = match setting.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (setting, None),
                    };
                    let (name, value) = (name.to_owned(), value.map(str::to_owned));
                    tuning.set(move |config| {
                        match &value {
                            // SAFETY: nothing can check what a setting does to code. The user has asked for this one,
                            // by its name, in an option whose help says what that can do.
                            Some(value) => unsafe { config.cranelift_flag_set(&name, value) },
                            // SAFETY: as above.
                            None => unsafe { config.cranelift_flag_enable(&name) },
                        };
                    });
                    Ok(())
                },
            ),
        ],
        refused: &[
            ("cache-config", "the cache is in $XDG_CACHE_HOME/hart"),
            (
                "parallel-compilation",
                "it compiles on as many threads as memory allows, and never on those of guests",
            ),
        ],
    }
}

/// The keys of `-D`.
pub(crate) fn debug() -> Group<Tuning> {
    Group {
        flag: "-D",
        title: "-D KEY[=VALUE][,KEY..]: debugging.",
        keys: vec![
            key(
                "debug-info",
                "",
                "n",
                "Code has DWARF for native debuggers; the same as -g. Backtraces have files and lines anyway, where the \
                 guest was built with them.",
                |tuning, value| tuning.switch(value, Config::debug_info),
            ),
            key(
                "address-map",
                "",
                "y",
                "Code has what maps its addresses to the guest's: without, backtraces have no files and lines.",
                |tuning, value| tuning.switch(value, Config::generate_address_map),
            ),
            key(
                "max-backtrace",
                "N",
                "32",
                "Frames of a backtrace.",
                |tuning, value| {
                    let frames = usize::try_from(count(required(value)?)?).unwrap_or(usize::MAX);
                    tuning.set(move |config| {
                        config.wasm_backtrace_max_frames(frames.try_into().ok());
                    });
                    Ok(())
                },
            ),
            key(
                "symbols",
                "",
                "y",
                "Compiled code has a table of its symbols.",
                |tuning, value| tuning.switch(value, Config::debug_symbols),
            ),
        ],
        refused: &[
            ("guest-debug", DEBUGGER),
            ("logging", LOG),
            ("log-to-files", LOG),
            (
                "coredump",
                "it writes no core dumps; a trap's backtrace is on standard error",
            ),
            ("debugger", DEBUGGER),
            ("arg", DEBUGGER),
            ("inherit-stdin", DEBUGGER),
            ("inherit-stdout", DEBUGGER),
            ("inherit-stderr", DEBUGGER),
        ],
    }
}
