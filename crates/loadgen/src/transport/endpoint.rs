//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a server: `unix:/path` or `http://host:port[/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Frames over a Unix stream socket.
    Unix(PathBuf),
    /// HTTP/1.1; the path is `/prepare` where the address has none.
    Http { host: String, port: u16, path: String },
}

/// An address that names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no endpoint: write unix:/path/of/socket or http://host:port")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || EndpointError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand within brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, 80),
        };
        if host.is_empty() || path.contains(char::is_whitespace) {
            return Err(bad());
        }
        let path = if path.is_empty() || path == "/" { "/prepare" } else { path };
        Ok(Self::Http { host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { host, port, path } => write!(f, "http://{host}:{port}{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let http = |host: &str, port, path: &str| Endpoint::Http { host: host.into(), port, path: path.into() };
        assert_eq!("unix:/run/a".parse(), Ok(Endpoint::Unix("/run/a".into())));
        assert_eq!("http://127.0.0.1:8000".parse(), Ok(http("127.0.0.1", 8000, "/prepare")));
        assert_eq!("http://[::1]:8000/x/y".parse(), Ok(http("[::1]", 8000, "/x/y")));
        assert_eq!("http://[::1]/".parse(), Ok(http("[::1]", 80, "/prepare")));
        for bad in ["", "unix:", "https://a:1", "http://", "http://a:b", "http://a:1/x y", "127.0.0.1:80"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
