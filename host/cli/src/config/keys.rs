//! The keys of a configuration file, which the reader, the schema and the example have in common.

/// At the top.
pub(super) const TOP: &[&str] = &[
    "addr",
    "tls",
    "work",
    "access-log",
    "access-log-format",
    "admin",
    "watch",
    "grace",
    "max-concurrent-connections",
    "server-timing",
    "quiet-errors",
    "app",
];

/// In `[tls]`.
pub(super) const TLS: &[&str] = &["cert", "key"];

/// In `[work]`.
pub(super) const WORK: &[&str] = &[
    "server",
    "stream",
    "lease",
    "deliveries",
    "credentials",
    "tls-ca",
    "tls-cert",
    "tls-key",
];

/// In `[[app]]`. What `[app.limits]` has are the keys of `-W`, and `[app.env]`, `[app.config]` and `[app.keyvalue]` have any.
pub(super) const APP: &[&str] = &[
    "name",
    "component",
    "object",
    "digest",
    "host",
    "path",
    "weight",
    "concurrency",
    "queue",
    "queue-timeout",
    "body-limit",
    "reuse",
    "idle-timeout",
    "tier",
    "dirs",
    "env",
    "allow-http",
    "network",
    "config",
    "keyvalue",
    "remote",
    "limits",
];
