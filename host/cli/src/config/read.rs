//! Reads a configuration file, and finds all that is wrong with it.

use super::keys::{APP, TLS, TOP};
use super::plan::{AppPlan, LogFormat, Plan, Purpose, TlsFiles, Top};
use super::problem::{Problem, Problems};
use super::section::{Section, place, text_of};
use super::work::{object, work_of};
use crate::admin::address::AdminAddress;
use crate::grants::{Grants, read_dir};
use crate::limits;
use crate::tuning::tier;
use crate::units::{at_least_one, count, positive_duration, size};
use hart_host::{AllowedHost, DirAccess, Limits};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What `text`, the content of `file`, says, as far as it makes sense; and what does not. Apps begin as `base`.
pub(crate) fn read(
    file: &Path,
    text: &str,
    base: &AppPlan,
    purpose: Purpose,
) -> (Plan, Vec<Problem>) {
    let mut problems = Problems::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        problems.add(
            at,
            format!(
                "no TOML: {}; `hart new --config` writes an example",
                error.message()
            ),
        );
    }
    let root = Section {
        table: document.get_ref(),
        title: "the top of the file",
        at: 0,
    };
    let directory = file.parent().unwrap_or(Path::new(""));
    let top = top(root, directory, &mut problems);
    let work = root.section("work", "[work]", &mut problems);
    let work = work.map(|section| work_of(section, directory, &mut problems));
    let work = work.unwrap_or_default();
    let apps = apps(root, directory, base, purpose, &mut problems);
    (Plan { top, work, apps }, problems.finish())
}

fn top(root: Section<'_, '_>, directory: &Path, problems: &mut Problems<'_>) -> Top {
    root.check(TOP, problems);
    let tls = root.section("tls", "[tls]", problems);
    Top {
        addr: root.parsed("addr", problems, |text| {
            let way_out = |_| format!("`{text}` is no address; write one like 127.0.0.1:8080");
            text.parse().map_err(way_out)
        }),
        tls: tls.and_then(|tls| tls_files(tls, directory, problems)),
        access_log: root.text("access-log", problems).map(|path| match path {
            "-" => PathBuf::from("-"),
            path => directory.join(path),
        }),
        access_log_format: root.parsed("access-log-format", problems, |text| match text {
            "common" => Ok(LogFormat::Common),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("`{text}` is no format; write common or json")),
        }),
        admin: {
            root.texts("admin", problems, AdminAddress::parse)
                .into_iter()
        }
        .map(|address| address.within(directory))
        .collect(),
        watch: root.switch("watch", problems),
        grace: root.parsed("grace", problems, positive_duration),
        connections: root.parsed("max-concurrent-connections", problems, at_least_one),
        server_timing: root.switch("server-timing", problems),
        quiet_errors: root.switch("quiet-errors", problems),
    }
}

fn tls_files(
    tls: Section<'_, '_>,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<TlsFiles> {
    tls.check(TLS, problems);
    for key in TLS {
        if tls.value(key).is_none() {
            problems.add(
                tls.at,
                format!("[tls] has no `{key}`; write {key} = \"FILE\", a PEM file"),
            );
        }
    }
    let cert = tls.file("cert", directory, problems);
    let key = tls.file("key", directory, problems);
    Some(TlsFiles {
        cert: cert?,
        key: key?,
    })
}

fn apps(
    root: Section<'_, '_>,
    directory: &Path,
    base: &AppPlan,
    purpose: Purpose,
    problems: &mut Problems<'_>,
) -> Vec<AppPlan> {
    let Some(value) = root.value("app") else {
        problems.add(
            0,
            "there is no app; write [[app]] with a name and a component",
        );
        return Vec::new();
    };
    let at = value.span().start;
    let Some(array) = value.get_ref().as_array() else {
        problems.add(at, "`app` is no list of tables; write [[app]]");
        return Vec::new();
    };
    let mut apps: Vec<AppPlan> = Vec::new();
    for item in array.iter() {
        let at = item.span().start;
        let DeValue::Table(table) = item.get_ref() else {
            problems.add(at, "an app is no table; write [[app]]");
            continue;
        };
        let section = Section {
            table,
            title: "[[app]]",
            at,
        };
        let app = app(section, directory, base, purpose, problems);
        if !app.name.is_empty() && apps.iter().any(|other| other.name == app.name) {
            let name = &app.name;
            problems.add(
                place(section, "name"),
                format!("another app is called `{name}` too; give this one another name"),
            );
        }
        if purpose == Purpose::Serve
            && let Some(other) = apps.iter().find(|other| has_same_place(other, &app))
        {
            let text = format!(
                "the app `{}` has the same host and path; give one of them another path",
                other.name
            );
            problems.add(place(section, "path"), text);
        }
        apps.push(app);
    }
    apps
}

fn has_same_place(one: &AppPlan, other: &AppPlan) -> bool {
    let host = |app: &AppPlan| app.host.as_ref().map(|host| host.to_ascii_lowercase());
    let path = |app: &AppPlan| app.path.trim_end_matches('/').to_owned();
    host(one) == host(other) && path(one) == path(other)
}

fn app(
    app: Section<'_, '_>,
    directory: &Path,
    base: &AppPlan,
    purpose: Purpose,
    problems: &mut Problems<'_>,
) -> AppPlan {
    app.check(APP, problems);
    let object = object(app, purpose, problems);
    for key in ["name", "component"] {
        if app.value(key).is_none() && !(key == "component" && app.value("object").is_some()) {
            problems.add(
                app.at,
                format!("[[app]] has no `{key}`; write {key} = \"..\""),
            );
        }
    }
    let component = app.file("component", directory, problems);
    AppPlan {
        name: app.parsed("name", problems, name).unwrap_or_default(),
        component: component.unwrap_or_default(),
        object,
        line: problems.line(place(app, "component")),
        host: app.parsed("host", problems, host),
        path: app
            .parsed("path", problems, path)
            .unwrap_or_else(|| "/".into()),
        weight: app
            .parsed("weight", problems, |text| {
                let weight = at_least_one(text)?;
                u32::try_from(weight)
                    .map_err(|_| format!("`{text}` is too large; use less than 2^32"))
            })
            .or(base.weight),
        limits: limits_of(app, problems).or(&base.limits),
        grants: grants(app, directory, problems),
        concurrency: app
            .parsed("concurrency", problems, at_least_one)
            .or(base.concurrency),
        queue: app
            .parsed("queue", problems, |text| {
                count(text).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
            })
            .or(base.queue),
        queue_timeout: app
            .parsed("queue-timeout", problems, positive_duration)
            .or(base.queue_timeout),
        body_limit: app.parsed("body-limit", problems, size).or(base.body_limit),
        reuse: app
            .parsed("reuse", problems, |text| {
                let times = at_least_one(text)?;
                Ok(u32::try_from(times).unwrap_or(u32::MAX))
            })
            .or(base.reuse),
        idle_timeout: app
            .parsed("idle-timeout", problems, positive_duration)
            .or(base.idle_timeout),
        tier: app.parsed("tier", problems, tier),
    }
}

fn limits_of(app: Section<'_, '_>, problems: &mut Problems<'_>) -> Limits {
    let mut set = Limits::new();
    let Some(section) = app.section("limits", "[app.limits]", problems) else {
        return set;
    };
    let names = limits::names();
    section.check(&names, problems);
    for name in names {
        section.parsed(name, problems, |text| limits::set(&mut set, name, text));
    }
    set
}

fn grants(app: Section<'_, '_>, directory: &Path, problems: &mut Problems<'_>) -> Grants {
    let dirs = app.list("dirs", problems, |text| dir(directory, text));
    let http = app.list("allow-http", problems, |text| {
        text.parse::<AllowedHost>()
            .map_err(|error| error.to_string())
    });
    let mut texts = |key, title| {
        app.section(key, title, problems)
            .map(|section| texts(section, problems))
    };
    let envs = texts("env", "[app.env]").unwrap_or_default();
    let config = texts("config", "[app.config]");
    let keyvalue = texts("keyvalue", "[app.keyvalue]");
    let remote = app.text("remote", problems).map(str::to_owned);
    Grants::of(dirs, envs, http, app.switch("network", problems))
        .with(config, keyvalue)
        .with_remote(remote)
}

/// The texts of a table, under whatever names it has.
fn texts(section: Section<'_, '_>, problems: &mut Problems<'_>) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (name, value) in section.table.iter() {
        if let Some(value) = text_of(name.get_ref(), value, problems) {
            texts.push((name.get_ref().to_string(), value.to_owned()));
        }
    }
    texts
}

/// `HOST[::GUEST[::ro]]`, where HOST is relative to `directory`, and GUEST is HOST as it is written.
fn dir(directory: &Path, text: &str) -> Result<(PathBuf, String, DirAccess), String> {
    let (host, rest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() {
        return Err(format!(
            "{text}: an empty path; write HOST::GUEST, as in `.::/`"
        ));
    }
    let host = directory.join(host);
    read_dir(&format!("{}::{rest}", host.display()))
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`{text}` is no name of an app; use up to 64 letters, digits, `-`, `_` and `.`"
        )),
    }
}

fn host(text: &str) -> Result<String, String> {
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    match !text.is_empty() && !text.contains('/') && !has_port {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "`{text}` is no host; write a name without a port, as in app.example.com"
        )),
    }
}

fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` does not begin with `/`; write `/{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::WORK;
    use std::collections::BTreeSet;

    const EXAMPLE: &str = include_str!("../../template/hart.toml.in");
    const SCHEMA: &str = include_str!("../../template/hart.schema.json");

    fn problems(text: &str) -> Vec<String> {
        let (_, found) = read(
            Path::new("hart.toml"),
            text,
            &AppPlan::default(),
            Purpose::Serve,
        );
        found
            .iter()
            .map(|problem| problem.show(Path::new("hart.toml")))
            .collect()
    }

    /// The example with everything in it that is commented out: keys and tables have no blank after the `#`.
    fn whole_example() -> String {
        let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn keys(value: &serde_json::Value) -> BTreeSet<String> {
        let object = value.as_object().expect("an object");
        object.keys().cloned().collect()
    }

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Hunts keys that the reader knows and the schema does not, and the reverse.
    #[test]
    fn the_schema_has_the_readers_keys() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let top = &schema["properties"];
        let app = &top["app"]["items"]["properties"];
        assert_eq!(keys(top), names(TOP));
        assert_eq!(keys(&top["tls"]["properties"]), names(TLS));
        assert_eq!(keys(&top["work"]["properties"]), names(WORK));
        assert_eq!(keys(app), names(APP));
        assert_eq!(keys(&app["limits"]["properties"]), names(&limits::names()));
    }

    /// Hunts keys that the reader knows and the example does not show, and the reverse; and values there that are wrong.
    #[test]
    fn the_example_has_the_readers_keys() {
        let text = whole_example();
        let example: toml::Table = text.parse().unwrap();
        let keys = |table: &toml::Table| table.keys().cloned().collect::<BTreeSet<_>>();
        let app = example["app"][0].as_table().unwrap();
        assert_eq!(keys(&example), names(TOP));
        assert_eq!(keys(example["tls"].as_table().unwrap()), names(TLS));
        assert_eq!(keys(example["work"].as_table().unwrap()), names(WORK));
        assert_eq!(keys(app), names(APP));
        assert_eq!(
            keys(app["limits"].as_table().unwrap()),
            names(&limits::names())
        );
        // Only files that it names are not there.
        for problem in problems(&text) {
            let of_files = [
                "`component`",
                "`cert`",
                "`key`",
                "`credentials`",
                "`tls-ca`",
                "`tls-cert`",
                "`tls-key`",
                "`dirs`",
            ];
            assert!(
                of_files.iter().any(|key| problem.contains(key)),
                "{problem}"
            );
        }
        let as_written = problems(EXAMPLE);
        assert_eq!(as_written.len(), 1, "{as_written:?}");
        assert!(as_written[0].contains("`component`"), "{as_written:?}");
    }

    /// Hunts an error that hides the next one, or that names another line than its own.
    #[test]
    fn all_that_is_wrong_is_told_with_its_line() {
        let text = "\
addr = \"here\"
wach = true

[[app]]
name = \"a\"
component = \"none.wasm\"
weight = 0
queue-timeout = 10
network = \"yes\"
dirs = [\"none::/\", 3]
allow-http = \"x\"

[app.limits]
memory = \"64MiB\"
cpu-rate = 0.5
timeout = \"soon\"

[app.env]
A = 1

[[app]]
name = \"a\"
path = \"b\"
";
        let expected = [
            (1, "is no address"),
            (2, "did you mean `watch`?"),
            (6, "none.wasm"),
            (7, "`weight`"),
            (8, "`10` is not a duration"),
            (9, "network = true"),
            (10, "give a directory that exists"),
            (10, "a text between quotes"),
            (11, "write a list"),
            (14, "did you mean `max-memory`?"),
            (16, "`soon` is not a duration"),
            (19, "type integer"),
            (21, "has no `component`"),
            (23, "has the same host and path"),
            (22, "is called `a` too"),
            (23, "write `/b`"),
        ];
        let found = problems(text);
        let mut left = found.clone();
        for (line, says) in expected {
            let start = format!("hart.toml:{line}: ");
            let fits = |told: &String| told.starts_with(&start) && told.contains(says);
            let place = left.iter().position(fits);
            let place = place.unwrap_or_else(|| panic!("{line} {says}: {found:#?}"));
            left.remove(place);
        }
        assert!(left.is_empty(), "{left:#?}");
        assert!(
            problems("[[app]\nname = ")
                .iter()
                .any(|told| told.contains("no TOML"))
        );
        assert!(problems("")[0].contains("there is no app"));
    }
}
