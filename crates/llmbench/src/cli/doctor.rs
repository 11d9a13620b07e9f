//! `llmbench doctor`: is this machine fit for measuring, and what would mend it?

use clap::Args;
use pipeline::{Exit, Failure};
use std::path::{Path, PathBuf};

use provision::pyenv::{self, Interpreter, Surroundings};
use record::results::{Fact, FactVerdict};

use unicode_width::UnicodeWidthStr;

use super::console::{self, hanging};
use record::format;
use workers::clock;

/// `llmbench doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench doctor\n  llmbench doctor --json")]
pub struct DoctorArgs {
    /// Look at this interpreter too; repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Prints the facts, the worst last in each group's order.
///
/// # Errors
/// None but a bug.
pub fn doctor(args: &DoctorArgs) -> Result<Exit, Failure> {
    let mut facts = host::probe(&host::Roots::default(), Path::new(".")).facts;
    // The worker's own reading stands below, against the shortest sample.
    facts.retain(|fact| fact.key != "clock.pair");
    facts.extend(timers());
    facts.extend(interpreters(args));
    with_remedies(&mut facts);
    facts.extend(tokens(&|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())));
    if args.json {
        return console::print(&(serde_json::to_string_pretty(&facts).map_err(Failure::bug)? + "\n"));
    }
    console::print(&text(&facts, console::width()))
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
            value: format!(
                "{}, part of every call's time (0.1% of a call of {})",
                format::duration(turn_ns as f64),
                format::duration(turn_ns as f64 * 1000.0)
            ),
            verdict: FactVerdict::Info,
            remedy: None,
        },
    ]
}

/// Calibration makes no block shorter than this.
const SHORTEST_SAMPLE_NS: f64 = 100_000.0;

fn interpreters(args: &DoctorArgs) -> Vec<Fact> {
    let discovery = pyenv::discover(&args.python, &Surroundings::from_env());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let short = |path: &Path| console::short(path, home.as_deref());
    let chosen = discovery.default_choice().ok().map(|interpreter| interpreter.path.clone());
    let asked: Vec<&Path> =
        discovery.asked().into_iter().filter_map(Result::ok).map(|interpreter| interpreter.path.as_path()).collect();
    let mut facts: Vec<Fact> = discovery
        .usable
        .iter()
        .map(|interpreter| {
            let default = Some(&interpreter.path) == chosen.as_ref();
            // The others are only what else could be named.
            let used = if asked.is_empty() { default } else { asked.contains(&interpreter.path.as_path()) };
            let (verdict, note, remedy) = judge(interpreter, used);
            let mut notes = vec![short(&interpreter.path)];
            if default {
                notes.push("used unless --python names another".to_owned());
            }
            notes.extend(note);
            Fact {
                key: format!("python.{}", interpreter.version),
                title: format!("Python {}", interpreter.version),
                value: notes.join("; "),
                verdict,
                remedy,
            }
        })
        .collect();
    facts.extend(discovery.rejected.iter().map(|rejected| Fact {
        key: format!("python.{}", rejected.name),
        title: "Python".to_owned(),
        value: format!("{}: {}", short(Path::new(&rejected.name)), rejected.reason),
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

/// What is wrong with an interpreter, and the remedy. One that no run would use is judged no worse than `Info`.
fn judge(interpreter: &Interpreter, used: bool) -> (FactVerdict, Option<String>, Option<String>) {
    let warn = if used { FactVerdict::Warn } else { FactVerdict::Info };
    if !(interpreter.has_venv && interpreter.has_ensurepip) {
        let remedy = "install its venv package (Debian: apt install python3-venv) or uv";
        return (warn, Some("it cannot make environments".to_owned()), Some(remedy.to_owned()));
    }
    let lacks = |what: &str| interpreter.build.get(what).is_some_and(|answer| answer == "no");
    // A distribution optimizes in its own build rules, which sysconfig does not know of.
    let of_distribution = ["/usr/bin", "/usr/lib"].iter().any(|place| interpreter.real.starts_with(place));
    let missing: Vec<&str> = [("optimizations", "PGO"), ("lto", "LTO")]
        .into_iter()
        .filter(|(key, _)| lacks(key) && !of_distribution)
        .map(|(_, name)| name)
        .collect();
    // LTO alone is worth a few per cent and many good builds do without; PGO is worth much more.
    if !missing.contains(&"PGO") {
        return (if used { FactVerdict::Ok } else { FactVerdict::Info }, None, None);
    }
    let note =
        format!("built without {}: its times are longer than those of an optimized Python", missing.join(" and "));
    let remedy = format!(
        "use a distribution's or `uv python install {}`, or build it again with --enable-optimizations --with-lto (pyenv takes \
         them in PYTHON_CONFIGURE_OPTS)",
        interpreter.version.short().trim_end_matches('t')
    );
    (warn, Some(note), Some(remedy))
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

/// Facts that could not be found out say where they can be.
fn with_remedies(facts: &mut [Fact]) {
    for fact in facts.iter_mut().filter(|fact| fact.verdict == FactVerdict::Unknown && fact.remedy.is_none()) {
        let remedy = match fact.key.split('.').next().unwrap_or_default() {
            "cpu" | "clock" | "load" => {
                "virtual machines and containers hide it: ask on the host (lscpu shows most of it)"
            }
            "gpu" => "nvidia-smi shows it where the NVIDIA driver is installed",
            _ => "/proc or /sys does not say here: ask on the host, outside the container",
        };
        fact.remedy = Some(remedy.to_owned());
    }
}

/// `width`: columns, none to leave lines as long as they are.
fn text(facts: &[Fact], width: Option<usize>) -> String {
    let titles = facts.iter().map(|fact| fact.title.width()).max().unwrap_or(0);
    let indent = MARK + titles + 2;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
    let mut out = String::new();
    for fact in facts {
        let mark = match fact.verdict {
            FactVerdict::Ok => "ok",
            FactVerdict::Warn => "warn",
            FactVerdict::Bad => "BAD",
            FactVerdict::Unknown => "?",
            FactVerdict::Info => "",
        };
        let padding = " ".repeat(titles - fact.title.width());
        out.push_str(&format!("{mark:<MARK$}{}{padding}  {}\n", fact.title, hanging(&fact.value, room, indent)));
        let shown = !matches!(fact.verdict, FactVerdict::Ok | FactVerdict::Info);
        if let Some(remedy) = fact.remedy.as_ref().filter(|_| shown) {
            out.push_str(&format!("{:indent$}{}\n", "", hanging(&format!("-> {remedy}"), room, indent)));
        }
    }
    let count = |verdict: FactVerdict| facts.iter().filter(|fact| fact.verdict == verdict).count();
    let attention = count(FactVerdict::Warn) + count(FactVerdict::Bad);
    let verb = if attention == 1 { "needs" } else { "need" };
    out.push_str(&format!(
        "\n{attention} of {} facts {verb} attention; {} could not be found out\n",
        facts.len(),
        count(FactVerdict::Unknown)
    ));
    out
}

/// Width of the verdict and the space behind it.
const MARK: usize = 6;

#[cfg(test)]
mod tests {
    use provision::pyenv::{Found, Version};

    use super::*;

    fn fact(title: &str, value: &str, verdict: FactVerdict) -> Fact {
        Fact { key: "cpu.x".to_owned(), title: title.to_owned(), value: value.to_owned(), verdict, remedy: None }
    }

    fn interpreter(real: &str, pgo: &str) -> Interpreter {
        let build = [("optimizations".to_owned(), pgo.to_owned()), ("lto".to_owned(), "no".to_owned())];
        Interpreter {
            path: PathBuf::from(real),
            real: PathBuf::from(real),
            prefix: PathBuf::from("/opt"),
            version: Version { major: 3, minor: 12, ..Version::default() },
            implementation: "CPython".to_owned(),
            in_venv: false,
            build: build.into_iter().collect(),
            has_venv: true,
            has_ensurepip: true,
            found: Found::Path,
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let facts = tokens(&|_| true);
        assert_eq!(facts[0].value, "set");
    }

    #[test]
    fn a_python_without_pgo_is_a_warning_with_a_remedy_where_it_would_be_used() {
        let (verdict, note, remedy) = judge(&interpreter("/opt/python3", "no"), true);
        assert_eq!(verdict, FactVerdict::Warn);
        assert!(note.unwrap().starts_with("built without PGO and LTO"));
        assert!(remedy.unwrap().contains("uv python install 3.12`"));
        assert_eq!(judge(&interpreter("/opt/python3", "no"), false).0, FactVerdict::Info);
        assert_eq!(judge(&interpreter("/opt/python3", "yes"), true).0, FactVerdict::Ok);
        // What a distribution's build rules did cannot be seen, so nothing is claimed.
        assert_eq!(judge(&interpreter("/usr/bin/python3.12", "no"), true), (FactVerdict::Ok, None, None));
    }

    #[test]
    fn what_is_unknown_says_where_to_ask_and_lines_fit() {
        let mut facts = [
            fact("turbo", "unknown", FactVerdict::Unknown),
            fact("speed", &"many words ".repeat(20), FactVerdict::Warn),
            fact("cores", "2", FactVerdict::Ok),
        ];
        with_remedies(&mut facts);
        let shown = text(&facts, Some(80));
        assert!(shown.contains("?     turbo  unknown\n             -> virtual machines"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.ends_with("1 of 3 facts needs attention; 1 could not be found out\n"), "{shown}");
        assert_eq!(text(&facts, None).lines().count(), 6);
    }
}
