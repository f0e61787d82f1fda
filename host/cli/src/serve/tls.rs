//! TLS: a certificate and its key, from PEM files.

use crate::config::plan::TlsFiles;
use crate::failure::Failure;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// What a server speaks TLS with.
///
/// # Errors
/// Files that cannot be read, or that do not belong together.
pub(super) fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, Failure> {
    let no_certificate = |error: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "no certificate: {error}; give a PEM file with `BEGIN CERTIFICATE`"
        ))
        .at(&files.cert)
    };
    let certificates = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| no_certificate(&error))?;
    if certificates.is_empty() {
        return Err(no_certificate(&"there is none in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        Failure::usage(format!(
            "no key: {error}; give a PEM file with `BEGIN PRIVATE KEY`"
        ))
        .at(&files.key)
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, key)
        });
    let mut config = config.map_err(|error| {
        Failure::usage(format!(
            "this certificate and the key {} cannot be used: {error}; give a pair",
            files.key.display()
        ))
        .at(&files.cert)
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
