//! The table, the bars, the finding and the warnings of where a TTFT goes, for any cells that ask a server.

use std::collections::BTreeMap;

use record::plan::Cell;
use record::results::{CellValue, Estimate, Figure, FigureKind, Finding, Row, Series, Support, Table};

use super::asking::STAGE;
use super::ttft_parts::{Part, Read, Split, largest};
use crate::AnalysisInput;
use crate::house::comparison::Quantity;
use crate::house::estimate;
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, finding, number, text};
use record::format;
use server_api::metrics;

/// Means so far apart cannot be read off one axis: then the shares have a figure of their own.
const FAR_APART: f64 = 5.0;
/// The most that parts may add up to beyond the whole without a warning, as a share of it; the noise floor where that is larger.
const LEAST_EXCESS: f64 = 0.02;

/// The parts of a cell's TTFT, by run.
pub struct Stack<'a> {
    cell: &'a Cell,
    label: String,
    splits: BTreeMap<u32, Split>,
    samples: u32,
    /// Its latencies are those of a queue that grows: they have no interval.
    saturated: bool,
}

impl<'a> Stack<'a> {
    /// None where there is no run with parts.
    pub fn of(input: &AnalysisInput, rows: &Rows, cell: &'a Cell, label: String, saturated: bool) -> Option<Self> {
        let readings = Readings::of(input, cell);
        let splits: BTreeMap<u32, Split> = readings
            .runs()
            .filter_map(|run| Some((run, Split::of(&Read::of(&|name| readings.get(name, run))?)?)))
            .collect();
        let label = if saturated { format!("{label} sat.") } else { label };
        (!splits.is_empty()).then(|| Self { cell, label, splits, samples: rows.samples(&cell.id), saturated })
    }

    fn estimate(&self, of: impl Fn(&Split) -> Option<f64>) -> Option<Estimate> {
        let values: Vec<f64> = self.splits.values().filter_map(of).collect();
        let mut estimate = estimate::linear_estimate(&values, self.samples)?;
        if self.saturated {
            (estimate.lower, estimate.upper) = (None, None);
            estimate.method = "saturated".to_owned();
        }
        Some(estimate)
    }

    fn part(&self, part: Part) -> Option<Estimate> {
        self.estimate(|split| split.part(part))
    }

    fn total(&self) -> Option<Estimate> {
        self.estimate(|split| Some(split.total_ns))
    }

    /// The largest part, its share, and whether its interval is clear of every other in differences within runs.
    fn largest(&self) -> Option<(Part, Estimate, bool)> {
        let part = largest(self.splits.values())?;
        let share = self.estimate(|split| split.share(part))?;
        let clear = Part::ALL.into_iter().filter(|other| *other != part).all(|other| {
            let difference = self.estimate(|split| Some(split.part(part)? - split.part(other).unwrap_or(0.0)));
            difference.and_then(|difference| difference.lower).is_some_and(|lower| lower > 0.0)
        });
        Some((part, share, clear))
    }
}

/// The readings of a cell that parts are made of.
struct Readings(BTreeMap<&'static str, BTreeMap<u32, f64>>);

impl Readings {
    const NAMES: [&'static str; 8] = [
        "all_ttft_mean_ns",
        "all_client_wait_mean_ns",
        "network_ns",
        "knock_mean_ns",
        "server_ttft_mean_ns",
        "server_queue_mean_ns",
        "server_prefill_mean_ns",
        "server_agrees",
    ];

    fn of(input: &AnalysisInput, cell: &Cell) -> Self {
        let of = |name: &'static str| (name, input.measurements.reading_values(&cell.id, name));
        Self(Self::NAMES.into_iter().map(of).collect())
    }

    fn runs(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.get(Self::NAMES[0]).into_iter().flat_map(|values| values.keys().copied())
    }

    fn get(&self, name: &str, run: u32) -> Option<f64> {
        self.0.get(name)?.get(&run).copied()
    }
}

/// Rows, a table and figures of the parts; nothing without stacks. All are of one workload.
pub fn shown(input: &AnalysisInput, rows: &mut Rows, stacks: &[Stack]) -> Option<(Table, Vec<Figure>)> {
    let first = stacks.first()?.cell;
    let known: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| stacks.iter().any(|stack| stack.splits.values().any(|split| split.part(*part).is_some())))
        .collect();
    let mut columns = vec![column("load", false, 0), column("mean TTFT", true, 0)];
    columns.extend(known.iter().map(|part| {
        let drop = match part {
            Part::ClientWait | Part::Network => 2,
            Part::HttpWait => 1,
            _ => 0,
        };
        column(part.name(), true, drop)
    }));
    let table = Table {
        id: format!("{}-ttft-parts", first.experiment),
        title: "Where a TTFT goes".to_owned(),
        columns,
        rows: stacks.iter().map(|stack| row(input, rows, stack, &known)).collect(),
        notes: notes(input, &known),
    };
    Some((table, figures(input, stacks, &known)))
}

fn row(input: &AnalysisInput, rows: &mut Rows, stack: &Stack, known: &[Part]) -> Row {
    let (status, error) = (status::of(input.measurements, stack.cell), input.error(&stack.cell.id));
    let mut put = |metric: &str, estimate: &Option<Estimate>| {
        rows.push(stack.cell, STAGE, metric, "ns", estimate.clone());
    };
    let mark = status::mark(input.measurements, stack.cell);
    let total = stack.total();
    put("ttft_mean_all", &total);
    let mut values = vec![
        text(format!("{}{mark}", stack.label)),
        present::figure(total.as_ref(), present::duration_pm, error.as_deref()),
    ];
    for part in known {
        let estimate = stack.part(*part);
        put(part.metric(), &estimate);
        values.push(with_share(estimate.as_ref(), total.as_ref()));
    }
    Row { values, status, group: String::new() }
}

/// `12.3 ms 40%`.
fn with_share(part: Option<&Estimate>, total: Option<&Estimate>) -> CellValue {
    let show = |ns: &Estimate| match total.filter(|total| total.point > 0.0) {
        Some(total) => format!("{} {:.0}%", format::duration(ns.point), ns.point / total.point * 100.0),
        None => format::duration(ns.point),
    };
    present::figure(part, show, None)
}

/// The family of the server that was asked, as the worker told it from its counters.
fn family<'a>(input: &'a AnalysisInput) -> Option<&'a str> {
    input.info.subjects.values().find_map(|ready| ready.build.get("server_family")).map(String::as_str)
}

fn notes(input: &AnalysisInput, known: &[Part]) -> Vec<String> {
    let mut notes = vec![
        "Parts of the mean TTFT from when a request was due, with their shares; means add up, percentiles do not. Over all requests of a stretch, those \
         that fill and empty a closed loop too, because the server's counters hold them."
            .to_owned(),
        "client wait: until the last byte was sent. network: the cheapest exchange (GET /v1/models) on an open connection before the load, both ways and \
         through both HTTP stacks. HTTP wait: how much longer it takes during the load, 10 a second at random moments."
            .to_owned(),
    ];
    notes.push(match family(input).and_then(metrics::named) {
        Some(counters) => counters.clock.to_owned(),
        _ if known.contains(&Part::Prefill) => String::new(),
        _ => "The server has no /metrics of a kind that is known (vLLM, SGLang, llama.cpp with --metrics): what it does is in unexplained.".to_owned(),
    });
    notes.retain(|note| !note.is_empty());
    notes
}

/// Bars of the parts in ms, and of their shares where the means are far apart. INVALID points are left out.
fn figures(input: &AnalysisInput, stacks: &[Stack], known: &[Part]) -> Vec<Figure> {
    let usable: Vec<&Stack> = stacks.iter().filter(|stack| status::is_usable(input.measurements, stack.cell)).collect();
    let Some(first) = usable.first().map(|stack| stack.cell) else { return Vec::new() };
    let series = |of: &dyn Fn(&Stack, Part) -> Option<Estimate>, factor: f64| -> Vec<Series> {
        let points = |part: Part| {
            let point = |(index, stack): (usize, &&Stack)| {
                let estimate = of(stack, part)?;
                // Intervals of parts hide the parts; they stand in the rows.
                let bare = Estimate { lower: None, upper: None, ..estimate };
                Some(present::point(index as f64, &bare, factor))
            };
            usable.iter().enumerate().filter_map(point).collect()
        };
        known
            .iter()
            .map(|part| Series { name: part.name().to_owned(), points: points(*part), reference: false })
            .collect()
    };
    let figure = |suffix: &str, title: &str, label: &str, series: Vec<Series>, caption: &str| Figure {
        id: format!("{}-ttft-{suffix}", first.experiment),
        title: title.to_owned(),
        kind: FigureKind::StackedBars,
        x: present::categories("load", usable.iter().map(|stack| stack.label.clone()).collect()),
        y: present::axis(label, false),
        series,
        caption: caption.to_owned(),
    };
    let mut parts = series(&|stack, part| stack.part(part), 1e-6);
    let totals = usable
        .iter()
        .enumerate()
        .filter_map(|(index, stack)| Some(present::point(index as f64, &stack.total()?, 1e-6)))
        .collect();
    parts.push(Series { name: "mean TTFT".to_owned(), points: totals, reference: true });
    let mut figures = vec![figure(
        "parts",
        "Where a TTFT goes",
        "mean time to first token (ms)",
        parts,
        "Mean across runs of the parts of the mean TTFT, in the order in which a request meets them; the diamond is the whole with its 95% interval. A part below \
         zero lies left of the axis. The table says what each holds.",
    )];
    let totals: Vec<f64> = usable.iter().filter_map(|stack| Some(stack.total()?.point)).collect();
    let (least, most) =
        totals.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), &ns| (least.min(ns), most.max(ns)));
    if most > FAR_APART * least {
        figures.push(figure(
            "shares",
            "Shares of a TTFT",
            "share of the mean time to first token (%)",
            series(&|stack, part| stack.estimate(|split| split.share(part)), 100.0),
            "The same parts as shares of each load's own mean TTFT, mean across runs.",
        ));
    }
    figures
}

/// Which part is the largest at the least and at the highest concurrency.
pub fn whose(input: &AnalysisInput, rows: &mut Rows, stacks: &[Stack]) -> Option<Finding> {
    let at = |stack: &&Stack| number(&stack.cell.axes, "concurrency");
    let usable = || {
        stacks
            .iter()
            .filter(|stack| number(&stack.cell.axes, "concurrency") > 0)
            .filter(|stack| status::is_usable(input.measurements, stack.cell))
    };
    let (low, high) = (usable().min_by_key(at)?, usable().max_by_key(at)?);
    let (low_part, low_share, low_clear) = low.largest()?;
    let (high_part, high_share, high_clear) = high.largest()?;
    for (stack, share) in [(low, &low_share), (high, &high_share)] {
        rows.push(stack.cell, STAGE, "ttft_largest_share", "1", Some(share.clone()));
    }
    let of = |stack: &Stack| stack.total().map_or_else(String::new, |total| format::duration(total.point));
    let holds = |part: Part| if part == Part::Unexplained { ", which holds what no clock saw apart" } else { "" };
    let mut sentence = format!(
        "At {}, {} is the largest part of the mean TTFT: {} of {}{}",
        low.label,
        low_part.name(),
        format::percent_ci(&low_share),
        of(low),
        holds(low_part)
    );
    if low.cell.id != high.cell.id {
        let is = if low_part == high_part { "it still is" } else { "it is" };
        sentence.push_str(&format!(
            "; at {} {is} {}: {} of {}{}",
            high.label,
            high_part.name(),
            format::percent_ci(&high_share),
            of(high),
            holds(high_part)
        ));
    }
    let clear = low_clear && high_clear;
    if !clear {
        sentence.push_str("; the runs do not tell it from the next largest at every load");
    }
    sentence.push_str(&format!(" ({}).", present::describe(&high.cell.axes)));
    Some(finding(
        input,
        if clear { Support::Supported } else { Support::Inconclusive },
        format!("at {} {} is the largest part of the TTFT", high.label, high_part.name()),
        sentence,
        vec![low.cell.id.clone(), high.cell.id.clone()],
    ))
}

/// Where the server counted other requests than were sent, where parts do not add up, and where the cheap exchanges failed.
pub fn warnings(input: &AnalysisInput, stacks: &[Stack]) -> Vec<String> {
    // A warning claims no difference: where nobody knows the noise, the least excess counts.
    let noise = |stack: &Stack| input.floor(stack.cell, Quantity::TTFT).known().map_or(0.0, |floor| floor.value);
    let mut warnings = Vec::new();
    for cell in input.cells().filter(|cell| cell.twin_of.is_none()) {
        warnings.extend(others(input, cell));
        let of = |name: &str| input.measurements.reading_values(&cell.id, name).values().sum::<f64>();
        let (failed, answered) = (of("knocks_failed"), of("knocks"));
        if failed > 0.0 {
            warnings.push(format!(
                "{}: {failed:.0} of {:.0} cheap exchanges (GET /v1/models) failed or took over 10 s: HTTP wait is of the others and too short.",
                cell.id,
                failed + answered
            ));
        }
    }
    for stack in stacks.iter().filter(|stack| status::is_usable(input.measurements, stack.cell)) {
        let excess = stack.estimate(|split| split.share(Part::Unexplained));
        if let Some(excess) = excess
            && excess.upper.is_some_and(|upper| upper < 0.0)
            && -excess.point > noise(stack).max(LEAST_EXCESS)
        {
            warnings.push(format!(
                "{}: the parts of the TTFT are {} more than the whole: parts that were measured apart overlap, or the server's clock holds more than its name says. \
                 Take each part as an upper bound.",
                stack.cell.id,
                format::percent(-excess.point)
            ));
        }
    }
    warnings
}

/// Others who used the server meanwhile, or requests that it did not count.
fn others(input: &AnalysisInput, cell: &Cell) -> Option<String> {
    let of = |name: &str| input.measurements.reading_values(&cell.id, name);
    let agrees = of("server_agrees");
    let bad: Vec<u32> = agrees.iter().filter(|(_, agrees)| **agrees < 1.0).map(|(run, _)| *run).collect();
    let run = bad.first()?;
    let pair = |what: &str, sent: &str, counted: &str| {
        let (sent, counted) = (*of(sent).get(run)?, *of(counted).get(run)?);
        let count = |number: f64| format::count(number.round() as u64);
        Some(format!("{} {what} where {} were sent", count(counted), count(sent)))
    };
    let counts: Vec<String> = [
        pair("requests", "sent_requests", "server_requests"),
        pair("prompt tokens", "sent_prompt_tokens", "server_prompt_tokens"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Some(format!(
        "{}: the server counted {} ({} of {} runs): it was not asked by this client alone, or lost requests. Its counters are of others too, so these runs have no parts of \
         the TTFT; measure on a server that nobody else uses.",
        cell.id,
        counts.join(" and "),
        bad.len(),
        agrees.len()
    ))
}
