//! A table of the file, whose values are read one by one: what is wrong with one does not hide the next.

use super::problem::Problems;
use crate::keys::nearest;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table.
#[derive(Clone, Copy)]
pub(super) struct Section<'t, 'i> {
    pub(super) table: &'t DeTable<'i>,
    /// As it is called in errors.
    pub(super) title: &'static str,
    /// Where it begins.
    pub(super) at: usize,
}

impl<'t, 'i> Section<'t, 'i> {
    /// The value of `key`.
    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        let mut entries = self.table.iter();
        let found = entries.find(|(name, _)| name.get_ref() == key);
        found.map(|(_, value)| value)
    }

    /// Notes keys that are not `known`, each with the nearest that is.
    pub(super) fn check(&self, known: &[&str], problems: &mut Problems<'_>) {
        for (name, _) in self.table.iter() {
            let text: &str = name.get_ref();
            if known.contains(&text) {
                continue;
            }
            let way_out = match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", known.join(", ")),
            };
            let title = self.title;
            problems.add(
                name.span().start,
                format!("there is no key `{text}` in {title}; {way_out}"),
            );
        }
    }

    /// What `parse` makes of a text or a number.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let at = value.span().start;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            other => {
                let is = other.type_str();
                problems.add(
                    at,
                    format!("`{key}` is of type {is}; write a text, as in `{key} = \"..\"`"),
                );
                return None;
            }
        };
        let parsed = parse(text).map_err(|error| problems.add(at, format!("`{key}`: {error}")));
        parsed.ok()
    }

    /// A text.
    pub(super) fn text(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'t str> {
        let value = self.value(key)?;
        text_of(key, value, problems)
    }

    /// The path of something that has to be there, relative to `base`.
    pub(super) fn file(
        &self,
        key: &str,
        base: &Path,
        problems: &mut Problems<'_>,
    ) -> Option<PathBuf> {
        let path = base.join(self.text(key, problems)?);
        let at = self.value(key)?.span().start;
        let why = match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return Some(path),
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        problems.add(
            at,
            format!(
                "`{key}`: {}: {why}; give a file that exists, relative to this one",
                path.display()
            ),
        );
        None
    }

    /// A switch; no where it is not said.
    pub(super) fn switch(&self, key: &str, problems: &mut Problems<'_>) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        let switch = value.get_ref().as_bool();
        if switch.is_none() {
            let is = value.get_ref().type_str();
            problems.add(
                value.span().start,
                format!("`{key}` is of type {is}; write `{key} = true` or `{key} = false`"),
            );
        }
        switch.unwrap_or(false)
    }

    /// A list of texts, each as `parse` has it.
    pub(super) fn list<T>(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let is = value.get_ref().type_str();
            problems.add(
                value.span().start,
                format!("`{key}` is of type {is}; write a list, as in `{key} = [\"..\"]`"),
            );
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in array.iter() {
            let Some(text) = text_of(key, item, problems) else {
                continue;
            };
            match parse(text) {
                Ok(parsed) => all.push(parsed),
                Err(error) => problems.add(item.span().start, format!("`{key}`: {error}")),
            }
        }
        all
    }

    /// A text, or a list of them.
    pub(super) fn texts<T>(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        match self.value(key) {
            Some(value) if value.get_ref().as_array().is_some() => self.list(key, problems, parse),
            _ => self.parsed(key, problems, parse).into_iter().collect(),
        }
    }

    /// A table within it.
    pub(super) fn section(
        &self,
        key: &str,
        title: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<Section<'t, 'i>> {
        let value = self.value(key)?;
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            let is = value.get_ref().type_str();
            problems.add(
                at,
                format!("`{key}` is of type {is}; write a table, {title}"),
            );
            return None;
        };
        Some(Section { table, title, at })
    }
}

/// The text of `value`, which is that of `key` or in it.
pub(super) fn text_of<'t>(
    key: &str,
    value: &'t Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<&'t str> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        let is = value.get_ref().type_str();
        problems.add(
            value.span().start,
            format!("`{key}` has a value of type {is}; write a text between quotes"),
        );
    }
    text
}

/// Where `key` is, or else its section.
pub(super) fn place(section: Section<'_, '_>, key: &str) -> usize {
    section.value(key).map_or(section.at, |v| v.span().start)
}
