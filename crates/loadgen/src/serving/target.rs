//! The address of a server of models.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where requests go, and nowhere else: `http://host:port[/prefix]`, `https://…`, or `unix:/path/of/socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub place: Place,
    /// What stands in front of every path; without a slash at its end.
    pub prefix: String,
    /// What is spoken with it; no part of the address.
    pub version: HttpVersion,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HttpVersion {
    /// One request at a time on a connection.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// Many at once: by ALPN over TLS, and with prior knowledge (RFC 9113, section 3.3) without it.
    #[serde(rename = "2")]
    Http2,
}

impl HttpVersion {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// As on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HttpVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.1" | "1" | "http1.1" | "http/1.1" => Ok(Self::Http1),
            "2" | "2.0" | "h2" | "h2c" | "http2" | "http/2" => Ok(Self::Http2),
            _ => Err(format!("`{text}` is no version of HTTP that is spoken here: give 1.1 or 2")),
        }
    }
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Tcp {
        host: String,
        port: u16,
        tls: bool,
    },
    /// HTTP over a Unix stream socket.
    Unix(PathBuf),
}

/// An address that names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("`{0}` is no base URL: write http://host:port, https://host or unix:/path/of/socket")]
    Form(String),
    #[error(
        "a base URL with a user or password in it is refused, because it would end up in files: give a key in the environment (--api-key-env)"
    )]
    Secret,
    #[error("the base URL `{0}` has a query or fragment; give only scheme, host, port and path")]
    Query(String),
}

impl Target {
    /// The `host` field of requests.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Unix(_) => "localhost".to_owned(),
            Place::Tcp { host, port, tls } if *port == if *tls { 443 } else { 80 } => host.clone(),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// The host without the brackets of an IPv6 address; None for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Unix(_) => None,
            Place::Tcp { host, .. } => Some(host.trim_start_matches('[').trim_end_matches(']')),
        }
    }

    /// The same server by a version of HTTP.
    #[must_use]
    pub fn spoken(self, version: HttpVersion) -> Self {
        Self { version, ..self }
    }

    /// The path of an API call, for instance `/v1/models`.
    pub fn path(&self, call: &str) -> String {
        format!("{}{call}", self.prefix)
    }

    /// True if the server runs on this host as far as its address tells: clocks and CPUs are then shared.
    pub fn is_local(&self) -> bool {
        self.host().is_none_or(|host| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let bad = || TargetError::Form(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:").map(|path| path.trim_start_matches("//")) {
            return if path.is_empty() {
                Err(bad())
            } else {
                Ok(Self {
                    place: Place::Unix(PathBuf::from(path)),
                    prefix: String::new(),
                    version: HttpVersion::default(),
                })
            };
        }
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(bad()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // A password may hold anything, so the authority is looked at first, and it is not repeated.
        if rest.contains('@') {
            return Err(TargetError::Secret);
        }
        if rest.contains(['?', '#']) {
            return Err(TargetError::Query(text.to_owned()));
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand within brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        if host.is_empty() || host.contains(is_odd) || path.contains(is_odd) || port == 0 {
            return Err(bad());
        }
        let path = path.trim_end_matches('/');
        // OpenAI's clients want the version in their base URL; here it is part of each call.
        let prefix = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/');
        Ok(Self {
            place: Place::Tcp { host: host.to_owned(), port, tls },
            prefix: prefix.to_owned(),
            version: HttpVersion::default(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp { tls, .. } => {
                write!(f, "http{}://{}{}", if *tls { "s" } else { "" }, self.authority(), self.prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port, tls, prefix: &str| Target {
            place: Place::Tcp { host: host.into(), port, tls },
            prefix: prefix.into(),
            version: HttpVersion::Http1,
        };
        assert_eq!("http://127.0.0.1:8000".parse(), Ok(tcp("127.0.0.1", 8000, false, "")));
        assert_eq!("http://localhost:8000/v1/".parse(), Ok(tcp("localhost", 8000, false, "")));
        assert_eq!("https://host/api/v1".parse(), Ok(tcp("host", 443, true, "/api")));
        assert_eq!("http://[::1]:1/x".parse(), Ok(tcp("[::1]", 1, false, "/x")));
        let unix: Target = "unix:///run/a.sock".parse().unwrap();
        assert_eq!((unix.place, "/run/a.sock"), (Place::Unix("/run/a.sock".into()), "/run/a.sock"));
        for bad in
            ["", "host:80", "http://", "http://a:b", "ftp://a", "http://a b", "unix:", "http://a:0", "http://a:99999"]
        {
            assert!(matches!(bad.parse::<Target>(), Err(TargetError::Form(_))), "{bad}");
        }
        assert!(matches!("http://a/?x=1".parse::<Target>(), Err(TargetError::Query(_))));
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = "http://me:hunter2@host/".parse::<Target>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn versions_have_names_that_come_back() {
        for version in HttpVersion::ALL {
            assert_eq!(version.name().parse(), Ok(version));
            assert_eq!(serde_json::to_value(version).unwrap(), version.name());
        }
        assert_eq!("h2c".parse(), Ok(HttpVersion::Http2));
        assert!("3".parse::<HttpVersion>().is_err());
        let target = "http://h".parse::<Target>().unwrap().spoken(HttpVersion::Http2);
        assert_eq!((target.to_string().as_str(), target.version), ("http://h", HttpVersion::Http2));
    }

    #[test]
    fn shown_as_written_and_called_under_its_prefix() {
        let target: Target = "https://host:8443/api/v1".parse().unwrap();
        assert_eq!(
            (target.to_string().as_str(), target.path("/v1/models").as_str()),
            ("https://host:8443/api", "/api/v1/models")
        );
        assert_eq!("http://h".parse::<Target>().unwrap().authority(), "h");
        assert!("http://[::1]:9".parse::<Target>().unwrap().is_local());
        assert!(!"http://example.org".parse::<Target>().unwrap().is_local());
    }
}
