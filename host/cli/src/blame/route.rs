//! A route of a server: what a URL says.

use crate::failure::Failure;
use http::Uri;
use std::net::{SocketAddr, ToSocketAddrs as _};

/// A route that is asked.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Where its host may be, in the order in which that is tried.
    pub(super) addresses: Vec<SocketAddr>,
    /// Host and port, as the URL has them.
    pub(super) authority: String,
    /// With the query.
    pub(super) path: String,
}

impl Route {
    /// What `url` says. Whoever has not said that the server is theirs may ask one on this machine only.
    ///
    /// # Errors
    /// No URL of HTTP, a name that nobody knows, another machine.
    pub(super) fn new(url: &str, is_owned: bool) -> Result<Self, Failure> {
        let no_url = |why: &str| {
            Failure::usage(format!(
                "{url}: {why}; write http://HOST:PORT/PATH, as in http://127.0.0.1:8080/hello"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| no_url("no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(no_url("blame speaks HTTP without TLS"));
            }
            _ => return Err(no_url("no URL of HTTP")),
        }
        let authority = uri.authority().ok_or_else(|| no_url("it names no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let (_, after) = authority.as_str().rsplit_once(host).unwrap_or_default();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if after.trim_matches([']', ':']).is_empty() => 80,
            None => return Err(no_url("that is no port")),
        };
        let addresses = (host, port).to_socket_addrs();
        let addresses: Vec<SocketAddr> = addresses
            .map_err(|error| no_url(&error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(no_url("the host has no address"));
        }
        let other = addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(other) = other
            && !is_owned
        {
            return Err(Failure::usage(format!(
                "{url}: {} is not this machine, and blame loads a server on purpose; ask one on 127.0.0.1, or say that \
                 it is yours with --i-own-this-server",
                other.ip()
            )));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            addresses,
            authority: authority.to_string(),
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a server of somebody else's that is loaded by a slip of the keyboard, and a query that is lost.
    #[test]
    fn others_are_asked_only_by_their_owners() {
        let route = Route::new("http://127.0.0.1:81/a?b=c", false).unwrap();
        assert_eq!((route.addresses[0].port(), &*route.path), (81, "/a?b=c"));
        assert_eq!(Route::new("http://[::1]", false).unwrap().path, "/");
        for url in ["http://192.0.2.1/", "http://0.0.0.0:80/"] {
            let refused = Route::new(url, false).unwrap_err();
            assert!(refused.to_string().contains("--i-own-this-server"));
            assert!(Route::new(url, true).is_ok());
        }
        for url in [
            "",
            "/hello",
            "https://127.0.0.1/",
            "ftp://127.0.0.1/",
            "127.0.0.1:80",
            "http://127.0.0.1:99999/",
            "http://[::1]:99999/",
        ] {
            let refused = Route::new(url, true).unwrap_err();
            assert!(refused.to_string().contains("write http://"), "{refused}");
        }
    }
}
