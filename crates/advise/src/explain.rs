//! The answer in sentences: what to build and why, what it rests on, what would change it.

use super::evidence::{Evidence, Origin};
use super::judge::{Change, Judged, Kingman, RESERVE, Remedy, Verdicts};
use super::model::{Hold, Model, Stack};
use super::question::{self, Question};
use super::way::StackName;
use super::way::Way;
use record::format;

/// The recommendation, the runner-up, and the explanation of both.
pub fn sentences(question: &Question, verdicts: &Verdicts) -> Vec<String> {
    let find = |way: Option<Way>| verdicts.judged.iter().find(|it| Some(it.way) == way);
    let mut sentences = Vec::new();
    match find(verdicts.recommended) {
        Some(best) => {
            sentences.push(recommendation(question, best));
            if let Some(second) = find(verdicts.runner_up) {
                sentences.push(format!("Runner-up: {}: {}.", second.way.what(), figures(question, second)));
            }
            sentences.extend(best.kingman.as_ref().map(|it| kingman(best.name, it)));
        }
        None => {
            sentences.push(format!(
                "No strategy keeps p99 within {} at {} on up to {}.",
                format::duration(question.p99_ns),
                question.load(),
                cores(question.cores)
            ));
            sentences.extend(verdicts.remedy.as_ref().map(|remedy| would(question, remedy)));
        }
    }
    sentences.extend(inline_sentence(question, verdicts));
    sentences.extend(find(verdicts.recommended).and_then(|best| starved(question, best)));
    sentences
}

fn recommendation(question: &Question, best: &Judged) -> String {
    let reserve = match best.cores_with_reserve {
        Some(more) if more > best.cores => format!(" (take {more}, to have a quarter of the load in reserve)"),
        Some(_) => String::new(),
        None => " (without a quarter of the load in reserve)".to_owned(),
    };
    format!("Build {}: {}{reserve}.", best.way.what(), figures(question, best))
}

/// `2 cores give p99 3.1 ms (p50 1.2 ms), it holds up to 1,200 requests/s (2.4x) and costs 58 USD a month (0.044 USD a million)`
fn figures(question: &Question, it: &Judged) -> String {
    let p99 = it.p99_ns.map_or("no bounded p99".to_owned(), |ns| format!("p99 {}", format::duration(ns)));
    let p50 = it.p50_ns.map_or(String::new(), |ns| format!(" (p50 {})", format::duration(ns)));
    let holds = match (it.breaks_at, it.headroom) {
        (Some(rate), Some(ratio)) => {
            format!(
                "p99 stays within {} up to {} ({})",
                format::duration(question.p99_ns),
                format::rate(rate, "requests"),
                format::ratio(ratio)
            )
        }
        _ => "no rate meets the level".to_owned(),
    };
    let extrapolated = if it.extrapolated.is_empty() { "" } else { ", extrapolated" };
    format!(
        "{} {} {p99}{p50} at {}{extrapolated}; {holds}; {} USD a month, {} USD a million requests",
        cores(it.cores),
        if it.cores == 1 { "gives" } else { "give" },
        format::rate(question.rps, "requests"),
        format::significant(it.usd_per_month, 3),
        format::significant(it.usd_per_million, 2),
    )
}

/// `1 core`
pub fn cores(count: usize) -> String {
    format!("{count} {}", if count == 1 { "core" } else { "cores" })
}

fn would(question: &Question, remedy: &Remedy) -> String {
    match remedy {
        Remedy::Cores { way, cores: count } => {
            format!("{} would, on {} (extrapolated).", capitalized(way.what()), cores(*count))
        }
        Remedy::Rate { way, rps } => format!(
            "The most that any carries is {} ({}); share the load among {} machines, or allow a longer p99.",
            format::rate(*rps, "requests"),
            way.what(),
            (question.rps / rps).ceil()
        ),
        Remedy::Nothing { way, p99_ns } => format!(
            "No number of cores helps: the least is {} for a request alone ({}). Allow a longer p99, or send less text a request.",
            format::duration(*p99_ns),
            way.what()
        ),
    }
}

/// The parts of Kingman's formula in words, beside what was simulated.
pub fn kingman(name: &str, it: &Kingman) -> String {
    let formula = match it.wait_ns {
        Some(wait) => format!("predicts a mean wait of {}", format::duration(wait)),
        None => "predicts a wait without bound".to_owned(),
    };
    let servers = if it.servers == 1 { String::new() } else { format!(" of {}", it.servers) };
    format!(
        "Why ({name}): the busiest resource is `{}`{servers}, in use {} of the time by calls of {} (variability: arrivals {}, service {}); \
         Kingman's formula {formula} for it, the simulation of the whole finds {}.",
        it.resource,
        format::percent(it.utilization),
        format::duration(it.mean_service_ns),
        variability(it.gap_scv),
        variability(it.service_scv),
        format::duration(it.simulated_wait_ns),
    )
}

/// A squared coefficient of variation; what rounding leaves of a constant is 0.
fn variability(scv: f64) -> String {
    if scv < 1e-6 { "0".to_owned() } else { format::significant(scv, 2) }
}

/// What the plainest way would do, if it is not the recommendation.
fn inline_sentence(question: &Question, verdicts: &Verdicts) -> Option<String> {
    let inline = verdicts.judged.iter().find(|it| it.way == Way::Inline)?;
    if verdicts.recommended == Some(Way::Inline) {
        return None;
    }
    let now = match inline.p99_ns {
        Some(ns) => format!("has p99 {}", format::duration(ns)),
        None => format!("is overloaded ({} of what its only thread can do)", format::percent(inline.utilization)),
    };
    let limit = inline.breaks_at.map_or("no rate meets the level".to_owned(), |rate| {
        format!("it holds the level up to {}", format::rate(rate, "requests"))
    });
    Some(format!(
        "Plain asyncio with the tokenizer on the event loop {now} at {}; {limit}.",
        format::rate(question.rps, "requests")
    ))
}

fn starved(question: &Question, best: &Judged) -> Option<String> {
    let (engine, starved) = (question.gpu?, best.gpu?);
    Some(format!(
        "GPU with steps of {} over {} requests: idle {} of the time if preparation overlaps with the step ({} by the load alone), \
         {} if they take turns.",
        format::duration(engine.step_ns as f64),
        engine.batch,
        format::percent(starved.overlapped),
        format::percent(starved.by_load.min(starved.overlapped)),
        format::percent(starved.serial),
    ))
}

/// What changes with the conversation.
pub fn change(question: &Question, verdicts: &Verdicts, it: &Change) -> String {
    let now = verdicts.judged.iter().find(|judged| Some(judged.way) == verdicts.recommended);
    let head = format!("If it were {} ({}): ", it.what, it.size.words());
    let then = |(way, count): (Way, usize)| format!("{} on {}", way.what(), cores(count));
    let effect = match (now, it.p99_ns) {
        (Some(now), Some(p99)) if it.still_meets => {
            format!("{} on {} still meets the level with p99 {}", now.name, cores(now.cores), format::duration(p99))
        }
        (Some(now), Some(p99)) => {
            format!("{} on {} misses it with p99 {}", now.name, cores(now.cores), format::duration(p99))
        }
        (Some(now), None) => format!("{} on {} is overloaded", now.name, cores(now.cores)),
        (None, _) => "nothing meets the level now".to_owned(),
    };
    let advice = match it.then {
        Some(best) => format!("; the advice would be {}.", then(best)),
        None => format!("; nothing meets the level on up to {}.", cores(question.cores)),
    };
    head + &effect + &advice
}

/// What the answer rests on.
pub fn notes(question: &Question, model: &Model) -> Vec<String> {
    let mut notes = vec![stages_note(model)];
    notes.extend(scatter_note(model));
    notes.extend(holds_note(model));
    notes.extend(away_note(model));
    notes.extend(uneven_note(model));
    notes.push(format!(
        "Rule: the fewest cores that meet the level with {} of the load, of equals the simplest. Cost: those cores all the time, at {} USD a \
         core-hour.",
        format::ratio(RESERVE),
        format::significant(question.cpu_hour_price, 2)
    ));
    notes
}

/// What makes it less firm, with the command that mends it.
pub fn warnings(question: &Question, evidence: &Evidence, model: &Model, verdicts: &Verdicts) -> Vec<String> {
    let mut warnings = Vec::new();
    if !model.missing.is_empty() {
        warnings.push(format!(
            "Not in run {}: {}. Measure with: {}",
            evidence.info.run_id,
            model.missing.join(", "),
            question.measuring_command(question::MEASURED)
        ));
    }
    warnings.extend(overheads_warning(question, model));
    if scatter_note(model).is_none() {
        warnings.push(
            "Service times are taken as constant: the run has no server under load. The same command measures them."
                .to_owned(),
        );
    }
    if verdicts.judged.iter().all(|it| it.way != Way::FreeThreaded) {
        warnings.push(
            "Free-threaded Python is left out: the run has no interpreter without the GIL; measure with one more --python 3.14t."
                .to_owned(),
        );
    }
    if verdicts.judged.iter().any(|it| !it.extrapolated.is_empty()) {
        warnings.push(format!(
            "x: extrapolated, beyond the {} of the measured machine, or the rates or sizes that were measured.",
            cores(evidence.effective_cores() as usize)
        ));
    }
    warnings
}

fn stages_note(model: &Model) -> String {
    let words: Vec<String> = model
        .stacks
        .iter()
        .map(|(name, stack)| {
            format!("{} {} ({})", stack_word(*name), format::duration(stack.total_ns()), stack.origin().word())
        })
        .collect();
    format!("One request alone, all stages: {}.", words.join(", "))
}

fn stack_word(name: StackName) -> &'static str {
    match name {
        StackName::Transformers => "Python with transformers",
        StackName::Lean => "Python with jinja2",
        StackName::Native => "Rust",
        StackName::FreeThreaded => "free-threaded Python",
    }
}

/// None where the run has no server under load.
fn scatter_note(model: &Model) -> Option<String> {
    if model.python.factors.is_empty() && model.native.factors.is_empty() {
        return None;
    }
    Some(format!(
        "Service times scatter as in the run's servers (squared coefficient of variation {} in Python, {} in Rust), where they are {} and {} of \
         the stages timed alone.",
        variability(model.python.scv),
        variability(model.native.scv),
        format::ratio(model.python.factor),
        format::ratio(model.native.factor),
    ))
}

fn holds_note(model: &Model) -> Option<String> {
    let stack: &Stack = model.stack(StackName::Transformers)?;
    let word = |name: &str, hold: Hold| format!("{name} {} ({})", format::fixed(hold.share, 2), hold_word(hold.origin));
    let mut words = vec![
        word("parse", stack.parse.hold),
        word("template", stack.template.hold),
        word("encode", stack.tokenize.hold),
        word("collate", stack.collate.hold),
    ];
    words.extend(stack.batch.map(|batch| word("encode_batch", batch.hold)));
    let assumed = [stack.template.hold, stack.tokenize.hold].iter().any(|hold| hold.origin == Origin::Assumed);
    let remedy = if assumed { " Measure with: llmbench run preprocessing --quick --exp 4" } else { "" };
    Some(format!("Share of a call that holds the GIL: {}.{remedy}", words.join(", ")))
}

/// None where no lone request was measured.
fn away_note(model: &Model) -> Option<String> {
    let words: Vec<String> =
        model.away.iter().map(|(way, ns)| format!("{} {}", way.name(), format::duration(*ns))).collect();
    (!words.is_empty()).then(|| {
        format!(
            "What one request alone takes beyond the work (threads and processes that wake up, sockets; measured one at a time): {}.",
            words.join(", ")
        )
    })
}

/// None where it was not measured.
fn uneven_note(model: &Model) -> Option<String> {
    let several = model.busiest_share.iter().filter(|(processes, _)| **processes > 1);
    let words: Vec<String> =
        several.map(|(processes, share)| format!("of {processes} {}", format::percent(*share))).collect();
    (!words.is_empty()).then(|| {
        format!(
            "Server processes on one port: the busiest {} of the requests, as counted in the run.",
            words.join(", ")
        )
    })
}

fn hold_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Measured => "probed",
        Origin::Assumed => "assumed",
        _ => "by its scaling",
    }
}

fn overheads_warning(question: &Question, model: &Model) -> Option<String> {
    let assumed: Vec<String> = model
        .overheads
        .named()
        .iter()
        .filter(|(name, cost)| cost.origin == Origin::Assumed && !ALWAYS_ASSUMED.contains(name))
        .map(|(name, cost)| format!("{name} {}", format::duration(cost.ns)))
        .collect();
    (!assumed.is_empty()).then(|| {
        format!(
            "Assumed, not measured in this run: {}. Measure with: {}",
            assumed.join(", "),
            question.measuring_command(question::MEASURED_SERVERS)
        )
    })
}

/// No experiment measures them.
const ALWAYS_ASSUMED: [&str; 2] = ["one way to a sidecar", "hand-over of the GIL"];

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
