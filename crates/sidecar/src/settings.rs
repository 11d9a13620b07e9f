//! What a sidecar is to be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use server_api::Api;

/// A place to listen at or to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, or `unix:PATH`. Port 0 is any that is free.
    ///
    /// # Errors
    /// What is wrong, and what to give.
    pub fn listen(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) => unix(path),
            None => tcp(text, None).ok_or_else(|| {
                format!("{text:?} is no place to listen at; give HOST:PORT, as 127.0.0.1:8080, or unix:PATH")
            }),
        }
    }
}

/// As a client would name it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The server behind the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    pub endpoint: Endpoint,
    /// What stands before every path: empty, or `/prefix`.
    pub prefix: String,
}

impl BaseUrl {
    /// `http://host:port`, with a path before the API's own if need be, or `unix:PATH`. A final `/v1` is not needed and is dropped.
    ///
    /// # Errors
    /// What is wrong, and what to give.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no upstream; give http://HOST:PORT or unix:PATH");
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self { endpoint: unix(path)?, prefix: String::new() });
        }
        if text.contains('@') && !text.starts_with("unix:") {
            return Err("an upstream with a user or password in it is not taken, since it would be logged; clients send the key in their Authorization header".to_owned());
        }
        if text.starts_with("https://") {
            return Err(format!(
                "{text:?} needs TLS, which a sidecar does not speak: it stands beside its server; give http://HOST:PORT or unix:PATH"
            ));
        }
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        if rest.contains(['?', '#', ' ']) {
            return Err(wrong());
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let endpoint = tcp(authority, Some(80)).ok_or_else(wrong)?;
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/');
        Ok(Self { endpoint, prefix: path.to_owned() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.endpoint, self.prefix)
    }
}

fn unix(path: &str) -> Result<Endpoint, String> {
    if path.is_empty() {
        return Err("unix: lacks the path of a socket; give unix:PATH".to_owned());
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

fn tcp(authority: &str, default_port: Option<u16>) -> Option<Endpoint> {
    // The colons of a numeric IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, default_port),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let good = !host.is_empty() && !host.contains('/') && (bracketed || !host.contains(':'));
    good.then(|| port.map(|port| Endpoint::Tcp(format!("{host}:{port}")))).flatten()
}

/// What is fixed at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub listen: Endpoint,
    pub upstream: BaseUrl,
    pub api: Api,
    /// Threads that render and tokenize.
    pub workers: usize,
    /// Requests that may wait for one of them; the next is refused with 503.
    pub queue: usize,
    /// Threads that read and write sockets.
    pub io_threads: usize,
    /// Largest body of a request, bytes; beyond it the answer is 413.
    pub max_body: usize,
    /// Bytes of all bodies that are being read or wait for a worker; beyond it the answer is 503.
    pub max_held: usize,
    /// Longest time from a request's head to the end of its body; beyond it the answer is 408.
    pub read_timeout: Duration,
    /// Connections of clients; the next gets 503 and is closed.
    pub max_connections: usize,
    pub connect_timeout: Duration,
    /// Longest silence of the upstream within an answer, its beginning included.
    pub silence_timeout: Duration,
}

impl Settings {
    /// Requests that may wait for each worker where nothing else is said.
    pub const QUEUE_A_WORKER: usize = 64;

    /// The defaults: as many workers as given, listening at any free port of this machine.
    pub fn new(upstream: BaseUrl, api: Api, workers: usize) -> Self {
        let workers = workers.max(1);
        Self {
            listen: Endpoint::Tcp("127.0.0.1:0".to_owned()),
            upstream,
            api,
            workers,
            queue: workers * Self::QUEUE_A_WORKER,
            // One thread moves some ten thousand chunks a second beside its other work; rendering needs the cores more.
            io_threads: workers.div_ceil(4),
            max_body: 64 << 20,
            max_held: 512 << 20,
            read_timeout: Duration::from_secs(30),
            max_connections: 4096,
            connect_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_urls_or_sockets() {
        let parsed = |text: &str| BaseUrl::parse(text).map(|url| (url.to_string(), url.prefix));
        for (text, shown, prefix) in [
            ("http://localhost:8000", "http://localhost:8000", ""),
            ("http://localhost:8000/v1/", "http://localhost:8000", ""),
            ("http://host/proxy/m/v1", "http://host:80/proxy/m", "/proxy/m"),
            ("http://[::1]:9", "http://[::1]:9", ""),
            ("http://[::1]", "http://[::1]:80", ""),
            ("unix:/tmp/a b", "unix:/tmp/a b", ""),
        ] {
            assert_eq!(parsed(text), Ok((shown.to_owned(), prefix.to_owned())), "{text}");
        }
        for (text, said) in [
            ("https://x", "TLS"),
            ("localhost:80", "http://HOST:PORT"),
            ("http://", "http://HOST:PORT"),
            ("http://a:b", "http://HOST:PORT"),
            ("http://::1", "http://HOST:PORT"),
            ("http://u:secret@h", "logged"),
            ("https://u:secret@h", "logged"),
            ("u:secret@h", "logged"),
            ("http://h?x", "http://HOST:PORT"),
            ("unix:", "lacks the path"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn places_to_listen_at_have_a_port() {
        assert_eq!(Endpoint::listen("0.0.0.0:80"), Ok(Endpoint::Tcp("0.0.0.0:80".to_owned())));
        assert_eq!(Endpoint::listen("unix:s"), Ok(Endpoint::Unix("s".into())));
        for text in ["8080", "localhost", "localhost:99999", ":80", "unix:"] {
            assert!(Endpoint::listen(text).is_err(), "{text}");
        }
    }
}
