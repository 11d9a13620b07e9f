//! `llmbench load`: load on a server, and what a client sees of it.

mod args;

use std::path::{Path, PathBuf};

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing, read_trace};
use loadgen::serving::server::Access;
use loadgen::serving::slo::Slo;
use loadgen::serving::target::{HttpVersion, Target};
use provision::cache;
use runner::interrupt::Interrupt;
use serde_json::json;
use server_api::{Api, Settings};

pub use self::args::{LoadArgs, Members, StepList};
use super::console;
use super::numbers::List;
use crate::load::calibration::{self, Calibration};
use crate::load::drive::Bench;
use crate::load::export::{self, Header};
use crate::load::memory;
use crate::load::outcome::PointOutcome;
use crate::load::points::{Point, points};
use crate::load::random::RandomSpec;
use crate::load::table::{self, Metric};
use crate::load::varying::Varying;
use crate::load::workload::{self, Form, Model, Requests, Source, Wanted};
use crate::terminal::{Step, Terminal};
use pipeline::input;
use pipeline::key::Key;
use pipeline::model::ModelPrompt;
use pipeline::{Exit, Failure};
use report::terminal::Style;

/// Different requests that are made where the user does not say: more take long to generate, fewer repeat soon.
const POOL: usize = 256;

/// The time that templates are told, so that the same seed gives the same bytes.
const TIMESTAMP: i64 = 1_767_225_600;

/// Measures and shows.
///
/// # Errors
/// Usage: arguments that do not go together, input that cannot be read, a server that cannot serve the first request, files that
/// cannot be written.
pub fn load(args: &LoadArgs) -> Result<Exit, Failure> {
    let plan = Plan::of(args)?;
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let access = access(args)?;
    let models = access.models().map_err(Failure::usage)?;
    let name = access.model_name(args.model_name.as_deref(), &models).map_err(Failure::usage)?;
    let settings = Settings { model: name, ..plan.settings.clone() };
    let cache = cache::root().map_err(Failure::usage)?;
    let model = pipeline::model::open(args.model.as_deref(), &cache, &Terminal)?;
    let prompt = ModelPrompt::load(&model, args.model.as_deref(), TIMESTAMP)?;
    let requests = requests(&plan, args.backend, &settings, &prompt)?;
    let found = access.examine(&settings, &models, requests.first()).map_err(Failure::usage)?;
    // Where the server counts tokens nobody else has to: what the model took is free for the records of the run.
    let prompt = (!found.counts_tokens).then_some(prompt);
    memory::give_back();
    for note in requests.notes.iter().chain(&found.notes).chain(&plan.notes) {
        eprintln!("note: {note}");
    }
    let header = Header {
        backend: args.backend.name().to_owned(),
        model: settings.model.clone(),
        tokenizer: args.model.clone(),
        base_url: access.target.to_string(),
        http_version: access.target.version,
        workload: requests.name.clone(),
        num_prompts: plan.extent.count,
        burstiness: args.burstiness,
        label: args.label.clone(),
        metadata: args.metadata.clone(),
        seed: args.seed,
        metrics: plan.metrics.clone(),
        percentiles: args.metric_percentiles.clone(),
    };
    let output = Output::new(args, &header)?;
    let calibration = Calibration::read(&cache, &calibration::this_machine());
    let bench = Bench {
        access: &access,
        found: &found,
        requests: &requests,
        tokenizer: prompt.as_ref().map(ModelPrompt::tokenizer),
        extent: plan.extent,
        spacing: plan.spacing,
        trace: plan.trace.clone(),
        intensity: plan.intensity.clone(),
        seed: args.seed,
        slo: plan.slo,
        percentiles: plan.percentiles.clone(),
        samples: output.samples(),
        interrupt,
        calibration: calibration.as_ref(),
    };
    let outcomes = measure(&plan, &bench, &output)?;
    show(args, &header, &outcomes)?;
    Ok(if bench.interrupt.is_set() {
        Exit::Interrupted
    } else if outcomes.iter().any(|point| !point.is_valid()) {
        Exit::CellsFailed
    } else {
        Exit::Success
    })
}

/// What the arguments mean together.
struct Plan {
    points: Vec<Point>,
    extent: Extent,
    spacing: Spacing,
    trace: Option<Schedule>,
    intensity: Option<Intensity>,
    slo: Option<Slo>,
    metrics: Vec<Metric>,
    percentiles: Vec<f64>,
    settings: Settings,
    wanted: Wanted,
    runs: u32,
    warmups: u32,
    notes: Vec<String>,
}

/// Requests of a run where neither a number nor a duration is given.
const REQUESTS: u32 = 200;

impl Plan {
    fn of(args: &LoadArgs) -> Result<Self, Failure> {
        let trace = args.arrivals.as_ref().map(|path| {
            input::check("--arrivals", path)?;
            read_trace(path, args.arrivals_speed).map_err(Failure::usage)
        });
        let trace = trace.transpose()?;
        let varying = varying(args, trace.is_some());
        let whole_trace = trace.as_ref().map(Schedule::len);
        let steps_ns = varying.as_ref().and_then(Varying::length_ns);
        let duration_ns = args.duration.map(|seconds| (seconds * 1e9) as u64).or(steps_ns);
        let count = match (args.num_prompts, duration_ns, whole_trace) {
            (Some(count), ..) => Some(count as usize),
            (None, Some(_), _) => None,
            (None, None, Some(all)) => Some(all),
            (None, None, None) => Some(REQUESTS as usize),
        };
        let extent = Extent { count, duration_ns };
        let intensity =
            varying.as_ref().map(|varying| varying.intensity(extent)).transpose().map_err(Failure::usage)?;
        let list = |list: &Option<List>| list.as_ref().map(|list| list.0.clone());
        let (rates, users) = (list(&args.request_rate), list(&args.max_concurrency));
        let requests = count.unwrap_or(REQUESTS as usize);
        let points = points(rates.as_deref(), users.as_deref(), varying.as_ref(), requests).map_err(Failure::usage)?;
        let spacing = match args.burstiness {
            1.0 => Spacing::Poisson,
            f64::INFINITY => Spacing::Even,
            burstiness => Spacing::Gamma { burstiness },
        };
        let bounds = args.goodput.join(" ");
        let slo = (!bounds.is_empty()).then(|| bounds.parse::<Slo>()).transpose();
        let slo = slo.map_err(|error| Failure::usage(format!("--goodput: {error}")))?;
        if args.no_stream && slo.is_some_and(|slo| slo.ttft_ns.is_some() || slo.tpot_ns.is_some()) {
            return Err(Failure::usage(
                "--goodput: a whole answer has no TTFT and no TPOT; leave --no-stream out or bound e2el alone",
            ));
        }
        let metrics = Metric::ALL
            .into_iter()
            .filter(|metric| {
                let key = metric.key();
                args.percentile_metrics.iter().any(|asked| asked == key.trim_end_matches("_sent"))
            })
            .collect();
        let mut percentiles = vec![50.0, 99.0];
        percentiles.extend(&args.metric_percentiles);
        let settings = Settings {
            model: None,
            max_tokens: Some(args.random_output_len),
            ignore_eos: args.ignore_eos,
            stream: !args.no_stream,
            temperature: (args.temperature >= 0.0).then_some(args.temperature),
            extra: args.extra_body.clone().map(|members| members.0).unwrap_or_default(),
        };
        let (wanted, notes) = wanted(args, &points, count)?;
        let (runs, warmups) = (args.num_runs, args.num_warmups);
        let intensity = intensity.flatten();
        Ok(Self {
            points,
            extent,
            spacing,
            trace,
            intensity,
            slo,
            metrics,
            percentiles,
            settings,
            wanted,
            runs,
            warmups,
            notes,
        })
    }
}

/// What makes the rate of a run vary, if anything does; the arguments exclude each other.
fn varying(args: &LoadArgs, is_trace: bool) -> Option<Varying> {
    if is_trace {
        return Some(Varying::Trace);
    }
    if let Some(StepList(steps)) = &args.rate_steps {
        return Some(Varying::Steps(steps.clone()));
    }
    match (args.ramp_up_strategy, args.ramp_up_start_rps, args.ramp_up_end_rps) {
        (Some(strategy), Some(from), Some(to)) => Some(Varying::Ramp { strategy, from, to }),
        _ => None,
    }
}

fn wanted(args: &LoadArgs, points: &[Point], count: Option<usize>) -> Result<(Wanted, Vec<String>), Failure> {
    let measured = count.unwrap_or(POOL).saturating_mul(args.num_runs as usize);
    let each = measured.saturating_add(args.num_warmups as usize);
    // And the one with which the server is looked at.
    let needed = each.saturating_mul(points.len()).saturating_add(1);
    let random = |input, prefix, prefixes| {
        let range_ratio = args.random_range_ratio;
        Source::Random(RandomSpec { input, output: args.random_output_len, range_ratio, prefix, prefixes })
    };
    let source = match (args.dataset_name.as_str(), &args.dataset_path) {
        ("sharegpt" | "custom", Some(path)) => {
            input::check("--dataset-path", path)?;
            Source::File(path.clone())
        }
        (name @ ("sharegpt" | "custom"), None) => {
            return Err(Failure::usage(format!("--dataset-name {name} needs the file: give --dataset-path FILE")));
        }
        ("words", Some(path)) => {
            input::check("--dataset-path", path)?;
            Source::File(path.clone())
        }
        (name, Some(_)) => {
            return Err(Failure::usage(format!(
                "--dataset-name {name} reads no file: leave --dataset-path out, or name it custom"
            )));
        }
        ("random", None) => random(args.random_input_len, args.random_prefix_len, 1),
        ("prefix-repetition", None) => random(
            args.prefix_repetition_suffix_len,
            args.prefix_repetition_prefix_len,
            args.prefix_repetition_num_prefixes,
        ),
        (kind, None) => {
            Source::Conversations { kind: kind.to_owned(), tokens: args.random_input_len, turns: args.turns }
        }
    };
    let is_cheap = matches!(source, Source::Random(_));
    let pool =
        args.pool.map_or_else(|| if is_cheap { needed.min(20_000) } else { needed.min(POOL) }, |pool| pool as usize);
    let mut notes = Vec::new();
    if pool < needed && !matches!(source, Source::File(_)) {
        notes.push(format!(
            "the {pool} different requests repeat, and a prefix cache sees them again (--pool makes more)"
        ));
    }
    let form = match args.prompt_form.as_deref() {
        Some("messages") => Form::Messages,
        Some("text") => Form::Text,
        Some(_) => Form::Ids,
        None if args.backend.takes_messages() => Form::Messages,
        None => Form::Text,
    };
    if (form == Form::Messages) != args.backend.takes_messages() {
        return Err(Failure::usage(format!(
            "the backend {} takes {}: leave --prompt-form out or choose another --backend",
            args.backend,
            if args.backend.takes_messages() { "messages" } else { "text or ids" }
        )));
    }
    let think_ns = (args.think_time_ms * 1e6) as u64;
    Ok((Wanted { source, form, by_turns: args.by_turns, think_ns, pool: pool.max(1), seed: args.seed }, notes))
}

fn access(args: &LoadArgs) -> Result<Access, Failure> {
    let target: Target = args.base_url.parse().map_err(Failure::usage)?;
    let key = Key::read(&args.api_key_env, &target, args.insecure_key).map_err(Failure::usage)?;
    if let Some(key) = &key {
        eprintln!("note: {}", key.note(&target));
    }
    Ok(Access {
        target: target.spoken(args.http_version),
        backend: args.backend,
        key: key.map(|key| key.value().to_owned()),
        key_var: args.api_key_env.clone(),
        timeout_ns: (args.timeout * 1e9) as u64,
    })
}

fn requests(plan: &Plan, backend: Api, settings: &Settings, prompt: &ModelPrompt) -> Result<Requests, Failure> {
    let step = Step::spinner("requests");
    let model = Model { prompt, tokenizer: prompt.tokenizer() };
    let requests = workload::make(&plan.wanted, backend, settings, &model).map_err(Failure::usage)?;
    step.done(&requests.name);
    Ok(requests)
}

/// All points, each with its runs; fewer where somebody interrupts.
fn measure(plan: &Plan, bench: &Bench<'_>, output: &Output<'_>) -> Result<Vec<PointOutcome>, Failure> {
    let mut outcomes = Vec::new();
    // Each run goes on where the one before it ended, so that no request is one that the server has just seen.
    // The first was sent when the server was looked at.
    let mut offset = 1;
    for (index, &point) in plan.points.iter().enumerate() {
        let mut outcome = PointOutcome { point, runs: Vec::new() };
        offset += bench.warm_up(point, plan.warmups as usize, offset)?;
        for run in 1..=plan.runs {
            if bench.interrupt.is_set() {
                break;
            }
            let measured = bench.measure(point, run, offset)?;
            offset += measured.run.records.iter().map(|record| record.session as usize + 1).max().unwrap_or(0);
            output.save(index, plan, &measured)?;
            outcome.runs.push(measured.outcome);
        }
        if !outcome.runs.is_empty() {
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

fn show(args: &LoadArgs, header: &Header, outcomes: &[PointOutcome]) -> Result<(), Failure> {
    if args.json {
        let runs = outcomes.iter().flat_map(|point| point.runs.iter().map(|run| export::run(header, point.point, run)));
        let text = serde_json::to_string_pretty(&json!({ "runs": runs.collect::<Vec<_>>() })).map_err(Failure::bug)?;
        return console::print(&format!("{text}\n")).map(|_| ());
    }
    let model = header.model.as_deref().map(|model| format!(" as {model}")).unwrap_or_default();
    // HTTP/1.1 is what everybody expects.
    let over = if header.http_version == HttpVersion::Http1 { "" } else { " over HTTP/2" };
    let head = format!("{}{model}, {}{over}: {}\n\n", header.base_url, header.backend, header.workload);
    let width = console::width().unwrap_or(80);
    let table = table::render(outcomes, true, &args.metric_percentiles, width, Style::of_stdout());
    console::print(&(head + &table)).map(|_| ())
}

/// The files of `--save-result`.
struct Output<'a> {
    args: &'a LoadArgs,
    header: &'a Header,
    /// Samples of the run that is being measured.
    scratch: Option<tempfile::TempDir>,
}

impl<'a> Output<'a> {
    fn new(args: &'a LoadArgs, header: &'a Header) -> Result<Self, Failure> {
        if args.save_result || args.save_detailed {
            std::fs::create_dir_all(&args.result_dir).map_err(|error| unwritable(&args.result_dir, &error))?;
        }
        let scratch =
            args.save_detailed.then(|| tempfile::Builder::new().prefix(".llmbench-").tempdir_in(&args.result_dir));
        let scratch = scratch.transpose().map_err(|error| unwritable(&args.result_dir, &error))?;
        Ok(Self { args, header, scratch })
    }

    fn samples(&self) -> Option<PathBuf> {
        self.scratch.as_ref().map(|dir| dir.path().join("samples"))
    }

    fn save(&self, index: usize, plan: &Plan, measured: &crate::load::drive::Measured) -> Result<(), Failure> {
        if !self.args.save_result && !self.args.save_detailed {
            return Ok(());
        }
        let point = plan.points[index];
        let outcome = &measured.outcome;
        let mut json = export::run(self.header, point, outcome);
        if let Some(samples) = self.samples() {
            export::add_details(&mut json, &measured.run, &samples).map_err(Failure::usage)?;
        }
        let name = match &self.args.result_filename {
            None => export::file_name(self.header, point, &outcome.started),
            Some(name) => {
                let (stem, end) = name.strip_suffix(".json").map_or((name.as_str(), ""), |stem| (stem, ".json"));
                let point = if plan.points.len() > 1 { format!("-point{}", index + 1) } else { String::new() };
                let run = if plan.runs > 1 { format!("-run{}", outcome.run) } else { String::new() };
                format!("{stem}{point}{run}{end}")
            }
        };
        let name = if self.args.result_filename.is_none() && plan.runs > 1 {
            name.replace(".json", &format!("-run{}.json", outcome.run))
        } else {
            name
        };
        let path = self.args.result_dir.join(name);
        let text = serde_json::to_vec(&json).map_err(Failure::bug)?;
        record::folder::write_atomic(&path, &text).map_err(Failure::usage)?;
        eprintln!("result: {}", path.display());
        Ok(())
    }
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("--result-dir {}: {error}; name a folder that can be written", dir.display()))
}
