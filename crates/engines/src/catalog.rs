//! The list of native engines, for `llmbench list`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{collate, handoff, parse, python, render, tokenizers, versions};

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

/// The package of what this project does itself.
pub const OWN: &str = "llmbench";

/// Call path of the operation `load`: a tokenizer made from its file.
pub const LOAD: &str = "load";

/// All native engines that this build holds, in the order of a request's way.
pub fn catalog() -> Vec<EngineInfo> {
    let native = |op, engine, call_paths, package| EngineInfo {
        engine,
        op,
        call_paths,
        package,
        version: if package == OWN { env!("CARGO_PKG_VERSION") } else { versions::of(package) },
        language: "native",
    };
    let mut all = vec![
        native("parse", parse::ENGINE, &parse::CALL_PATHS, "serde_json"),
        native("template", render::ENGINE, &render::CALL_PATHS, "minijinja"),
    ];
    let built = || tokenizers::KINDS.iter().filter(|kind| kind.is_built());
    all.extend(built().map(|kind| native("tokenize", kind.engine, kind.call_paths, kind.package)));
    all.extend(built().map(|kind| native("load", kind.engine, &[LOAD], kind.package)));
    all.push(native("collate", collate::ENGINE, &collate::CALL_PATHS, OWN));
    all.push(native("handoff", handoff::ENGINE, &handoff::CALL_PATHS, "rmp"));
    all
}

/// What records name: the packages of the engines in this build, and rayon, whose threads batches run in, with their versions.
pub fn packages() -> BTreeMap<&'static str, &'static str> {
    let engines = catalog().into_iter().map(|info| info.package).filter(|package| *package != OWN);
    engines.chain(["rayon"]).map(|package| (package, versions::of(package))).collect()
}

/// The package whose version is the version of an engine, native or of the Python worker; the engine's name where none is known.
pub fn package_of(engine: &str) -> &str {
    let native = catalog().into_iter().find(|info| info.engine == engine).map(|info| info.package);
    let of_python =
        || python::engines().iter().find(|info| info.engine == engine)?.packages.first().map(String::as_str);
    native.or_else(of_python).unwrap_or(engine)
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
        for name in ["minijinja", "rayon", "rmp", "serde_json", "tiktoken-rs", "tokenizers"] {
            assert!(packages()[name].contains('.'), "{name}");
        }
        assert!(contains("hf-tokenizers/encode_fast") && contains("bpe/load"));
        assert!(contains("bpe/encode_via_backtracking") && !contains("bpe/encode"));
        assert!(contains("serde/serde_json.from_slice"));
        let packages =
            ["hf-tokenizers", "hf-tokenizers-rc", "serde", "transformers", "jinja2", "kitoken", "json"].map(package_of);
        assert_eq!(
            packages,
            ["tokenizers", "tokenizers-rc", "serde_json", "transformers", "jinja2", "kitoken", "json"]
        );
        assert!(!contains("hf-tokenizers/encode_slow") && !contains("hf-tokenizers"));
    }
}
