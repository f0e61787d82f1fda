//! Where the admin socket is: a path, or an address of this machine.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where a server listens for whoever watches it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AdminAddress {
    /// A Unix socket, which only the process's own user may use.
    Path(PathBuf),
    /// An address of this machine, which all its users and their browsers can reach: for reading.
    Tcp(SocketAddr),
}

impl AdminAddress {
    /// Reads `hart.sock`, `127.0.0.1:9100` or `localhost:9100`.
    ///
    /// # Errors
    /// An address that other machines can reach.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let local = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        match local.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(address) => Err(format!(
                "`{text}` can be reached from other machines; write 127.0.0.1:{}, or the path of a Unix socket",
                address.port()
            )),
            Err(_) if text.is_empty() => Err("write a path, like hart.sock".into()),
            Err(_) => match port(text) {
                Some(port) => Err(format!(
                    "`{text}` is no address of this machine; write 127.0.0.1:{port}, or ./{text} for a socket of that name"
                )),
                None => Ok(Self::Path(text.into())),
            },
        }
    }

    /// The same, with a path that is relative to `base`.
    pub(crate) fn within(self, base: &Path) -> Self {
        match self {
            Self::Path(path) => Self::Path(base.join(path)),
            tcp => tcp,
        }
    }
}

/// The port of what looks like an address and is none: `9100`, `:9100`, `other:9100`.
fn port(text: &str) -> Option<u16> {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    // One that is too great is no port, and still no path that somebody means.
    (is_number && !text.contains('/')).then(|| port.parse().unwrap_or(9100))
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts an address that the whole network reaches, and a path that is taken for one.
    #[test]
    fn only_this_machine_is_listened_to() {
        let tcp = |text: &str| AdminAddress::Tcp(text.parse().unwrap());
        for (text, address) in [
            ("hart.sock", AdminAddress::Path("hart.sock".into())),
            ("./1.2.3.4", AdminAddress::Path("./1.2.3.4".into())),
            ("./:9100", AdminAddress::Path("./:9100".into())),
            ("hart9100", AdminAddress::Path("hart9100".into())),
            ("a:", AdminAddress::Path("a:".into())),
            ("127.0.0.1:9100", tcp("127.0.0.1:9100")),
            ("localhost:9100", tcp("127.0.0.1:9100")),
            ("[::1]:0", tcp("[::1]:0")),
        ] {
            assert_eq!(AdminAddress::parse(text), Ok(address));
        }
        for text in [
            "0.0.0.0:9100",
            "[::]:9100",
            "192.168.0.1:80",
            "",
            "9100",
            "other:9100",
            "localhost:99999",
        ] {
            assert!(AdminAddress::parse(text).is_err(), "{text}");
        }
        let refused = "`:9100` is no address of this machine; write 127.0.0.1:9100, or ./:9100 for a socket of that name";
        assert_eq!(AdminAddress::parse(":9100"), Err(refused.into()));
    }
}
