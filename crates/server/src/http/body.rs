//! Reading a request's body: bounded in bytes, and in how long it may stay silent.

use std::time::Duration;

use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use pacioli_api::problem::{Kind, Problem};

use super::App;

/// How many times the limit is read and thrown away, so that a client that writes first and reads later gets its answer
/// instead of a reset connection.
const DISCARDED: usize = 4;

/// The media type of a body, in lower case and without parameters.
pub(super) fn media_type(request: &Request) -> Result<String, Problem> {
    let header = |name| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(encoding) = header(CONTENT_ENCODING)
        && !encoding.trim().eq_ignore_ascii_case("identity")
    {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "compressed bodies are not read here; send it without Content-Encoding",
        ));
    }
    let content_type = header(CONTENT_TYPE).unwrap_or_default();
    Ok(content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// The whole body.
pub(super) async fn read(app: &App, request: Request) -> Result<Bytes, Problem> {
    let max = app.limits.body_bytes_max();
    let waits_for_leave = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let too_large =
        || Problem::new(Kind::OverLimit, format!("body: a request has at most {max} bytes; split the append"));
    let mut is_over = body.size_hint().lower() > max as u64;
    if is_over && waits_for_leave {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut discarded = 0;
    loop {
        let frame = match tokio::time::timeout(app.limits.body_idle_timeout, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) if is_over => return Err(too_large()),
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Err(error))) => {
                return Err(Problem::new(Kind::Invalid, format!("body: did not arrive whole: {error}")));
            }
            Err(_) => return Err(idle(app.limits.body_idle_timeout)),
        };
        let Ok(data) = frame.into_data() else { continue };
        if is_over || bytes.len() + data.len() > max {
            is_over = true;
            bytes = BytesMut::new();
            discarded += data.len();
            if discarded > max.saturating_mul(DISCARDED) {
                return Err(too_large());
            }
        } else {
            bytes.extend_from_slice(&data);
        }
    }
}

fn idle(limit: Duration) -> Problem {
    Problem::new(Kind::RequestTimeout, format!("body: nothing arrived for {} s", limit.as_secs()))
}
