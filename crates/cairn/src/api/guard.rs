//! Who may ask: the names under which the node is reached, the origins of pages, and the token.
//!
//! A page that a browser shows must not speak to the node behind its user's back: its name may be
//! made to point here (DNS rebinding), or it may send a form here (cross-site request forgery).

mod token;

pub(crate) use token::write_private;
pub use token::{TOKEN_FILE, Token, TokenError};

use crate::api::errors::ApiError;
use axum::http::{HeaderMap, Method, Uri, header};
use std::net::SocketAddr;

/// How a connection carries requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// As it is, on this machine.
    Plain,
    /// Encrypted.
    Tls,
}

impl Scheme {
    /// What an address of the interface begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "http://",
            Self::Tls => "https://",
        }
    }
}

/// The names under which a node may be asked.
#[derive(Clone, Debug)]
pub struct Hosts {
    scheme: Scheme,
    /// `name:port`.
    allowed: Vec<String>,
}

impl Hosts {
    /// The loopback names with the port of `address`, the address itself, and `names` with that port or
    /// the one they bring.
    pub fn new(scheme: Scheme, address: SocketAddr, names: &[String]) -> Self {
        let port = address.port();
        let mut allowed = vec![
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
            address.to_string(),
        ];
        allowed.extend(names.iter().map(|name| match name.rsplit_once(':') {
            Some((_, own)) if own.parse::<u16>().is_ok() => name.clone(),
            _ => format!("{name}:{port}"),
        }));
        Self { scheme, allowed }
    }

    /// Refuses a request that is meant for another host or comes from a page of another origin. The address
    /// at which its connection arrived is a host too: a page can make its own name point here, and no number.
    ///
    /// # Errors
    ///
    /// `host-not-allowed` or `origin-not-allowed`.
    pub fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        arrived_at: SocketAddr,
    ) -> Result<(), ApiError> {
        let is_allowed = |host: &str| self.is_allowed(host) || is_address(host, arrived_at);
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let several = headers.get_all(header::HOST).iter().nth(1).is_some();
        if several || !host.is_some_and(&is_allowed) {
            return Err(ApiError::host_not_allowed());
        }
        if uri.authority().is_some_and(|authority| !is_allowed(authority.as_str())) {
            return Err(ApiError::host_not_allowed());
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix(self.scheme.prefix()));
            if !own.is_some_and(&is_allowed) {
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

/// Whether a host is this very address, in numbers.
fn is_address(host: &str, address: SocketAddr) -> bool {
    let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
    canonical.to_string().eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        check_at(&Hosts::new(Scheme::Plain, "127.0.0.1:7780".parse().unwrap(), &[]), method, headers)
    }

    fn check_at(
        hosts: &Hosts,
        method: &Method,
        headers: &[(&'static str, &str)],
    ) -> Result<(), &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let arrived_at = "[::ffff:192.0.2.1]:7780".parse().unwrap();
        hosts.check(method, &Uri::from_static("/v1/status"), &map, arrived_at).map_err(|error| error.code)
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

    #[test]
    fn a_node_for_others_is_known_by_its_names_and_by_the_address_of_the_connection() {
        let names = ["node.example".to_owned(), "proxy.example:443".to_owned()];
        let hosts = Hosts::new(Scheme::Tls, "0.0.0.0:7780".parse().unwrap(), &names);
        for host in ["node.example:7780", "Proxy.Example:443", "192.0.2.1:7780", "localhost:7780"] {
            assert_eq!(check_at(&hosts, &Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["node.example", "node.example:443", "192.0.2.2:7780", "evil.example:7780"] {
            let refused = check_at(&hosts, &Method::GET, &[("host", host)]);
            assert_eq!(refused, Err("host-not-allowed"), "{host}");
        }
        let host = ("host", "node.example:7780");
        let page = |origin| check_at(&hosts, &Method::POST, &[host, ("origin", origin)]);
        assert_eq!(page("https://node.example:7780"), Ok(()));
        assert_eq!(page("http://node.example:7780"), Err("origin-not-allowed"));
    }
}
