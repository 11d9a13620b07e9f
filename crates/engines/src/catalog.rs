//! The list of native engines, for `llmbench list`.

use serde::Serialize;

use crate::{collate, handoff, parse, render, tokenize, versions};

/// An engine as `llmbench list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    pub engine: &'static str,
    /// The operation that it does.
    pub op: &'static str,
    pub call_paths: &'static [&'static str],
    /// The crate that does the work, and its version.
    pub package: &'static str,
    pub version: &'static str,
    /// `native`
    pub language: &'static str,
}

/// All native engines, in the order of a request's way.
pub fn catalog() -> Vec<EngineInfo> {
    let native = |op, engine, call_paths, package| EngineInfo {
        engine,
        op,
        call_paths,
        package,
        version: if package == "llmbench" { env!("CARGO_PKG_VERSION") } else { versions::of(package) },
        language: "native",
    };
    vec![
        native("parse", parse::ENGINE, &parse::CALL_PATHS, "serde_json"),
        native("template", render::ENGINE, &render::CALL_PATHS, "minijinja"),
        native("tokenize", tokenize::ENGINE, &tokenize::CALL_PATHS, "tokenizers"),
        native("collate", collate::ENGINE, &collate::CALL_PATHS, "llmbench"),
        native("handoff", handoff::ENGINE, &handoff::CALL_PATHS, "rmp"),
    ]
}

/// True when `pair` (`engine/call_path`) is in the catalog.
pub fn contains(pair: &str) -> bool {
    pair.split_once('/').is_some_and(|(engine, call_path)| {
        catalog().iter().any(|info| info.engine == engine && info.call_paths.contains(&call_path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_a_version_and_a_call_path() {
        let all = catalog();
        assert!(all.iter().all(|info| info.version.contains('.') && !info.call_paths.is_empty()), "{all:?}");
        assert!(contains("hf-tokenizers/encode_fast"));
        assert!(contains("serde/serde_json.from_slice"));
        assert!(!contains("hf-tokenizers/encode_slow") && !contains("hf-tokenizers"));
    }
}
