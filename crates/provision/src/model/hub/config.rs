//! How the hub is reached, from the environment variables that `huggingface_hub` reads.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hub itself.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Everything about the hub that does not depend on the model.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// The folder of the hub's cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// `HF_TOKEN`, or the file that `hf auth login` wrote. None where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is on.
    pub token: Option<Token>,
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: the cache only.
    pub offline: bool,
    pub timeouts: Timeouts,
    /// How often a request or download is tried before its failure is reported.
    pub attempts: u32,
    /// Wait before the second try; doubled for each further one.
    pub backoff: Duration,
    /// Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count.
    pub proxy_from_env: bool,
    /// PEM file with the certificates to trust instead of the built-in ones: `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or
    /// `SSL_CERT_FILE`.
    pub ca_bundle: Option<PathBuf>,
}

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, and then connecting with the TLS handshake.
    pub connect: Duration,
    /// Without a byte arriving, in an answer's headers or body: `HF_HUB_DOWNLOAD_TIMEOUT` (s) where set.
    pub silence: Duration,
}

/// An access token. It can be sent, and not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// None if nothing is left without the white space around it.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret, to be put into a request and nowhere else.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(set)")
    }
}

impl HubConfig {
    /// From this process's environment.
    pub fn from_env() -> Self {
        Self::from_lookup(&|name| std::env::var_os(name), dirs::home_dir())
    }

    /// From any environment; `home` is the user's home folder.
    pub fn from_lookup(var: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let text = |name: &str| set(name).and_then(|v| v.into_string().ok());
        let path = |name: &str| set(name).map(|v| expand_home(&PathBuf::from(v), home.as_deref()));
        let on =
            |name: &str| text(name).is_some_and(|v| matches!(v.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"));

        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            let cache = path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
            cache.unwrap_or_else(|| PathBuf::from(".cache")).join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let token = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .iter()
            .find_map(|name| Token::new(&text(name)?))
            .or_else(|| Token::new(&std::fs::read_to_string(token_file).ok()?));
        let seconds = text("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|v| v.trim().parse::<u64>().ok());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let ca_bundles = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"];
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            cache: cache.unwrap_or_else(|| hf_home.join("hub")),
            token: token.filter(|_| !on("HF_HUB_DISABLE_IMPLICIT_TOKEN")),
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            timeouts: Timeouts {
                connect: Duration::from_secs(10),
                silence: Duration::from_secs(seconds.filter(|s| *s > 0).unwrap_or(20)),
            },
            attempts: 4,
            backoff: Duration::from_millis(500),
            proxy_from_env: true,
            // A folder of certificates, as requests also takes, is left to the built-in ones.
            ca_bundle: ca_bundles.iter().find_map(|name| path(name).filter(|p| p.is_file())),
        }
    }

    /// The endpoint as it may be printed: an address can carry a password before an `@`.
    pub(super) fn shown_endpoint(&self) -> String {
        match (self.endpoint.split_once("://"), self.endpoint.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
            _ => self.endpoint.clone(),
        }
    }
}

fn expand_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)], home: &Path) -> HubConfig {
        let vars: Vec<(String, String)> = vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let lookup = move |name: &str| {
            let found = vars.iter().find(|(k, _)| k == name);
            found.map(|(_, v)| OsString::from(v))
        };
        HubConfig::from_lookup(&lookup, Some(home.to_path_buf()))
    }

    #[test]
    fn the_order_of_the_variables() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path();
        let c = config(&[], home);
        assert_eq!(c.endpoint, "https://huggingface.co");
        assert_eq!(c.cache, home.join(".cache/huggingface/hub"));
        assert_eq!((c.token, c.offline), (None, false));
        let c = config(&[("XDG_CACHE_HOME", "/x"), ("HF_HUB_OFFLINE", "1")], home);
        assert_eq!(c.cache, Path::new("/x/huggingface/hub"));
        assert!(c.offline);
        let c = config(&[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x"), ("TRANSFORMERS_OFFLINE", "true")], home);
        assert_eq!(c.cache, home.join("hf/hub"));
        assert!(c.offline);
        let c = config(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h"), ("HF_HUB_OFFLINE", "0")], home);
        assert_eq!(c.cache, Path::new("/c"));
        assert!(!c.offline);
        let c = config(&[("HF_ENDPOINT", "https://mirror.example/ "), ("HF_HUB_DOWNLOAD_TIMEOUT", "7")], home);
        assert_eq!(c.endpoint, "https://mirror.example");
        assert_eq!(c.timeouts.silence, Duration::from_secs(7));
    }

    #[test]
    fn the_token_is_found_and_never_shown() {
        let tmp = tempfile::tempdir().unwrap();
        let hf = tmp.path().join("hf");
        std::fs::create_dir(&hf).unwrap();
        std::fs::write(hf.join("token"), "hf_from_file\n").unwrap();
        let hf_home = ("HF_HOME", hf.to_str().unwrap());
        let token = |vars: &[(&str, &str)]| config(vars, tmp.path()).token;
        assert_eq!(token(&[hf_home]), Token::new("hf_from_file"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", "")]), Token::new("hf_from_file"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", " hf_env\r\n")]), Token::new("hf_env"));
        assert_eq!(token(&[hf_home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let shown = format!("{:?}", config(&[("HF_TOKEN", "hf_env")], tmp.path()));
        assert!(!shown.contains("hf_env") && shown.contains("Token(set)"), "{shown}");
    }

    #[test]
    fn a_password_in_the_endpoint_is_not_shown() {
        let tmp = tempfile::tempdir().unwrap();
        let c = config(&[("HF_ENDPOINT", "https://me:secret@mirror.example")], tmp.path());
        assert_eq!(c.shown_endpoint(), "https://mirror.example");
    }
}
