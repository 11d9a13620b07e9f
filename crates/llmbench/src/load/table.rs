//! The result on the terminal.

use loadgen::serving::figures::{Distribution, Figures};
use loadgen::serving::record::Counted;
use loadgen::serving::verdict::ErrorSource;
use record::results::{CellValue, Row, Status, Table};

use super::outcome::{LEAST_RUNS, PointOutcome, RunOutcome};
use record::format::{duration, significant};
use report::terminal::{self, Style};
use suites::present::{column, plus_minus, text};

/// A metric with percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Ttft,
    TtftSent,
    Ttfo,
    Tpot,
    Gap,
    E2e,
    E2eSent,
}

impl Metric {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Ttft, Self::TtftSent, Self::Ttfo, Self::Tpot, Self::Gap, Self::E2e, Self::E2eSent];

    /// The name in exports; `itl` and `e2el` as the field has them.
    pub fn key(self) -> &'static str {
        match self {
            Self::Ttft => "ttft",
            Self::TtftSent => "ttft_sent",
            Self::Ttfo => "ttfo",
            Self::Tpot => "tpot",
            Self::Gap => "itl",
            Self::E2e => "e2el",
            Self::E2eSent => "e2el_sent",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ttft => "TTFT",
            Self::TtftSent => "TTFT from sent",
            Self::Ttfo => "TTFO",
            Self::Tpot => "TPOT",
            Self::Gap => "chunk gap",
            Self::E2e => "E2E",
            Self::E2eSent => "E2E from sent",
        }
    }

    /// Its distribution in a run, ns.
    pub fn of(self, figures: &Figures) -> Option<&Distribution> {
        let distribution = match self {
            Self::Ttft => &figures.ttft,
            Self::TtftSent => &figures.ttft_sent,
            Self::Ttfo => &figures.ttfo,
            Self::Tpot => &figures.tpot,
            Self::Gap => &figures.gap,
            Self::E2e => &figures.e2e,
            Self::E2eSent => &figures.e2e_sent,
        };
        distribution.as_ref()
    }
}

/// All points, a line each, and what must be said of them.
pub fn render(points: &[PointOutcome], details: bool, percentiles: &[f64], width: usize, style: Style) -> String {
    let mut out = terminal::table(&overview(points), width, style);
    if let ([point], true) = (points, details) {
        out.push('\n');
        out.push_str(&terminal::table(&distributions(point, percentiles), width, style));
    }
    let lines = remarks(points);
    if !lines.is_empty() {
        out.push('\n');
    }
    for line in lines {
        out.push_str(&terminal::warning(&line, width, style));
    }
    out
}

fn overview(points: &[PointOutcome]) -> Table {
    let ms = |point: &PointOutcome, metric: Metric, percentile: f64| {
        point.estimate(|figures| metric.of(figures)?.percentile(percentile).map(|ns| ns / 1e6))
    };
    let figure = |estimate: Option<record::results::Estimate>| match estimate {
        Some(estimate) => CellValue {
            text: format!("{}{}", significant(estimate.point, 3), plus_minus(&estimate)),
            sort: Some(estimate.point),
        },
        None => text("-"),
    };
    let row = |point: &PointOutcome| Row {
        values: vec![
            text(point.point.to_string()),
            figure(point.estimate(|figures| Some(figures.request_throughput))),
            figure(point.estimate(|figures| Some(figures.output_throughput))),
            figure(ms(point, Metric::Ttft, 50.0)),
            figure(ms(point, Metric::Ttft, 99.0)),
            figure(ms(point, Metric::Tpot, 50.0)),
            figure(ms(point, Metric::Gap, 99.0)),
            figure(ms(point, Metric::E2e, 50.0)),
            figure(point.estimate(|figures| figures.goodput)),
            text(point.failed().to_string()),
            text(if point.is_valid() { "VALID" } else { "INVALID" }),
        ],
        // The verdict has a column of its own.
        status: Status::Ok,
        group: String::new(),
    };
    let has_goodput = points.iter().any(|point| point.runs.iter().any(|run| run.figures.goodput.is_some()));
    let mut columns = vec![
        column("load", false, 0),
        column("req/s", true, 0),
        column("tok/s", true, 1),
        column("TTFT p50", true, 0),
        column("TTFT p99", true, 0),
        column("TPOT p50", true, 0),
        column("gap p99", true, 3),
        column("E2E p50", true, 2),
        column("good/s", true, 0),
        column("failed", true, 0),
        column("verdict", false, 0),
    ];
    let mut rows: Vec<Row> = points.iter().map(row).collect();
    if !has_goodput {
        columns.remove(8);
        rows.iter_mut().for_each(|row| drop(row.values.remove(8)));
    }
    let runs = points.iter().map(|point| point.runs.len()).min().unwrap_or(0);
    let note = match runs {
        0 | 1 => "One run: no interval and no claim (--num-runs 5 gives them).".to_owned(),
        few if few < LEAST_RUNS => format!("Means of {few} runs; from {LEAST_RUNS} runs on there are intervals."),
        many => format!("Geometric means of {many} runs with 95% intervals (t, across runs)."),
    };
    let from = "Times in ms. TTFT and E2E count from the time at which a request was due.".to_owned();
    Table { id: "load".to_owned(), title: String::new(), columns, rows, notes: vec![note, from] }
}

/// Distributions of the last run of a point.
fn distributions(point: &PointOutcome, percentiles: &[f64]) -> Table {
    let Some(run) = point.runs.last() else {
        return Table {
            id: "metrics".to_owned(),
            title: String::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            notes: Vec::new(),
        };
    };
    let mut columns = vec![column("metric", false, 0), column("mean", true, 0), column("median", true, 0)];
    let shown: Vec<f64> = percentiles.iter().copied().filter(|percentile| *percentile != 50.0).collect();
    columns.extend(shown.iter().map(|percentile| column(&format!("p{percentile}"), true, 0)));
    columns.push(column("max", true, 1));
    // What is the same as TTFT says nothing.
    let is_told = |metric: &Metric| *metric != Metric::Ttfo || run.figures.ttfo != run.figures.ttft;
    let row = |metric: Metric| {
        let distribution = metric.of(&run.figures)?;
        let time = |ns: f64| CellValue { text: duration(ns), sort: Some(ns) };
        let mut values = vec![text(metric.title()), time(distribution.mean), time(distribution.median())];
        values.extend(
            shown.iter().map(|percentile| distribution.percentile(*percentile).map_or_else(|| text("-"), time)),
        );
        values.push(time(distribution.max));
        Some(Row { values, status: Status::Ok, group: String::new() })
    };
    let rows = Metric::ALL.into_iter().filter(is_told).filter_map(row).collect();
    Table { id: "metrics".to_owned(), title: String::new(), columns, rows, notes: facts(run) }
}

fn facts(run: &RunOutcome) -> Vec<String> {
    let figures = &run.figures;
    let count = record::format::count;
    let counted = match figures.counted {
        Counted::Server => "by the server's count",
        Counted::Tokenizer => "by the model's tokenizer",
        Counted::Chunks => "counted as chunks",
    };
    let mut facts = vec![format!(
        "{} of {} requests in {} s; {} prompt tokens, {} output tokens {counted}; {} requests in flight on average, {} at most.",
        count(figures.completed as u64),
        count(figures.sent as u64),
        significant(figures.duration_s, 3),
        count(figures.input_tokens),
        count(figures.output_tokens),
        significant(figures.concurrency, 3),
        count(figures.most_in_flight as u64),
    )];
    let chunk = run.cpu_per_chunk_ns.map(|ns| format!(", {} a chunk", duration(ns))).unwrap_or_default();
    facts.push(format!(
        "The client used {:.0}% of a core{chunk}; requests left {} late at p99.",
        run.usage.share() * 100.0,
        duration(run.lateness.own.p99_ns as f64)
    ));
    if let Some(error) = run.client_error {
        let source = match error.source {
            ErrorSource::Measured => "by the server's stamps of this run",
            ErrorSource::Kernel => "by the kernel's stamps of this run (received less seen)",
            ErrorSource::Calibrated => "by the calibration of this machine",
        };
        let calibrated = run.calibrated_error.filter(|_| error.source != ErrorSource::Calibrated);
        let calibrated = calibrated.map(|of| format!("; at most {} by the calibration", duration(of.p99_ns as f64)));
        facts.push(format!(
            "Client error: {} at p99, {source}{}.",
            duration(error.p99_ns as f64),
            calibrated.unwrap_or_default()
        ));
    }
    facts
}

/// Verdicts, failures and notes, each once.
fn remarks(points: &[PointOutcome]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut say = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for point in points {
        for run in &point.runs {
            let name = if point.runs.len() > 1 {
                format!("{}, run {}", point.point, run.run)
            } else {
                point.point.to_string()
            };
            for reason in &run.verdict.reasons {
                say(format!("{name}: INVALID: {reason}"));
            }
            for (class, failed) in &run.errors {
                say(format!("{name}: {} failed ({class}); the first: {}", failed.count, failed.first));
            }
            for note in &run.verdict.notes {
                say(format!("{name}: {note}"));
            }
            for note in &run.notes {
                say(format!("{name}: {note}"));
            }
        }
    }
    lines
}
