//! The app that a command line is about, or that apps of a file begin as.

use super::plan::AppPlan;
use crate::failure::Failure;
use crate::grants::{GrantArgs, Grants};
use hart_host::Limits;
use std::path::Path;

/// Whether the file is one that names apps.
pub(crate) fn is_config(file: &Path) -> bool {
    file.extension().is_some_and(|ext| ext == "toml")
}

/// What the command line says of `file`; `None` where help was asked for, which has been printed.
///
/// # Errors
/// Grants that make no sense, or that nobody would know the app of.
pub(crate) fn of_command_line(
    file: &Path,
    grants: &GrantArgs,
    limits: Limits,
) -> Result<Option<AppPlan>, Failure> {
    let Some(grants) = Grants::new(grants)? else {
        return Ok(None);
    };
    if is_config(file) && grants != Grants::default() {
        return Err(Failure::usage(
            "--dir, --env, --allow-http and -S would be for every app; write dirs, env, allow-http, network, \
             config, keyvalue or remote below the [[app]] that is to have them",
        ));
    }
    let name = file.file_stem().unwrap_or(file.as_os_str());
    Ok(Some(AppPlan {
        name: name.to_string_lossy().into_owned(),
        component: file.to_path_buf(),
        path: "/".into(),
        limits: grants.limits(limits),
        grants,
        ..AppPlan::default()
    }))
}
