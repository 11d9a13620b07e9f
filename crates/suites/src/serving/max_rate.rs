//! 7 max-rate: which rate holds a service level, and how many servers carry a demand?

use benchstats::{Interval, StatsError};
use loadgen::order::Drive;
use loadgen::rate_search::{Bounds, Found};
use record::plan::Cell;
use record::plan::WorkloadSpec;
use record::results::{Estimate, Figure, FigureKind, Finding, Point as Mark, Row, Series, Status, Support, Table};
use serde_json::json;

use super::asking::{self, Load, Point, STAGE};
use super::bisection::{across_runs, replicas};
use crate::house::cells;
use crate::house::comparison::{Comparison, Quantity};
use crate::house::estimate;
use crate::house::floor::Floor;
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, finding, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment, Said};
use loadgen::service_level::Level;
use record::format;

/// Upper over lower bound of a rate that is still called known. Beyond it nobody should buy servers by it.
const WIDEST: f64 = 2.0;

/// The experiment.
pub struct MaxRate;

impl Experiment for MaxRate {
    fn name(&self) -> &'static str {
        "max-rate"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let asker = asking::asker(context)?;
        let param = |name: &str, default: f64| settings.param(name).unwrap_or(default);
        let search = Bounds {
            lowest: param("lowest_per_s", 0.1),
            highest: param("highest_per_s", 10_000.0),
            start: param("start_per_s", 2.0),
            resolution: param("resolution", 0.05),
        };
        let tokens = param("output_tokens", 32.0) as u64;
        let mut cells = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            for level in settings.words("level") {
                let level: Level = level.parse()?;
                let point = Point { settings, asker, axes, workload };
                let cell = point.cell(Load {
                    axes: &[("level", json!(level.to_string()))],
                    drive: Drive::Limit(search),
                    needs: &[],
                    span_ms: param("span_ms", 5000.0),
                    params: &[
                        ("form", json!("messages")),
                        ("output_tokens", json!(tokens)),
                        ("level", json!(level.to_string())),
                    ],
                });
                cells.push(cells::twin(&cell));
                cells.push(cell);
            }
        }
        Ok(cells)
    }

    /// Levels are asked for one by one, and stand in one table.
    fn compared_axes(&self) -> &'static [&'static str] {
        &["level"]
    }

    /// Nothing is compared: the runs end with their number. The twin says how far two searches of one level differ, and no rate is known better.
    fn comparisons(&self, _: &[&Cell]) -> Vec<Comparison> {
        Vec::new()
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let cells = input.own_cells();
        let mut warnings = asking::warnings(input);
        warnings.extend(cells.iter().filter_map(|cell| late_warning(input, cell)));
        warnings.extend(cells.iter().filter_map(|cell| match input.floor(cell, Quantity::RATE) {
            Floor::Unknown(reason) => {
                Some(format!("{}: {reason}, so that nobody knows how far two searches differ.", cell.id))
            }
            Floor::Known(_) => None,
        }));
        Said {
            tables: vec![table(input, rows, &cells)],
            findings: cells.iter().filter_map(|cell| answer(input, rows, cell)).collect(),
            figures: figure(input, &cells).into_iter().collect(),
            warnings,
        }
    }
}

/// What each run's search found.
fn found(input: &AnalysisInput, cell: &Cell) -> Vec<Found> {
    // Of every search that came to its end, whatever the verdict on the stretch that is shown.
    let of = |name: &str| input.measurements.cell(&cell.id).map(|data| data.readings_of_all(name)).unwrap_or_default();
    let (holds, fails) = (of("holds_per_s"), of("fails_per_s"));
    input
        .measurements
        .runs
        .keys()
        .filter_map(|run| match (holds.get(run), fails.get(run)) {
            (Some(&holds), Some(&fails)) => Some(Found::Between { holds, fails }),
            (Some(&holds), None) => Some(Found::AtLeast(holds)),
            (None, Some(&fails)) => Some(Found::Below(fails)),
            (None, None) => None,
        })
        .collect()
}

/// Tries that failed while the client itself was late: they may have failed for its sake.
fn late_tries(input: &AnalysisInput, cell: &Cell) -> f64 {
    let tries = input.measurements.cell(&cell.id).map(|data| data.readings_of_all("invalid_tries"));
    tries.unwrap_or_default().values().sum()
}

fn late_warning(input: &AnalysisInput, cell: &Cell) -> Option<String> {
    let late = late_tries(input, cell);
    (late > 0.0).then(|| {
        format!(
            "{}: in {late:.0} tries that did not hold, the client itself was late or saturated: the rate may be higher than what was found. Give the \
             client cores of its own.",
            cell.id
        )
    })
}

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let body = cells
        .iter()
        .map(|cell| {
            // The stretch that is shown is one of many; whether tries were late is said by a warning.
            let status = match status::of(input.measurements, cell) {
                Status::Invalid => Status::Ok,
                status => status,
            };
            let found = found(input, cell);
            let rate = known_rate(input, cell, &found)
                .ok()
                .map(|(rate, _)| estimate::estimate(&rate, "bisection-log-t", found.len(), rows.samples(&cell.id)));
            let record = rows.push(cell, STAGE, "max_rate", "requests/s", rate.clone());
            record.status = status;
            for (metric, unit, name) in [
                ("ttft_p99", "ns", "ttft_p99_ns"),
                ("tpot_p95", "ns", "tpot_p95_ns"),
                ("tries", "1", "tries"),
                ("prompt_tokens", "1", "prompt_tokens"),
            ] {
                let estimate = shown(rows, cell, name);
                rows.push(cell, STAGE, metric, unit, estimate).status = status;
            }
            let shown = |name: &str| shown(rows, cell, name);
            let rate_text = match (&rate, found.first()) {
                (Some(rate), _) => {
                    present::text(format!("{}{}", format::significant(rate.point, 3), present::plus_minus(rate)))
                }
                (None, Some(Found::AtLeast(rate))) => text(format!("at least {}", format::significant(*rate, 3))),
                (None, Some(Found::Below(rate))) => text(format!("below {}", format::significant(*rate, 3))),
                (None, Some(found)) => text(found.rate().map_or_else(String::new, |rate| format::significant(rate, 3))),
                (None, None) => text(input.error(&cell.id).unwrap_or_default()),
            };
            Row {
                values: vec![
                    text(word(&cell.axes, "level")),
                    rate_text,
                    present::figure(shown("ttft_p50_ns").as_ref(), |ns| format::duration(ns.point), None),
                    present::figure(shown("ttft_p99_ns").as_ref(), |ns| format::duration(ns.point), None),
                    present::figure(shown("tpot_p95_ns").as_ref(), |ns| format::duration(ns.point), None),
                    present::figure(shown("tries").as_ref(), |n| format::significant(n.point, 2), None),
                ],
                status,
                group: String::new(),
            }
        })
        .collect();
    Table {
        id: "max-rate".to_owned(),
        title: "The largest rate that holds".to_owned(),
        columns: vec![
            column("level", false, 0),
            column("requests/s", true, 0),
            column("TTFT p50", true, 2),
            column("TTFT p99", true, 1),
            column("TPOT p95", true, 1),
            column("tries", true, 3),
        ],
        rows: body,
        notes: vec![
            "Bisection in each run, open loop with Poisson arrivals; geometric mean of the runs, the interval is t across runs and half a bracket wider on \
             either side, and never narrower than the twin's noise floor. Latencies are those at the largest rate that held."
                .to_owned(),
        ],
    }
}

/// A figure of the stretch at the largest rate; a percentile only where it has the requests that it needs.
fn shown(rows: &Rows, cell: &Cell, name: &str) -> Option<Estimate> {
    if name.ends_with("_ns") { rows.latency(cell, name) } else { rows.reading(cell, name) }
}

/// The rate across runs, known no better than two searches of one level agree; and why it is not known how well that is.
fn known_rate(input: &AnalysisInput, cell: &Cell, found: &[Found]) -> Result<(Interval, Option<String>), StatsError> {
    let rate = across_runs(found)?;
    Ok(match input.floor(cell, Quantity::RATE) {
        Floor::Known(floor) => {
            let widest = 1.0 + floor.value;
            let (lower, upper) = (rate.lower.min(rate.point / widest), rate.upper.max(rate.point * widest));
            (Interval { lower, upper, ..rate }, None)
        }
        Floor::Unknown(reason) => (rate, Some(reason)),
    })
}

fn answer(input: &AnalysisInput, rows: &mut Rows, cell: &Cell) -> Option<Finding> {
    let found = found(input, cell);
    let level = word(&cell.axes, "level");
    let what = present::describe(&cell.axes);
    let claim = format!("a rate that holds {level} is known");
    match known_rate(input, cell, &found) {
        Ok((interval, unknown)) => {
            let rate = estimate::estimate(&interval, "bisection-log-t", found.len(), rows.samples(&cell.id));
            let mut sentence =
                format!("One server holds {level} up to {} ({what}).", format::rate_ci(&rate, "requests"));
            if interval.upper > WIDEST * interval.lower {
                sentence.push_str(&format!(
                    " Not sure: {} runs do not agree to a factor of {WIDEST:.0}; make more of them (--runs), with nothing else on the machine.",
                    found.len()
                ));
                return Some(finding(input, Support::Inconclusive, claim, sentence, vec![cell.id.clone()]));
            }
            if let Some(demand) = input.settings.param("demand_per_s") {
                let price = input.settings.param("replica_hour_price").unwrap_or(0.0);
                let needed = replicas(demand, &interval, price);
                let few = if needed.at_least < needed.enough {
                    format!(" ({} by the upper bound)", needed.at_least)
                } else {
                    String::new()
                };
                sentence.push_str(&format!(
                    " A demand of {} needs {} of them{few}",
                    format::rate(demand, "requests"),
                    needed.enough
                ));
                if price > 0.0 {
                    sentence.push_str(&format!(
                        ": {} USD an hour, {} USD for a million requests at {price} USD a server-hour",
                        format::significant(needed.cost_per_hour, 3),
                        format::significant(needed.cost_per_million, 3)
                    ));
                }
                sentence.push('.');
                let estimate = |point: f64| Some(estimate::point_only(point, found.len(), rows.samples(&cell.id)));
                let (enough, cost) = (estimate(needed.enough as f64), estimate(needed.cost_per_million));
                rows.push(cell, STAGE, "replicas", "1", enough);
                if price > 0.0 {
                    rows.push(cell, STAGE, "cost_per_million", "USD", cost);
                }
            }
            let late = late_tries(input, cell);
            let support = if let Some(reason) = unknown {
                sentence.push_str(&format!(" Not sure: {reason}, so that nobody knows how far two searches differ."));
                Support::Inconclusive
            } else if late > 0.0 {
                sentence.push_str(&format!(
                    " Not sure: in {late:.0} tries that did not hold the client itself was late, so it may be more."
                ));
                Support::Inconclusive
            } else {
                Support::Supported
            };
            Some(finding(input, support, claim, sentence, vec![cell.id.clone()]))
        }
        Err(StatsError::BadValue { index, .. }) => {
            let sentence = match found.get(index)? {
                Found::Below(rate) => format!(
                    "{level} does not hold at {} ({what}), the lowest rate that was tried: it is not a question of the load.",
                    format::rate(*rate, "requests")
                ),
                Found::AtLeast(rate) => format!(
                    "{level} holds at {} ({what}), the highest rate that was tried: the largest is not known; raise highest_per_s.",
                    format::rate(*rate, "requests")
                ),
                Found::Between { .. } => return None,
            };
            Some(finding(input, Support::Inconclusive, claim, sentence, vec![cell.id.clone()]))
        }
        Err(_) => None,
    }
}

/// The brackets of the runs.
fn figure(input: &AnalysisInput, cells: &[&Cell]) -> Option<Figure> {
    let series: Vec<Series> = cells
        .iter()
        .map(|cell| Series {
            name: word(&cell.axes, "level").to_owned(),
            points: found(input, cell)
                .into_iter()
                .enumerate()
                .filter_map(|(run, found)| match found {
                    Found::Between { holds, fails } => {
                        Some(Mark { x: run as f64 + 1.0, y: found.rate()?, lower: Some(holds), upper: Some(fails) })
                    }
                    Found::AtLeast(_) | Found::Below(_) => None,
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "max-rate-runs".to_owned(),
        title: "What each run found".to_owned(),
        kind: FigureKind::Lines,
        x: present::axis("run", false),
        y: present::axis("largest rate that holds (requests/s)", false),
        series,
        caption: "Bars are brackets: the level held at the lower end and not at the upper. A row that rises or falls is a drift of the machine.".to_owned(),
    })
}
