//! What can be said of a run on the command line, and the options that it means.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};
use loadgen::service_level::Level;
use pipeline::RunOptions;
use pipeline::options::{ProfileName, ServerOptions};
use suites::axes::{AxisValue, parse_list};

use crate::cli::words;

/// `llmbench run`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench run preprocessing --quick\n  llmbench run preprocessing --exp anatomy gpu-wait --gpu-step-ms 25\n  llmbench run preprocessing --model Qwen/Qwen3-0.6B --threads 1,2,4\n  llmbench run preprocessing --dataset sharegpt.json --exp 1 3 4\n  llmbench run preprocessing --quick --dry-run\n  llmbench run preprocessing --resume latest\n  llmbench run serving --quick --base-url http://localhost:8000\n\nExit codes:\n    0  all measured\n    2  wrong arguments, settings or input\n    4  nothing selected\n  100  some cells failed, every point of an experiment is INVALID, or the disk\n       was full before all runs were made\n  101  engines that must agree did not\n  103  environment refused (--strict-env)\n  130  interrupted; what was measured is kept, go on with --resume"
)]
pub struct RunArgs {
    #[arg(help = words::suites())]
    pub suite: String,

    /// Few runs in minutes: indicative.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,

    /// All points, until the intervals are narrow or the time is over (the default).
    #[arg(long)]
    pub full: bool,

    #[arg(long, value_name = "EXP", num_args = 1.., help = words::experiments())]
    pub exp: Vec<String>,

    /// A folder with tokenizer.json, a Hugging Face id, or nothing for the built-in model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,

    /// Python interpreter by path or version; repeat it to compare several.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// Use what the interpreter has installed instead of an environment of our own.
    #[arg(long)]
    pub no_env: bool,

    /// Where the run folder goes.
    #[arg(long, value_name = "DIR", env = "LLMBENCH_OUTPUT")]
    pub output: Option<PathBuf>,

    /// Thread counts of the experiments that have threads: 1,2,4 or 1,cores,2*cores.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub threads: Option<AxisList>,

    /// Tokens a request.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub tokens: Option<AxisList>,

    /// Turns a conversation.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub turns: Option<AxisList>,

    /// Requests a batch (gpu-wait).
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub batch: Option<AxisList>,

    /// Extrapolate gpu-wait to this many requests [default: 100000].
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,

    /// Length of a GPU step in ms, to compute how long the GPU idles (gpu-wait).
    #[arg(long, value_name = "MS")]
    pub gpu_step_ms: Option<f64>,

    /// What an hour of one core costs, USD, for the cost of a million requests (strategies) [default: 0.04].
    #[arg(long, value_name = "USD")]
    pub cpu_hour_price: Option<f64>,

    /// The server that the serving suite asks: http://HOST:PORT or unix:PATH; without it, llmbench's own mock (SIMULATED).
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,

    /// The server's name of the model [default: the first of its list].
    #[arg(long, value_name = "NAME", requires = "base_url")]
    pub model_name: Option<String>,

    /// The environment variable with the server's API key.
    #[arg(long, value_name = "VAR", requires = "base_url")]
    pub api_key_env: Option<String>,

    /// Send the key in plain text to a server on another machine.
    #[arg(long, requires = "api_key_env")]
    pub insecure_key: bool,

    /// Requests at once (latency-wall, prefix-cache, sidecar).
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub concurrency: Option<AxisList>,

    /// Service level that max-rate looks for; repeatable [default: "ttft:p99:500ms tpot:p95:50ms"].
    #[arg(long, value_name = "LEVEL")]
    pub slo: Vec<Level>,

    /// Requests a second that max-rate finds replicas for.
    #[arg(long, value_name = "N")]
    pub demand: Option<f64>,

    /// What an hour of one server costs, USD (max-rate).
    #[arg(long, value_name = "USD")]
    pub replica_hour_price: Option<f64>,

    /// Text of the generated conversations: words that people write, or random letters (worst case for caches).
    #[arg(long, value_name = "KIND", value_parser = ["words", "letters"])]
    pub workload: Option<String>,

    /// Measure on real conversations: ShareGPT JSON, JSONL of OpenAI messages, or plain text.
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    pub dataset: Option<PathBuf>,

    /// Leave out requests of the dataset that the model's template refuses.
    #[arg(long, requires = "dataset")]
    pub skip_refused: bool,

    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub runs: Option<AxisList>,

    /// Seed of texts, orders and offsets [default: 1].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Settings in a TOML file; the command line wins over it.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// Show the plan (cells, subjects, runs, expected time) and measure nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Go on with an interrupted run (a folder, or `latest`).
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,

    /// Refuse to measure where the environment would make figures wrong.
    #[arg(long)]
    pub strict_env: bool,

    /// Draw no figures.
    #[arg(long)]
    pub no_plots: bool,
}

impl RunArgs {
    /// The options that are meant; what is only about this command line (`--dry-run`) stays here.
    pub fn options(&self) -> RunOptions {
        let profile = match (self.quick, self.full) {
            (true, _) => Some(ProfileName::Quick),
            (_, true) => Some(ProfileName::Full),
            _ => None,
        };
        let lists = [
            ("threads", &self.threads),
            ("tokens", &self.tokens),
            ("turns", &self.turns),
            ("batch", &self.batch),
            ("concurrency", &self.concurrency),
        ];
        let mut axes: BTreeMap<String, Vec<AxisValue>> = lists
            .into_iter()
            .filter_map(|(axis, list)| list.as_ref().map(|AxisList(values)| (axis.to_owned(), values.clone())))
            .collect();
        if !self.slo.is_empty() {
            let levels = self.slo.iter().map(|level| AxisValue::Text(level.to_string())).collect();
            axes.insert("level".to_owned(), levels);
        }
        let numbers = [
            ("requests", self.requests.map(|requests| requests as f64)),
            ("gpu_step_ms", self.gpu_step_ms),
            ("cpu_hour_price", self.cpu_hour_price),
            ("demand_per_s", self.demand),
            ("replica_hour_price", self.replica_hour_price),
        ];
        RunOptions {
            suite: self.suite.clone(),
            profile,
            experiments: self.exp.clone(),
            model: self.model.clone(),
            python: self.python.clone(),
            no_env: self.no_env,
            output: self.output.clone(),
            axes,
            parameters: numbers
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
                .collect(),
            server: ServerOptions {
                base_url: self.base_url.clone(),
                model_name: self.model_name.clone(),
                key_env: self.api_key_env.clone(),
                insecure_key: self.insecure_key,
            },
            workload: self.workload.clone(),
            dataset: self.dataset.clone(),
            skip_refused: self.skip_refused,
            runs: self.runs.as_ref().map(|AxisList(values)| values.clone()).unwrap_or_default(),
            seed: self.seed,
            config: self.config.clone(),
            resume: self.resume.clone(),
            strict_env: self.strict_env,
            no_plots: self.no_plots,
        }
    }

    /// The options of a command line in words; None where it is not one of `llmbench run`.
    pub fn options_of(words: &[String]) -> Option<RunOptions> {
        let verb = words.iter().position(|word| word == "run")?;
        let command = Self::augment_args(Command::new("run"))
            .arg(clap::Arg::new("verbose").short('v').long("verbose").action(clap::ArgAction::Count));
        let matches = command.try_get_matches_from(&words[verb..]).ok()?;
        Self::from_arg_matches(&matches).ok().map(|args| args.options())
    }
}

/// A list of axis values as one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisList(pub Vec<AxisValue>);

fn list(text: &str) -> Result<AxisList, String> {
    parse_list(text).map(AxisList)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> RunOptions {
        RunArgs::options_of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn options_as_a_command_line_mean_the_same() {
        let lines: [&[&str]; 4] = [
            &["llmbench", "run", "preprocessing", "--quick"],
            &[
                "llmbench",
                "-v",
                "run",
                "preprocessing",
                "--full",
                "--exp",
                "1",
                "gpu-wait",
                "--threads",
                "1,2*cores",
                "--requests",
                "10",
            ],
            &[
                "llmbench",
                "run",
                "serving",
                "--slo",
                "ttft:p99:500ms tpot:p95:50ms",
                "--slo",
                "e2e:p99:2s",
                "--demand",
                "2.5",
            ],
            &[
                "llmbench",
                "run",
                "serving",
                "--base-url",
                "http://h:1",
                "--model-name",
                "m",
                "--api-key-env",
                "K",
                "--insecure-key",
            ],
        ];
        for words in lines {
            let options = said(words);
            assert_ne!(options, RunOptions::suite(&options.suite), "{words:?}");
            assert_eq!(RunArgs::options_of(&options.command()).as_ref(), Some(&options), "{:?}", options.command());
        }
        // Every option that a run has.
        let all = [
            "llmbench",
            "run",
            "preprocessing",
            "--exp",
            "1",
            "3",
            "--model",
            "m d",
            "--python",
            "3.13t",
            "--python",
            "./v",
            "--no-env",
            "--output",
            "o",
            "--threads",
            "1",
            "--tokens",
            "2,3",
            "--turns",
            "4",
            "--batch",
            "5",
            "--concurrency",
            "6",
            "--gpu-step-ms",
            "7.5",
            "--cpu-hour-price",
            "0.1",
            "--replica-hour-price",
            "8",
            "--dataset",
            "d.jsonl",
            "--skip-refused",
            "--runs",
            "5,10",
            "--seed",
            "9",
            "--config",
            "c.toml",
            "--resume",
            "latest",
            "--strict-env",
            "--no-plots",
        ];
        let options = said(&all);
        assert_eq!(RunArgs::options_of(&options.command()), Some(options.clone()));
        let kept: RunOptions = serde_json::from_value(serde_json::to_value(&options).unwrap()).unwrap();
        assert_eq!(kept, options, "run.json gives them back");
    }

    #[test]
    fn other_command_lines_are_no_run() {
        for words in ["llmbench advise --rps 1", "llmbench run", "llmbench run preprocessing --no-such-option"] {
            assert!(RunArgs::options_of(&words.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_none(), "{words}");
        }
    }
}
