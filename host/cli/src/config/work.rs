//! What a configuration file says for `hart work`.

use super::keys::WORK;
use super::plan::{ObjectPlan, Purpose, TlsFiles, WorkPlan};
use super::problem::Problems;
use super::section::{Section, place};
use crate::units::{at_least_one, positive_duration};
use std::path::Path;

/// What `[work]` says.
pub(super) fn work_of(
    work: Section<'_, '_>,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> WorkPlan {
    work.check(WORK, problems);
    let cert = work.file("tls-cert", directory, problems);
    let key = work.file("tls-key", directory, problems);
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        _ => {
            let has = |key: &str| work.value(key).is_some();
            if has("tls-cert") != has("tls-key") {
                problems.add(
                    work.at,
                    "[work] has one of `tls-cert` and `tls-key`; write both, or none",
                );
            }
            None
        }
    };
    WorkPlan {
        server: work.text("server", problems).map(str::to_owned),
        stream: work.text("stream", problems).map(str::to_owned),
        lease: work.parsed("lease", problems, positive_duration),
        deliveries: work.parsed("deliveries", problems, |text| {
            let times = at_least_one(text)?;
            Ok(u32::try_from(times).unwrap_or(u32::MAX))
        }),
        credentials: work.file("credentials", directory, problems),
        tls_ca: work.file("tls-ca", directory, problems),
        tls,
    }
}

/// Where the component is, if that is no file.
pub(super) fn object(
    app: Section<'_, '_>,
    purpose: Purpose,
    problems: &mut Problems<'_>,
) -> Option<ObjectPlan> {
    let object = app.parsed("object", problems, |text| match text.split_once('/') {
        Some((bucket, name)) if !bucket.is_empty() && !name.is_empty() => {
            Ok((bucket.to_owned(), name.to_owned()))
        }
        _ => Err(format!("`{text}` is no object; write BUCKET/NAME")),
    });
    let digest = app.parsed("digest", problems, |text| {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        match digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => Ok(digits.to_owned()),
            false => Err(format!(
                "`{text}` is no digest; write sha256: and what `sha256sum` prints"
            )),
        }
    });
    let has = |key: &str| app.value(key).is_some();
    if has("object") && purpose == Purpose::Serve {
        let text = "`object` is for `hart work`; write `component`, a file";
        problems.add(place(app, "object"), text);
    } else if has("object") && has("component") {
        let text = "there is a `component` as well; write one of them";
        problems.add(place(app, "object"), text);
    } else if has("object") != has("digest") {
        let text = "one of `object` and `digest` is missing; write both, or a `component`";
        problems.add(app.at, text);
    }
    let ((bucket, name), sha256) = object.zip(digest)?;
    Some(ObjectPlan {
        bucket,
        name,
        sha256,
    })
}
