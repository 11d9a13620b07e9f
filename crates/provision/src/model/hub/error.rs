//! What can go wrong with the hub, each in one sentence that ends with what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cache::CacheError;

/// Why the tokenizer files of a model could not be had. No text of it ever holds the token.
#[derive(Debug, Error)]
pub enum HubError {
    #[error(
        "{id} is gated and {}: accept its licence at {endpoint}/{id}, then set HF_TOKEN to a token of the account that did",
        if *.has_token { "the account of HF_TOKEN has no access to it" } else { "no token is set" }
    )]
    Gated { id: String, endpoint: String, has_token: bool },
    #[error(
        "{endpoint} refused the token: set HF_TOKEN to a valid one (make one at {endpoint}/settings/tokens), or unset it \
         and delete the token file for public models"
    )]
    BadToken { endpoint: String },
    #[error("HF_TOKEN holds a character that no token has (a quote mark, a line break?): set it again")]
    MalformedToken,
    #[error(
        "{endpoint} asks for a token to show {id}: if it is private or gated, set HF_TOKEN; if not, check the spelling \
         (there is no folder of that name here either)"
    )]
    Unauthorized { id: String, endpoint: String },
    #[error(
        "{endpoint} does not let this account read {id}{}: use a token with read access to it (HF_TOKEN)",
        said(.message)
    )]
    Forbidden { id: String, endpoint: String, message: Option<String> },
    #[error(
        "{endpoint} has no model {id}, and there is no folder of that name here: check the spelling (for a private model, \
         set HF_TOKEN; for a folder, give its path)"
    )]
    NoModel { id: String, endpoint: String },
    #[error("{id} has no revision `{revision}`: see its branches and tags at {endpoint}/{id}/tree/main")]
    NoRevision { id: String, revision: String, endpoint: String },
    #[error(
        "{id} has no tokenizer.json{}: convert it once with `python -c \"from transformers import AutoTokenizer as T; \
         T.from_pretrained('{id}').save_pretrained('DIR')\"` and pass `--model DIR`",
        .other.map_or(String::new(), |(name, what)| format!(" (it has {name}, {what})"))
    )]
    NoTokenizer { id: String, other: Option<(&'static str, &'static str)> },
    #[error("cannot reach {host} ({reason}): {}", REACH)]
    Unreachable { host: String, reason: String },
    #[error(
        "the connection to {host} is not trusted ({reason}): if a proxy opens TLS here, set REQUESTS_CA_BUNDLE to a file with its certificate"
    )]
    Tls { host: String, reason: String },
    #[error("{host} was silent for {after_s} s while {file} was fetched: try again, or {}", REACH)]
    Silent { host: String, file: String, after_s: u64 },
    #[error("{host} allows no more requests for now (status 429){}: wait, or set HF_TOKEN for a higher limit", .wait_s.map_or(String::new(), |s| format!(", next in {s} s")))]
    TooMany { host: String, wait_s: Option<u64> },
    #[error("{host} failed {attempts} times (status {status}): try again later, or {}", REACH)]
    Server { host: String, status: u16, attempts: u32 },
    #[error(
        "{file} of {id} arrived damaged {attempts} times ({reason}): try again, or download it yourself and {}",
        REACH
    )]
    Damaged { id: String, file: String, reason: String, attempts: u32 },
    #[error(
        "{endpoint} does not answer as a Hugging Face hub ({reason}): check HF_ENDPOINT, and whether a login page or proxy is in the way"
    )]
    NotAHub { endpoint: String, reason: String },
    #[error(
        "{id} at `{revision}` is not in the hub's cache {}, and HF_HUB_OFFLINE is set: unset it, or pass `--model FOLDER`",
        cache.display()
    )]
    OfflineMiss { id: String, revision: String, cache: PathBuf },
    #[error("no space is left for {}: free some, or set HF_HUB_CACHE to a folder on another disk", path.display())]
    Full { path: PathBuf },
    #[error("the hub's cache cannot be used ({} : {reason}): set HF_HUB_CACHE to a folder that can be written", path.display())]
    Cache { path: PathBuf, reason: String },
    #[error("HF_ENDPOINT is no address ({reason}): set it to one such as https://huggingface.co, or unset it")]
    Endpoint { reason: String },
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("the proxy refused ({reason}): check HTTPS_PROXY and NO_PROXY")]
    Proxy { reason: String },
}

/// The ways around a hub that cannot be reached.
const REACH: &str = "pass a folder with the tokenizer files as `--model FOLDER`, or set HF_ENDPOINT to a mirror";

fn said(message: &Option<String>) -> String {
    message.as_ref().map_or(String::new(), |m| format!(" (it said: {m})"))
}

impl HubError {
    /// True where a copy in the cache is as good an answer: the hub is away, and did not say no.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Tls { .. }
                | Self::Silent { .. }
                | Self::TooMany { .. }
                | Self::Server { .. }
                | Self::NotAHub { .. }
                | Self::Proxy { .. }
        )
    }

    /// The first half of the sentence, without the remedy.
    pub(super) fn reason(&self) -> String {
        let text = self.to_string();
        // An address has its colon before slashes, never before a space.
        text.split(": ").next().unwrap_or(&text).to_owned()
    }

    pub(super) fn io(path: &std::path::Path, e: &io::Error) -> Self {
        let path = path.to_path_buf();
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Cache { path, reason: e.to_string() },
        }
    }
}

impl From<CacheError> for HubError {
    /// The cache folder of the hub is named by another variable than ours.
    fn from(e: CacheError) -> Self {
        match e {
            CacheError::Full { path } => Self::Full { path },
            CacheError::Denied { path, reason } => Self::Cache { path, reason },
            CacheError::Io { path, source, .. } => Self::io(&path, &source),
            CacheError::Locked { path, waited_s } => {
                Self::Cache { path, reason: format!("another process has held its lock for {waited_s} s") }
            }
            CacheError::NoHome => Self::Cache { path: PathBuf::new(), reason: "no home folder is known".into() },
        }
    }
}
