//! Every method of the builders has a test that sees what it does: the table says which, and a method that the builders
//! have and the table does not is a failure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{
    admission, budget, builders, cache, capability, config, data, dense, ends, events, files,
    handles, inner_runs, isolation, layers, limits, live, live_concurrent, loading, metrics, pool,
    preemption, replicas, spans, stdio, tasks, tiers,
};

/// A builder, methods of it, and a test that sees what they do.
type Row = (&'static str, &'static [&'static str], fn());

const SETTINGS: &[Row] = &[
    (
        "HostBuilder",
        &["workers"],
        tasks::parallelism_is_the_number_of_workers,
    ),
    ("HostBuilder", &["preemption"], preemption::fuel_is_exact),
    (
        "HostBuilder",
        &["limits"],
        handles::hoarding_ends_at_the_limit,
    ),
    (
        "HostBuilder",
        &["tokio"],
        builders::timers_are_those_of_the_runtime_that_was_given,
    ),
    (
        "HostBuilder",
        &["instances"],
        pool::what_takes_more_slots_than_there_are_names_the_setting,
    ),
    ("HostBuilder", &["files"], files::a_host_has_so_many_files),
    (
        "HostBuilder",
        &["profile"],
        dense::a_table_has_a_largest_size,
    ),
    (
        "HostBuilder",
        &["pool_scan"],
        isolation::a_place_shows_nothing_of_its_last_user,
    ),
    (
        "HostBuilder",
        &["cache"],
        cache::an_entry_that_cannot_be_used_is_made_anew,
    ),
    ("HostBuilder", &["tier"], tiers::limits_hold_in_both),
    (
        "HostBuilder",
        &["memory_reserve", "available_memory"],
        admission::where_memory_is_short_guests_wait_and_none_for_ever,
    ),
    (
        "HostBuilder",
        &["backtrace_details"],
        builders::details_of_backtraces_are_a_property_of_code,
    ),
    (
        "HostBuilder",
        &["config"],
        config::the_embedders_settings_hold_on_both_engines,
    ),
    (
        "HostBuilder",
        &["imports"],
        ends::a_panicking_import_ends_its_task_only,
    ),
    (
        "HostBuilder",
        &["async_imports"],
        builders::asynchronous_imports_are_for_asynchronous_components,
    ),
    (
        "HostBuilder",
        &["capability"],
        capability::what_was_not_granted_is_not_there,
    ),
    (
        "RunBuilder",
        &["grant"],
        capability::runs_have_what_they_are_granted_and_tasks_a_state_each,
    ),
    (
        "HostBuilder",
        &["metrics"],
        metrics::figures_are_there_where_they_were_asked_for,
    ),
    ("HostBuilder", &["on"], events::hooks_are_told_what_happens),
    ("HostBuilder", &["tracer"], spans::a_tracer_follows_tasks),
    ("HostBuilder", &["data"], data::each_run_has_its_own_data),
    (
        "RuntimeBuilder",
        &["workers"],
        layers::armed_stores_are_preempted_killed_and_limited,
    ),
    (
        "RuntimeBuilder",
        &["tokio"],
        builders::timers_are_those_of_the_runtime_that_was_given,
    ),
    (
        "RuntimeBuilder",
        &["blocking_threads"],
        builders::so_many_threads_may_block,
    ),
    (
        "RuntimeBuilder",
        &["trace"],
        builders::polls_are_recorded_where_that_was_asked_for,
    ),
    ("RunBuilder", &["name"], ends::dropping_a_run_detaches_it),
    ("RunBuilder", &["data"], data::each_run_has_its_own_data),
    (
        "RunBuilder",
        &["arg", "args", "env", "stdin", "stdout", "stderr"],
        builders::what_a_program_is_given_arrives,
    ),
    (
        "RunBuilder",
        &["inherit_env", "wasi"],
        builders::grants_of_a_hook_and_of_the_process_arrive,
    ),
    (
        "RunBuilder",
        &["child_stdout", "child_stderr"],
        stdio::children_have_streams_of_their_own,
    ),
    (
        "RunBuilder",
        &["whole_lines"],
        stdio::what_tasks_write_can_be_in_whole_lines,
    ),
    ("RunBuilder", &["dir"], files::a_run_has_so_many_files),
    ("RunBuilder", &["allow_network"], files::sockets_are_files),
    (
        "RunBuilder",
        &["limits"],
        limits::the_root_is_told_which_limit_it_reached,
    ),
    (
        "RunBuilder",
        &["weight"],
        builders::shares_of_runs_follow_their_weights,
    ),
    (
        "RunBuilder",
        &["slice"],
        preemption::a_short_slice_buys_earlier_turns,
    ),
    (
        "RunBuilder",
        &["tenant"],
        limits::a_tenants_limits_hold_for_all_of_its_runs,
    ),
    (
        "RunBuilder",
        &["prefer_wasi03"],
        builders::of_two_commands_the_one_that_was_asked_for_runs,
    ),
    (
        "RunBuilder",
        &["waits"],
        inner_runs::what_may_not_wait_is_refused,
    ),
    (
        "TenantBuilder",
        &["name", "limits"],
        limits::a_tenants_limits_hold_for_all_of_its_runs,
    ),
    (
        "TenantBuilder",
        &["weight"],
        builders::shares_of_runs_follow_their_weights,
    ),
    (
        "GroupBuilder",
        &["limits"],
        layers::armed_stores_are_preempted_killed_and_limited,
    ),
    (
        "GroupBuilder",
        &["name", "weight", "slice", "tenant"],
        builders::groups_are_as_they_were_built,
    ),
    (
        "InstanceBuilder",
        &["name"],
        live::calls_are_done_one_after_the_other_in_one_instance,
    ),
    ("InstanceBuilder", &["run"], live::what_cannot_start_is_told),
    ("InstanceBuilder", &["queue"], live::a_full_queue_refuses),
    (
        "InstanceBuilder",
        &["concurrency"],
        live_concurrent::calls_go_on_at_once_up_to_a_limit,
    ),
    (
        "InstanceBuilder",
        &["idle_after"],
        live::an_idle_instance_is_let_go_of,
    ),
    (
        "InstanceBuilder",
        &["restart"],
        live::a_new_instance_follows_where_it_may,
    ),
    (
        "InstanceBuilder",
        &["data"],
        live::each_instance_has_data_of_its_own,
    ),
    (
        "Restart",
        &["back_off"],
        live::a_new_instance_follows_where_it_may,
    ),
    (
        "Run",
        &["abort_on_drop"],
        ends::a_run_may_end_with_its_handle,
    ),
    (
        "ReplicasBuilder",
        &["instance"],
        replicas::more_are_made_where_they_have_calls_to_do,
    ),
    (
        "Budget",
        &["cpu"],
        budget::a_spinner_is_ended_and_others_are_served,
    ),
    (
        "Budget",
        &["wall"],
        budget::time_on_the_clock_ends_those_who_wait,
    ),
    (
        "Budget",
        &["slice"],
        budget::a_slice_is_as_long_as_asked_for,
    ),
    ("Call", &["cpu"], live::calls_have_budgets_of_cpu_time),
    ("Call", &["wall"], live::calls_have_limits_of_time),
    ("Loader", &["timeout"], loading::a_load_can_be_ended),
    ("Loader", &["tier"], tiers::the_cache_has_both),
    (
        "Loader",
        &["background"],
        loading::a_load_in_the_background_goes_behind_all_else,
    ),
    (
        "Loader",
        &["max_memory"],
        loading::what_compilers_make_is_loaded,
    ),
    (
        "Loader",
        &["core_modules"],
        loading::core_modules_are_loaded_where_they_are_allowed,
    ),
];

/// Seen through the command: options of `hart run` and of `hart serve` are these. Its own tests have a table, too.
const BY_THE_COMMAND: &[(&str, &[&str])] = &[
    (
        "App",
        &["concurrency", "idle_timeout", "log_prefix", "reuse", "run"],
    ),
    ("HostBuilder", &["trace", "wasm_stack"]),
    ("Job", &["cpu_time", "id", "memory", "timeout"]),
    (
        "RunBuilder",
        &[
            "allow_http",
            "allow_keyvalue",
            "anywhere",
            "config_value",
            "keyvalue_data",
        ],
    ),
    (
        "ServerBuilder",
        &[
            "access_log",
            "connections",
            "header_limit",
            "header_timeout",
            "request_headers",
            "server_timing",
            "tls",
            "write_timeout",
        ],
    ),
    (
        "ServiceBuilder",
        &[
            "body_limit",
            "body_timeout",
            "concurrency",
            "data",
            "idle_timeout",
            "log_prefix",
            "name",
            "queue",
            "queue_timeout",
            "quiet_errors",
            "reuse",
            "run",
            "succeeds",
        ],
    ),
    ("WorkerBuilder", &["app", "deliveries", "job_log", "lease"]),
];

/// Setters that a macro makes: each is an option of the command, whose tests have a table of them.
const BY_A_MACRO: &str = "$name";

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every public method that takes a builder and gives it back, as `Builder::method`.
fn settings() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a source");
        // What follows `impl`, up to the next one.
        for block in text.split("\nimpl").skip(1) {
            let (head, _) = block.split_once('{').expect("a block");
            let of = head.rsplit(" for ").next().expect("a type");
            // Without the parameters of the block itself, and of the type.
            let of = match of.trim_start().strip_prefix('<') {
                Some(generic) => generic.split_once("> ").expect("a type").1,
                None => of,
            };
            let of = of.trim().split('<').next().expect("a name");
            for method in block.split("pub fn ").skip(1) {
                let (name, rest) = method.split_once('(').expect("parameters");
                let name = name.split('<').next().expect("a name");
                let signature = rest.split('{').next().expect("a signature");
                if rest.trim_start().starts_with("mut self")
                    && signature.contains("-> Self")
                    && name != BY_A_MACRO
                {
                    found.insert(format!("{of}::{name}"));
                }
            }
        }
    }
    found
}

/// Hunts a setting whose effect no test sees.
#[test]
fn every_setting_is_in_the_table() {
    let here = SETTINGS.iter().map(|(of, names, _)| (*of, *names));
    let rows = here.chain(BY_THE_COMMAND.iter().copied());
    let known: BTreeSet<String> = rows
        .flat_map(|(of, names)| names.iter().map(move |name| format!("{of}::{name}")))
        .collect();
    assert_eq!(settings(), known);
}
