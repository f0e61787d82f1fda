//! The keys of `-S`.

use crate::keys::{Group, Key, always, required};
use crate::units::{show_size, size, switch};
use hart_host::Limits;

/// What `-S` sets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wasi {
    pub(super) inherit_env: bool,
    pub(super) network: bool,
    pub(super) http: bool,
    pub(super) no_stdin: bool,
    pub(super) no_stdout: bool,
    pub(super) no_stderr: bool,
    pub(super) no_tcp: bool,
    pub(super) no_udp: bool,
    pub(super) name_lookup: Option<bool>,
    pub(super) hostcall_fuel: Option<u64>,
    pub(super) random_bytes: Option<u64>,
    /// Which `wasi:cli/run` of two.
    pub(super) p3: Option<bool>,
    pub(super) config: bool,
    pub(super) config_vars: Vec<(String, String)>,
    pub(super) keyvalue: bool,
    pub(super) keyvalue_data: Vec<(String, String)>,
    pub(super) remote: bool,
    pub(super) remote_plan: RemotePlan,
}

/// Where tasks go that may run anywhere.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RemotePlan {
    pub(crate) app: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) stream: Option<String>,
}

/// The keys of `-S`, named as in wasmtime; those of `remote` are hart's own.
pub(crate) fn group() -> Group<Wasi> {
    fn on(field: &mut bool, value: Option<&str>) -> Result<(), String> {
        *field = switch(value)?;
        Ok(())
    }
    fn off(field: &mut bool, value: Option<&str>) -> Result<(), String> {
        *field = !switch(value)?;
        Ok(())
    }
    fn pair(value: Option<&str>) -> Result<(String, String), String> {
        let text = required(value)?;
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        match key.is_empty() {
            true => Err(format!("`{text}` has no name before `=`; write K=V")),
            false => Ok((key.to_owned(), value.to_owned())),
        }
    }
    fn set(field: &mut Option<String>, value: Option<&str>) -> Result<(), String> {
        *field = Some(required(value)?.to_owned());
        Ok(())
    }
    let text = |name, value, default: &str, help, set| Key {
        name,
        value,
        default: default.to_owned(),
        help,
        set,
    };
    let key = |name, default: &str, help, set| Key {
        name,
        value: "",
        default: default.to_owned(),
        help,
        set,
    };
    Group {
        flag: "-S",
        title: "-S KEY[=VALUE][,KEY..]: what the guest may use of the system.",
        keys: vec![
            key(
                "inherit-env",
                "n",
                "Inherit all of hart's environment variables that are UTF-8; --env wins.",
                |wasi, value| on(&mut wasi.inherit_env, value),
            ),
            key(
                "inherit-network",
                "n",
                "Allow TCP, UDP and name look-ups, to and from every address.",
                |wasi, value| on(&mut wasi.network, value),
            ),
            key(
                "http",
                "n",
                "Allow HTTP requests to every host; --allow-http names some.",
                |wasi, value| on(&mut wasi.http, value),
            ),
            key(
                "cli",
                "y",
                "wasi:cli, which every guest has: it cannot be taken away.",
                |_, value| always(value, true, "guests always have wasi:cli; leave it out"),
            ),
            key("common", "y", "The old name of cli.", |_, value| {
                always(value, true, "guests always have wasi:cli; leave it out")
            }),
            key(
                "cli-exit-with-code",
                "y",
                "A guest may end with a code of its own: always.",
                |_, value| {
                    always(
                        value,
                        true,
                        "guests may always end with a code; leave it out",
                    )
                },
            ),
            key(
                "preview2",
                "y",
                "WASI 0.1 is provided by means of WASI 0.2: always.",
                |_, value| always(value, true, "WASI 0.1 is always provided so; leave it out"),
            ),
            key(
                "inherit-stdin",
                "y",
                "The guest reads hart's standard input; with n it is empty.",
                |wasi, value| off(&mut wasi.no_stdin, value),
            ),
            key(
                "inherit-stdout",
                "y",
                "The guest writes to hart's standard output; with n it is lost.",
                |wasi, value| off(&mut wasi.no_stdout, value),
            ),
            key(
                "inherit-stderr",
                "y",
                "The guest writes to hart's standard error; with n it is lost.",
                |wasi, value| off(&mut wasi.no_stderr, value),
            ),
            key(
                "tcp",
                "y",
                "Allow TCP, if inherit-network is given.",
                |wasi, value| off(&mut wasi.no_tcp, value),
            ),
            key(
                "udp",
                "y",
                "Allow UDP, if inherit-network is given.",
                |wasi, value| off(&mut wasi.no_udp, value),
            ),
            key(
                "allow-ip-name-lookup",
                "as inherit-network",
                "Allow name look-ups.",
                |wasi, value| {
                    wasi.name_lookup = Some(switch(value)?);
                    Ok(())
                },
            ),
            Key {
                name: "hostcall-fuel",
                value: "SIZE",
                default: show_size(Limits::DEFAULT_HOSTCALL_FUEL),
                help: "Bytes that one call may copy from the guest to the host: strings, lists, results.",
                set: |wasi, value| {
                    wasi.hostcall_fuel = Some(size(required(value)?)?);
                    Ok(())
                },
            },
            Key {
                name: "max-random-size",
                value: "SIZE",
                default: show_size(Limits::DEFAULT_RANDOM_BYTES),
                help: "Random bytes that one call may ask for.",
                set: |wasi, value| {
                    wasi.random_bytes = Some(size(required(value)?)?);
                    Ok(())
                },
            },
            key(
                "p3",
                "n",
                "Run the `wasi:cli/run` of WASI 0.3 if the component also has one of WASI 0.2.",
                |wasi, value| {
                    wasi.p3 = Some(switch(value)?);
                    Ok(())
                },
            ),
            key(
                "config",
                "n",
                "Allow wasi:config, whose values config-var sets.",
                |wasi, value| on(&mut wasi.config, value),
            ),
            Key {
                name: "config-var",
                value: "K=V",
                default: String::from("none"),
                help: "A value that the guest reads by wasi:config, if config is given; may be repeated.",
                set: |wasi, value| {
                    wasi.config_vars.push(pair(value)?);
                    Ok(())
                },
            },
            key(
                "keyvalue",
                "n",
                "Allow wasi:keyvalue: a store in memory, which goes with the run, or with the request.",
                |wasi, value| on(&mut wasi.keyvalue, value),
            ),
            Key {
                name: "keyvalue-in-memory-data",
                value: "K=V",
                default: String::from("none"),
                help: "What the store begins with, if keyvalue is given; may be repeated.",
                set: |wasi, value| {
                    wasi.keyvalue_data.push(pair(value)?);
                    Ok(())
                },
            },
            key(
                "remote",
                "n",
                "Let tasks that may run anywhere go to a stream of NATS where this machine is busy: `hart work` runs them.",
                |wasi, value| on(&mut wasi.remote, value),
            ),
            text(
                "remote-app",
                "NAME",
                "the file's name",
                "The app that workers know the component as, if remote is given.",
                |wasi, value| set(&mut wasi.remote_plan.app, value),
            ),
            text(
                "remote-server",
                "URL",
                "NATS_URL, or nats://127.0.0.1:4222",
                "The server of the stream, if remote is given; NATS_CREDS and others name credentials.",
                |wasi, value| set(&mut wasi.remote_plan.server, value),
            ),
            text(
                "remote-stream",
                "NAME",
                "HART",
                "The stream's name, if remote is given.",
                |wasi, value| set(&mut wasi.remote_plan.stream, value),
            ),
        ],
        refused: &[
            ("nn", NONE_HERE),
            ("nn-graph", NONE_HERE),
            ("tls", "connect by wasi:http, which speaks TLS"),
            (
                "threads",
                "a component's tasks run on every core: see `hart new`",
            ),
            ("http-outgoing-body-buffer-chunks", HTTP),
            ("http-outgoing-body-chunk-size", HTTP),
            ("max-http-fields-size", HTTP),
            (
                "listenfd",
                "sockets are not inherited; use -S inherit-network, or `hart serve`",
            ),
            (
                "tcplisten",
                "sockets are not inherited; use -S inherit-network, or `hart serve`",
            ),
            (
                "network-error-code",
                "errors of sockets are those of WASI 0.2 as it was released",
            ),
            (
                "preview0",
                "build the guest for WASI 0.1 (wasm32-wasip1) or 0.2 (wasm32-wasip2)",
            ),
            (
                "cwd",
                "name directories as the guest is to see them: --dir HOST::/PATH",
            ),
            ("max-resources", "use -W max-handles"),
            ("max-component-handles", "use -W max-handles"),
        ],
    }
}

const NONE_HERE: &str = "wasi:nn is not here; compose the guest with a component that has it";
const HTTP: &str = "bodies and headers count against -W max-memory";

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts keys that set nothing, or each other.
    #[test]
    fn every_key_changes_something_of_its_own() {
        let group = group();
        let mut seen = vec![Wasi::default()];
        // What every guest has is a key all the same, as wasmtime's users write it.
        let always = ["cli", "common", "cli-exit-with-code", "preview2"];
        for key in { group.keys.iter() }.filter(|key| !always.contains(&key.name)) {
            let value = match (key.value, &*key.default) {
                ("SIZE", _) => "7",
                ("K=V", _) => "a=b",
                (_, "y") => "n",
                _ => "y",
            };
            let mut wasi = Wasi::default();
            let argument = format!("{}={value}", key.name);
            group.apply(&mut wasi, &[argument]).unwrap();
            assert!(!seen.contains(&wasi), "{}", key.name);
            seen.push(wasi);
        }
    }
}
