//! What a guest may use of the system: directories, environment, network. Nothing by default.

mod wasi;

use crate::failure::Failure;
use crate::keys::Applied;
use crate::output::{one_line, to_stderr, to_stdout};
use clap::Args;
use hart_host::{AllowedHost, Component, DirAccess, Limits, RunBuilder, Stdio};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use wasi::Wasi;
pub(crate) use wasi::{RemotePlan, group};

#[derive(Args, Clone, Debug)]
pub(crate) struct GrantArgs {
    /// Grant a directory: `::GUEST` is its name for the guest, `::ro` makes it read-only; may be
    /// repeated
    #[arg(
        long = "dir",
        value_name = "HOST[::GUEST[::ro]]",
        help_heading = "What the guest gets"
    )]
    pub(crate) dirs: Vec<OsString>,

    /// Set an environment variable; without `=V`, pass on hart's own value; may be repeated
    #[arg(
        long = "env",
        value_name = "K[=V]",
        help_heading = "What the guest gets"
    )]
    pub(crate) envs: Vec<String>,

    /// Let the guest send HTTP requests to this host; without a port, to 80 and 443; `*.DOMAIN` and
    /// `*` stand for many; may be repeated
    #[arg(
        long = "allow-http",
        value_name = "HOST[:PORT]",
        help_heading = "What the guest gets"
    )]
    pub(crate) allow_http: Vec<AllowedHost>,

    /// Inherit the environment, allow the network, and more: `-S help` lists the keys
    #[arg(
        short = 'S',
        long = "wasi",
        value_name = "KEY",
        allow_hyphen_values = true,
        help_heading = "What the guest gets"
    )]
    pub(crate) wasi: Vec<String>,
}

/// All that `--dir`, `--env` and `-S` grant, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Grants {
    wasi: Wasi,
    dirs: Vec<(PathBuf, String, DirAccess)>,
    envs: Vec<(String, String)>,
    http: Vec<AllowedHost>,
}

impl Grants {
    /// What the arguments say; `None` where they asked for help, which has been printed.
    ///
    /// # Errors
    /// A directory or a variable that does not exist, or a key that makes no sense.
    pub(crate) fn new(args: &GrantArgs) -> Result<Option<Self>, Failure> {
        let mut wasi = Wasi::default();
        if let Applied::Help(text) = group().apply(&mut wasi, &args.wasi)? {
            to_stdout(&text);
            return Ok(None);
        }
        let all = wasi.http.then(AllowedHost::any);
        Ok(Some(Self {
            http: args.allow_http.iter().cloned().chain(all).collect(),
            wasi,
            dirs: args.dirs.iter().map(|d| dir(d)).collect::<Result<_, _>>()?,
            envs: args.envs.iter().map(|e| env(e)).collect::<Result<_, _>>()?,
        }))
    }

    /// These, and nothing else.
    pub(crate) fn of(
        dirs: Vec<(PathBuf, String, DirAccess)>,
        envs: Vec<(String, String)>,
        http: Vec<AllowedHost>,
        network: bool,
    ) -> Self {
        Self {
            wasi: Wasi {
                network,
                ..Wasi::default()
            },
            dirs,
            envs,
            http,
        }
    }

    /// The same with a configuration, and a store that begins with these, where they are given.
    pub(crate) fn with(
        mut self,
        config: Option<Vec<(String, String)>>,
        keyvalue: Option<Vec<(String, String)>>,
    ) -> Self {
        self.wasi.config = config.is_some();
        self.wasi.config_vars = config.unwrap_or_default();
        self.wasi.keyvalue = keyvalue.is_some();
        self.wasi.keyvalue_data = keyvalue.unwrap_or_default();
        self
    }

    /// The same with tasks that may go to whoever works for this app.
    pub(crate) fn with_remote(mut self, app: Option<String>) -> Self {
        self.wasi.remote = app.is_some();
        self.wasi.remote_plan.app = app;
        self
    }

    /// Where tasks go that may run anywhere, if that is allowed.
    pub(crate) fn remote(&self) -> Option<&RemotePlan> {
        self.wasi.remote.then_some(&self.wasi.remote_plan)
    }

    /// # Errors
    /// `component` imports an interface that is of no use if it is not granted.
    pub(crate) fn check(&self, component: &Component) -> Result<(), Failure> {
        let component = component.as_wasmtime();
        let ty = component.component_type();
        let granted = [
            ("wasi:config/", "config", self.wasi.config),
            ("wasi:keyvalue/", "keyvalue", self.wasi.keyvalue),
        ];
        for (import, _) in ty.imports(component.engine()) {
            let of_import = |(prefix, ..): &&(&str, _, _)| import.starts_with(prefix);
            if let Some((_, key, false)) = granted.iter().find(of_import) {
                return Err(Failure::usage(format!(
                    "imports `{}`, which it is not granted; use -S {key}, or [app.{key}] in a .toml file",
                    one_line(import)
                )));
            }
        }
        Ok(())
    }

    /// `limits` with those that `-S` sets.
    pub(crate) fn limits(&self, limits: Limits) -> Limits {
        let mut set = Limits::new();
        set.hostcall_fuel = self.wasi.hostcall_fuel;
        set.random_bytes = self.wasi.random_bytes;
        set.or(&limits)
    }

    /// Which `wasi:cli/run` of two is to be run, if that was said.
    pub(crate) fn p3(&self) -> Option<bool> {
        self.wasi.p3
    }

    /// One line for each variable that cannot be inherited, unless `--env` sets it.
    fn warn_of_variables_left_out(&self) {
        for (key, value) in std::env::vars_os() {
            if let (Some(_), Some(_)) = (key.to_str(), value.to_str()) {
                continue;
            }
            let key = key.to_string_lossy();
            if !self.envs.iter().any(|(set, _)| *set == key) {
                to_stderr(&format!(
                    "hart: the environment variable {} is left out: guests' variables have to be UTF-8, \
                     and it is not; --env NAME=VALUE sets another value\n",
                    one_line(&key)
                ));
            }
        }
    }

    /// What a program reads.
    pub(crate) fn stdin(&self) -> Stdio {
        stream(self.wasi.no_stdin)
    }

    /// Hands it all to a run, which writes to hart's own streams.
    pub(crate) fn grant(self, mut run: RunBuilder) -> RunBuilder {
        run = run
            .stdout(stream(self.wasi.no_stdout))
            .stderr(stream(self.wasi.no_stderr));
        // First the inherited variables, so that `--env` can replace them.
        if self.wasi.inherit_env {
            self.warn_of_variables_left_out();
            run = run.inherit_env();
        }
        for (key, value) in self.envs {
            run = run.env(key, value);
        }
        for host in self.http {
            run = run.allow_http(host);
        }
        for (host, guest, access) in self.dirs {
            run = run.dir(host, guest, access);
        }
        let Wasi {
            network,
            no_tcp,
            no_udp,
            name_lookup,
            config,
            config_vars,
            keyvalue,
            keyvalue_data,
            ..
        } = self.wasi;
        if config {
            for (key, value) in config_vars {
                run = run.config_value(key, value);
            }
        }
        run = run.allow_keyvalue(keyvalue);
        for (key, value) in keyvalue_data {
            run = run.keyvalue_data(key, value);
        }
        run = run.allow_network(network);
        let name_lookup = name_lookup.unwrap_or(network);
        if !no_tcp && !no_udp && name_lookup == network {
            // A hook is called for every task and costs each of them a little.
            return run;
        }
        run.wasi(move |context| {
            context
                .allow_tcp(network && !no_tcp)
                .allow_udp(network && !no_udp)
                .allow_ip_name_lookup(name_lookup);
        })
    }
}

fn stream(is_off: bool) -> Stdio {
    match is_off {
        true => Stdio::Null,
        false => Stdio::Inherit,
    }
}

/// `HOST[::GUEST[::ro]]`.
pub(crate) fn dir(text: &OsStr) -> Result<(PathBuf, String, DirAccess), Failure> {
    let Some(text) = text.to_str() else {
        let text = text.to_string_lossy();
        return Err(Failure::usage(format!(
            "--dir {text}: guests' paths have to be UTF-8, and this is not; grant a directory above it \
             instead"
        )));
    };
    read_dir(text).map_err(|error| Failure::usage(format!("--dir {error}")))
}

/// The same, of text, and without the option's name in the error.
pub(crate) fn read_dir(text: &str) -> Result<(PathBuf, String, DirAccess), String> {
    let parts: Vec<&str> = text.split("::").collect();
    let (host, guest, access) = match parts[..] {
        [host] => (host, host, DirAccess::ReadWrite),
        [host, guest] | [host, guest, "rw"] => (host, guest, DirAccess::ReadWrite),
        [host, guest, "ro"] => (host, guest, DirAccess::ReadOnly),
        _ => {
            return Err(format!(
                "{text}: write HOST, HOST::GUEST or HOST::GUEST::ro"
            ));
        }
    };
    if host.is_empty() || guest.is_empty() {
        return Err(format!(
            "{text}: an empty path; write HOST::GUEST, as in `.::/`"
        ));
    }
    match std::fs::metadata(host) {
        Ok(found) if found.is_dir() => Ok((host.into(), guest.to_owned(), access)),
        Ok(_) => Err(format!(
            "{host}: not a directory; give the one that holds it"
        )),
        Err(error) => Err(format!("{host}: {error}; give a directory that exists")),
    }
}

/// `K=V`, or `K` for hart's own value.
fn env(text: &str) -> Result<(String, String), Failure> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, value.to_owned()),
        None => {
            let value = std::env::var(text).map_err(|error| {
                Failure::usage(format!("--env {text}: {error}; write --env {text}=VALUE"))
            })?;
            (text, value)
        }
    };
    if key.is_empty() {
        return Err(Failure::usage(format!(
            "--env {text}: no name before `=`; write --env NAME=VALUE"
        )));
    }
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a read-only directory that is granted for writing, and paths cut at the wrong place.
    #[test]
    fn directories() {
        let dir = |text: &str| dir(OsStr::new(text));
        let read_write = DirAccess::ReadWrite;
        assert_eq!(dir(".").unwrap(), (".".into(), ".".into(), read_write));
        assert_eq!(dir(".::/x").unwrap(), (".".into(), "/x".into(), read_write));
        let read_only = (".".into(), "/x".into(), DirAccess::ReadOnly);
        assert_eq!(dir(".::/x::ro").unwrap(), read_only);
        for text in [
            "",
            "::",
            ".::",
            "::/x",
            ".::/x::r",
            ".::/x::ro::",
            "no/such/place",
            "Cargo.toml::/",
        ] {
            assert!(dir(text).is_err(), "{text}");
        }
    }

    /// Hunts values cut at a later `=`, and a missing variable that becomes an empty one.
    #[test]
    fn variables() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(env("A=b=c").unwrap(), pair("A", "b=c"));
        assert_eq!(env("A=").unwrap(), pair("A", ""));
        assert_eq!(env("PATH").unwrap().1, std::env::var("PATH").unwrap());
        assert!(env("HART_SURELY_NOT_SET").is_err());
        assert!(env("=x").is_err());
    }
}
