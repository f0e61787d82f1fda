//! What a guest gets of the world around it: directories, environment, network. Nothing, unless asked.

use crate::args::RunArgs;
use crate::failure::{Failure, to_stdout};
use crate::keys::{Applied, Group, Key};
use crate::units::switch;
use hart_host::{DirAccess, RunBuilder};
use std::ffi::OsStr;
use std::path::PathBuf;

/// What `-S` sets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wasi {
    inherit_env: bool,
    network: bool,
    no_tcp: bool,
    no_udp: bool,
    name_lookup: Option<bool>,
}

/// The keys of `-S`, named as in wasmtime.
pub(crate) fn group() -> Group<Wasi> {
    fn on(field: &mut bool, value: Option<&str>) -> Result<(), String> {
        *field = switch(value)?;
        Ok(())
    }
    fn off(field: &mut bool, value: Option<&str>) -> Result<(), String> {
        *field = !switch(value)?;
        Ok(())
    }
    let key = |name, default: &str, help, set| Key {
        name,
        value: "",
        default: default.to_owned(),
        help,
        set,
    };
    Group {
        flag: "-S",
        title: "-S KEY[=y|n][,KEY..]: what the guest gets of the system around it.",
        keys: vec![
            key(
                "inherit-env",
                "n",
                "Every environment variable that hart itself has.",
                |wasi, value| on(&mut wasi.inherit_env, value),
            ),
            key(
                "inherit-network",
                "n",
                "TCP, UDP and name look-ups, to and from every address.",
                |wasi, value| on(&mut wasi.network, value),
            ),
            key(
                "tcp",
                "y",
                "TCP, where inherit-network is given.",
                |wasi, value| off(&mut wasi.no_tcp, value),
            ),
            key(
                "udp",
                "y",
                "UDP, where inherit-network is given.",
                |wasi, value| off(&mut wasi.no_udp, value),
            ),
            key(
                "allow-ip-name-lookup",
                "as inherit-network",
                "Asking the system for the addresses of names.",
                |wasi, value| {
                    wasi.name_lookup = Some(switch(value)?);
                    Ok(())
                },
            ),
        ],
    }
}

/// All that `--dir`, `--env` and `-S` grant, checked.
#[derive(Debug)]
pub(crate) struct Grants {
    wasi: Wasi,
    dirs: Vec<(PathBuf, String, DirAccess)>,
    envs: Vec<(String, String)>,
}

impl Grants {
    /// What the arguments say; `None` where they asked for help, which has been printed.
    ///
    /// # Errors
    /// A directory or a variable that does not exist, or a key that makes no sense.
    pub(crate) fn new(args: &RunArgs) -> Result<Option<Self>, Failure> {
        let mut wasi = Wasi::default();
        if let Applied::Help(text) = group().apply(&mut wasi, &args.wasi)? {
            to_stdout(&text);
            return Ok(None);
        }
        Ok(Some(Self {
            wasi,
            dirs: args.dirs.iter().map(|d| dir(d)).collect::<Result<_, _>>()?,
            envs: args.envs.iter().map(|e| env(e)).collect::<Result<_, _>>()?,
        }))
    }

    /// Hands it all to a run.
    pub(crate) fn grant(self, mut run: RunBuilder) -> RunBuilder {
        // First the inherited variables, so that `--env` can replace them.
        if self.wasi.inherit_env {
            run = run.inherit_env();
        }
        for (key, value) in self.envs {
            run = run.env(key, value);
        }
        for (host, guest, access) in self.dirs {
            run = run.dir(host, guest, access);
        }
        let Wasi {
            network,
            no_tcp,
            no_udp,
            name_lookup,
            ..
        } = self.wasi;
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

/// `HOST[::GUEST[::ro]]`.
pub(crate) fn dir(text: &OsStr) -> Result<(PathBuf, String, DirAccess), Failure> {
    let Some(text) = text.to_str() else {
        let text = text.to_string_lossy();
        return Err(Failure::usage(format!(
            "--dir {text}: not UTF-8, which guests' paths have to be; write it with a name for the \
             guest, from a directory above it"
        )));
    };
    let parts: Vec<&str> = text.split("::").collect();
    let (host, guest, access) = match parts[..] {
        [host] => (host, host, DirAccess::ReadWrite),
        [host, guest] | [host, guest, "rw"] => (host, guest, DirAccess::ReadWrite),
        [host, guest, "ro"] => (host, guest, DirAccess::ReadOnly),
        _ => {
            return Err(Failure::usage(format!(
                "--dir {text}: write HOST, HOST::GUEST or HOST::GUEST::ro"
            )));
        }
    };
    if host.is_empty() || guest.is_empty() {
        return Err(Failure::usage(format!(
            "--dir {text}: an empty path; write HOST::GUEST, as in `.::/`"
        )));
    }
    match std::fs::metadata(host) {
        Ok(found) if found.is_dir() => Ok((host.into(), guest.to_owned(), access)),
        Ok(_) => Err(Failure::usage(format!(
            "--dir {host}: not a directory; give the one that holds it"
        ))),
        Err(error) => Err(Failure::usage(format!(
            "--dir {host}: {error}; give a directory that exists"
        ))),
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

    /// Hunts keys that set nothing, or each other.
    #[test]
    fn every_key_changes_something_of_its_own() {
        let group = group();
        let mut seen = vec![Wasi::default()];
        for key in &group.keys {
            let value = if key.default == "y" { "n" } else { "y" };
            let mut wasi = Wasi::default();
            let argument = format!("{}={value}", key.name);
            group.apply(&mut wasi, &[argument]).unwrap();
            assert!(!seen.contains(&wasi), "{}", key.name);
            seen.push(wasi);
        }
    }
}
