//! What a worker sees of the environment: what it needs to run, and nothing that could be a secret.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

use crate::schedule::Launch;
use record::plan::SubjectSpec;

/// In a subject's environment: the name of one more variable that its worker inherits, be it a secret. The plan holds the name, never the
/// value.
pub const INHERIT_VAR: &str = "LLMBENCH_INHERIT";

/// Inherited when they are set.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];
/// Inherited when a name begins so.
const INHERITED_PREFIXES: &[&str] = &["LC_", "XDG_", "SSL_"];
/// Words of a name (between underscores) that say that its value is a secret.
const SECRET_WORDS: &[&str] =
    &["TOKEN", "KEY", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS", "AUTH"];

/// The environment of a worker, except for the number of its answer descriptor.
pub fn environment(spec: &SubjectSpec, launch: Launch) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> =
        env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited)).collect();
    // A plan is written to run.json, so a secret in it would be a mistake; it does not get to the worker either.
    let own = spec.env.iter().filter(|(name, _)| !looks_secret(name));
    all.extend(own.map(|(name, value)| (name.into(), value.into())));
    if let Some(name) = spec.env.get(INHERIT_VAR) {
        all.extend(env::var_os(name).map(|value| (name.into(), value)));
    }
    all.insert("PYTHONHASHSEED".into(), launch.hash_seed.to_string().into());
    all.insert("LLMBENCH_PADDING".into(), "x".repeat(launch.padding).into());
    all
}

fn is_inherited(name: &str) -> bool {
    let known = INHERITED.contains(&name) || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    known && !looks_secret(name)
}

fn looks_secret(name: &str) -> bool {
    name.to_ascii_uppercase().split('_').any(|word| SECRET_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_that_merely_contain_the_word() {
        for name in ["HF_TOKEN", "OPENAI_API_KEY", "SSL_KEY", "XDG_SECRET", "aws_secret_access_key"] {
            assert!(looks_secret(name), "{name}");
            assert!(!is_inherited(name), "{name}");
        }
        for name in ["TOKENIZERS_PARALLELISM", "XDG_CACHE_HOME", "SSL_CERT_FILE", "PATH", "KEYBOARD"] {
            assert!(!looks_secret(name), "{name}");
        }
        assert!(is_inherited("LC_ALL") && is_inherited("SSL_CERT_FILE") && !is_inherited("PYTHONPATH"));
    }
}
