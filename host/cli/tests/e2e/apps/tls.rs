//! TLS, by a client that trusts one certificate.

use super::until;
use crate::serve::{Answer, Server, get};
use crate::support::{Scratch, hart};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

/// Writes a new certificate and its key; the certificate.
fn certify(scratch: &Scratch) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    scratch.write("cert.pem", made.cert.pem());
    scratch.write("key.pem", made.signing_key.serialize_pem());
    made.cert.der().clone()
}

/// What `path` is answered, if the server has this certificate, and the protocol that was agreed on.
fn ask(
    server: &Server,
    trusted: &CertificateDer<'static>,
    path: &str,
    protocols: &[&[u8]],
) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = server.connect();
    while client.is_handshaking() {
        client.complete_io(&mut stream).ok()?;
    }
    let agreed = client.alpn_protocol().map(<[u8]>::to_vec);
    let mut answer = Vec::new();
    if agreed.as_deref() != Some(b"h2") {
        let mut stream = Stream::new(&mut client, &mut stream);
        stream.write_all(&get(path)).unwrap();
        // It may end without a farewell.
        let _ = stream.read_to_end(&mut answer);
    }
    Some((answer, agreed))
}

/// Hunts a server that does not speak TLS, tells the guest another scheme, keeps an old certificate, or takes a broken one.
#[test]
pub(crate) fn clients_speak_tls_and_a_new_certificate_is_taken() {
    let scratch = Scratch::new();
    let first = certify(&scratch);
    let (cert, key) = (
        scratch.path().join("cert.pem"),
        scratch.path().join("key.pem"),
    );
    let server = Server::lab(&[
        "--tls-cert",
        &cert.to_string_lossy(),
        "--tls-key",
        &key.to_string_lossy(),
    ]);
    let (answer, _) = ask(&server, &first, "/scheme", &[]).unwrap();
    let answer = Answer::read(&answer);
    assert!(answer.text().to_lowercase().contains("https"), "{answer:?}");
    let (_, agreed) = ask(&server, &first, "/", &[b"http/1.1", b"h2"]).unwrap();
    assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));

    let second = certify(&scratch);
    assert!(ask(&server, &second, "/hello", &[]).is_none());
    server.signal(libc::SIGHUP);
    until("the new certificate", || {
        ask(&server, &second, "/hello", &[]).is_some()
    });
    assert!(ask(&server, &first, "/hello", &[]).is_none());

    scratch.write("key.pem", "no key");
    server.signal(libc::SIGHUP);
    let (answer, _) = ask(&server, &second, "/hello", &[]).unwrap();
    assert_eq!(Answer::read(&answer).text(), "hello");
    server.signal(libc::SIGTERM);
    let (code, _, said) = server.wait();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("the certificate stays as it was") && said.contains("key.pem"),
        "{said}"
    );

    let file = hart_build::guest("http-lab");
    let file = file.to_string_lossy();
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    hart(["serve", "--tls-cert", &cert, &file]).exits(2);
    let options = [
        "--addr",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let refused = hart(["serve"].into_iter().chain(options).chain([&*file])).exits(2);
    assert!(refused.stderr.contains("key.pem: no key"), "{refused:#?}");
}
