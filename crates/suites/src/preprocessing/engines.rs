//! 7 engines: which tokenizer and template engines are fastest on which text, and are they right?

use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan, Timing};
use record::results::{Estimate, ExperimentResult, Figure, FigureKind, Finding, Record, Series, Status, Support};

use benchstats::verdict::Verdict;

use super::engine_cells::{Drafts, STATES};
use super::exponent::{self, Growth, QUADRATIC, SUPERLINEAR};
use super::rows::{self, Judged, Rows};
use super::stacks::{self, NATIVE_ENCODE};
use super::{engine_tables as tables, stacks::TRANSFORMERS};
use crate::present::{self, distinct, finding, number, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct Engines;

impl Experiment for Engines {
    fn name(&self) -> &'static str {
        "engines"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        Drafts::new(context, settings)?.workloads()
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        Drafts::new(context, settings)?.cells()
    }

    /// Every engine against the stable tokenizers crate, or transformers' template, on the same text in the same state.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let cells: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && is_loop(cell)).collect();
        let pair = |cell: &&Cell| {
            let baseline = baseline(&cells, cell)?;
            (baseline.id != cell.id).then(|| (cell.id.clone(), baseline.id.clone()))
        };
        cells.iter().filter_map(pair).collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let compared = Compared::of(input, &rows);
        result.findings = fastest_findings(input, &rows, &compared);
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.findings.push(ids_finding(input));
        result.findings.extend(growth_findings(input, &compared.growths));
        for kind in &compared.kinds {
            result.tables.extend(tables::throughput(input, &mut rows, &compared, kind));
        }
        result.tables.extend(tables::growth(&mut rows, &compared));
        result.tables.extend(tables::states(input, &mut rows));
        result.tables.extend(tables::threads(input, &mut rows));
        result.tables.extend(tables::loads(input, &mut rows));
        result.tables.extend(tables::templates(input, &mut rows, &compared));
        result.figures =
            [ratio_figure(input, &compared), kind_figure(&rows, &compared)].into_iter().flatten().collect();
        let headlines: Vec<&Cell> =
            compared.warm.iter().copied().filter(|cell| word(&cell.axes, "kind") == STATES).collect();
        result.warnings = rows.warnings(&headlines);
        (result, rows.records)
    }
}

/// Warm tokenizer cells, and what is compared between them.
pub(super) struct Compared<'a> {
    pub(super) warm: Vec<&'a Cell>,
    /// Kinds of text, in the order of the plan.
    pub(super) kinds: Vec<String>,
    /// Against the baseline of each point; a kind of text is a family of its own.
    pub(super) judged: Vec<Judged>,
    pub(super) growths: Vec<Growth<'a>>,
}

impl<'a> Compared<'a> {
    fn of(input: &'a AnalysisInput, rows: &Rows) -> Self {
        let warm: Vec<&Cell> = input.cells().filter(|cell| is_warm(cell)).collect();
        let kinds = distinct(warm.iter().map(|cell| word(&cell.axes, "kind").to_owned()));
        let pairs = |cells: &[&Cell]| -> Vec<(String, String)> {
            cells
                .iter()
                .filter_map(|cell| Some((cell.id.clone(), baseline(cells, cell)?.id.clone())))
                .filter(|(row, baseline)| row != baseline)
                .collect()
        };
        let mut judged = Vec::new();
        let mut growths = Vec::new();
        for kind in &kinds {
            let of_kind: Vec<&Cell> = warm.iter().copied().filter(|cell| word(&cell.axes, "kind") == kind).collect();
            judged.extend(rows.judge(&pairs(&of_kind)));
            for path in distinct(of_kind.iter().map(|cell| path(cell))) {
                let cells: Vec<&Cell> = of_kind.iter().copied().filter(|cell| self::path(cell) == path).collect();
                growths.extend(exponent::growth(input, rows, &cells).filter(|growth| growth.sizes > 1));
            }
        }
        let templates: Vec<&Cell> = input.cells().filter(|cell| is_loop(cell) && cell.op.name == "template").collect();
        judged.extend(rows.judge(&pairs(&templates)));
        Self { warm, kinds, judged, growths }
    }

    /// The cells of a kind of text at its largest size.
    pub(super) fn largest(&self, kind: &str) -> Vec<&'a Cell> {
        let of_kind = || self.warm.iter().copied().filter(|cell| word(&cell.axes, "kind") == kind);
        let most = of_kind().map(|cell| number(&cell.axes, "bytes")).max();
        of_kind().filter(|cell| Some(number(&cell.axes, "bytes")) == most).collect()
    }

    /// The comparison of a cell with its baseline.
    pub(super) fn of_cell(&self, cell: &Cell) -> Option<&Judged> {
        self.judged.iter().find(|judged| judged.row == cell.id)
    }
}

pub(super) fn is_loop(cell: &Cell) -> bool {
    cell.timing == Timing::Loop && cell.twin_of.is_none()
}

pub(super) fn is_warm(cell: &Cell) -> bool {
    is_loop(cell) && cell.op.name == "tokenize" && cell.cache == "warm"
}

/// Who does the work: subject, engine and call path.
pub(super) fn path(cell: &Cell) -> (&str, &str, &str) {
    (&cell.subject, &cell.op.engine, &cell.op.call_path)
}

/// The call path for people, with its subject where that is not Rust.
pub(super) fn label(cell: &Cell) -> String {
    let label = stacks::label(&cell.op.engine, &cell.op.call_path);
    if cell.subject == "native" { format!("{label} (Rust)") } else { format!("{label} ({})", cell.subject) }
}

/// What a cell is compared with: the stable tokenizers crate in Rust, or the first transformers template, on the same input.
fn baseline<'a>(cells: &[&'a Cell], cell: &Cell) -> Option<&'a Cell> {
    let beside = |other: &&&Cell| {
        (&other.op.name, &other.workload, &other.cache) == (&cell.op.name, &cell.workload, &cell.cache)
    };
    let wanted = if cell.op.name == "template" { TRANSFORMERS.template } else { NATIVE_ENCODE };
    let is_wanted = |other: &&&Cell| {
        (other.op.engine.as_str(), other.op.call_path.as_str()) == (wanted.engine, wanted.call_path)
            && (cell.op.name == "template" || other.subject == "native")
    };
    cells.iter().filter(beside).find(is_wanted).copied()
}

/// `english texts of 100 kB`.
pub(super) fn describe(cell: &Cell) -> String {
    format!("{} texts of {}", word(&cell.axes, "kind"), format::bytes(number(&cell.axes, "bytes")))
}

/// Of each kind of text the fastest engine that is right, and the runner-up; then the fastest template engine.
fn fastest_findings(input: &AnalysisInput, rows: &Rows, compared: &Compared) -> Vec<Finding> {
    let gates = input.settings.words("gate_kind");
    let mut podiums: Vec<(String, Vec<(&Cell, Estimate)>)> = Vec::new();
    let podium = |cells: Vec<&'_ Cell>| {
        let mut timed: Vec<(&Cell, Estimate)> = cells
            .into_iter()
            .filter(|cell| rows.rankable(&cell.id))
            .filter_map(|cell| Some((input.cells().find(|other| other.id == cell.id)?, rows.time(cell)?)))
            .collect();
        timed.sort_by(|a, b| a.1.point.total_cmp(&b.1.point));
        timed
    };
    for kind in compared.kinds.iter().filter(|kind| !gates.contains(kind)) {
        let cells = compared.largest(kind);
        if let Some(place) = cells.first().map(|cell| describe(cell)) {
            podiums.push((place, podium(cells)));
        }
    }
    let templates: Vec<&Cell> = input.cells().filter(|cell| is_loop(cell) && cell.op.name == "template").collect();
    for workload in distinct(templates.iter().map(|cell| cell.workload.clone())) {
        let cells: Vec<&Cell> = templates.iter().copied().filter(|cell| cell.workload == workload).collect();
        if let Some(place) = cells.first().map(|cell| format!("a chat of {}", present::describe(&cell.axes))) {
            podiums.push((place, podium(cells)));
        }
    }
    let pairs: Vec<(String, String)> = podiums
        .iter()
        .filter_map(|(_, podium)| Some((podium.get(1)?.0.id.clone(), podium.first()?.0.id.clone())))
        .collect();
    let judged = rows.judge(&pairs);
    podiums.iter().filter_map(|(place, podium)| fastest(input, compared, place, podium, &judged)).collect()
}

fn fastest(
    input: &AnalysisInput,
    compared: &Compared,
    place: &str,
    podium: &[(&Cell, Estimate)],
    judged: &[Judged],
) -> Option<Finding> {
    let (first, time) = podium.first()?;
    let rate = if first.op.name == "template" {
        format!("{} a call", format::duration_ci(time))
    } else {
        let bytes = number(&first.axes, "bytes") as f64;
        format::quantity_ci(&rows::inverse_of(bytes * 1e3, time), "MB/s")
    };
    let over = compared.of_cell(first).map_or(String::new(), |judged| {
        let of = if first.op.name == "template" { "transformers" } else { "hf-tokenizers.encode in Rust" };
        format!(", {} as fast as {of}", format::ratio_ci(&judged.speedup()))
    });
    let runner_up = podium.get(1);
    let judged = runner_up.and_then(|(cell, _)| judged.iter().find(|judged| judged.row == cell.id));
    let (support, behind) = match (runner_up, judged) {
        (Some((cell, _)), Some(judged)) => {
            let support = match judged.verdict {
                Verdict::Slower => Support::Supported,
                Verdict::Equivalent | Verdict::Faster => Support::NotSupported,
                Verdict::Inconclusive => Support::Inconclusive,
            };
            let behind = format!("; next is {}, {} its time", label(cell), format::ratio_ci(&judged.estimate));
            (support, behind)
        }
        _ => (Support::Inconclusive, String::new()),
    };
    let cells = podium.iter().take(2).map(|(cell, _)| cell.id.clone()).collect();
    let sentence = format!("On {place} the fastest is {}: {rate}{over}{behind}.", label(first));
    Some(finding(input, support, format!("{} is the fastest on {place}", label(first)), sentence, cells))
}

/// Do all engines give the reference's output? Those that do not are named with the kinds of text.
fn ids_finding(input: &AnalysisInput) -> Finding {
    let checked: Vec<&Cell> = input
        .cells()
        .filter(|cell| cell.twin_of.is_none() && cell.check.is_some())
        .filter(|cell| matches!(input.measurements.status(&cell.id), Status::Ok | Status::Mismatch))
        .collect();
    let differ: Vec<&Cell> =
        checked.iter().copied().filter(|cell| input.measurements.status(&cell.id) == Status::Mismatch).collect();
    let claim = "all engines give the output of their reference".to_owned();
    if differ.is_empty() {
        let paths = distinct(checked.iter().map(|cell| (path(cell), cell.op.name.as_str()))).len();
        let support = if checked.is_empty() { Support::Inconclusive } else { Support::Supported };
        let sentence = format!(
            "All {paths} call paths that ran give the output of their reference in all {} cells.",
            checked.len()
        );
        return finding(input, support, claim, sentence, Vec::new());
    }
    let engines: Vec<String> = distinct(differ.iter().map(|cell| path(cell)))
        .into_iter()
        .filter_map(|path| {
            let cells: Vec<&Cell> = differ.iter().copied().filter(|cell| self::path(cell) == path).collect();
            let on = distinct(cells.iter().map(|cell| match word(&cell.axes, "kind") {
                "" => cell.op.name.clone(),
                kind => kind.to_owned(),
            }));
            let first = cells.first()?;
            let error = input.error(&first.id).unwrap_or_default();
            let place = tables::difference(&error).unwrap_or(&error);
            Some(format!("{} on {} (first: {place})", label(first), on.join(", ")))
        })
        .collect();
    let sentence = format!("These differ from their reference and are not ranked there: {}.", engines.join("; "));
    finding(input, Support::NotSupported, claim, sentence, differ.iter().map(|cell| cell.id.clone()).collect())
}

/// The engines whose time grows faster than the text; one sentence when there is none.
fn growth_findings(input: &AnalysisInput, growths: &[Growth]) -> Vec<Finding> {
    let superlinear: Vec<&Growth> =
        growths.iter().filter(|growth| growth.exponent.lower.is_some_and(|lower| lower > SUPERLINEAR)).collect();
    if superlinear.is_empty() {
        let Some(worst) = growths.iter().max_by(|a, b| a.exponent.point.total_cmp(&b.exponent.point)) else {
            return Vec::new();
        };
        let bounded = growths.iter().all(|growth| growth.exponent.upper.is_some_and(|upper| upper < SUPERLINEAR));
        let support = if bounded { Support::NotSupported } else { Support::Inconclusive };
        let sentence = format!(
            "No engine's time is shown to grow faster than bytes^{SUPERLINEAR}; the steepest is {} on {} with {}.",
            label(worst.largest),
            word(&worst.largest.axes, "kind"),
            format::quantity_ci(&worst.exponent, "")
        );
        let claim = "an engine's time grows faster than its text".to_owned();
        return vec![finding(input, support, claim, sentence, vec![worst.largest.id.clone()])];
    }
    superlinear
        .into_iter()
        .map(|growth| {
            let quadratic = growth.exponent.lower.is_some_and(|lower| lower > QUADRATIC);
            let word = if quadratic { "quadratic" } else { "superlinear" };
            let kind = present::word(&growth.largest.axes, "kind");
            let last = growth
                .last
                .as_ref()
                .map_or(String::new(), |last| format!(", between the two largest {}", format::quantity_ci(last, "")));
            let sentence = format!(
                "{} is {word} on {kind}: its time grows as bytes^{} over {} sizes{last}.",
                label(growth.largest),
                format::quantity_ci(&growth.exponent, ""),
                growth.sizes
            );
            let claim = format!("{} grows faster than its text on {kind}", label(growth.largest));
            finding(input, Support::Supported, claim, sentence, vec![growth.largest.id.clone()])
        })
        .collect()
}

/// Speed over the stable crate on English, largest size.
fn ratio_figure(input: &AnalysisInput, compared: &Compared) -> Option<Figure> {
    let cells = compared.largest(STATES);
    let place = describe(cells.first()?);
    let mut judged: Vec<(&Cell, &Judged)> =
        cells.into_iter().filter_map(|cell| Some((cell, compared.of_cell(cell)?))).collect();
    judged.sort_by(|(_, a), (_, b)| b.speedup().point.total_cmp(&a.speedup().point));
    let points = judged.iter().enumerate().map(|(x, (_, judged))| present::point(x as f64, &judged.speedup(), 1.0));
    (!judged.is_empty()).then(|| Figure {
        id: "engines-ratios".to_owned(),
        title: format!("Times as fast as hf-tokenizers.encode in Rust, {place}"),
        kind: FigureKind::Ratios,
        x: present::categories("engine", judged.iter().map(|(cell, _)| label(cell)).collect()),
        y: present::axis("times as fast", true),
        series: vec![Series { name: "speed".to_owned(), points: points.collect(), reference: false }],
        caption: format!(
            "Paired within runs, 95% intervals, {} runs. Only engines with the same ids as the reference.",
            input.measurements.runs.len()
        ),
    })
}

/// Throughput of the Rust engines over the kinds of text, largest sizes.
fn kind_figure(rows: &Rows, compared: &Compared) -> Option<Figure> {
    let mut series: Vec<Series> = Vec::new();
    for (x, kind) in compared.kinds.iter().enumerate() {
        for cell in compared.largest(kind).into_iter().filter(|cell| cell.subject == "native") {
            let Some(time) = rows.time(cell).filter(|_| rows.rankable(&cell.id)) else { continue };
            let rate = rows::inverse_of(number(&cell.axes, "bytes") as f64 * 1e3, &time);
            let (name, point) =
                (stacks::label(&cell.op.engine, &cell.op.call_path), present::point(x as f64, &rate, 1.0));
            match series.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push(point),
                None => series.push(Series { name, points: vec![point], reference: false }),
            }
        }
    }
    (!series.is_empty()).then(|| Figure {
        id: "engines-kinds".to_owned(),
        title: "Throughput of the Rust engines by kind of text, one thread".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("text", compared.kinds.clone()),
        y: present::axis("throughput (MB/s)", true),
        series,
        caption: "Mean across runs with 95% intervals, largest size of each kind, caches warm. An engine that differs from the reference on a kind has no bar there.".to_owned(),
    })
}
