//! The engines of the Python worker, as its own table has them (`python/llmbench_worker/engines/engines.json`).

use std::sync::LazyLock;

use serde::Deserialize;

/// A call path of the Python worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonEngine {
    pub op: &'static str,
    pub engine: &'static str,
    pub call_path: &'static str,
    /// The packages whose versions matter, the one to install first; none for what the standard library does.
    pub packages: Vec<String>,
    /// True where the common environment need not hold the package: it has a lock of its own in `python/optional/`.
    pub optional: bool,
}

/// A line of the table, whose names live as long as the process.
#[derive(Deserialize)]
struct Line {
    call_path: &'static str,
    op: &'static str,
    packages: Vec<String>,
    optional: Option<String>,
}

/// All of them, in the table's order: of an engine that tokenizes the plain call path comes first.
///
/// A table that is none gives no engines, which a test of this file rules out.
pub fn engines() -> &'static [PythonEngine] {
    static ENGINES: LazyLock<Vec<PythonEngine>> = LazyLock::new(|| {
        let lines: Vec<Line> =
            serde_json::from_str(include_str!("../../../python/llmbench_worker/engines/engines.json"))
                .unwrap_or_default();
        let engine = |line: Line| {
            let (engine, call_path) = line.call_path.split_once('/')?;
            let Line { op, packages, optional, .. } = line;
            Some(PythonEngine { op, engine, call_path, packages, optional: optional.is_some() })
        };
        lines.into_iter().filter_map(engine).collect()
    });
    &ENGINES
}

/// Call paths of an operation that no stack is made of, since the common environment need not hold them: of each engine the first.
pub fn optional(op: &str) -> impl Iterator<Item = &'static PythonEngine> {
    let first = |at: usize, engine: &PythonEngine| {
        engines().iter().position(|other| (other.op, other.engine) == (engine.op, engine.engine)) == Some(at)
    };
    let all = engines().iter().enumerate();
    all.filter(move |(at, engine)| engine.op == op && engine.optional && first(*at, engine)).map(|(_, engine)| engine)
}

/// Packages to install for the engines that the common environment holds, each once. `torch` is none of them: who has it brings it.
pub fn packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> = Vec::new();
    for engine in engines().iter().filter(|engine| !engine.optional) {
        let first = engine.packages.first().map(String::as_str);
        packages.extend(first.filter(|package| *package != "torch" && !packages.contains(package)));
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        let lines =
            include_str!("../../../python/llmbench_worker/engines/engines.json").matches("\"call_path\"").count();
        assert!(lines > 10);
        assert_eq!(engines().len(), lines);
        let tokenizers: Vec<&str> = optional("tokenize").map(|engine| engine.engine).collect();
        assert_eq!(tokenizers, ["fastokens", "gigatoken", "kitoken", "tokie"]);
        assert!(optional("tokenize").all(|engine| engine.call_path == "encode"));
        assert_eq!(optional("decode").count(), 1);
        let common = ["pydantic", "transformers", "jinja2", "tokenizers", "tiktoken", "numpy", "msgspec"];
        assert_eq!(packages(), common);
    }
}
