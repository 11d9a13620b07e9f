//! `advise.html`: the answer as a page that needs nothing else, with the rate against p99 of each strategy.

use record::command;
use record::results::{ExperimentResult, Figure, FigureKind, Point, Results, RunInfo, Series};

use super::judge::Judged;
use super::{Advice, tables};
use record::format;
use report::{Result, figures, html};
use suites::present::axis;

/// Lines that can be told apart.
const MOST_LINES: usize = 7;

/// The answer in the shape of an experiment's result.
pub fn result(advice: &Advice, command: &str) -> ExperimentResult {
    let question = &advice.question;
    let mut all_tables = vec![tables::strategies(advice)];
    all_tables.extend(tables::verified(advice));
    all_tables.push(tables::stages(advice));
    ExperimentResult {
        id: 0,
        name: tables::NAME.to_owned(),
        question: format!(
            "Which strategy keeps p99 within {} at {}, and on how many cores?",
            format::duration(question.p99_ns),
            question.load()
        ),
        better: "lower".to_owned(),
        method: vec![
            "Each strategy is simulated as a queue: front end, workers, cores, and the GIL with its switch interval, fed by one schedule of \
             arrivals and the run's own service times."
                .to_owned(),
            "The fewest cores that meet the level are looked for from 1 up; the break point by bisection over the same schedule, scaled."
                .to_owned(),
        ],
        threats: vec![
            "A simulation knows no garbage collection pauses, no page faults and no neighbours beyond what the measured service times hold; \
             --verify measures."
                .to_owned(),
            "Arrivals that follow each other (retries, sessions) are burstier than independent ones: see --burstiness.".to_owned(),
        ],
        command: command.to_owned(),
        findings: tables::findings(advice),
        tables: all_tables,
        figures: figure(advice).into_iter().collect(),
        warnings: advice.warnings.clone(),
    }
}

/// The page. `info` is that of the run, `command` the words of the one that was given.
///
/// # Errors
/// When a figure cannot be drawn.
pub fn render(advice: &Advice, info: &RunInfo, command: &[String]) -> Result<String> {
    let results = Results {
        schema: info.schema,
        run_id: info.run_id.clone(),
        suite: tables::NAME.to_owned(),
        experiments: vec![result(advice, &command::shell(command))],
        records: Vec::new(),
    };
    let info = RunInfo { command: command.to_vec(), ..info.clone() };
    let page = html::render(&results, &info, &figures::inline(&results)?)?;
    // A section of its own has no number.
    Ok(page.replace("<span class=\"number\">0</span> ", "").replace(">0 advise<", ">advise<"))
}

/// p99 over the rate of the strategies that matter: the advised, its runner-up, the plain one, then those that carry the most.
fn figure(advice: &Advice) -> Option<Figure> {
    let verdicts = &advice.verdicts;
    let mut drawn: Vec<&Judged> = verdicts.judged.iter().filter(|it| !it.curve.is_empty()).collect();
    let place = |it: &Judged| {
        let first = [verdicts.recommended, verdicts.runner_up, Some(super::way::Way::Inline)];
        first.iter().position(|way| *way == Some(it.way)).unwrap_or(first.len())
    };
    drawn.sort_by(|a, b| {
        place(a).cmp(&place(b)).then(b.breaks_at.unwrap_or(0.0).total_cmp(&a.breaks_at.unwrap_or(0.0)))
    });
    drawn.truncate(MOST_LINES);
    let question = &advice.question;
    let point = |x: f64, ns: f64| Point { x, y: ns / 1e6, lower: None, upper: None };
    let mut series: Vec<Series> = drawn
        .iter()
        .map(|it| Series {
            name: format!("{} ×{}", it.name, it.cores),
            points: it.curve.iter().map(|(rate, ns)| point(*rate, *ns)).collect(),
            reference: false,
        })
        .collect();
    let rates = drawn.iter().flat_map(|it| it.curve.iter().map(|(rate, _)| *rate));
    let last = rates.fold(question.rps, f64::max);
    series.push(Series {
        name: "level".to_owned(),
        points: vec![point(0.0, question.p99_ns), point(last, question.p99_ns)],
        reference: true,
    });
    if let Some(chosen) = verdicts.judged.iter().find(|it| Some(it.way) == verdicts.recommended) {
        let p99 = chosen.p99_ns?;
        series.push(Series { name: "the advice".to_owned(), points: vec![point(question.rps, p99)], reference: false });
    }
    (!drawn.is_empty()).then(|| Figure {
        id: "advise-rate-p99".to_owned(),
        title: "Rate against p99".to_owned(),
        kind: FigureKind::Lines,
        x: axis("arrivals (requests/s)", false),
        y: axis("p99 from the scheduled arrival (ms)", true),
        series,
        caption: format!(
            "Simulated, each on the cores that the table names (×); a line ends where the strategy is overloaded. The level is {}; the marked point \
             is the advice at the asked rate.",
            format::duration(question.p99_ns)
        ),
    })
}
