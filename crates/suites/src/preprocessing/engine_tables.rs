//! The tables of experiment 7.

use std::collections::BTreeMap;

use record::plan::{Cell, Timing};
use record::results::{Estimate, Row, Status, Table};

use super::engine_cells::STATES;
use super::engines::{Compared, describe, is_loop, is_warm, label, path};
use super::exponent::{FROM_BYTES, SUPERLINEAR};
use super::rows::{self, Rows};
use super::stacks;
use crate::AnalysisInput;
use crate::present::{self, column, distinct, number, text, word};
use record::format;

/// Where two outputs differ first, of the sentence that the check left: `at id 3: [..] here, [..] there`.
pub(super) fn difference(error: &str) -> Option<&str> {
    error.rfind(" at id ").or_else(|| error.rfind(" at character ")).map(|at| error[at..].trim_start())
}

fn megabytes(cell: &Cell, time: &Estimate) -> Estimate {
    rows::inverse_of(number(&cell.axes, "bytes") as f64 * 1e3, time)
}

fn rate_pm(rate: &Estimate) -> String {
    present::ratio_pm(rate).replacen('x', "", 1)
}

/// Throughput of all engines on a kind of text at its largest size; the rows of its other sizes are recorded with it.
pub(super) fn throughput(input: &AnalysisInput, rows: &mut Rows, compared: &Compared, kind: &str) -> Option<Table> {
    let largest = compared.largest(kind);
    let place = describe(largest.first()?);
    let mut body = Vec::new();
    for cell in compared.warm.iter().filter(|cell| word(&cell.axes, "kind") == kind) {
        let time = rows.time(cell);
        let rate = time.as_ref().map(|time| megabytes(cell, time));
        rows.push(cell, "tokenize", "time", "ns", time);
        let record = rows.push(cell, "tokenize", "throughput", "MB/s", rate.clone());
        let (status, error) = (record.status, record.error.clone());
        let judged = compared.of_cell(cell);
        if let Some(judged) = judged {
            rows.push_ratio(cell, "tokenize", judged);
        }
        if !largest.iter().any(|other| other.id == cell.id) {
            continue;
        }
        let is_mismatch = status == Status::Mismatch;
        let differs = error.as_deref().filter(|_| is_mismatch).and_then(difference);
        body.push(Row {
            values: vec![
                text(stacks::label(&cell.op.engine, &cell.op.call_path)),
                text(cell.subject.clone()),
                present::figure(rate.as_ref(), rate_pm, error.as_deref()),
                match (judged, differs) {
                    (Some(judged), _) => present::ratio_verdict(&judged.speedup(), judged.verdict),
                    (None, Some(place)) => text(place),
                    (None, None) => text(""),
                },
            ],
            status,
            group: cell.subject.clone(),
        });
    }
    body.sort_by(|a, b| a.group.cmp(&b.group).then_with(|| fastest_first(a, b)));
    let notes = if input.cells().find(|cell| is_warm(cell)).is_some_and(|cell| word(&cell.axes, "kind") == kind) {
        vec![
            "x hf-tokenizers: times as fast as its encode in Rust, paired within runs; ± is the half-width of the 95% interval."
                .to_owned(),
            rows.marks(),
            "An engine whose ids differ has no ratio: the first difference stands in its place.".to_owned(),
        ]
    } else {
        Vec::new()
    };
    Some(Table {
        id: format!("engines-{kind}"),
        title: format!("{place}, one thread, warm"),
        columns: vec![
            column("engine", false, 0),
            column("in", false, 1),
            column("MB/s", true, 0),
            column("x hf-tokenizers", true, 0),
        ],
        rows: body,
        notes,
    })
}

fn fastest_first(a: &Row, b: &Row) -> std::cmp::Ordering {
    let rate = |row: &Row| row.values.get(2).and_then(|value| value.sort).unwrap_or(0.0);
    rate(b).total_cmp(&rate(a))
}

/// A heading that fits above a figure of three digits.
fn short(kind: &str) -> &str {
    match kind {
        "chinese-japanese" => "zh-ja",
        "hindi-arabic" => "hi-ar",
        "whitespace" => "space",
        "long-word" => "word",
        other => other,
    }
}

/// The exponent of the time's growth over the size, by engine and kind of text.
pub(super) fn growth(rows: &mut Rows, compared: &Compared) -> Option<Table> {
    let kinds = distinct(compared.growths.iter().map(|growth| word(&growth.largest.axes, "kind").to_owned()));
    let sizes = compared.growths.iter().map(|growth| growth.sizes).max()?;
    for growth in &compared.growths {
        rows.push(growth.largest, "tokenize", "size_exponent", "1", Some(growth.exponent.clone()));
        if let Some(last) = &growth.last {
            rows.push(growth.largest, "tokenize", "size_exponent_last", "1", Some(last.clone()));
        }
    }
    let body = distinct(compared.growths.iter().map(|growth| path(growth.largest)))
        .into_iter()
        .map(|of| {
            let here: Vec<_> = compared.growths.iter().filter(|growth| path(growth.largest) == of).collect();
            let mut values = vec![text(here.first().map_or(String::new(), |growth| label(growth.largest)))];
            values.extend(kinds.iter().map(|kind| {
                let growth = here.iter().find(|growth| word(&growth.largest.axes, "kind") == kind);
                present::figure(
                    growth.map(|growth| &growth.exponent),
                    |exponent| {
                        let steep = exponent.lower.is_some_and(|lower| lower > SUPERLINEAR);
                        format!("{:.2}{}", exponent.point, if steep { "!" } else { "" })
                    },
                    None,
                )
            }));
            Row { values, status: Status::Ok, group: of.0.to_owned() }
        })
        .collect();
    let mut columns = vec![column("engine", false, 0)];
    columns.extend(kinds.iter().map(|kind| column(short(kind), true, 0)));
    let fit = if sizes > 2 {
        format!(
            "fitted over up to {sizes} sizes; size_exponent_last in results.csv is the slope between the two largest"
        )
    } else {
        "of two sizes: a slope, which cannot say whether a straight line is true".to_owned()
    };
    Some(Table {
        id: "engines-growth".to_owned(),
        title: "Exponent e of time = c * bytes^e".to_owned(),
        columns,
        rows: body,
        notes: vec![format!(
            "From {} on, {fit}. 1 is linear, 2 quadratic; ! : the lower bound of the interval is above {SUPERLINEAR}. Intervals are in results.csv.",
            format::bytes(FROM_BYTES)
        )],
    })
}

/// Warm, repeated and cold, side by side.
pub(super) fn states(input: &AnalysisInput, rows: &mut Rows) -> Option<Table> {
    let states: Vec<&Cell> =
        input.cells().filter(|cell| cell.op.name == "tokenize" && cell.cache == "repeat" && is_loop(cell)).collect();
    let mut body = Vec::new();
    for repeat in states {
        let beside = |cache: &str| {
            input.cells().find(|cell| {
                cell.cache == cache
                    && cell.twin_of.is_none()
                    && matches!(cell.timing, Timing::Loop | Timing::First)
                    && cell.op.name == "tokenize"
                    && path(cell) == path(repeat)
                    && cell.axes == repeat.axes
            })
        };
        let (warm, cold) = (beside("warm"), beside("cold"));
        let runs_of = |cell: Option<&Cell>| -> BTreeMap<u32, f64> {
            cell.map(|cell| input.measurements.run_values(&cell.id)).unwrap_or_default()
        };
        let mut values = vec![text(label(repeat)), text(format::bytes(number(&repeat.axes, "bytes")))];
        let warm_time = warm.and_then(|cell| rows.time(cell));
        let error = input.error(&repeat.id);
        values.push(present::figure(warm_time.as_ref(), present::duration_pm, error.as_deref()));
        for cell in [Some(repeat), cold] {
            let time = cell.and_then(|cell| rows.time(cell));
            let over = cell
                .and_then(|cell| rows::ratio_estimate(&runs_of(Some(cell)), &runs_of(warm), rows.samples(&cell.id)));
            if let Some(cell) = cell {
                rows.push(cell, "tokenize", "time", "ns", time.clone());
                let record = rows.push(cell, "tokenize", "over_warm", "1", over.clone());
                record.baseline_cell_id = warm.map(|warm| warm.id.clone());
            }
            values.push(present::figure(time.as_ref(), |time| format::duration(time.point), None));
            values.push(present::figure(over.as_ref(), |over| format::ratio(over.point), None));
        }
        let status = input.measurements.status(&repeat.id);
        body.push(Row { values, status, group: repeat.subject.clone() });
    }
    (!body.is_empty()).then(|| Table {
        id: "engines-states".to_owned(),
        title: format!("State of the caches: {STATES}, one thread"),
        columns: vec![
            column("engine", false, 0),
            column("size", true, 0),
            column("warm", true, 0),
            column("repeat", true, 0),
            column("x warm", true, 1),
            column("cold", true, 0),
            column("x warm", true, 1),
        ],
        rows: body,
        notes: vec![
            "warm: distinct texts in turn after a warm-up on others; repeat: one text again and again; cold: the first call of a process. x warm: that time over warm."
                .to_owned(),
        ],
    })
}

/// Throughput over threads.
pub(super) fn threads(input: &AnalysisInput, rows: &mut Rows) -> Option<Table> {
    let windows: Vec<&Cell> =
        input.cells().filter(|cell| matches!(cell.timing, Timing::Window { .. }) && cell.twin_of.is_none()).collect();
    let place = describe(windows.first()?);
    let mut body = Vec::new();
    for many in windows.iter().filter(|cell| cell.op.threads > 1) {
        let one = windows.iter().find(|one| one.op.threads == 1 && path(one) == path(many))?;
        let rate = |rows: &Rows, cell: &Cell| rows.time(cell).map(|time| megabytes(cell, &time));
        let speedup =
            rows::log_estimate(&rows::values(&input.measurements.ratios(&one.id, &many.id)), rows.samples(&many.id))
                .filter(|_| rows.rankable(&one.id) && rows.rankable(&many.id))
                .map(|estimate| Estimate { method: "paired-log-t".to_owned(), ..estimate });
        let (single, all) = (rate(rows, one), rate(rows, many));
        rows.push(one, "tokenize", "throughput", "MB/s", single.clone());
        let record = rows.push(many, "tokenize", "throughput", "MB/s", all.clone());
        let (status, error) = (record.status, record.error.clone());
        let record = rows.push(many, "tokenize", "speedup", "1", speedup.clone());
        record.baseline_cell_id = Some(one.id.clone());
        body.push(Row {
            values: vec![
                text(label(many)),
                text(many.op.threads.to_string()),
                present::figure(single.as_ref(), rate_pm, error.as_deref()),
                present::figure(all.as_ref(), rate_pm, None),
                present::figure(speedup.as_ref(), present::ratio_pm, None),
            ],
            status,
            group: many.subject.clone(),
        });
    }
    (!body.is_empty()).then(|| Table {
        id: "engines-threads".to_owned(),
        title: format!("{place} on one thread and on more, MB/s of all threads"),
        columns: vec![
            column("engine", false, 0),
            column("threads", true, 1),
            column("one thread", true, 0),
            column("threads", true, 0),
            column("speed-up", true, 0),
        ],
        rows: body,
        notes: vec!["Long-lived threads on one shared tokenizer; each text in one thread.".to_owned()],
    })
}

/// What a tokenizer costs before its first call.
pub(super) fn loads(input: &AnalysisInput, rows: &mut Rows) -> Option<Table> {
    let cells: Vec<&Cell> = input.cells().filter(|cell| cell.op.name == "load").collect();
    let mut body = Vec::new();
    for cell in cells {
        let memory = |rows: &Rows, stage: &str| {
            let values = rows::values(&input.measurements.stage_values(&cell.id, stage));
            rows::linear_estimate(&values, rows.samples(&cell.id))
        };
        let time = rows.time(cell);
        let (resident, peak) = (memory(rows, "rss_bytes"), memory(rows, "peak_rss_bytes"));
        let record = rows.push(cell, "load", "load_time", "ns", time.clone());
        let (status, error) = (record.status, record.error.clone());
        rows.push(cell, "load", "load_memory", "bytes", resident.clone());
        rows.push(cell, "load", "load_peak_memory", "bytes", peak.clone());
        let bytes = |estimate: &Estimate| format::bytes(estimate.point.max(0.0) as u64);
        body.push(Row {
            values: vec![
                text(cell.op.engine.clone()),
                present::figure(time.as_ref(), present::duration_pm, error.as_deref()),
                present::figure(resident.as_ref(), bytes, None),
                present::figure(peak.as_ref(), bytes, None),
            ],
            status,
            group: cell.subject.clone(),
        });
    }
    (!body.is_empty()).then(|| Table {
        id: "engines-load".to_owned(),
        title: "A tokenizer loaded from its file, Rust".to_owned(),
        columns: vec![
            column("engine", false, 0),
            column("load", true, 0),
            column("memory", true, 0),
            column("at the peak", true, 0),
        ],
        rows: body,
        notes: vec![
            "memory: what a process that loaded nothing before holds more afterwards; at the peak: while it loads."
                .to_owned(),
        ],
    })
}

/// Templates in both languages.
pub(super) fn templates(input: &AnalysisInput, rows: &mut Rows, compared: &Compared) -> Option<Table> {
    let cells: Vec<&Cell> = input.cells().filter(|cell| is_loop(cell) && cell.op.name == "template").collect();
    let place = present::describe(&cells.first()?.axes);
    let mut body = Vec::new();
    for cell in cells {
        let time = rows.time(cell);
        let record = rows.push(cell, "template", "time", "ns", time.clone());
        let (status, error) = (record.status, record.error.clone());
        let judged = compared.of_cell(cell);
        if let Some(judged) = judged {
            rows.push_ratio(cell, "template", judged);
        }
        let differs = error.as_deref().filter(|_| status == Status::Mismatch).and_then(difference);
        body.push(Row {
            values: vec![
                text(label(cell)),
                present::figure(time.as_ref(), present::duration_pm, error.as_deref()),
                match (judged, differs) {
                    (Some(judged), _) => present::ratio_verdict(&judged.speedup(), judged.verdict),
                    (None, Some(place)) => text(place),
                    (None, None) => text(""),
                },
            ],
            status,
            group: cell.subject.clone(),
        });
    }
    Some(Table {
        id: "engines-templates".to_owned(),
        title: format!("Chat template, {place}"),
        columns: vec![column("engine", false, 0), column("time a chat", true, 0), column("x transformers", true, 0)],
        rows: body,
        notes: vec![format!("x transformers: times as fast, paired within runs. {}", rows.marks())],
    })
}
