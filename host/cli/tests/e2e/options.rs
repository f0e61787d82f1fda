//! Every option of `hart` and every key of `-O`, `-C`, `-D`, `-W` and `-S` has a test that sees what it does: the table says which, and
//! an option that the command has and the table does not is a failure.

use crate::support::{Finished, Running, Scratch, command, hart};
use crate::{
    accounts, apps, bad_input, blame, environment, flags, flight, help, invoke, languages, limits,
    modules, network, new, otlp, outcomes, pool, preemption, serve, sim, sim_requests, stores,
    tiers, trace, wast, watched, work,
};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

/// A command, options of it, and a test that sees what they do.
type Row = (&'static str, &'static [&'static str], fn());

/// The options of commands, and where their effect is seen. A name that several commands share stands once for each.
const OPTIONS: &[Row] = &[
    ("run", &["--dir"], outcomes::read_only_means_read_only),
    ("run", &["--env"], outcomes::arguments_and_variables_arrive),
    ("run", &["--wasi"], every_key_is_in_the_table),
    (
        "run",
        &["--invoke"],
        invoke::every_export_can_be_called_by_name,
    ),
    ("run", &["--workers"], workers_are_as_many_as_asked_for),
    (
        "run",
        &["--preempt"],
        preemption::the_second_signal_leaves_at_once,
    ),
    (
        "run",
        &["--instances", "--pool", "--pool-scan", "--memory-reserve"],
        pool::statistics_show_the_settings_and_options_change_them,
    ),
    ("run", &["--slice"], a_shorter_slice_preempts_more_often),
    (
        "run",
        &["--timeout"],
        preemption::a_lone_spinner_dies_at_its_timeout,
    ),
    ("run", &["--wasm"], every_key_is_in_the_table),
    (
        "run",
        &["--stats"],
        pool::statistics_show_the_settings_and_options_change_them,
    ),
    ("run", &["--trace"], trace::real_runs_are_drawn),
    ("run", &["--report"], flight::a_real_run_has_its_page),
    (
        "run",
        &["--flight-recorder", "--flight-directory", "--flight-stall"],
        flight::traps_and_late_turns_leave_a_recording,
    ),
    (
        "serve",
        &["--flight-recorder", "--flight-directory", "--flight-stall"],
        flight::a_signal_and_the_admin_socket_leave_a_recording,
    ),
    ("run", &["--admin"], watched::a_run_is_watched_and_ended),
    (
        "run",
        &["--otlp", "--otlp-protocol", "--otlp-sample"],
        otlp::a_run_is_exported_before_it_ends,
    ),
    (
        "serve",
        &["--otlp", "--otlp-protocol", "--otlp-sample"],
        otlp::a_request_is_a_span_below_the_clients,
    ),
    (
        "work",
        &["--otlp", "--otlp-protocol", "--otlp-sample"],
        work::basics::jobs_are_exported,
    ),
    (
        "top",
        &["--once", "--json", "--interval", "--sort", "--filter"],
        watched::one_picture_shows_apps_in_order,
    ),
    ("run", &["--argv0"], modules::a_program_for_wasi_0_1_runs),
    (
        "run",
        &["--optimize", "--codegen", "--debug"],
        every_key_is_in_the_table,
    ),
    ("run", &["--profile"], flags::guests_are_profiled),
    (
        "run",
        &["--tier"],
        tiers::the_tier_is_the_one_that_was_asked_for,
    ),
    (
        "run",
        &["--allow-precompiled"],
        bad_input::compiled_files_run_in_their_mode,
    ),
    (
        "run",
        &["--no-cache"],
        what_is_compiled_is_kept_unless_it_is_not_to_be,
    ),
    (
        "run",
        &["--allow-http"],
        serve::outgoing::guests_send_requests_to_what_was_allowed,
    ),
    (
        "serve",
        &["--addr", "--shutdown-addr"],
        serve::settings::a_connection_to_the_shutdown_address_ends_it,
    ),
    (
        "serve",
        &["--header"],
        serve::settings::headers_are_those_of_the_operator,
    ),
    (
        "serve",
        &[
            "--header-timeout",
            "--max-header-size",
            "--max-body-size",
            "--body-timeout",
        ],
        serve::settings::heads_and_bodies_have_limits,
    ),
    (
        "serve",
        &["--max-concurrent-connections"],
        serve::settings::connections_wait_for_others,
    ),
    (
        "serve",
        &["--server-timing"],
        serve::settings::a_response_says_what_it_took,
    ),
    (
        "serve",
        &["--no-logging-prefix"],
        serve::lines::lines_pass_unchanged_without_a_prefix,
    ),
    (
        "serve",
        &["--env"],
        serve::settings::guests_get_what_is_granted,
    ),
    (
        "serve",
        &["--max-instance-concurrent-reuse-count"],
        serve::settings::what_cannot_be_served_is_told,
    ),
    (
        "serve",
        &[
            "--max-concurrent-requests",
            "--max-queued-requests",
            "--queue-timeout",
        ],
        serve::ends::who_finds_the_queue_full_is_told_when_to_come_again,
    ),
    (
        "serve",
        &["--max-instance-reuse-count", "--idle-instance-timeout"],
        serve::ends::instances_are_used_as_often_as_allowed,
    ),
    (
        "serve",
        &["--quiet-errors"],
        serve::ends::quiet_errors_say_nothing,
    ),
    (
        "serve",
        &["--timeout", "--wasm"],
        serve::ends::each_fault_has_its_status_and_nobody_else_notices,
    ),
    ("serve", &["--grace"], serve::ends::signals_let_requests_end),
    (
        "serve",
        &["--allow-http", "--wasi"],
        serve::outgoing::guests_send_requests_to_what_was_allowed,
    ),
    (
        "serve",
        &["--check"],
        apps::config::check_tells_all_that_is_wrong,
    ),
    (
        "serve",
        &["--tls-cert", "--tls-key"],
        apps::tls::clients_speak_tls_and_a_new_certificate_is_taken,
    ),
    (
        "serve",
        &["--access-log", "--access-log-format"],
        apps::log::each_request_is_a_line,
    ),
    (
        "serve",
        &["--admin"],
        apps::admin::an_app_is_swapped_by_its_socket,
    ),
    (
        "serve",
        &["--watch"],
        apps::swap::a_file_that_changes_is_loaded,
    ),
    // Read as those of `run`.
    ("serve", &["--dir"], outcomes::read_only_means_read_only),
    (
        "serve",
        &[
            "--workers",
            "--instances",
            "--pool",
            "--pool-scan",
            "--memory-reserve",
            "--slice",
        ],
        pool::statistics_show_the_settings_and_options_change_them,
    ),
    (
        "serve",
        &["--preempt", "--allow-precompiled"],
        bad_input::compiled_files_run_in_their_mode,
    ),
    (
        "serve",
        &["--no-cache"],
        what_is_compiled_is_kept_unless_it_is_not_to_be,
    ),
    (
        "serve",
        &["--optimize", "--codegen", "--debug"],
        every_key_is_in_the_table,
    ),
    ("serve", &["--profile"], flags::streams_and_profiles),
    // With a real nats-server: see `work`.
    (
        "work",
        &["--stream", "--server", "--job-log"],
        work::basics::a_file_names_apps_and_the_queue,
    ),
    (
        "work",
        &["--lease", "--deliveries"],
        work::faults::a_job_that_nobody_ends_is_given_up,
    ),
    (
        "work",
        &["--max-concurrent-jobs"],
        work::shares::a_worker_takes_what_it_has_room_for,
    ),
    (
        "work",
        &["--grace"],
        work::faults::a_stop_lets_jobs_end_or_gives_them_back,
    ),
    ("work", &["--health"], work::faults::a_worker_says_how_it_is),
    (
        "work",
        &["--creds"],
        work::secure::wrong_credentials_are_told_and_not_shown,
    ),
    (
        "work",
        &["--tls-ca", "--tls-cert", "--tls-key"],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    ("work", &["--timeout"], work::basics::a_job_has_its_result),
    (
        "work",
        &["--wasm"],
        work::jobs::a_job_that_failed_is_submitted_again,
    ),
    (
        "work",
        &["--dir", "--env", "--allow-http", "--wasi"],
        work::basics::a_task_gets_what_is_granted,
    ),
    // Read as those of `serve`.
    (
        "work",
        &[
            "--workers",
            "--instances",
            "--pool",
            "--pool-scan",
            "--memory-reserve",
            "--slice",
        ],
        pool::statistics_show_the_settings_and_options_change_them,
    ),
    (
        "work",
        &["--preempt", "--allow-precompiled"],
        bad_input::compiled_files_run_in_their_mode,
    ),
    (
        "work",
        &["--no-cache"],
        what_is_compiled_is_kept_unless_it_is_not_to_be,
    ),
    (
        "work",
        &["--optimize", "--codegen", "--debug"],
        every_key_is_in_the_table,
    ),
    ("work", &["--profile"], flags::streams_and_profiles),
    (
        "submit",
        &["--wait", "--timeout", "--cpu-time", "--max-memory"],
        work::basics::a_job_has_its_result,
    ),
    (
        "submit",
        &["--id", "--file"],
        work::basics::a_job_waits_for_its_worker_and_is_done_once,
    ),
    (
        "submit",
        &["--text"],
        work::basics::a_task_in_rust_takes_a_text,
    ),
    (
        "submit",
        &["--stream", "--server"],
        work::basics::a_file_names_apps_and_the_queue,
    ),
    (
        "submit",
        &["--creds"],
        work::secure::wrong_credentials_are_told_and_not_shown,
    ),
    (
        "submit",
        &["--tls-ca", "--tls-cert", "--tls-key"],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    // As `submit`, by the same code.
    (
        "jobs list",
        &[
            "--creds",
            "--server",
            "--stream",
            "--tls-ca",
            "--tls-cert",
            "--tls-key",
        ],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    // As `submit`, by the same code.
    (
        "jobs follow",
        &[
            "--creds",
            "--server",
            "--stream",
            "--tls-ca",
            "--tls-cert",
            "--tls-key",
        ],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    // As `submit`, by the same code.
    (
        "jobs cancel",
        &[
            "--creds",
            "--server",
            "--stream",
            "--tls-ca",
            "--tls-cert",
            "--tls-key",
        ],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    // As `submit`, by the same code.
    (
        "jobs retry",
        &[
            "--creds",
            "--server",
            "--stream",
            "--tls-ca",
            "--tls-cert",
            "--tls-key",
        ],
        work::secure::tls_is_spoken_with_those_who_are_trusted,
    ),
    (
        "jobs list",
        &["--json"],
        work::jobs::jobs_are_listed_and_cancelled,
    ),
    (
        "jobs follow",
        &["--text"],
        work::basics::a_task_in_rust_takes_a_text,
    ),
    // Read as for `run`; a server and a worker have no `--stats`.
    (
        "serve",
        &["--tier"],
        tiers::the_tier_is_the_one_that_was_asked_for,
    ),
    (
        "work",
        &["--tier"],
        tiers::the_tier_is_the_one_that_was_asked_for,
    ),
    (
        "blame",
        &[
            "--load",
            "--rate",
            "--time",
            "--timeout",
            "--at-most",
            "--picture",
            "--json",
        ],
        blame::who_stalls_others_is_named,
    ),
    // Nobody is asked that is not on this machine.
    (
        "blame",
        &["--i-own-this-server"],
        blame::what_cannot_be_blamed_is_said,
    ),
    (
        "compile",
        &["--optimize", "--codegen", "--debug", "--target", "--wasm"],
        flags::keys_of_the_compiler_change_its_code,
    ),
    ("compile", &["--profile"], flags::streams_and_profiles),
    (
        "compile",
        &["--tier"],
        tiers::the_tier_is_the_one_that_was_asked_for,
    ),
    (
        "compile",
        &["--output", "--preempt"],
        bad_input::compiled_files_run_in_their_mode,
    ),
    (
        "compile",
        &["--pool"],
        bad_input::code_for_a_dense_pool_is_compiled_and_run,
    ),
    (
        "wast",
        &[
            "--instances",
            "--memory-reserve",
            "--preempt",
            "--pool",
            "--slice",
            "--timeout",
            "--wasm",
            "--workers",
        ],
        scripts_run_on_the_host_that_was_asked_for,
    ),
    // On systems without swap nothing of it can be seen, and a script has no `--stats`: that of `run` is read alike.
    (
        "wast",
        &["--pool-scan"],
        pool::statistics_show_the_settings_and_options_change_them,
    ),
    (
        "wast",
        &["--ignore-error-messages"],
        wast::messages_are_taken_as_wasmtime_takes_them,
    ),
    (
        "wast",
        &["--sim", "--seeds", "--faults"],
        wast::a_script_that_fails_under_a_seed_is_replayed,
    ),
    (
        "sim",
        &[
            "--harts",
            "--seed",
            "--schedule",
            "--slice",
            "--instances",
            "--env",
            "--stdin",
            "--invoke",
        ],
        simulated_runs_are_as_asked_for,
    ),
    ("sim", &["--dir"], simulated_runs_are_as_asked_for),
    (
        "sim",
        &["--seeds", "--faults", "--scratch"],
        sim::a_seed_that_fails_is_found_and_replayed,
    ),
    (
        "sim",
        &["--trace", "--report"],
        sim::pictures_escape_what_guests_say,
    ),
    (
        "sim",
        &["--stats"],
        sim::another_process_on_other_cores_does_the_same,
    ),
    (
        "sim",
        &["--scale", "--svg", "--workload"],
        sim::scale_curves_are_printed_and_drawn,
    ),
    ("sim", &["--wasi"], sim::exit_codes_are_the_guests),
    (
        "sim",
        &["--from", "--weight"],
        flight::a_recorded_stall_is_replayed_on_other_machines,
    ),
    (
        "sim",
        &["--requests"],
        sim_requests::bodies_are_those_of_the_guest_under_every_seed,
    ),
    (
        "sim",
        &["--timeout", "--wasm"],
        simulated_runs_are_as_asked_for,
    ),
    (
        "new",
        &["--lang"],
        languages::projects_in_other_languages_have_their_parts,
    ),
    (
        "new",
        &["--async"],
        new::a_new_program_of_wasi_0_3_builds_and_runs,
    ),
    (
        "new",
        &["--sdk-path"],
        new::the_sdk_can_be_that_of_a_checkout,
    ),
    (
        "new",
        &["--config"],
        apps::config::the_example_is_fine_but_for_its_component,
    ),
    (
        "demo noisy",
        &["--time", "--guests", "--spinners", "--workers"],
        help::the_demonstration_shows_both_sides,
    ),
];

/// The keys, in the same way.
const KEYS: &[Row] = &[
    (
        "-O",
        &["opt-level", "regalloc-algorithm", "table-lazy-init"],
        flags::keys_of_the_compiler_change_its_code,
    ),
    (
        "-O",
        &["pooling-pagemap-scan"],
        flags::a_key_and_an_option_mean_the_same,
    ),
    (
        "-C",
        &[
            "native-unwind-info",
            "inlining",
            "metadata-for-internal-asserts",
            "metadata-for-gc-heap-corruption",
            "cranelift-",
        ],
        flags::keys_of_the_compiler_change_its_code,
    ),
    ("-C", &["cache"], flags::code_of_other_keys_is_cached_apart),
    (
        "-D",
        &["debug-info", "address-map", "symbols"],
        flags::keys_of_the_compiler_change_its_code,
    ),
    (
        "-D",
        &["max-backtrace"],
        flags::backtraces_are_as_long_and_as_detailed_as_was_asked_for,
    ),
    (
        "-W",
        &[
            "max-memory-size",
            "max-table-elements",
            "max-wasm-stack",
            "nan-canonicalization",
        ],
        flags::limits_have_the_meaning_that_they_have_in_wasmtime,
    ),
    (
        "-W",
        &["relaxed-simd-deterministic"],
        flags::keys_of_the_compiler_change_its_code,
    ),
    (
        "-W",
        &[
            "all-proposals",
            "bulk-memory",
            "multi-memory",
            "multi-value",
            "reference-types",
            "simd",
            "relaxed-simd",
            "tail-call",
            "memory64",
            "function-references",
            "gc",
            "wide-arithmetic",
            "extended-const",
            "exceptions",
            "component-model-map",
            "component-model-fixed-length-lists",
        ],
        flags::proposals_are_switched_on_and_off,
    ),
    (
        "-S",
        &["inherit-stdin", "inherit-stdout", "inherit-stderr"],
        flags::streams_and_profiles,
    ),
    // What is so anyway can be said, and not denied; and a compiler that checks itself says nothing.
    (
        "-O",
        &["pooling-allocator"],
        flags::every_flag_does_what_the_readme_says,
    ),
    (
        "-C",
        &["compiler", "collector", "cranelift-debug-verifier"],
        flags::every_flag_does_what_the_readme_says,
    ),
    (
        "-W",
        &[
            "epoch-interruption",
            "unknown-exports-allow",
            "component-model",
            "component-model-async",
        ],
        flags::every_flag_does_what_the_readme_says,
    ),
    (
        "-S",
        &["common", "cli-exit-with-code", "preview2"],
        flags::every_flag_does_what_the_readme_says,
    ),
    (
        "-S",
        &["http"],
        serve::outgoing::guests_send_requests_to_what_was_allowed,
    ),
    ("-S", &["inherit-env"], environment::the_last_value_wins),
    (
        "-S",
        &["inherit-network", "tcp", "udp", "allow-ip-name-lookup"],
        network::every_network_key_grants_what_it_says,
    ),
    (
        "-S",
        &["hostcall-fuel", "max-random-size"],
        accounts::what_one_call_may_take_is_set_by_options,
    ),
    ("-S", &["cli"], environment::every_guest_has_wasi_cli),
    ("-S", &["p3"], new::a_new_project_builds_and_runs),
    (
        "-S",
        &["config", "config-var"],
        stores::guests_read_the_configuration,
    ),
    (
        "-S",
        &["remote", "remote-app", "remote-server", "remote-stream"],
        work::remote::options_name_server_stream_and_app,
    ),
    (
        "-S",
        &["keyvalue", "keyvalue-in-memory-data"],
        stores::a_store_begins_as_it_is_told_and_goes_with_the_run,
    ),
    (
        "-W",
        &["max-memory", "max-task-memory"],
        limits::a_memory_bomb_runs_into_a_limit,
    ),
    (
        "-W",
        &["max-tasks", "max-depth"],
        limits::a_fork_bomb_runs_into_a_limit,
    ),
    (
        "-W",
        &["max-output"],
        limits::a_flood_of_output_runs_into_a_limit,
    ),
    (
        "-W",
        &["cpu-time"],
        preemption::spinners_die_at_their_limit_of_cpu_time,
    ),
    ("-W", &["fuel"], preemption::a_spinner_runs_out_of_fuel),
    (
        "-W",
        &[
            "timeout",
            "task-cpu-time",
            "task-fuel",
            "max-queued",
            "spawn-rate",
            "max-input",
            "max-result",
        ],
        limits_are_reached_where_they_are_set,
    ),
    (
        "-W",
        &["max-handles"],
        accounts::handles_are_limited_by_an_option,
    ),
    (
        "-W",
        &["max-files"],
        accounts::files_are_limited_by_an_option,
    ),
    ("-W", &["cpu-rate"], a_rate_holds_a_run_back),
    (
        "-W",
        &["max-blocking-threads"],
        limits::operations_on_files_have_so_many_threads,
    ),
];

/// The names in the first column of a help, of options (`--name`) or keys (`-W name`).
fn names(help: &str, prefix: &str) -> BTreeSet<String> {
    help.lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let option = match prefix {
                "--" if line.starts_with('-') => line.split("--").nth(1)?,
                "--" => return None,
                _ => line.strip_prefix(prefix)?.trim_start(),
            };
            let name = option
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()?;
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
            (is_name && !["help", "version"].contains(&name)).then(|| name.to_owned())
        })
        .collect()
}

fn table(of: &str, rows: &[Row]) -> BTreeSet<String> {
    let rows = rows.iter().filter(|(command, ..)| *command == of);
    rows.flat_map(|(_, names, _)| {
        names
            .iter()
            .map(|name| name.trim_start_matches("--").to_owned())
    })
    .collect()
}

/// The subcommands of a command that have no subcommands, as help lists them.
fn commands(of: &str) -> Vec<String> {
    let line = of.split(' ').filter(|word| !word.is_empty());
    let help = hart(line.chain(["--help"])).exits(0).stdout;
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return vec![of.to_owned()];
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Further lines of a description stand further to the right.
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let below = names.filter(|name| *name != "help");
    below
        .flat_map(|name| commands(format!("{of} {name}").trim()))
        .collect()
}

/// Hunts an option whose effect no test sees.
#[test]
fn every_option_is_in_the_table() {
    let commands = commands("");
    assert!(commands.len() > 6, "{commands:?}");
    for command in &commands {
        let line = command.split(' ').chain(["--help"]);
        let help = hart(line).exits(0).stdout;
        let found = names(&help, "--");
        assert!(
            !found.is_empty() || ["inspect", "wit"].contains(&&**command),
            "{help}"
        );
        assert_eq!(found, table(command, OPTIONS), "{command}");
    }
}

/// Hunts a key whose effect no test sees.
#[test]
pub(crate) fn every_key_is_in_the_table() {
    for flag in ["-O", "-C", "-D", "-W", "-S"] {
        let help = hart([flag, "help"]).exits(0).stdout;
        assert_eq!(names(&help, flag), table(flag, KEYS), "{flag}");
    }
}

fn guest(name: &str, options: &[&str], arguments: &[&str]) -> Finished {
    let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
    line.push(hart_build::guest(name).into());
    line.extend(arguments.iter().map(OsString::from));
    hart(line)
}

/// Hunts limits that are parsed and never reached: each ends, or has refused, what goes well without it.
#[test]
fn limits_are_reached_where_they_are_set() {
    for (limit, name, arguments, code, says) in [
        ("timeout=200ms", "sleeper", &["3600000"][..], 124, "timeout"),
        (
            "task-cpu-time=50ms",
            "spinner",
            &["many", "1"],
            1,
            "out of time",
        ),
        (
            "task-fuel=100000",
            "spinner",
            &["many", "1"],
            1,
            "all its fuel",
        ),
        ("spawn-rate=1", "tree", &["4"], 1, "spawn_rate"),
        ("max-input=1", "exit", &["0", "child"], 1, "input"),
        ("max-result=1", "tree", &["9"], 1, "result"),
    ] {
        let ended = guest(name, &["-W", limit], arguments).exits(code);
        assert!(ended.stderr.contains(says), "{limit}: {ended:#?}");
    }
    for (name, arguments) in [
        ("sleeper", &["1", "12"][..]),
        ("tree", &["9"]),
        ("exit", &["0", "child"]),
    ] {
        guest(name, &[], arguments).exits(0);
    }
    let handles = guest("sleeper", &["-W", "max-handles=8"], &["1", "12"]);
    assert_ne!(handles.code(), 0, "{handles:#?}");
    let options = ["--instances", "2", "-W", "max-queued=3"];
    let queued = guest("sleeper", &options, &["1000", "12"]).exits(1);
    assert!(queued.stderr.contains("`queued` of 3"), "{queued:#?}");
}

/// Hunts a rate that holds nothing back. How long it takes is not looked at: the same CPU time is used up.
#[test]
fn a_rate_holds_a_run_back() {
    let throttled = |more: &str| {
        let limits = format!("cpu-time=100ms{more}");
        let ended = guest("spinner", &["--stats=json", "-W", &limits], &[]).exits(124);
        ended.stats()["throttled_time"]
            .as_u64()
            .expect("nanoseconds")
    };
    assert_eq!(throttled(""), 0);
    assert!(throttled(",cpu-rate=0.25") > 0);
}

/// Hunts a number of workers that is only parsed.
#[test]
fn workers_are_as_many_as_asked_for() {
    for workers in [1, 3] {
        let asked = workers.to_string();
        let ended = guest("hello", &["--stats=json", "--workers", &asked], &[]).exits(0);
        let found = ended.stats()["workers"].as_array().expect("a list").len();
        assert_eq!(found, workers);
    }
}

/// Hunts a slice that changes nothing: two that spin on one worker take turns ten times as often.
#[test]
fn a_shorter_slice_preempts_more_often() {
    let preemptions = |slice: &str| {
        let options = [
            "--workers",
            "1",
            "--preempt",
            "fuel",
            "--slice",
            slice,
            "--stats=json",
            "-W",
            "fuel=100000000",
        ];
        let ended = guest("spinner", &options, &["many", "2"]);
        ended.stats()["preemptions"].as_u64().expect("a count")
    };
    let (long, short) = (preemptions("5000000"), preemptions("500000"));
    assert!(short > 3 * long, "{short} and {long}");
}

/// Hunts a cache that keeps what was not to be kept, and one that keeps nothing.
#[test]
fn what_is_compiled_is_kept_unless_it_is_not_to_be() {
    let scratch = Scratch::new();
    let kept = |options: &[&str]| {
        let mut run = command();
        run.env("XDG_CACHE_HOME", scratch.path())
            .args(options)
            .arg(hart_build::guest("hello"));
        Running::start(&mut run, &[]).wait().exits(0);
        let entries = std::fs::read_dir(scratch.path().join("hart"));
        entries.map_or(0, Iterator::count)
    };
    assert_eq!(kept(&["--no-cache"]), 0);
    assert!(kept(&[]) > 0);
}

/// Hunts options of `hart wast` that are taken and not handed on to the host.
#[test]
fn scripts_run_on_the_host_that_was_asked_for() {
    let scratch = Scratch::new();
    let script = |name: &str, module: &str| {
        let text = format!(
            r#"(component (core module $m {module}) (core instance $i (instantiate $m))
                 (func (export "f") (canon lift (core func $i "f"))))
               (assert_return (invoke "f"))"#
        );
        scratch.write(name, text)
    };
    let spins = script("spins.wast", "(func (export \"f\") (loop (br 0)))");
    let large = script("large.wast", "(memory 1600) (func (export \"f\"))");
    let counts = script(
        "counts.wast",
        "(func (export \"f\") (local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 9000000)))))",
    );
    let table = script("table.wast", "(table 9000 funcref) (func (export \"f\"))");
    let wide = script(
        "wide.wast",
        &("(memory 1)".repeat(16) + "(func (export \"f\"))"),
    );
    let wast = |options: &[&str], file: &std::path::Path| {
        let options = options.iter().map(OsStr::new);
        hart(
            [OsStr::new("wast")]
                .into_iter()
                .chain(options)
                .chain([file.as_os_str()]),
        )
    };
    for (options, file, says) in [
        (&["--timeout", "200ms"][..], &spins, "timeout"),
        (&["-W", "fuel=1000"], &counts, "fuel"),
        (&["-W", "max-memory=1MiB"], &large, "memory"),
        (&["--pool", "dense"], &table, "table"),
        (&["--instances", "1"], &wide, "slots"),
        (
            &["--preempt", "epoch", "-W", "fuel=1000"],
            &counts,
            "--preempt fuel",
        ),
        (&["--preempt", "fuel", "--slice", "1ms"], &counts, "--slice"),
    ] {
        let ended = wast(options, file);
        assert_ne!(ended.code(), 0, "{options:?}: {ended:#?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(says), "{options:?}: {ended:#?}");
    }
    for file in [&large, &counts, &table, &wide] {
        wast(&["--memory-reserve", "1M", "--workers", "3"], file).exits(0);
    }
    let workers = scratch.write(
        "workers.wast",
        r#"(component
             (import "hart:exec/tasks@0.1.0" (instance $t (export "parallelism" (func (result u32)))))
             (core func $f (canon lower (func $t "parallelism")))
             (core module $m (import "" "f" (func $f (result i32))) (export "f" (func $f)))
             (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
             (func (export "f") (result u32) (canon lift (core func $i "f"))))
           (assert_return (invoke "f") (u32.const 3))"#,
    );
    wast(&["--workers", "3"], &workers).exits(0);
    wast(&["--workers", "2"], &workers).exits(1);
}

/// Hunts options of `hart sim` that are taken and change nothing.
#[test]
fn simulated_runs_are_as_asked_for() {
    let sim = |options: &[&str], name: &str, arguments: &[&str]| {
        guest(name, &[&["sim"], options].concat(), arguments)
    };
    let stats = |options: &[&str]| {
        let ended = sim(&[&["--stats"], options].concat(), "tree", &["5"]).exits(0);
        ended.stderr
    };
    let plain = stats(&[]);
    assert_eq!(plain, stats(&[]), "the same every time");
    for options in [
        &["--harts", "2"][..],
        &["--seed", "9"],
        &["--schedule", "round-robin"],
        &["--slice", "700"],
        &["--instances", "7"],
    ] {
        assert_ne!(plain, stats(options), "{options:?}");
    }
    let hello = sim(&["--env", "A=simulated"], "hello", &[]).exits(0);
    assert!(hello.stdout.contains("A=simulated"), "{hello:#?}");
    let scratch = Scratch::new();
    let input = scratch.write("input", "what is read\n");
    let cat = crate::support::root().join("host/cli/tests/e2e/cat.wat");
    let line = [
        "sim".as_ref(),
        "--stdin".as_ref(),
        input.as_os_str(),
        cat.as_os_str(),
    ];
    assert_eq!(hart(line as [&OsStr; 4]).exits(0).stdout, "what is read\n");
    let dir = format!("{}::/data", scratch.path().display());
    let read = sim(&["--dir", &dir], "reader", &["/data/input"]).exits(0);
    assert_eq!(read.stdout, "what is read\n");
    assert_ne!(sim(&[], "reader", &["/data/input"]).code(), 0);
    let add = scratch.write(
        "add.wat",
        r#"(component (core module $m (func (export "f") (result i32) i32.const 42))
             (core instance $i (instantiate $m))
             (func (export "f") (result u32) (canon lift (core func $i "f"))))"#,
    );
    let line = [
        "sim".as_ref(),
        "--invoke".as_ref(),
        "f()".as_ref(),
        add.as_os_str(),
    ];
    assert_eq!(hart(line as [&OsStr; 4]).exits(0).stdout, "42\n");
    sim(&["--timeout", "1s"], "sleeper", &["3600000"]).exits(124);
    let limited = sim(&["-W", "max-depth=2"], "forkbomb", &[]).exits(1);
    assert!(limited.stderr.contains("`depth` of 2"), "{limited:#?}");
}
