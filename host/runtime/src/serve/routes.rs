//! Which service a request is for.

use std::fmt;
use std::sync::{Arc, Mutex};

use http::Request;
use http::header::HOST;

use crate::base::sync::lock;
use crate::service::handle::Service;

/// A service, and the requests that it gets.
pub struct Route<T: 'static = ()> {
    /// The host that requests name, without a port. None: any.
    pub host: Option<String>,
    /// What their paths begin with, in whole segments: `/a` has `/a` and `/a/b`, and not `/ab`. `/` has all.
    pub prefix: String,
    /// What answers them.
    pub service: Service<T>,
}

/// The services of a server, which can be exchanged while it runs: a request goes where the routes say when it begins,
/// and stays there.
pub struct Routes<T: 'static = ()> {
    routes: Mutex<Arc<[Route<T>]>>,
}

impl<T: 'static> Routes<T> {
    /// Where several routes fit, the one with a host goes first, then the one with the longest prefix.
    pub fn new(routes: Vec<Route<T>>) -> Self {
        Self {
            routes: Mutex::new(sorted(routes)),
        }
    }

    /// From now on these.
    pub fn set(&self, routes: Vec<Route<T>>) {
        let routes = sorted(routes);
        // Dropped outside of the lock: services hold instances.
        let _old = std::mem::replace(&mut *lock(&self.routes), routes);
    }

    /// The routes as they are now.
    pub fn get(&self) -> Arc<[Route<T>]> {
        lock(&self.routes).clone()
    }

    /// What answers `request`.
    pub(super) fn service_for<B>(&self, request: &Request<B>) -> Option<Service<T>> {
        let routes = self.get();
        if let [only] = &*routes
            && only.host.is_none()
            && only.prefix == "/"
        {
            return Some(only.service.clone());
        }
        let host = host_of(request);
        let path = request.uri().path();
        let fits = |route: &&Route<T>| route.has_host(host) && is_below(path, &route.prefix);
        routes.iter().find(fits).map(|route| route.service.clone())
    }
}

impl<T> Route<T> {
    fn has_host(&self, host: &str) -> bool {
        self.host
            .as_ref()
            .is_none_or(|own| own.eq_ignore_ascii_case(host))
    }
}

fn sorted<T>(mut routes: Vec<Route<T>>) -> Arc<[Route<T>]> {
    routes.sort_by_key(|route| {
        let length = route.prefix.trim_end_matches('/').len();
        std::cmp::Reverse((route.host.is_some(), length))
    });
    routes.into()
}

/// The host that a request names, without its port and without the dot of a name that is complete.
fn host_of<B>(request: &Request<B>) -> &str {
    let named = request.uri().host().or_else(|| {
        let header = request.headers().get(HOST)?.to_str().ok()?;
        Some(match header.rsplit_once(':') {
            // An IPv6 address has colons of its own, within brackets.
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => header,
        })
    });
    let host = named.unwrap_or("");
    host.strip_suffix('.').unwrap_or(host)
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty())
}

impl<T> Clone for Route<T> {
    fn clone(&self) -> Self {
        Self {
            host: self.host.clone(),
            prefix: self.prefix.clone(),
            service: self.service.clone(),
        }
    }
}

impl<T> fmt::Debug for Route<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("host", &self.host)
            .field("prefix", &self.prefix)
            .field("service", &self.service)
            .finish()
    }
}

impl<T> fmt::Debug for Routes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.get().iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_whole_segments() {
        for (path, prefix) in [
            ("/a", "/a"),
            ("/a/b", "/a"),
            ("/a/b", "/a/"),
            ("/x", "/"),
            ("*", "/"),
        ] {
            assert!(is_below(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [("/ab", "/a"), ("/", "/a"), ("/b/a", "/a")] {
            assert!(!is_below(path, prefix), "{path} {prefix}");
        }
    }

    #[test]
    fn the_host_has_no_port() {
        let named = |host: &str| {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            host_of(&request).to_owned()
        };
        assert_eq!(named("a.b:80"), "a.b");
        assert_eq!(named("a.b"), "a.b");
        assert_eq!(named("a.b.:80"), "a.b");
        assert_eq!(named("[::1]:80"), "[::1]");
        assert_eq!(named("[::1]"), "[::1]");
        assert_eq!(
            host_of(&Request::builder().uri("http://u.v:1/").body(()).unwrap()),
            "u.v"
        );
    }
}
