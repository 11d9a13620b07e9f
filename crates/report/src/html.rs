//! `report.html`: one file that needs nothing else, in light, dark and print.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};
use record::command;
use record::results::{CellValue, ExperimentResult, FactVerdict, Finding, Results, RunInfo, Status, Support, Table};
use serde::Serialize;

use super::figures::InlineFigure;
use super::overview::{self, Item};
use super::problems::{self, Problem};
use super::{Result, text, words};

const TEMPLATE: &str = include_str!("templates/report.html");
const CSS: &str = include_str!("templates/report.css");
const JS: &str = include_str!("templates/report.js");

/// The page. `figures` come from [`super::figures::inline`]; pass none for a page without figures. Text of the results is
/// escaped by the template engine; only style, script and the SVG that this crate drew are put in as they are.
pub fn render(results: &Results, run: &RunInfo, figures: &[InlineFigure<'_>]) -> Result<String> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.add_template("report", TEMPLATE)?;
    let sections: Vec<Section> = results.experiments.iter().map(|e| Section::of(e, results, figures)).collect();
    let workloads: Vec<(String, String)> =
        run.workload_sha256.iter().map(|(id, sha)| (text::one_line(id), overview::short(sha))).collect();
    let page = env.get_template("report")?.render(context! {
        css => Value::from_safe_string(CSS.to_owned()),
        js => Value::from_safe_string(JS.to_owned()),
        suite => text::one_line(&results.suite),
        run_id => text::one_line(&run.run_id),
        started => text::one_line(&run.started),
        profile => text::one_line(&run.plan.profile),
        banner => entries(&overview::banner(results, run)),
        spoiling => entries(&overview::spoiling(run)),
        facts => entries(&overview::all_facts(run)),
        warnings => run.warnings.iter().map(|w| text::one_line(w)).collect::<Vec<_>>(),
        sections => Serde(sections),
        command => text::lines(&command::of_run(run)),
        llmbench => text::one_line(&run.llmbench),
        binary => overview::short(&run.binary_sha256),
        plan => overview::short(&run.plan_sha256),
        workloads => Serde(workloads),
        schema => run.schema,
    })?;
    Ok(page)
}

fn entries(items: &[Item]) -> Value {
    Serde(items.iter().map(Entry::of).collect::<Vec<_>>()).into()
}

#[derive(Serialize)]
struct Entry {
    title: String,
    value: String,
    class: &'static str,
    remedy: Option<String>,
}

impl Entry {
    fn of(item: &Item) -> Self {
        let class = match item.verdict {
            FactVerdict::Ok => "ok",
            FactVerdict::Warn => "warn",
            FactVerdict::Bad => "bad",
            FactVerdict::Unknown => "unknown",
            FactVerdict::Info => "info",
        };
        Self { title: item.title.clone(), value: item.value.clone(), class, remedy: item.remedy.clone() }
    }
}

#[derive(Serialize)]
struct Section {
    id: u32,
    anchor: String,
    name: String,
    question: String,
    /// Headline findings: the verdict.
    verdicts: Vec<Said>,
    findings: Vec<Said>,
    figures: Vec<Drawn>,
    tables: Vec<Laid>,
    problems: Vec<Missing>,
    failures: usize,
    warnings: Vec<String>,
    method: Vec<String>,
    threats: Vec<String>,
    command: String,
}

impl Section {
    fn of(e: &ExperimentResult, results: &Results, figures: &[InlineFigure<'_>]) -> Self {
        let (headlines, others): (Vec<_>, Vec<_>) = e.findings.iter().partition(|f| f.headline);
        let problems = problems::of(&results.records, Some(e.id));
        Self {
            id: e.id,
            anchor: format!("experiment-{}", e.id),
            name: text::one_line(&e.name),
            question: text::one_line(&e.question),
            verdicts: headlines.into_iter().map(Said::of).collect(),
            findings: others.into_iter().map(Said::of).collect(),
            figures: figures.iter().filter(|f| f.named.experiment == e.name).map(Drawn::of).collect(),
            tables: e.tables.iter().map(Laid::of).collect(),
            failures: problems.iter().filter(|p| p.is_failure()).map(|p| p.cells.len()).sum(),
            problems: problems.iter().map(Missing::of).collect(),
            warnings: e.warnings.iter().map(|w| text::one_line(w)).collect(),
            method: e.method.iter().map(|m| text::one_line(m)).collect(),
            threats: e.threats.iter().map(|t| text::one_line(t)).collect(),
            command: text::lines(&e.command),
        }
    }
}

#[derive(Serialize)]
struct Said {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    sentence: String,
}

impl Said {
    fn of(f: &Finding) -> Self {
        let (class, mark) = match f.support {
            Support::Supported => ("supported", "✓"),
            Support::NotSupported => ("not-supported", "✗"),
            Support::Inconclusive => ("inconclusive", "?"),
        };
        Self { class, mark, word: words::support(f.support), sentence: words::finding_sentence(f) }
    }
}

#[derive(Serialize)]
struct Drawn {
    svg: Value,
    title: String,
    caption: String,
}

impl Drawn {
    fn of(f: &InlineFigure<'_>) -> Self {
        Self {
            svg: Value::from_safe_string(f.svg.clone()),
            title: text::one_line(&f.named.figure.title),
            caption: text::one_line(&f.named.figure.caption),
        }
    }
}

#[derive(Serialize)]
struct Laid {
    title: String,
    columns: Vec<Head>,
    rows: Vec<Line>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Head {
    title: String,
    numeric: bool,
}

#[derive(Serialize)]
struct Line {
    cells: Vec<Datum>,
    status: &'static str,
    /// A rule stands above the first row of a group.
    first: bool,
}

#[derive(Serialize)]
struct Datum {
    text: String,
    sort: Option<String>,
    numeric: bool,
}

impl Laid {
    fn of(t: &Table) -> Self {
        let mut group: Option<&str> = None;
        let rows = t
            .rows
            .iter()
            .map(|row| {
                let first = group.is_some_and(|g| g != row.group);
                group = Some(&row.group);
                let texts = words::row_texts(t, row);
                let cells = texts
                    .into_iter()
                    .enumerate()
                    .map(|(c, text)| Datum {
                        sort: row.values.get(c).and_then(sort_key),
                        numeric: t.columns[c].numeric,
                        text,
                    })
                    .collect();
                Line { cells, status: words::status(row.status), first }
            })
            .collect();
        Self {
            title: text::one_line(&t.title),
            columns: t.columns.iter().map(|c| Head { title: text::one_line(&c.title), numeric: c.numeric }).collect(),
            rows,
            notes: t.notes.iter().map(|n| text::one_line(n)).collect(),
        }
    }
}

fn sort_key(value: &CellValue) -> Option<String> {
    value.sort.filter(|v| v.is_finite()).map(|v| v.to_string())
}

#[derive(Serialize)]
struct Missing {
    head: String,
    message: String,
    /// The error as it was, when it has more than one line.
    detail: Option<String>,
    cells: Vec<String>,
    class: &'static str,
}

impl Missing {
    fn of(p: &Problem) -> Self {
        let detail = text::lines(&p.error);
        Self {
            head: p.head(),
            message: p.message(),
            detail: detail.contains('\n').then_some(detail),
            cells: p.cells.iter().map(|c| text::one_line(c)).collect(),
            class: match p.status {
                Status::Mismatch | Status::Error | Status::Timeout => "bad",
                Status::Invalid => "warn",
                _ => "info",
            },
        }
    }
}
