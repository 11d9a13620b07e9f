//! The answer as tables and findings, for terminal and page.

use record::results::{CellValue, Finding, Row, Status, Support, Table};

use super::judge::Judged;
use super::verify::Verified;
use super::{Advice, explain};
use record::format;
use suites::present::{column, text};

/// Name of the section.
pub const NAME: &str = "advise";

fn figure(value: Option<f64>, show: impl Fn(f64) -> String, none: &str) -> CellValue {
    match value {
        Some(value) => CellValue { text: show(value), sort: Some(value) },
        None => text(none),
    }
}

/// Every strategy with its verdict, those that meet the level first.
pub fn strategies(advice: &Advice) -> Table {
    let mut judged: Vec<&Judged> = advice.verdicts.judged.iter().collect();
    judged.sort_by_key(|it| (!it.meets, Some(it.way) != advice.verdicts.recommended, it.cores, it.way));
    let has_gpu = advice.question.gpu.is_some();
    let rows = judged.into_iter().map(|it| row(advice, it, has_gpu)).collect();
    let mut columns = vec![
        column("strategy", false, 0),
        column("cores", true, 0),
        column("p50", true, 2),
        column("p99", true, 0),
        column("busiest", false, 1),
        column("breaks at", true, 0),
        column("USD/million", true, 3),
        column("USD/month", true, 1),
    ];
    if has_gpu {
        columns.push(column("GPU idle", true, 1));
    }
    let question = &advice.question;
    Table {
        id: "advise-strategies".to_owned(),
        title: format!("{}: p99 within {}", question.load(), format::duration(question.p99_ns)),
        columns,
        rows,
        notes: vec![
            format!(
                "*: recommended. cores: the fewest that meet the level (x: extrapolated); where none of {} do, the figures are those of the number \
                 that carries the most. busiest: the resource offered the most, and its share. breaks at: largest rate within the level.",
                question.cores
            ),
            format!(
                "Simulated: {} arrivals, {}, seed {}; the first tenth is left out.",
                format::count(question.requests as u64),
                if question.burstiness == 1.0 {
                    "Poisson".to_owned()
                } else {
                    format!("gamma of burstiness {}", question.burstiness)
                },
                question.seed
            ),
        ],
    }
}

fn row(advice: &Advice, it: &Judged, has_gpu: bool) -> Row {
    let mark = if Some(it.way) == advice.verdicts.recommended { " *" } else { "" };
    let extrapolated = if it.extrapolated.is_empty() { "" } else { " x" };
    let per_request = |value: f64| CellValue { text: format::significant(value, 2), sort: Some(value) };
    let mut values = vec![
        text(format!("{}{mark}", it.name)),
        if it.meets {
            CellValue { text: format!("{}{extrapolated}", it.cores), sort: Some(it.cores as f64) }
        } else {
            text("none")
        },
        figure(it.p50_ns, format::duration, "overload"),
        figure(it.p99_ns, format::duration, "overload"),
        text(format!("{} {}", it.busiest, format::percent(it.utilization))),
        figure(it.breaks_at, |rate| format!("{}/s", format::significant(rate, 3)), "never"),
        per_request(it.usd_per_million),
        CellValue { text: format::significant(it.usd_per_month, 3), sort: Some(it.usd_per_month) },
    ];
    if has_gpu {
        values.push(figure(it.gpu.map(|gpu| gpu.overlapped), format::percent, ""));
    }
    Row { values, status: Status::Ok, group: if it.meets { "meets" } else { "misses" }.to_owned() }
}

/// What a request is made of, stack by stack.
pub fn stages(advice: &Advice) -> Table {
    let rows = advice.model.stacks.iter().map(|(name, stack)| {
        let stage = |stage: super::model::Stage| figure(Some(stage.time.ns), format::duration, "");
        let name =
            serde_json::to_value(name).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Row {
            values: vec![
                text(name),
                stage(stack.parse),
                stage(stack.template),
                stage(stack.tokenize),
                stage(stack.collate),
                figure(Some(stack.total_ns()), format::duration, ""),
                text(stack.origin().word()),
            ],
            status: Status::Ok,
            group: String::new(),
        }
    });
    Table {
        id: "advise-stages".to_owned(),
        title: format!("A request of {}, one thread", advice.model.size.words()),
        columns: vec![
            column("stack", false, 0),
            column("parse", true, 1),
            column("template", true, 0),
            column("tokenize", true, 0),
            column("collate", true, 1),
            column("all", true, 0),
            column("origin", false, 0),
        ],
        rows: rows.collect(),
        notes: std::iter::once("origin: the weakest among the stages.".to_owned())
            .chain(advice.notes.clone())
            .collect(),
    }
}

/// Predicted beside measured.
pub fn verified(advice: &Advice) -> Option<Table> {
    let rows: Vec<Row> = advice.verified.iter().flat_map(verified_rows).collect();
    (!rows.is_empty()).then(|| Table {
        id: "advise-verified".to_owned(),
        title: format!("Verified with real arrivals at {}", format::rate(advice.question.rps, "requests")),
        columns: vec![
            column("strategy", false, 0),
            column("", false, 0),
            column("predicted", true, 0),
            column("replayed", true, 1),
            column("measured", true, 0),
            column("error", true, 0),
            column("generator", false, 0),
        ],
        rows,
        notes: vec![
            "error: predicted over measured, less one. replayed: the same queue with the mean of the service times that were recorded while \
             measuring; what it does not explain is the queue's, the rest the service times'."
                .to_owned(),
            "INVALID: the load generator was late or saturated, so that the measured value is not the server's.".to_owned(),
        ],
    })
}

fn verified_rows(it: &Verified) -> Vec<Row> {
    let label = format!("{} ×{}", it.name, it.workers);
    let Some(found) = &it.found else {
        let reason = it.reason.clone().unwrap_or_default();
        let values = vec![text(label), text(""), text(reason), text(""), text(""), text(""), text("")];
        return vec![Row { values, status: Status::Unavailable, group: it.name.to_owned() }];
    };
    let status = if found.valid { Status::Ok } else { Status::Invalid };
    [("p50", &found.p50), ("p99", &found.p99)]
        .into_iter()
        .map(|(name, pair)| Row {
            values: vec![
                text(label.clone()),
                text(name),
                figure(pair.predicted_ns, format::duration, "overload"),
                figure(pair.replayed_ns, format::duration, ""),
                figure(Some(pair.measured_ns), format::duration, ""),
                figure(pair.error(), |error| format!("{:+.0}%", error * 100.0), ""),
                text(if found.valid { "VALID".to_owned() } else { format!("INVALID: {}", found.why_invalid) }),
            ],
            status,
            group: it.name.to_owned(),
        })
        .collect()
}

/// Whether the recommended way met the level when it was measured.
fn measured(advice: &Advice) -> Option<(bool, String)> {
    let recommended = advice.verified.iter().find(|it| Some(it.way) == advice.verdicts.recommended)?;
    recommended.meets(advice.question.p99_ns)
}

/// Sentences as findings; the first is the headline.
pub fn findings(advice: &Advice) -> Vec<Finding> {
    let changes = advice.sensitivity.iter().map(|change| explain::change(&advice.question, &advice.verdicts, change));
    let computed = advice.sentences.iter().cloned().chain(changes);
    let checks = advice.verified.iter().filter_map(|it| {
        it.check().map(|(support, sentence)| (support, format!("{} is as predicted", it.name), sentence))
    });
    let mut computed: Vec<(Support, String, String)> =
        computed.map(|sentence| (Support::Supported, String::new(), sentence)).collect();
    // What was measured overrules what was simulated.
    if let (Some(headline), Some((holds, measured))) = (computed.first_mut(), measured(advice)) {
        headline.2.push(' ');
        headline.2.push_str(&measured);
        if !holds {
            (headline.0, headline.1) = (Support::NotSupported, "what is advised meets the level".to_owned());
        }
    }
    computed
        .into_iter()
        .chain(checks)
        .enumerate()
        .map(|(index, (support, claim, sentence))| Finding {
            experiment: NAME.to_owned(),
            claim,
            support,
            sentence,
            cells: Vec::new(),
            headline: index == 0,
        })
        .collect()
}
