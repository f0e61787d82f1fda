//! Which hosts guests may send HTTP requests to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A host, or several, that guests may send HTTP requests to: see [`RunBuilder::allow_http`](crate::RunBuilder::allow_http).
///
/// Written `HOST` or `HOST:PORT`. `HOST` is a name, an address, `*.DOMAIN` for all names below a domain, or `*` for all
/// hosts. Without a port, the ports of `http` and `https` are meant, 80 and 443; of `*` alone, all ports.
///
/// A name that was allowed may be looked up to any address but those of this machine and of its own link (loopback,
/// link-local, unspecified, multicast), because whoever answers the look-up is not who allowed the name. `localhost`,
/// addresses and `*` mean what they say.
///
/// ```
/// use hart_host::AllowedHost;
///
/// let api: AllowedHost = "api.example.com:8443".parse()?;
/// assert_eq!(api.to_string(), "api.example.com:8443");
/// assert!("http://example.com/".parse::<AllowedHost>().is_err());
/// # Ok::<(), hart_host::AllowedHostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    /// All names that end in this, which begins with a dot.
    Below(String),
    Name(String),
    Address(IpAddr),
}

/// Why a text names no [`AllowedHost`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHostError(String);

/// Which addresses a request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Everywhere,
    /// Not this machine, nor its own link.
    Elsewhere,
}

impl AllowedHost {
    /// All hosts and all ports, this machine's too.
    pub fn any() -> Self {
        Self {
            host: Pattern::Any,
            port: None,
        }
    }

    /// Where a request to `host` may go, if it is this one. The host is as a URI has it, an IPv6 address in brackets.
    fn reach(&self, host: &str, port: u16) -> Option<Reach> {
        let host = bare(host);
        let reach = match &self.host {
            Pattern::Any => Reach::Everywhere,
            Pattern::Address(address) => match host.parse::<IpAddr>() {
                Ok(asked) if asked == *address => Reach::Everywhere,
                _ => return None,
            },
            Pattern::Name(name) if host.eq_ignore_ascii_case(name) => match name.as_str() {
                "localhost" => Reach::Everywhere,
                _ => Reach::Elsewhere,
            },
            Pattern::Below(domain) if is_below(host, domain) => Reach::Elsewhere,
            Pattern::Name(_) | Pattern::Below(_) => return None,
        };
        let is_port = match self.port {
            Some(allowed) => allowed == port,
            None => self.host == Pattern::Any || matches!(port, 80 | 443),
        };
        is_port.then_some(reach)
    }
}

/// Where a request to `host` may go, if any of `allowed` is that host.
pub(crate) fn reach(allowed: &[AllowedHost], host: &str, port: u16) -> Option<Reach> {
    let reaches = allowed.iter().filter_map(|one| one.reach(host, port));
    reaches.min_by_key(|reach| *reach != Reach::Everywhere)
}

impl Reach {
    pub(crate) fn includes(self, address: IpAddr) -> bool {
        self == Self::Everywhere || !is_own(address)
    }
}

/// Whether it is an address of this machine or of its own link, which a name from elsewhere has no business to be.
fn is_own(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let is_this_network = v4.octets()[0] == 0;
            is_this_network
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            // `::a.b.c.d` is no longer in use, and some systems route it as IPv4.
            let is_old_v4 = v6.segments()[..6] == [0; 6];
            is_old_v4 || v6.is_unicast_link_local() || v6.is_multicast()
        }
    }
}

/// The host without brackets and without the dot of a name that is complete.
fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or_else(|| host.strip_suffix('.').unwrap_or(host))
}

fn is_below(host: &str, domain: &str) -> bool {
    host.len()
        .checked_sub(domain.len())
        .filter(|at| *at > 0)
        .and_then(|at| host.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(domain))
}

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        let wrong = |what: &str| {
            let text = crate::base::text::line(text);
            AllowedHostError(format!(
                "`{text}` is no host: {what}; write HOST or HOST:PORT, such as example.com:443, *.example.com, [::1]:8080 or *"
            ))
        };
        if text.contains("://") {
            return Err(wrong(
                "it is a URL, and schemes and paths are not told apart",
            ));
        }
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text, None),
            Err(_) if text.ends_with(']') => (text, None),
            Err(_) => match text.rsplit_once(':') {
                None => (text, None),
                Some((host, port)) => {
                    let port = port.parse().map_err(|_| wrong("its port is no number"))?;
                    (host, Some(port))
                }
            },
        };
        if host == "*." {
            return Err(wrong("what follows `*.` is no domain"));
        }
        let host = bare(host).to_ascii_lowercase();
        let is_name = |name: &str| {
            let is_label = |label: &str| {
                let is_in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                !label.is_empty() && label.bytes().all(is_in_name)
            };
            name.split('.').all(is_label)
        };
        let host = if host == "*" {
            Pattern::Any
        } else if let Ok(address) = host.parse() {
            Pattern::Address(address)
        } else if let Some(domain) = host.strip_prefix('*').filter(|d| d.starts_with('.')) {
            if !is_name(&domain[1..]) {
                return Err(wrong("what follows `*.` is no domain"));
            }
            Pattern::Below(domain.to_owned())
        } else if is_name(&host) {
            Pattern::Name(host)
        } else {
            return Err(wrong("it is neither a name nor an address"));
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Pattern::Any => f.write_str("*")?,
            Pattern::Below(domain) => write!(f, "*{domain}")?,
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Pattern::Address(address) => write!(f, "{address}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for AllowedHostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AllowedHostError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(allowed: &[&str], host: &str, port: u16) -> Option<Reach> {
        let allowed: Vec<AllowedHost> = allowed.iter().map(|one| one.parse().unwrap()).collect();
        reach(&allowed, host, port)
    }

    #[test]
    fn what_was_allowed_may_be_asked_and_nothing_else() {
        use Reach::{Elsewhere, Everywhere};
        assert_eq!(asks(&[], "example.com", 80), None);
        assert_eq!(asks(&["example.com"], "example.com", 80), Some(Elsewhere));
        assert_eq!(asks(&["example.com"], "EXAMPLE.com.", 443), Some(Elsewhere));
        assert_eq!(asks(&["example.com"], "example.com", 8080), None);
        assert_eq!(asks(&["example.com:8080"], "example.com", 80), None);
        assert_eq!(asks(&["example.com"], "an-example.com", 80), None);
        assert_eq!(asks(&["example.com"], "a.example.com", 80), None);
        assert_eq!(
            asks(&["*.example.com"], "a.b.example.com", 80),
            Some(Elsewhere)
        );
        assert_eq!(asks(&["*.example.com"], "example.com", 80), None);
        assert_eq!(asks(&["*.example.com"], ".example.com", 80), None);
        assert_eq!(asks(&["*"], "127.0.0.1", 9), Some(Everywhere));
        assert_eq!(asks(&["*:9"], "127.0.0.1", 10), None);
        assert_eq!(asks(&["localhost:9"], "localhost", 9), Some(Everywhere));
        assert_eq!(asks(&["127.0.0.1:9"], "127.0.0.1", 9), Some(Everywhere));
        assert_eq!(asks(&["127.0.0.1:9"], "127.1", 9), None);
        assert_eq!(asks(&["[::1]:9"], "[::1]", 9), Some(Everywhere));
        assert_eq!(asks(&["::1"], "[0:0::1]", 80), Some(Everywhere));
        assert_eq!(asks(&["a.b", "*"], "a.b", 80), Some(Everywhere));
    }

    #[test]
    fn a_name_does_not_reach_this_machine() {
        let own = [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
        ];
        for address in own {
            let address = address.parse().unwrap();
            assert!(!Reach::Elsewhere.includes(address), "{address}");
            assert!(Reach::Everywhere.includes(address), "{address}");
        }
        for address in [
            "8.8.8.8",
            "10.0.0.1",
            "192.168.1.1",
            "2001:db8::1",
            "fd00::1",
        ] {
            assert!(
                Reach::Elsewhere.includes(address.parse().unwrap()),
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_way_out() {
        for wrong in [
            "",
            "a b",
            "http://a.b",
            "a.b:http",
            "a.b:70000",
            "*a.b",
            "*.",
            "a..b",
            "a/b",
        ] {
            let error = wrong.parse::<AllowedHost>().unwrap_err().to_string();
            assert!(
                error.contains("write HOST or HOST:PORT"),
                "{wrong}: {error}"
            );
        }
        for right in [
            "a.b",
            "a.b:1",
            "*.a.b",
            "*",
            "*:80",
            "1.2.3.4:5",
            "[::1]",
            "[::1]:6",
        ] {
            assert_eq!(right.parse::<AllowedHost>().unwrap().to_string(), right);
        }
    }
}
