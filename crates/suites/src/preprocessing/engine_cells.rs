//! The cells of experiment 7: engines by kinds of text by sizes, states of caches, loads, threads and templates.

use engines::catalog::LOAD;
use engines::corpus::Kind;
use engines::python;
use engines::tokenizers::KINDS;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Check, Timing};
use serde_json::Value;
use workload::CORPUS;

use super::stacks::{self, CallPath};
use crate::house::cells::{self, Draft};
use crate::present::Axes;
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};

/// The text that states of caches and threads are compared on.
pub(super) const STATES: &str = "english";
/// Bytes of the texts that are there for correctness, and of those that a load is checked with.
const GATE_BYTES: u32 = 1000;
/// A word longer than this is nobody's, and takes a quadratic engine minutes.
const LONGEST_WORD: u32 = 100_000;
/// Bytes of all texts of a pool together, where that leaves between 4 and 64 of them.
const POOL_BYTES: u32 = 1_600_000;

/// Native call paths that tokenize: of each engine the plain one, and the stable crate's way to ids alone.
pub(super) fn native_paths() -> Vec<CallPath> {
    let mut paths: Vec<CallPath> = KINDS
        .iter()
        .filter(|kind| kind.is_built())
        .filter_map(|kind| Some(tokenize(kind.engine, kind.call_paths.first()?)))
        .collect();
    paths.insert(1.min(paths.len()), tokenize("hf-tokenizers", "encode_fast"));
    paths
}

/// Call paths that tokenize in Python. Those whose package is not there become rows that say so.
pub(super) fn python_paths(tiktoken: bool) -> Vec<CallPath> {
    let mut paths = vec![tokenize("hf-tokenizers", "encode")];
    if tiktoken {
        paths.push(tokenize("tiktoken", "encode"));
    }
    paths.extend(python::optional("tokenize").map(|path| tokenize(path.engine, path.call_path)));
    paths
}

fn tokenize(engine: &'static str, call_path: &'static str) -> CallPath {
    // The one reference is the native one; `paths` strikes it out of Python's.
    let reference = (engine, call_path) == (stacks::NATIVE_ENCODE.engine, stacks::NATIVE_ENCODE.call_path);
    CallPath { op: "tokenize", engine, call_path, reference }
}

fn paths(subject: &PlannedSubject, tiktoken: bool) -> Vec<CallPath> {
    if subject.kind == "native" {
        return native_paths();
    }
    python_paths(tiktoken).into_iter().map(|path| CallPath { reference: false, ..path }).collect()
}

/// Call paths that render a chat template.
fn templates(kind: &str) -> Vec<CallPath> {
    let mut paths: Vec<CallPath> =
        stacks::call_paths(kind, false, false).into_iter().filter(|path| path.op == "template").collect();
    if kind == "python" {
        paths.extend(python::optional("template").map(CallPath::from));
    }
    paths
}

/// A kind of text at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    kind: String,
    bytes: u32,
}

impl Text {
    fn axes(&self) -> Axes {
        Axes::from([
            ("kind".to_owned(), Value::from(self.kind.as_str())),
            ("bytes".to_owned(), Value::from(self.bytes)),
        ])
    }

    fn workload(&self) -> WorkloadSpec {
        let pool = (POOL_BYTES / self.bytes).clamp(4, 64);
        WorkloadSpec {
            id: format!("corpus-{}-b{}", self.kind, self.bytes),
            kind: format!("{CORPUS}{}", self.kind),
            tokens: 0,
            turns: 0,
            pool,
            warmup: (pool / 8).max(2),
            bytes: self.bytes,
        }
    }

    /// One text, which is measured again and again.
    fn repeated(&self) -> WorkloadSpec {
        let many = self.workload();
        WorkloadSpec { id: format!("{}-repeat", many.id), pool: 1, ..many }
    }
}

/// Everything that the experiment measures.
pub(super) struct Drafts<'a> {
    context: &'a PlanContext,
    settings: &'a ExperimentSettings,
    /// Texts that engines are compared on.
    texts: Vec<Text>,
    /// Texts that are there for correctness.
    gates: Vec<Text>,
    /// Texts on which states of caches are compared.
    states: Vec<Text>,
    python_kinds: Vec<String>,
}

impl<'a> Drafts<'a> {
    /// Reads the axes.
    ///
    /// # Errors
    /// A sentence for a kind of text that there is not, or an axis without numbers.
    pub(super) fn new(context: &'a PlanContext, settings: &'a ExperimentSettings) -> Result<Self, String> {
        let sizes = settings.numbers("bytes", context.cores)?;
        let kinds = settings.words("kind");
        for kind in kinds.iter().chain(&settings.words("gate_kind")) {
            if Kind::from_name(kind).is_none() {
                let known = Kind::ALL.map(Kind::name).join(", ");
                return Err(format!(
                    "experiment {}: there is no kind of text `{kind}`; there are: {known}",
                    settings.name
                ));
            }
        }
        let text = |kind: &String, bytes: u32| Text { kind: kind.clone(), bytes };
        let texts = kinds
            .iter()
            .flat_map(|kind| sizes.iter().map(|bytes| text(kind, *bytes)))
            .filter(|text| text.kind != Kind::LongWord.name() || text.bytes <= LONGEST_WORD)
            .collect();
        let gates = settings.words("gate_kind").iter().map(|kind| text(kind, GATE_BYTES)).collect();
        let states = settings.numbers("state_bytes", context.cores)?;
        let states = states.into_iter().map(|bytes| Text { kind: STATES.to_owned(), bytes }).collect();
        Ok(Self { context, settings, texts, gates, states, python_kinds: settings.words("python_kind") })
    }

    /// The sets of requests of [`Drafts::cells`].
    ///
    /// # Errors
    /// As [`cells::points`].
    pub(super) fn workloads(&self) -> Result<Vec<WorkloadSpec>, String> {
        let mut all = cells::workloads(self.context, self.settings)?;
        all.extend(self.states.iter().map(Text::repeated));
        let gate = self.load_text();
        for text in self.texts.iter().chain(&self.gates).chain(&self.states).chain([&gate]) {
            let workload = text.workload();
            if !all.contains(&workload) {
                all.push(workload);
            }
        }
        Ok(all)
    }

    /// The cells.
    ///
    /// # Errors
    /// As [`cells::points`].
    pub(super) fn cells(&self) -> Result<Vec<Cell>, String> {
        let mut all = Vec::new();
        for subject in &self.context.subjects {
            for path in paths(subject, self.context.tiktoken) {
                all.extend(self.tokenize(subject, path)?);
            }
            if subject.kind == "native" {
                all.extend(self.loads(subject));
            }
            for (axes, workload) in &cells::points(self.context, self.settings)? {
                let template = |path: CallPath| {
                    stacks::inline_cell(self.settings, subject, &path, axes, workload, ("template".to_owned(), &[]))
                };
                all.extend(templates(&subject.kind).into_iter().map(template));
            }
        }
        if let Some(index) = all.iter().position(|cell| cell.check.as_ref().is_some_and(|check| check.reference)) {
            let twin = cells::twin(&all[index]);
            all.push(twin);
        }
        let block_ns = self.settings.param("block_ms").unwrap_or(8.0) * 1e6;
        for cell in all.iter_mut().filter(|cell| cell.timing == Timing::Loop) {
            cell.target_ns = block_ns as u64;
        }
        Ok(all)
    }

    /// A call path on every kind and size, in every state of its caches, and over threads.
    fn tokenize(&self, subject: &PlannedSubject, path: CallPath) -> Result<Vec<Cell>, String> {
        let native = subject.kind == "native";
        let warm = |text: &Text, workload: &WorkloadSpec| {
            let beside = ("tokenize".to_owned(), &[] as &[&str]);
            stacks::inline_cell(self.settings, subject, &path, &text.axes(), workload, beside)
        };
        let here = |text: &&Text| native || self.python_kinds.contains(&text.kind);
        let mut texts: Vec<&Text> =
            self.texts.iter().chain(self.gates.iter().filter(|_| native)).filter(here).collect();
        texts.extend(self.states.iter().filter(|state| !self.texts.contains(state)));
        let mut all: Vec<Cell> = texts.into_iter().map(|text| warm(text, &text.workload())).collect();
        for text in &self.states {
            let repeated = warm(text, &text.repeated());
            all.push(Cell { id: format!("{}/repeat", repeated.id), cache: "repeat".to_owned(), ..repeated });
            if native || self.settings.param("python_cold").is_some() {
                all.push(cells::cold(&warm(text, &text.workload())));
            }
        }
        let threads = self.settings.numbers("threads", self.context.cores)?;
        if threads.iter().any(|threads| *threads > 1) {
            let one_and_more = std::iter::once(1).chain(threads.into_iter().filter(|threads| *threads > 1));
            all.extend(one_and_more.flat_map(|threads| self.windows(subject, path, threads)));
        }
        Ok(all)
    }

    /// Throughput of so many threads on the text of the states that is nearest to 10 kB.
    fn windows(&self, subject: &PlannedSubject, path: CallPath, threads: u32) -> Option<Cell> {
        let text = self.states.iter().min_by_key(|text| text.bytes.abs_diff(10_000))?;
        let workload = text.workload();
        let mut axes = text.axes();
        axes.insert("threads".to_owned(), Value::from(threads));
        let window_ns = (self.settings.param("window_ms").unwrap_or(100.0) * 1e6) as u64;
        Some(cells::cell(
            self.settings,
            Draft {
                subject,
                op: path.op(threads),
                timing: Timing::Window { window_ns },
                strategy: "threads",
                axes,
                workload: &workload,
                // The reference of its group is the cell of the same text in one thread.
                output: Some(stacks::output),
                reference: false,
                beside: "threads".to_owned(),
                varied: &["threads"],
            },
        ))
    }

    fn load_text(&self) -> Text {
        Text { kind: STATES.to_owned(), bytes: GATE_BYTES }
    }

    /// One first load of each engine.
    fn loads(&self, subject: &PlannedSubject) -> Vec<Cell> {
        let text = self.load_text();
        let workload = text.workload();
        let has_reference = self.texts.contains(&text) || self.states.contains(&text);
        KINDS
            .iter()
            .filter(|kind| kind.is_built())
            .map(|kind| {
                let path = CallPath { op: "load", engine: kind.engine, call_path: LOAD, reference: false };
                let beside = ("load".to_owned(), &[] as &[&str]);
                let cell = stacks::inline_cell(self.settings, subject, &path, &Axes::new(), &workload, beside);
                let check = Check { group: format!("ids:{}", workload.id), reference: false };
                Cell {
                    id: cell.id.trim_end_matches('/').to_owned(),
                    timing: Timing::First,
                    cache: "cold".to_owned(),
                    // Where 1 kB of the text is no point of the axes, the reference itself is loaded as one.
                    check: Some(Check { reference: !has_reference && kind.engine == KINDS[0].engine, ..check }),
                    ..cell
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::Suite;
    use crate::preprocessing::Preprocessing;
    use crate::spec::{ExperimentSpec, Override};

    fn subject(id: &str, kind: &str) -> PlannedSubject {
        PlannedSubject {
            id: id.to_owned(),
            kind: kind.to_owned(),
            torch: false,
            free_threaded: false,
            serves: String::new(),
            variant_of: String::new(),
        }
    }

    fn context() -> PlanContext {
        PlanContext {
            subjects: vec![subject("native", "native"), subject("python", "python")],
            drivers: Vec::new(),
            variants: Vec::new(),
            cores: 4,
            tiktoken: true,
            workload: "words".to_owned(),
        }
    }

    fn spec() -> ExperimentSpec {
        Preprocessing::new().spec().experiments.iter().find(|spec| spec.name == "engines").unwrap().clone()
    }

    fn drafted(layer: fn(&ExperimentSpec) -> &Override) -> (Vec<Cell>, Vec<WorkloadSpec>) {
        let (spec, context) = (spec(), context());
        let settings = ExperimentSettings::layered(&spec, &[layer(&spec)]);
        let drafts = Drafts::new(&context, &settings).unwrap();
        (drafts.cells().unwrap(), drafts.workloads().unwrap())
    }

    #[test]
    fn cells_have_names_of_their_own_and_workloads_that_are_made() {
        for layer in [(|spec: &ExperimentSpec| &spec.quick) as fn(&ExperimentSpec) -> &Override, |spec| &spec.full] {
            let (cells, workloads) = drafted(layer);
            let ids: BTreeSet<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
            assert_eq!(ids.len(), cells.len());
            let made: BTreeMap<&str, &WorkloadSpec> = workloads.iter().map(|w| (w.id.as_str(), w)).collect();
            assert_eq!(made.len(), workloads.len(), "one workload a name");
            let used: BTreeSet<&str> = cells.iter().map(|cell| cell.workload.as_str()).collect();
            assert_eq!(used, made.keys().copied().collect());
        }
    }

    #[test]
    fn every_group_of_ids_has_the_stable_crate_as_its_one_reference() {
        for layer in [(|spec: &ExperimentSpec| &spec.quick) as fn(&ExperimentSpec) -> &Override, |spec| &spec.full] {
            let (cells, _) = drafted(layer);
            let mut groups: BTreeMap<String, Vec<&Cell>> = BTreeMap::new();
            for cell in &cells {
                groups.entry(cell.check.as_ref().unwrap().group.clone()).or_default().push(cell);
            }
            for (group, cells) in groups {
                let references: Vec<&&Cell> =
                    cells.iter().filter(|cell| cell.check.as_ref().unwrap().reference).collect();
                assert_eq!(references.len(), 1, "{group}");
                if group.starts_with("ids:") {
                    assert_eq!(
                        (references[0].subject.as_str(), references[0].op.engine.as_str()),
                        ("native", "hf-tokenizers"),
                        "{group}"
                    );
                    assert_eq!(references[0].op.call_path, "encode", "{group}");
                }
            }
        }
    }

    #[test]
    fn quick_is_small_and_full_has_threads_and_a_megabyte() {
        let (quick, _) = drafted(|spec| &spec.quick);
        let engines = native_paths().len();
        let loops = |cells: &[Cell], subject: &str, cache: &str| {
            let of = |cell: &&Cell| {
                cell.subject == subject
                    && cell.op.name == "tokenize"
                    && cell.timing == Timing::Loop
                    && cell.cache == cache
                    && cell.twin_of.is_none()
            };
            cells.iter().filter(of).count()
        };
        // Seven kinds at two sizes, two kinds for correctness, and English at 10 kB.
        assert_eq!(loops(&quick, "native", "warm"), engines * (7 * 2 + 2 + 1));
        assert_eq!(loops(&quick, "native", "repeat"), engines);
        // Two kinds at two sizes, and English at 10 kB.
        let pythons = python_paths(true).len();
        assert!(pythons >= 6, "{pythons}");
        assert_eq!(loops(&quick, "python", "warm"), pythons * (2 * 2 + 1));
        assert_eq!(quick.iter().filter(|cell| cell.op.name == "load").count(), engines - 1);
        assert!(quick.iter().all(|cell| !matches!(cell.timing, Timing::Window { .. })));
        assert!(quick.len() < 250, "{}", quick.len());
        assert!(quick.iter().filter(|cell| cell.timing == Timing::First).all(|cell| cell.subject == "native"));

        let (full, workloads) = drafted(|spec| &spec.full);
        // Long words end at 100 kB.
        assert_eq!(loops(&full, "native", "warm"), engines * (7 * 5 - 1 + 2));
        assert_eq!(loops(&full, "python", "warm"), pythons * (7 * 5 - 1));
        let threads = |subject: &str| {
            let windows = full.iter().filter(|cell| cell.subject == subject);
            let windows = windows.filter(|cell| matches!(cell.timing, Timing::Window { .. }));
            windows.map(|cell| cell.op.threads).collect::<BTreeSet<u32>>()
        };
        assert_eq!((threads("native"), threads("python")), (BTreeSet::from([1, 4]), BTreeSet::from([1, 4])));
        let large = workloads.iter().find(|workload| workload.id == "corpus-code-b1000000").unwrap();
        assert_eq!((large.pool, large.warmup, large.kind.as_str()), (4, 2, "corpus/code"));
    }

    #[test]
    fn a_kind_of_text_that_there_is_not_is_refused() {
        let (spec, context) = (spec(), context());
        let mut settings = ExperimentSettings::layered(&spec, &[]);
        settings.axes.get_mut("kind").unwrap()[0] = crate::axes::AxisValue::Text("klingon".to_owned());
        let error = Drafts::new(&context, &settings).err().unwrap();
        assert!(error.contains("`klingon`") && error.contains("english"), "{error}");
    }
}
