//! By which name a server without tokens may be called.
//!
//! A browser lets a page talk to the page's own host, and who owns a name can point it at 127.0.0.1 later (DNS rebinding).
//! So a server that asks nobody who they are answers to the names of this machine only.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::uri::Authority;
use pacioli_api::problem::{Kind, Problem};

use super::answer::{Failure, grpc_status, is_grpc};

/// gRPC's code for what is not allowed.
const PERMISSION_DENIED: u16 = 7;

/// The refusal of a request that was sent to another name than this machine's; `None` where the name is right.
///
/// One that names no host at all comes from no browser.
pub(super) fn refusal(request: &Request) -> Option<Response> {
    let by_header = request.headers().get_all(HOST).iter().map(|host| host.as_bytes());
    let by_target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let wrong = by_header.chain(by_target).find(|host| !is_local(host))?;
    let shown = pacioli_api::text::shown(&String::from_utf8_lossy(wrong));
    let detail = format!(
        "this server has no tokens, so it answers to `localhost` and `127.0.0.1` only and not to `{shown}`; start it with \
         --tokens, or with --insecure if something else guards it"
    );
    tracing::info!(reason = detail, "refused");
    if is_grpc(request) {
        return Some(grpc_status(PERMISSION_DENIED, &detail));
    }
    Some(Failure::from(Problem::new(Kind::Misdirected, detail)).into_response())
}

fn is_local(host: &[u8]) -> bool {
    let Some(authority) = std::str::from_utf8(host).ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // An address cannot be rebound, and this one is of this machine.
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:1494", "127.0.0.1", "127.0.0.1:80", "127.1.2.3", "[::1]", "[::1]:1494"] {
            assert!(is_local(host.as_bytes()), "{host}");
        }
        let others =
            ["", "example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]", "\u{ff}"];
        for host in others {
            assert!(!is_local(host.as_bytes()), "{host}");
        }
        assert!(!is_local(b"\xff"));
    }
}
