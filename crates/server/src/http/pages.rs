//! `/openapi.json`, and the page that shows it: one document, no script, nothing fetched from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::body;
use super::routes::{GRPC, TABLE};

/// The OpenAPI document of the HTTP API.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

const STYLE: &str = include_str!("docs.css");

/// `GET /openapi.json`
pub(super) async fn openapi() -> Response {
    let mut response = std::future::ready(body(StatusCode::OK, "application/json", OPENAPI)).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `GET /` and `GET /docs`
pub(super) async fn docs() -> Response {
    let mut response = std::future::ready(body(StatusCode::OK, "text/html; charset=utf-8", PAGE.as_str())).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Nothing but this very style sheet.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = pacioli_api::text::base64(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

static PAGE: LazyLock<String> = LazyLock::new(|| page(&serde_json::from_str(OPENAPI).unwrap_or(Value::Null)));

fn page(api: &Value) -> String {
    let mut html = String::new();
    let title = text(&api["info"]["title"]);
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body><main>\
         <h1>{title} <small>{}</small></h1><p>{}</p><nav><a href=\"/openapi.json\">openapi.json</a> \
         <a href=\"/metrics\">metrics</a> <a href=\"/healthz\">healthz</a> <a href=\"/readyz\">readyz</a></nav>",
        text(&api["info"]["version"]),
        text(&api["info"]["description"])
    );
    // In the order of the table, where what most people look for comes first.
    for row in TABLE.iter().filter(|row| row.method != GRPC) {
        let operations = &api["paths"][row.path];
        let operation = &operations[row.method.to_lowercase()];
        let _ = write!(
            html,
            "<section><h2><b>{}</b> <code>{}</code></h2><p>{}</p><p>{}</p>",
            row.method,
            escape(row.path),
            text(&operation["summary"]),
            text(&operation["description"])
        );
        let of_path = operations["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<&Value> =
            of_path.chain(operation["parameters"].as_array().into_iter().flatten()).map(|p| resolve(api, p)).collect();
        if !parameters.is_empty() {
            html.push_str("<table><tr><th>parameter</th><th>in</th><th></th></tr>");
            for parameter in parameters {
                let _ = write!(
                    html,
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                    text(&parameter["name"]),
                    text(&parameter["in"]),
                    text(&parameter["description"])
                );
            }
            html.push_str("</table>");
        }
        html.push_str("<table><tr><th>answer</th><th></th></tr>");
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let description = text(&resolve(api, answer)["description"]);
            let _ = write!(html, "<tr><td>{}</td><td>{description}</td></tr>", escape(status));
        }
        html.push_str("</table></section>");
    }
    html.push_str("</main></body></html>");
    html
}

/// What a `$ref` within the document points to.
fn resolve<'a>(api: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|reference| api.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(value)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or(""))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
