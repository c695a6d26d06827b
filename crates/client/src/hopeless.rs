//! Connections that no patience makes: the peer speaks something else, or its certificate is not trusted.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError, InvalidMessage};
use tonic::Status;

/// What HTTP/2 says of the first bytes of a peer that speaks TLS or HTTP/1: they give no frame it could have sent.
const NO_FRAME: &str = "frame with invalid size";

/// Why a first connection to `url` will not be made however often it is tried, and what to do; `None` where it may be.
///
/// Only for a server that has not answered yet: one that has may be between two certificates.
pub(crate) fn why(url: &str, status: &Status) -> Option<String> {
    let mut source = Error::source(status);
    let mut says_no_frame = status.message().contains(NO_FRAME);
    while let Some(error) = source {
        if let Some(tls) = tls_error(error) {
            return because_of_tls(url, tls);
        }
        says_no_frame |= error.to_string().contains(NO_FRAME);
        source = error.source();
    }
    let other = url.replacen("http://", "https://", 1);
    (says_no_frame && other != url).then(|| {
        format!("cannot talk to {url}: no gRPC is spoken there; most likely this port speaks TLS: use {other}")
    })
}

/// TLS errors come inside of those of the system.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| inner?.downcast_ref())
}

fn because_of_tls(url: &str, error: &TlsError) -> Option<String> {
    let remedy = match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "nobody who is trusted issued the server's certificate; name the certificate of its issuer with \
             `--ca-cert FILE` (`ca_pem` of the client)"
                .to_owned()
        }
        // The certificate of an authority was made to sign others, and may not serve itself.
        TlsError::InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains("CaUsedAsEnd") => {
            "the server serves with the certificate of an authority; make a certificate with basicConstraints CA:FALSE"
                .to_owned()
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name; use a name of the certificate in the URL".to_owned(),
        TlsError::InvalidCertificate(_) => "the server needs another certificate".to_owned(),
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("this port does not speak TLS: use {}", url.replacen("https://", "http://", 1))
        }
        TlsError::AlertReceived(_)
        | TlsError::PeerIncompatible(_)
        | TlsError::NoApplicationProtocol
        | TlsError::InvalidMessage(_) => "client and server cannot agree on TLS".to_owned(),
        _ => return None,
    };
    Some(format!("cannot connect to {url}: {error}: {remedy}"))
}
