//! Who may connect, and what is kept secret.

use super::nats::{Nats, Worker};
use crate::support::{Running, Scratch};

/// Hunts a password in what is said, and a worker that does not say that it was refused.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn wrong_credentials_are_told_and_not_shown() {
    let nats = Nats::start_with(Scratch::new(), &["--user", "me", "--pass", "sesame"]);
    let lab = nats.lab("lab");
    let file = lab.to_str().unwrap();
    let wrong = format!("nats://me:wrong-secret@127.0.0.1:{}", nats.port);
    let mut refused = nats.command(&["work", file, "--server", &wrong]);
    let refused = Running::start(refused.env("HART_LOG", "trace"), &[]).wait();
    let last = refused.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("check --creds"), "{refused:?}");
    assert!(!refused.stderr.contains("wrong-secret"), "{refused:?}");
    refused.exits(1);

    let mut worker = nats.command(&["work", file]);
    worker
        .env("NATS_USER", "me")
        .env("NATS_PASSWORD", "sesame")
        .env("HART_LOG", "trace");
    let worker = Worker::start(&mut worker);
    let right = format!("nats://me:sesame@127.0.0.1:{}", nats.port);
    let line = ["submit", "lab", "echo", "x", "--wait", "--server", &right];
    assert_eq!(nats.hart(&line).exits(0).stdout, "x");
    worker.signal(libc::SIGTERM);
    assert!(!worker.wait().exits(0).stderr.contains("sesame"));

    for (content, says) in [
        (None, "no such file"),
        (Some("SUAsecret"), "nsc generate creds"),
    ] {
        let path = nats.scratch.path().join("my.creds");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let ended = nats.hart(&["submit", "lab", "echo", "--creds", path.to_str().unwrap()]);
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert!(!ended.stderr.contains("SUAsecret"), "{ended:?}");
        ended.exits(2);
    }
}

/// Hunts TLS that is not spoken, and a server that is trusted without a reason.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn tls_is_spoken_with_those_who_are_trusted() {
    let scratch = Scratch::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert = scratch.write("cert.pem", made.cert.pem());
    let key = scratch.write("key.pem", made.signing_key.serialize_pem());
    let (cert, key) = (
        cert.to_str().unwrap().to_owned(),
        key.to_str().unwrap().to_owned(),
    );
    let nats = Nats::start_with(
        scratch,
        &[
            "--tls",
            "--tlscert",
            &cert,
            "--tlskey",
            &key,
            "--tlsverify",
            "--tlscacert",
            &cert,
        ],
    );
    let lab = nats.lab("lab");
    let server = format!("tls://localhost:{}", nats.port);
    let trusts = [
        "--server",
        &server,
        "--tls-ca",
        &cert,
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let worker = [&["work", lab.to_str().unwrap()], &trusts[..]].concat();
    let _worker = Worker::start(&mut nats.command(&worker));
    let submit = [&["submit", "lab", "echo", "x", "--wait"], &trusts[..]].concat();
    assert_eq!(nats.hart(&submit).exits(0).stdout, "x");
    let stranger = nats.hart(&["submit", "lab", "echo", "x", "--server", &server]);
    assert!(stranger.stderr.contains("TLS"), "{stranger:?}");
    stranger.exits(1);
}
