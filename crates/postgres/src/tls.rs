//! TLS towards PostgreSQL: rustls with `ring`, certificates always verified.

use std::path::Path;
use std::sync::Arc;

use pacioli_core::StoreError;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connector that trusts the authorities in `root_cert`, or the system's.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub(crate) fn connector(root_cert: Option<&Path>) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = RootCertStore::empty();
    match root_cert {
        Some(path) => {
            let unreadable = |error: rustls_pki_types::pem::Error| {
                StoreError::new(format!("sslrootcert: cannot read certificates from {}: {error}", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(|error| {
                    StoreError::new(format!(
                        "sslrootcert: a certificate in {} is no authority: {error}",
                        path.display()
                    ))
                })?;
            }
            if roots.is_empty() {
                return Err(StoreError::new(format!("sslrootcert: {} holds no certificate", path.display())));
            }
        }
        None => {
            // A system without authorities is no error by itself: the handshake says what is missing.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::new(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
