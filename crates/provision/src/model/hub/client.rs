//! Requests to the hub: where the token may go, which answers are tried again, and what each refusal means.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error, Timeout};

use super::layout::is_commit;
use super::{HubConfig, HubError};

/// Redirects that are followed for one request.
const MAX_HOPS: usize = 8;
/// The longest wait that a server may ask for between two tries.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What the hub says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub commit: String,
    /// Names the content: for large files its SHA-256, for small ones its git hash.
    pub etag: String,
    pub size: Option<u64>,
}

/// A file of a repository, or the lack of it.
#[derive(Debug)]
pub(super) enum Entry {
    File(Metadata),
    Missing,
}

/// A try that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another try may do better, not before this wait if the server asked for one.
    Again(HubError, Option<Duration>),
    Final(HubError),
}

/// Speaks with the hub about one repository.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) id: &'a str,
    pub(super) config: &'a HubConfig,
    /// Host and port of the endpoint, for messages.
    pub(super) host: String,
    /// Scheme, host and port that the token may be sent to.
    origin: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(id: &'a str, config: &'a HubConfig) -> Result<Self, HubError> {
        let uri: Uri = config
            .endpoint
            .parse()
            .map_err(|e: ureq::http::uri::InvalidUri| HubError::Endpoint { reason: e.to_string() })?;
        let no_scheme = || HubError::Endpoint { reason: "it does not start with https:// or http://".into() };
        let origin = origin(&uri).ok_or_else(no_scheme)?;
        if config.token.as_ref().is_some_and(|t| !t.secret().bytes().all(|b| b.is_ascii_graphic())) {
            return Err(HubError::MalformedToken);
        }
        let timeouts = config.timeouts;
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, hop by hop, so that the token stays with the endpoint.
            .max_redirects(0)
            // Hashes and lengths are those of the file itself.
            .accept_encoding("identity")
            .user_agent(concat!("llmbench/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_per_read(Some(timeouts.silence))
            .timeout_per_write(Some(timeouts.silence));
        if !config.proxy_from_env {
            builder = builder.proxy(None);
        }
        if let Some(certs) = root_certs(config)? {
            builder = builder.tls_config(TlsConfig::builder().root_certs(certs).build());
        }
        Ok(Self { agent: builder.build().new_agent(), id, config, host: host(&uri), origin })
    }

    /// Asks for a file's commit, etag and size.
    pub(super) fn head(&self, revision: &str, file: &str) -> Result<Entry, HubError> {
        self.retry(|| self.head_once(revision, file))
    }

    /// Starts a download from byte `from` on. The answer's status is 200, 206 or 416.
    pub(super) fn get(&self, commit: &str, file: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut url = self.url(commit, file)?;
        for _ in 0..MAX_HOPS {
            let mut request = self.agent.get(&url);
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(bearer) = self.bearer(&url) {
                request = request.header(header::AUTHORIZATION, bearer);
            }
            let response = request.call().map_err(|e| self.network(e, &url, file))?;
            match response.status().as_u16() {
                200 | 206 | 416 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => url = self.next_hop(&url, &response)?,
                _ => return Err(self.refusal(&response, &url, commit, file)),
            }
        }
        Err(Failure::Final(self.not_a_hub("it redirects in a circle")))
    }

    /// Tries until it succeeds, fails for good, or `attempts` are used up.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, HubError> {
        let mut wait = self.config.backoff;
        for left in (0..self.config.attempts.max(1)).rev() {
            let (error, asked) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Again(e, asked)) => (e, asked),
            };
            // Silence has cost its whole time-out already; one more try is enough.
            let silent_again = matches!(error, HubError::Silent { .. }) && wait > self.config.backoff;
            if left == 0 || silent_again || asked.is_some_and(|t| t > MAX_WAIT) {
                return Err(error);
            }
            tracing::debug!("{error}; trying again");
            std::thread::sleep(asked.unwrap_or(wait));
            wait *= 2;
        }
        // The last round of the loop returned.
        Err(self.not_a_hub("no try was made"))
    }

    fn head_once(&self, revision: &str, file: &str) -> Result<Entry, Failure> {
        let mut url = self.url(revision, file)?;
        let mut commit = None;
        for _ in 0..MAX_HOPS {
            let mut request = self.agent.head(&url);
            if let Some(bearer) = self.bearer(&url) {
                request = request.header(header::AUTHORIZATION, bearer);
            }
            let response = request.call().map_err(|e| self.network(e, &url, file))?;
            commit = commit.or_else(|| text(&response, "x-repo-commit").map(str::to_owned));
            let status = response.status();
            let linked = text(&response, "x-linked-etag");
            if status.is_redirection() && (linked.is_none() || commit.is_none()) {
                // A renamed repository, or a mirror that leaves the description to another host.
                url = self.next_hop(&url, &response)?;
                continue;
            }
            if !status.is_redirection() && !status.is_success() {
                let code = text(&response, "x-error-code");
                let gone = status == StatusCode::NOT_FOUND
                    && (code == Some("EntryNotFound") || (code.is_none() && (commit.is_some() || is_commit(revision))));
                if gone {
                    return Ok(Entry::Missing);
                }
                return Err(self.refusal(&response, &url, revision, file));
            }
            let etag = linked.or_else(|| text(&response, "etag")).map(bare_etag);
            let size = text(&response, "x-linked-size");
            let size = size.or_else(|| text(&response, "content-length").filter(|_| status.is_success()));
            return match (commit, etag) {
                (Some(commit), Some(etag)) if is_commit(&commit) && is_file_name(etag) => {
                    Ok(Entry::File(Metadata { commit, etag: etag.to_owned(), size: size.and_then(|s| s.parse().ok()) }))
                }
                _ => Err(Failure::Final(self.not_a_hub("it names no commit and etag of the file"))),
            };
        }
        Err(Failure::Final(self.not_a_hub("it redirects in a circle")))
    }

    fn url(&self, revision: &str, file: &str) -> Result<String, Failure> {
        // The other characters that a revision may have stand for themselves in an address.
        let revision = revision.replace('/', "%2F");
        Ok(format!("{}/{}/resolve/{revision}/{file}", self.config.endpoint, self.id))
    }

    /// The header's value, for the endpoint and no other host.
    fn bearer(&self, url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        let token = self.config.token.as_ref()?;
        (origin(&uri)? == self.origin).then(|| format!("Bearer {}", token.secret()))
    }

    fn next_hop(&self, from: &str, response: &Response<Body>) -> Result<String, Failure> {
        let bad = |reason: &str| Failure::Final(self.not_a_hub(reason));
        let location = text(response, "location").ok_or_else(|| bad("it redirects to nowhere"))?;
        let uri: Uri = from.parse().map_err(|_| bad("it redirects to no address"))?;
        let target = if location.contains("://") {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{}://{rest}", uri.scheme_str().unwrap_or("https"))
        } else if location.starts_with('/') {
            let (scheme, authority) = (uri.scheme_str(), uri.authority());
            let (Some(scheme), Some(authority)) = (scheme, authority) else {
                return Err(bad("it redirects to no address"));
            };
            format!("{scheme}://{authority}{location}")
        } else {
            let parent = from.split('?').next().unwrap_or(from);
            let parent = parent.rsplit_once('/').map_or(parent, |(p, _)| p);
            format!("{parent}/{location}")
        };
        let parsed: Result<Uri, _> = target.parse();
        match parsed.ok().as_ref().and_then(origin) {
            Some(_) => Ok(target),
            None => Err(bad("it redirects to no address")),
        }
    }

    /// What a failure below HTTP means.
    fn network(&self, error: Error, url: &str, file: &str) -> Failure {
        // A redirect's address may be signed, so only its host is shown.
        let host = url.parse::<Uri>().map_or_else(|_| self.host.clone(), |uri| host(&uri));
        let seconds = self.config.timeouts.connect.as_secs_f64();
        let via = self.proxied(url);
        let unreachable =
            |reason: String| HubError::Unreachable { host: host.clone(), reason: format!("{reason}{via}") };
        match error {
            Error::HostNotFound => Failure::Final(unreachable("its name cannot be resolved; offline?".into())),
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Failure::Final(unreachable(format!("no connection within {seconds} s; offline?")))
            }
            Error::Timeout(_) => Failure::Again(self.silent(&host, file), None),
            Error::Io(e) => match e.kind() {
                ErrorKind::ConnectionRefused => Failure::Final(unreachable("it refused the connection".into())),
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Failure::Again(self.silent(&host, file), None),
                // The system's resolver has no kind of its own for an unknown name.
                _ if e.to_string().contains("lookup address") => {
                    Failure::Final(unreachable("its name cannot be resolved; offline?".into()))
                }
                _ => match tls_reason(&e.to_string()) {
                    Some(reason) => Failure::Final(HubError::Tls { host, reason }),
                    None => Failure::Again(unreachable(e.to_string()), None),
                },
            },
            Error::Tls(reason) => Failure::Final(HubError::Tls { host, reason: reason.to_owned() }),
            Error::Rustls(e) => Failure::Final(HubError::Tls { host, reason: e.to_string() }),
            Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => {
                Failure::Final(HubError::Proxy { reason: "no tunnel to the hub".into() })
            }
            Error::BadUri(_) | Error::Http(_) => {
                Failure::Final(HubError::Endpoint { reason: "it cannot be requested".into() })
            }
            other => Failure::Again(self.not_a_hub(&other.to_string()), None),
        }
    }

    /// Says so where a proxy stands between us and the host, since that may be what fails.
    fn proxied(&self, url: &str) -> &'static str {
        let direct = |proxy: &ureq::Proxy| url.parse().is_ok_and(|uri| proxy.is_no_proxy(&uri));
        match self.agent.config().proxy() {
            Some(proxy) if !direct(proxy) => ", through the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names",
            _ => "",
        }
    }

    pub(super) fn silent(&self, host: &str, file: &str) -> HubError {
        HubError::Silent {
            host: host.to_owned(),
            file: file.to_owned(),
            after_s: self.config.timeouts.silence.as_secs().max(1),
        }
    }

    /// What a status that is no success means.
    fn refusal(&self, response: &Response<Body>, url: &str, revision: &str, file: &str) -> Failure {
        let id = self.id.to_owned();
        let endpoint = self.config.shown_endpoint();
        let has_token = self.config.token.is_some();
        let code = text(response, "x-error-code").unwrap_or_default();
        let message = text(response, "x-error-message").map(|m| self.printable(m));
        let status = response.status().as_u16();
        let host = url.parse::<Uri>().map_or_else(|_| self.host.clone(), |uri| host(&uri));
        let foreign = host != self.host;
        let error = match (status, code) {
            (401 | 403, "GatedRepo") => HubError::Gated { id, endpoint, has_token },
            (404 | 401, "RevisionNotFound") => HubError::NoRevision { id, revision: revision.to_owned(), endpoint },
            (401, _) if has_token && code != "RepoNotFound" => HubError::BadToken { endpoint },
            (404, _) | (401, "RepoNotFound") if has_token => HubError::NoModel { id, endpoint },
            (401, _) => HubError::Unauthorized { id, endpoint },
            // The hub's store refuses an address that has run out; a new one comes from the hub.
            (403, _) if foreign => {
                return Failure::Again(HubError::Server { host, status, attempts: self.config.attempts }, None);
            }
            (403, _) => HubError::Forbidden { id, endpoint, message },
            (404 | 410, _) => HubError::NoModel { id, endpoint },
            (429, _) => {
                let wait_s = retry_after(response);
                return Failure::Again(HubError::TooMany { host, wait_s }, wait_s.map(Duration::from_secs));
            }
            (408 | 500..=599, _) => {
                let attempts = self.config.attempts;
                let wait = retry_after(response).map(Duration::from_secs);
                return Failure::Again(HubError::Server { host, status, attempts }, wait);
            }
            _ => {
                let detail = message.map_or(String::new(), |m| format!(", {m}"));
                self.not_a_hub(&format!("status {status} for {file}{detail}"))
            }
        };
        Failure::Final(error)
    }

    pub(super) fn not_a_hub(&self, reason: &str) -> HubError {
        HubError::NotAHub { endpoint: self.config.shown_endpoint(), reason: reason.to_owned() }
    }

    /// A server's own words, cut, on one line, and without the token if it sends that back.
    fn printable(&self, message: &str) -> String {
        let mut message = message.replace(|c: char| c.is_control(), " ");
        if let Some(token) = &self.config.token {
            message = message.replace(token.secret(), "***");
        }
        message.chars().take(200).collect()
    }
}

fn text<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::trim)
}

/// Whole seconds; a date, the header's other form, is left alone.
fn retry_after(response: &Response<Body>) -> Option<u64> {
    text(response, "retry-after")?.parse().ok()
}

fn bare_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// An etag becomes a file's name, so one that could climb out of the folder is refused.
fn is_file_name(etag: &str) -> bool {
    (1..=200).contains(&etag.len())
        && !etag.starts_with('.')
        && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn host(uri: &Uri) -> String {
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "the hub".to_owned(),
    }
}

/// Scheme, host and port, if it is an HTTP address.
fn origin(uri: &Uri) -> Option<String> {
    let (scheme, port) = match uri.scheme_str()? {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return None,
    };
    let host = uri.host()?.to_ascii_lowercase();
    Some(format!("{scheme}://{host}:{}", uri.port_u16().unwrap_or(port)))
}

/// The library's reason, if the text is about a certificate or the handshake.
fn tls_reason(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let tls = ["certificate", "tls", "handshake", "unknownissuer"];
    tls.iter().any(|word| lower.contains(word)).then(|| text.to_owned())
}

fn root_certs(config: &HubConfig) -> Result<Option<RootCerts>, HubError> {
    let Some(path) = config.ca_bundle.as_ref().filter(|_| config.endpoint.starts_with("https")) else {
        return Ok(None);
    };
    let failed = |reason: String| HubError::Certificates { path: path.clone(), reason };
    let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let certs: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(cert)) => Some(cert),
            _ => None,
        })
        .collect();
    if certs.is_empty() {
        return Err(failed("it holds none in PEM form".into()));
    }
    Ok(Some(RootCerts::from(certs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |s: &str| origin(&s.parse().unwrap());
        assert_eq!(of("https://Hub.example/a"), of("https://hub.example:443/b"));
        assert_ne!(of("https://hub.example"), of("http://hub.example"));
        assert_ne!(of("http://hub.example"), of("http://hub.example:81"));
        assert_ne!(of("https://hub.example"), of("https://cdn.hub.example"));
        assert_eq!(of("ftp://hub.example"), None);
    }

    #[test]
    fn an_etag_cannot_leave_its_folder() {
        assert_eq!(bare_etag("W/\"abc\""), "abc");
        assert!(is_file_name("0123abc-42"));
        for etag in ["", "..", ".x", "a/b", "a\\b", "a\0"] {
            assert!(!is_file_name(etag), "{etag:?}");
        }
    }
}
