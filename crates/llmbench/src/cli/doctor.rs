//! `llmbench doctor`: is this machine fit for measuring, and what would mend it?

use std::path::Path;

use llmbench_core::machine;
use llmbench_core::pyenv::{self, Surroundings};
use llmbench_core::record::{Fact, FactVerdict};

use super::args::DoctorArgs;
use super::exit::{Exit, Failure};
use crate::format;
use crate::worker::clock;

/// Prints the facts, the worst last in each group's order.
///
/// # Errors
/// None but a bug.
pub fn doctor(args: &DoctorArgs) -> Result<Exit, Failure> {
    let mut facts = machine::probe(&machine::Roots::default(), Path::new(".")).facts;
    // The worker's own reading stands below, against the shortest sample.
    facts.retain(|fact| fact.key != "clock.pair");
    facts.extend(timers());
    facts.extend(interpreters(args));
    facts.extend(tokens(&|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&facts).map_err(Failure::bug)?);
        return Ok(Exit::Success);
    }
    print!("{}", text(&facts));
    Ok(Exit::Success)
}

/// What it costs to read the clock twice and to turn the timing loop, against the shortest sample that is taken.
fn timers() -> Vec<Fact> {
    let (pair_ns, turn_ns) = (clock::pair_ns(), clock::loop_overhead_ns());
    let share = (pair_ns + turn_ns) as f64 / SHORTEST_SAMPLE_NS;
    let verdict = if share < 0.001 { FactVerdict::Ok } else { FactVerdict::Warn };
    vec![
        Fact {
            key: "timer.clock_pair".to_owned(),
            title: "clock pair".to_owned(),
            value: format!("{} ({} of the shortest sample)", format::duration(pair_ns as f64), format::percent(share)),
            verdict,
            remedy: (verdict == FactVerdict::Warn)
                .then(|| "check the clock source above: tsc is the fast one".to_owned()),
        },
        Fact {
            key: "timer.loop".to_owned(),
            title: "loop turn".to_owned(),
            value: format::duration(turn_ns as f64),
            verdict: FactVerdict::Info,
            remedy: None,
        },
    ]
}

/// Calibration makes no block shorter than this.
const SHORTEST_SAMPLE_NS: f64 = 100_000.0;

fn interpreters(args: &DoctorArgs) -> Vec<Fact> {
    let discovery = pyenv::discover(&args.python, &Surroundings::from_env());
    let chosen = discovery.default_choice().ok().map(|interpreter| interpreter.path.clone());
    let mut facts: Vec<Fact> = discovery
        .usable
        .iter()
        .map(|interpreter| {
            let can_make = interpreter.has_venv && interpreter.has_ensurepip;
            let mut notes = vec![interpreter.path.display().to_string()];
            if Some(&interpreter.path) == chosen.as_ref() {
                notes.push("used unless --python names another".to_owned());
            }
            if interpreter.build.get("optimizations").is_some_and(|pgo| pgo == "no") {
                notes.push("built without PGO: slower than a distribution's Python".to_owned());
            }
            Fact {
                key: format!("python.{}", interpreter.version),
                title: format!("Python {}", interpreter.version),
                value: notes.join("; "),
                verdict: if can_make { FactVerdict::Ok } else { FactVerdict::Warn },
                remedy: (!can_make).then(|| {
                    "it cannot make environments: install its venv package (Debian: apt install python3-venv) or uv"
                        .to_owned()
                }),
            }
        })
        .collect();
    facts.extend(discovery.rejected.iter().map(|rejected| Fact {
        key: format!("python.{}", rejected.name),
        title: "Python".to_owned(),
        value: format!("{}: {}", rejected.name, rejected.reason),
        verdict: FactVerdict::Info,
        remedy: None,
    }));
    if discovery.usable.is_empty() {
        facts.push(Fact {
            key: "python".to_owned(),
            title: "Python".to_owned(),
            value: "none found that is 3.10 or newer".to_owned(),
            verdict: FactVerdict::Bad,
            remedy: Some(
                "install one (apt install python3 python3-venv, or uv python install 3.12), or name it with --python"
                    .to_owned(),
            ),
        });
    }
    facts
}

/// Whether secrets are set, never what they are.
fn tokens(is_set: &dyn Fn(&str) -> bool) -> Vec<Fact> {
    let set = is_set("HF_TOKEN");
    vec![Fact {
        key: "hub.token".to_owned(),
        title: "HF_TOKEN".to_owned(),
        value: if set { "set" } else { "not set: only public models of the hub" }.to_owned(),
        verdict: FactVerdict::Info,
        remedy: None,
    }]
}

fn text(facts: &[Fact]) -> String {
    let width = facts.iter().map(|fact| unicode_width::UnicodeWidthStr::width(fact.title.as_str())).max().unwrap_or(0);
    let mut out = String::new();
    for fact in facts {
        let mark = match fact.verdict {
            FactVerdict::Ok => "ok  ",
            FactVerdict::Warn => "warn",
            FactVerdict::Bad => "BAD ",
            FactVerdict::Unknown => "?   ",
            FactVerdict::Info => "    ",
        };
        out.push_str(&format!("{mark}  {:<width$}  {}\n", fact.title, fact.value));
        if let Some(remedy) =
            fact.remedy.as_ref().filter(|_| matches!(fact.verdict, FactVerdict::Warn | FactVerdict::Bad))
        {
            out.push_str(&format!("      {:<width$}  -> {remedy}\n", ""));
        }
    }
    let count = |verdict: FactVerdict| facts.iter().filter(|fact| fact.verdict == verdict).count();
    out.push_str(&format!(
        "\n{} of {} facts need attention; {} could not be found out\n",
        count(FactVerdict::Warn) + count(FactVerdict::Bad),
        facts.len(),
        count(FactVerdict::Unknown)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let facts = tokens(&|_| true);
        assert_eq!(facts[0].value, "set");
    }
}
