//! Options that come in groups, as in wasmtime: `-W key=value,key=value` and `-S key`.
//!
//! A group is a table, and `help` as a key prints that table. What a key does is in one place: the
//! function beside its name.

use crate::failure::Failure;
use crate::units::switch;
use std::fmt::Write as _;

/// One key of a group, which changes a `T`.
pub(crate) struct Key<T> {
    /// As it is written on the command line.
    pub(crate) name: &'static str,
    /// What its value looks like; empty where it is a switch.
    pub(crate) value: &'static str,
    /// The default, for people.
    pub(crate) default: String,
    /// What it does, in a line or two.
    pub(crate) help: &'static str,
    /// Puts a value into `T`.
    pub(crate) set: fn(&mut T, Option<&str>) -> Result<(), String>,
}

impl<T> Key<T> {
    /// Whether this is its name. One that ends with `*` stands for all that begin so.
    fn is_called(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => name.starts_with(start) && name.len() > start.len(),
            None => self.name == name,
        }
    }
}

/// A group of keys.
pub(crate) struct Group<T> {
    /// `-W` or `-S`.
    pub(crate) flag: &'static str,
    /// What the group is about: the first line of its help.
    pub(crate) title: &'static str,
    /// Its keys, in the order of its help.
    pub(crate) keys: Vec<Key<T>>,
    /// Keys that wasmtime has and hart refuses, and what to use instead.
    pub(crate) refused: &'static [(&'static str, &'static str)],
}

/// What became of a group's arguments.
#[derive(Debug, PartialEq)]
pub(crate) enum Applied {
    /// Every key was set.
    Set,
    /// `help` was among them: print this and leave.
    Help(String),
}

impl<T> Group<T> {
    /// Sets what `arguments` (each `key[=value]`, several separated by commas) say in `target`.
    ///
    /// # Errors
    /// A key that the group does not have (the error names the nearest), or a value that the key
    /// does not take.
    pub(crate) fn apply(&self, target: &mut T, arguments: &[String]) -> Result<Applied, Failure> {
        for argument in arguments.iter().flat_map(|text| text.split(',')) {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value)),
                None => (argument.trim(), None),
            };
            if name == "help" {
                return Ok(Applied::Help(self.help()));
            }
            let flag = self.flag;
            if let Some((_, instead)) = self.refused.iter().find(|(refused, _)| *refused == name) {
                return Err(Failure::usage(format!(
                    "{flag} {name}: hart does not take this key of wasmtime's; {instead}"
                )));
            }
            let Some(key) = self.keys.iter().find(|key| key.is_called(name)) else {
                let near = match self.nearest(name) {
                    Some(near) => format!("did you mean `{near}`? "),
                    None => String::new(),
                };
                return Err(Failure::usage(format!(
                    "{flag} has no key `{name}`; {near}`hart run {flag} help` lists them"
                )));
            };
            // Where a key stands for many, it is told which is meant.
            let value = match key.name.ends_with('*') {
                true => Some(argument),
                false => value,
            };
            (key.set)(target, value)
                .map_err(|error| Failure::usage(format!("{flag} {name}: {error}")))?;
        }
        Ok(Applied::Set)
    }

    /// Whether this names one of its keys, one that is refused among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.is_called(name))
            || self.refused.iter().any(|(refused, _)| *refused == name)
    }

    fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.keys.iter().map(|key| key.name))
    }

    /// The table that `help` prints.
    pub(crate) fn help(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for key in &self.keys {
            let value = match key.value {
                "" => String::from("[=y|n]"),
                value => format!("={value}"),
            };
            let _ = writeln!(text, "  {} {}{value}", self.flag, key.name);
            let _ = writeln!(text, "        {} [default: {}]", key.help, key.default);
        }
        if !self.refused.is_empty() {
            let _ = writeln!(text, "\nKeys of wasmtime that hart refuses:");
        }
        for (name, instead) in self.refused {
            let _ = writeln!(text, "  {name}\n        {instead}");
        }
        text
    }
}

/// The name among `names` that `name` is likely to mean.
pub(crate) fn nearest<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let (distance, near) = names
        .clone()
        .map(|known| (edit_distance(name, known), known))
        .min()?;
    let mut names = names;
    let contains =
        names.find(|known| !name.is_empty() && (known.contains(name) || name.contains(known)));
    match contains {
        _ if distance <= 2 => Some(near),
        contains => contains,
    }
}

/// What a key is set to that says what is so anyway.
///
/// # Errors
/// `instead`, where it says otherwise.
pub(crate) fn always(value: Option<&str>, on: bool, instead: &str) -> Result<(), String> {
    match switch(value)? == on {
        true => Ok(()),
        false => Err(instead.to_owned()),
    }
}

/// A key's value, for keys that need one.
///
/// # Errors
/// There is none.
pub(crate) fn required(value: Option<&str>) -> Result<&str, String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| String::from("needs a value: write `key=value`"))
}

/// Levenshtein's distance. Names are short, and so is this.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group<Vec<String>> {
        fn push(target: &mut Vec<String>, value: Option<&str>) -> Result<(), String> {
            target.push(required(value)?.to_owned());
            Ok(())
        }
        Group {
            flag: "-W",
            title: "Limits",
            keys: vec![Key {
                name: "max-memory",
                value: "SIZE",
                default: String::from("1GiB"),
                help: "All the memory there is.",
                set: push,
            }],
            refused: &[("max-fun", "have less of it")],
        }
    }

    /// Hunts keys after a comma, or in a second option, that are dropped.
    #[test]
    fn every_key_is_set() {
        let mut values = Vec::new();
        let arguments = [
            "max-memory=1,max-memory=2".to_owned(),
            "max-memory=3".to_owned(),
        ];
        assert_eq!(
            group().apply(&mut values, &arguments).unwrap(),
            Applied::Set
        );
        assert_eq!(values, ["1", "2", "3"]);
    }

    /// Hunts unknown keys that are ignored, and errors that do not say what would be right.
    #[test]
    fn unknown_keys_are_refused_with_the_way_out() {
        for argument in ["max-memry=1", "memory=1", ""] {
            let error = group()
                .apply(&mut Vec::new(), &[argument.to_owned()])
                .unwrap_err();
            let text = error.to_string();
            let name = argument.trim_end_matches("=1");
            assert!(text.contains(&format!("`{name}`")), "{text}");
            assert!(text.contains("-W help"), "{text}");
            assert_eq!(
                text.contains("did you mean"),
                !argument.is_empty(),
                "{text}"
            );
        }
        let error = group()
            .apply(&mut Vec::new(), &["max-memory".to_owned()])
            .unwrap_err();
        assert!(error.to_string().contains("needs a value"));
    }

    /// Hunts a help that leaves out a name, the default or the text.
    #[test]
    fn help_shows_everything() {
        let Ok(Applied::Help(text)) = group().apply(&mut Vec::new(), &["help".to_owned()]) else {
            panic!("help is help");
        };
        for part in [
            "Limits",
            "-W max-memory=SIZE",
            "1GiB",
            "All the memory there is.",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
