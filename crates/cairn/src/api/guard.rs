//! Who may ask: the names under which the node is reached, the origins of pages, and the token.
//!
//! A page that a browser shows must not speak to the node behind its user's back: its name may be
//! made to point here (DNS rebinding), or it may send a form here (cross-site request forgery).

mod token;

pub use token::{TOKEN_FILE, Token, TokenError};

use crate::api::errors::ApiError;
use axum::http::{HeaderMap, Method, Uri, header};
use std::net::SocketAddr;

/// The names under which a node may be asked.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// `name:port`, in lower case.
    allowed: Vec<String>,
}

impl Hosts {
    /// The loopback names with the port of `address`, and the address itself.
    pub fn of(address: SocketAddr) -> Self {
        let port = address.port();
        let mut allowed =
            vec![format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
        if !allowed.contains(&address.to_string()) {
            allowed.push(address.to_string());
        }
        Self { allowed }
    }

    /// Refuses a request that is meant for another host or comes from a page of another origin.
    ///
    /// # Errors
    ///
    /// `host-not-allowed` or `origin-not-allowed`.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let several = headers.get_all(header::HOST).iter().nth(1).is_some();
        if several || !host.is_some_and(|host| self.is_allowed(host)) {
            return Err(ApiError::host_not_allowed());
        }
        if uri.authority().is_some_and(|authority| !self.is_allowed(authority.as_str())) {
            return Err(ApiError::host_not_allowed());
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            if !own.is_some_and(|host| self.is_allowed(host)) {
                return Err(ApiError::origin_not_allowed());
            }
        }
        // A browser that sends no origin still says how the page and the target are related.
        let site = headers.get("sec-fetch-site").filter(|_| !method.is_safe());
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(ApiError::origin_not_allowed());
        }
        Ok(())
    }

    fn is_allowed(&self, host: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let hosts = Hosts::of("127.0.0.1:7780".parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        hosts.check(method, &Uri::from_static("/v1/status"), &map).map_err(|error| error.code)
    }

    #[test]
    fn only_loopback_names_with_the_exact_port_are_hosts() {
        for host in ["127.0.0.1:7780", "localhost:7780", "LocalHost:7780", "[::1]:7780"] {
            assert_eq!(check(&Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:7781", "evil.example:7780", "localhost.evil.example:7780", ""] {
            assert_eq!(check(&Method::GET, &[("host", host)]), Err("host-not-allowed"), "{host}");
        }
        assert_eq!(check(&Method::GET, &[]), Err("host-not-allowed"));
        let two = [("host", "localhost:7780"), ("host", "evil.example")];
        assert_eq!(check(&Method::GET, &two), Err("host-not-allowed"));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:7780");
        assert_eq!(check(&Method::POST, &[host, ("origin", "http://localhost:7780")]), Ok(()));
        for origin in ["http://evil.example", "null", "https://localhost:7780", "http://localhost:80"] {
            let refused = check(&Method::POST, &[host, ("origin", origin)]);
            assert_eq!(refused, Err("origin-not-allowed"), "{origin}");
        }
        assert_eq!(
            check(&Method::POST, &[host, ("sec-fetch-site", "cross-site")]),
            Err("origin-not-allowed")
        );
        assert_eq!(check(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]), Ok(()));
    }
}
