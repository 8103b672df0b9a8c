//! A page for people: how the node is, live, and read only.
//!
//! It is three files of text in the program, asks nobody but this node, and runs no script but its own.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");
/// What the page may load and ask: its own style, script and interface.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

pub(in crate::api) async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], [(header::CONTENT_SECURITY_POLICY, POLICY)], HTML)
        .into_response()
}

pub(in crate::api) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub(in crate::api) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}
