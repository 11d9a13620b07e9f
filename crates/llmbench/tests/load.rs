//! `llmbench load` as a command: what it measures, what it writes, and what it says when a server cannot serve.

#[path = "end_to_end/environment.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod environment;
#[path = "load/http2.rs"]
mod http2;
#[path = "load/hypercorn.rs"]
mod hypercorn;
#[path = "load/server.rs"]
mod server;
#[path = "cli/shell.rs"]
#[allow(dead_code)]
mod shell;

use serde_json::Value;
use server::{Server, answer, models, stream};
use shell::{Shell, code};

/// Requests that need no long generation.
const SMALL: [&str; 6] = ["--dataset-name", "random", "--random-input-len", "8", "--random-output-len", "5"];

fn load(shell: &Shell, url: &str, more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["load", "--base-url", url];
    args.extend(SMALL);
    args.extend(more);
    let output = shell.output(&args);
    (code(&output), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The sentence of a refusal: exit code 2, nothing on stdout.
fn refused(url: &str, more: &[&str]) -> String {
    let (code, out, err) = load(&Shell::new(), url, more);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    err
}

#[test]
fn a_closed_loop_is_measured_and_shown() {
    let server = Server::tokens(5);
    let shell = Shell::new();
    let (code, out, err) = load(&shell, &server.url, &["--max-concurrency", "1,2", "--num-prompts", "12"]);
    assert!(code == 0 || out.contains("INVALID"), "{out}{err}");
    assert!(out.contains("1 user ") && out.contains("2 users") && out.contains("as tiny, openai-chat"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    // One request to look at the server, then those of both points.
    let posts = server.posts();
    assert_eq!(posts.len(), 1 + 24);
    let body: Value = serde_json::from_str(&posts[1].body).unwrap();
    assert_eq!(
        (body["model"].as_str(), body["max_tokens"].as_u64(), body["stream"].as_bool()),
        (Some("tiny"), Some(5), Some(true))
    );
    let different: std::collections::HashSet<&str> = posts[1..].iter().map(|post| post.body.as_str()).collect();
    assert_eq!(different.len(), 24, "no request is sent twice");
}

#[test]
fn results_have_the_keys_of_the_field() {
    let server = Server::tokens(5);
    let shell = Shell::new();
    let (_, _, err) = load(
        &shell,
        &server.url,
        &[
            "--request-rate",
            "200",
            "--num-prompts",
            "20",
            "--save-detailed",
            "--result-dir",
            "results",
            "--result-filename",
            "a.json",
            "--goodput",
            "ttft:5000",
            "tpot:1000",
            "--metadata",
            "gpu=none",
            "--label",
            "mine",
        ],
    );
    let file = shell.path("results/a.json");
    let json: Value =
        serde_json::from_slice(&std::fs::read(file).unwrap_or_else(|error| panic!("{error}: {err}"))).unwrap();
    for key in [
        "date",
        "backend",
        "model_id",
        "num_prompts",
        "request_rate",
        "burstiness",
        "max_concurrency",
        "duration",
        "completed",
        "total_input_tokens",
        "total_output_tokens",
        "request_throughput",
        "request_goodput",
        "output_throughput",
        "total_token_throughput",
        "mean_ttft_ms",
        "median_ttft_ms",
        "std_ttft_ms",
        "p99_ttft_ms",
        "mean_tpot_ms",
        "p99_itl_ms",
        "median_e2el_ms",
        "p90_e2el_ms",
        "input_lens",
        "output_lens",
        "ttfts",
        "itls",
        "generated_texts",
        "errors",
        "label",
        "gpu",
    ] {
        assert!(json.get(key).is_some(), "{key} is not there: {json}");
    }
    assert_eq!(
        (json["completed"].as_u64(), json["total_output_tokens"].as_u64(), json["total_input_tokens"].as_u64()),
        (Some(20), Some(100), Some(180))
    );
    assert_eq!(
        (json["request_goodput"].as_f64(), json["label"].as_str()),
        (json["request_throughput"].as_f64(), Some("mine"))
    );
    assert_eq!((json["itls"][3].as_array().unwrap().len(), json["generated_texts"][3].as_str()), (4, Some("xxxxx")));
    assert_eq!(json["llmbench"]["latency_from"], "scheduled");
    let folder: Vec<_> =
        std::fs::read_dir(shell.path("results")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(folder, ["a.json"], "nothing else is left behind");
}

#[test]
fn runs_have_intervals_from_five_on() {
    let server = Server::tokens(3);
    let (_, out, err) = load(
        &Shell::new(),
        &server.url,
        &["--max-concurrency", "1", "--num-prompts", "5", "--num-runs", "5", "--json"],
    );
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!(json["runs"].as_array().unwrap().len(), 5);
    let (_, out, _) =
        load(&Shell::new(), &server.url, &["--max-concurrency", "1", "--num-prompts", "5", "--num-runs", "5"]);
    assert!(out.contains("of 5 runs with 95% intervals") && out.contains('±'), "{out}");
    let (_, out, _) = load(&Shell::new(), &server.url, &["--max-concurrency", "1", "--num-prompts", "5"]);
    assert!(out.contains("no interval and no claim") && !out.contains('±'), "{out}");
}

#[test]
fn tokens_are_counted_where_the_server_does_not() {
    let server = Server::start(|asked| {
        if asked.path == "/v1/models" {
            return answer(404, "{\"detail\":\"Not Found\"}");
        }
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" world, how are you?\"},\"finish_reason\":\"stop\"}]}\n\n";
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    });
    let (_, out, err) = load(&Shell::new(), &server.url, &["--max-concurrency", "1", "--num-prompts", "4", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    // Hello, world, comma, how, are, you, question mark.
    assert_eq!(json["runs"][0]["total_output_tokens"].as_u64(), Some(28), "{out}");
    assert_eq!(json["runs"][0]["total_input_tokens"].as_u64().unwrap() % 4, 0);
    assert!(
        err.contains("counted with the model's tokenizer") && err.contains("without the last word of its API"),
        "{err}"
    );
}

#[test]
fn turns_and_whole_answers() {
    let server = Server::tokens(2);
    let shell = Shell::new();
    let args = [
        "load",
        "--base-url",
        &server.url,
        "--max-concurrency",
        "1",
        "--num-prompts",
        "2",
        "--turns",
        "3",
        "--by-turns",
        "--random-input-len",
        "300",
        "--think-time-ms",
        "1",
        "--json",
    ];
    let output = shell.output(&args);
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(json["runs"][0]["completed"].as_u64(), Some(6));
    let lengths: Vec<usize> = server.posts()[1..4]
        .iter()
        .map(|post| serde_json::from_str::<Value>(&post.body).unwrap()["messages"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [1, 3, 5]);
    let whole = Server::start(|asked| match asked.path.as_str() {
        "/v1/models" => models(&["m"]),
        _ => answer(
            200,
            "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":1}}",
        ),
    });
    let (code, out, err) =
        load(&Shell::new(), &whole.url, &["--max-concurrency", "1", "--num-prompts", "3", "--no-stream"]);
    assert!(code == 0 && out.contains("E2E"), "{out}{err}");
}

/// Moments of arrival, s from the start, of the one result file of a folder, and the file.
fn arrivals(shell: &Shell, args: &[&str]) -> (Vec<f64>, Value) {
    let server = Server::tokens(2);
    let mut all = vec!["--save-detailed", "--result-filename", "a.json", "--burstiness", "inf"];
    all.extend(args);
    let (_, _, err) = load(shell, &server.url, &all);
    let file = std::fs::read(shell.path("a.json")).unwrap_or_else(|error| panic!("{error}: {err}"));
    let json: Value = serde_json::from_slice(&file).unwrap();
    let times = json["start_times"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    (times, json)
}

#[test]
fn the_rate_changes_in_steps_and_ramps_and_by_a_file() {
    let shell = Shell::new();
    let (times, json) = arrivals(&shell, &["--rate-steps", "40:250ms,0:0.1s,100:200ms"]);
    let within = |from: f64, to: f64| times.iter().filter(|time| (from..to).contains(*time)).count();
    assert_eq!(
        (within(0.0, 0.25), within(0.25, 0.3499), within(0.3499, 0.55), times.len()),
        (10, 0, 20, 30),
        "{times:?}"
    );
    assert_eq!(json["llmbench"]["point"]["steps"]["peak"].as_f64(), Some(100.0));

    let ramp = ["--ramp-up-strategy", "linear", "--ramp-up-start-rps", "20", "--ramp-up-end-rps", "180"];
    let (times, json) = arrivals(&shell, &[&ramp[..], &["--num-prompts", "50"]].concat());
    // 50 at 100/s on average are 0.5 s; a quarter of the way up, at 100/s, come 15 of them.
    let half = times.iter().filter(|time| **time < 0.25).count();
    assert!(times.len() == 50 && half.abs_diff(15) <= 1 && *times.last().unwrap() < 0.5, "{times:?}");
    assert_eq!(
        (json["ramp_up_strategy"].as_str(), json["ramp_up_start_rps"].as_f64(), json["ramp_up_end_rps"].as_f64()),
        (Some("linear"), Some(20.0), Some(180.0))
    );
    let exponential = ["--ramp-up-strategy", "exponential", "--ramp-up-start-rps", "20", "--ramp-up-end-rps", "180"];
    let (times, _) = arrivals(&shell, &[&exponential[..], &["--duration", "0.5"]].concat());
    // a·d/k·(e^(k/2) − 1) with k = ln 9: 9.1 in the first half, 36.4 in all.
    let half = times.iter().filter(|time| **time < 0.25).count();
    assert!(half.abs_diff(9) <= 1 && times.len().abs_diff(36) <= 1, "{times:?}");

    std::fs::write(shell.path("trace.jsonl"), "{\"timestamp\": 5000}\n{\"timestamp\": 5100}\n{\"timestamp\": 5400}\n")
        .unwrap();
    let (times, _) = arrivals(&shell, &["--arrivals", "trace.jsonl", "--arrivals-speed", "2"]);
    assert_eq!(times, [0.0, 0.05, 0.2]);
}

#[test]
fn servers_that_cannot_serve_are_told_apart() {
    let with = |status: u16, body: &'static str| {
        Server::start(
            move |asked| if asked.path == "/v1/models" { models(&["tiny", "small"]) } else { answer(status, body) },
        )
    };
    let one = ["--max-concurrency", "1"];
    let gone = refused("http://127.0.0.1:1", &one);
    assert!(gone.contains("cannot connect to http://127.0.0.1:1") && gone.contains("is the server running?"), "{gone}");
    let several = refused(&with(200, "").url, &one);
    assert!(several.contains("several models: name one with --model-name: tiny, small"), "{several}");
    let named = ["--max-concurrency", "1", "--model-name", "huge"];
    let wrong = refused(&with(404, "{\"error\":{\"message\":\"The model `huge` does not exist.\"}}").url, &named);
    assert!(wrong.contains("has no model `huge`") && wrong.contains("tiny, small"), "{wrong}");
    let known = ["--max-concurrency", "1", "--model-name", "tiny"];
    let path = refused(&with(404, "").url, &known);
    assert!(path.contains("has nothing at /v1/chat/completions"), "{path}");
    let key = refused(&with(401, "{\"error\":\"Unauthorized\"}").url, &known);
    assert!(key.contains("wants a key") && key.contains("OPENAI_API_KEY"), "{key}");
    let busy = refused(&with(503, "loading").url, &known);
    assert!(busy.contains("cannot serve the first request: HTTP status 503: loading"), "{busy}");
    let moved =
        Server::start(|_| "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_owned());
    assert!(refused(&moved.url, &known).contains("redirects to http://127.0.0.1:9/"));
    let ssh = Server::start(|_| "SSH-2.0-OpenSSH\r\n\r\n".to_owned());
    assert!(refused(&ssh.url, &known).contains("no HTTP server of a model"));
    let lie = Server::start(|_| stream(0));
    assert!(refused(&lie.url, &known).contains("200 without a token"));
}

#[test]
fn arguments_that_do_not_go_together() {
    let url = "http://127.0.0.1:1";
    assert!(refused(url, &[]).contains("how much load? Give --request-rate"));
    assert!(refused(url, &["--max-concurrency", "0"]).contains("give a number above 0"));
    assert!(refused(url, &["--request-rate", "1", "--backend", "tgi"]).contains("is no backend"));
    assert!(refused(url, &["--request-rate", "1", "--prompt-form", "ids"]).contains("takes messages"));
    assert!(refused(url, &["--request-rate", "1", "--dataset-name", "sharegpt"]).contains("--dataset-path"));
    assert!(refused(url, &["--request-rate", "1", "--goodput", "speed:1"]).contains("--goodput"));
    assert!(refused(url, &["--request-rate", "1", "--rate-steps", "1:1s"]).contains("leave it out with"));
    assert!(refused(url, &["--rate-steps", "1:1d"]).contains("`d` is no unit of time"));
    assert!(refused(url, &["--ramp-up-strategy", "linear"]).contains("--ramp-up-start-rps"));
    let to_zero = ["--ramp-up-strategy", "exponential", "--ramp-up-start-rps", "0", "--ramp-up-end-rps", "5"];
    assert!(refused(url, &to_zero).contains("a rate of 0"));
    assert!(refused("ftp://host", &["--request-rate", "1"]).contains("is no base URL"));
    let secret = refused("http://me:hunter2@host", &["--request-rate", "1"]);
    assert!(secret.contains("user or password"), "{secret}");
}

#[test]
fn the_key_is_sent_and_shown_nowhere() {
    let server = Server::tokens(2);
    let shell = Shell::new();
    let mut command =
        shell.command(&["load", "--base-url", &server.url, "--max-concurrency", "1", "--num-prompts", "2", "-vv"]);
    command.args(SMALL).args(["--api-key-env", "MY_KEY", "--save-result"]).env("MY_KEY", "sk-very-secret");
    let output = command.output().unwrap();
    assert!(server.posts().iter().all(|post| post.head.contains("authorization: Bearer sk-very-secret")));
    let said = String::from_utf8_lossy(&output.stderr).matches("the key in MY_KEY is sent to 127.0.0.1").count();
    assert_eq!(said, 1, "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = output.stdout;
    all.extend(output.stderr);
    for entry in
        std::fs::read_dir(shell.path("")).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_file())
    {
        all.extend(std::fs::read(entry.path()).unwrap());
    }
    assert!(!String::from_utf8_lossy(&all).contains("very-secret"));
}

/// An address on another machine by its text: every address of 127.0.0.0/8 is this machine, but a name is not looked up to find out.
#[test]
fn a_key_does_not_leave_this_machine_in_plain_text_by_accident() {
    let shell = Shell::new();
    let asked = |more: &[&str], key: bool| {
        let args = ["load", "--base-url", "http://nowhere.invalid:9", "--max-concurrency", "1", "--num-prompts", "2"];
        let mut command = shell.command(&args);
        if key {
            command.env("OPENAI_API_KEY", "sk-very-secret");
        }
        let output = command.args(SMALL).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = asked(&[], true);
    assert!(refused.contains("OPENAI_API_KEY would go to http://nowhere.invalid:9 in plain text"), "{refused}");
    assert!(refused.contains("--insecure-key") && !refused.contains("very-secret"), "{refused}");
    // These come as far as looking for the server.
    for (more, key) in [(&["--insecure-key"][..], true), (&["--api-key-env", "NONE"], true), (&[], false)] {
        let said = asked(more, key);
        assert!(said.contains("cannot connect") || said.contains("nowhere.invalid"), "{said}");
        assert!(!said.contains("in plain text") && !said.contains("very-secret"), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_drains_and_keeps_what_is_measured() {
    let server = Server::tokens(2);
    let shell = Shell::new();
    let mut command = shell.command(&["load", "--base-url", &server.url, "--request-rate", "50", "--duration", "60"]);
    let child =
        command.args(SMALL).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while server.posts().len() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 130, "{out}");
    assert!(out.contains("50 req/s") && out.contains("the run was stopped before its end"), "{out}");
}

#[test]
fn a_calibration_is_kept() {
    let shell = Shell::new();
    let output = shell.output(&["calibrate", "--streams", "2,4", "--seconds", "1", "--json"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 0, "{err}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept: Value = serde_json::from_slice(&std::fs::read(shell.path("cache/calibration.json")).unwrap()).unwrap();
    assert_eq!(said, kept);
    let points = said["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["streams"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    for point in points {
        // 100 chunks a second and stream, less at the start of each.
        let per_stream = point["chunks_per_s"].as_f64().unwrap() / point["streams"].as_f64().unwrap();
        assert!((50.0..=101.0).contains(&per_stream), "{point}");
        assert!(point["error_p99_ns"].as_u64().unwrap() >= point["error_p50_ns"].as_u64().unwrap());
        assert!(point["error_p50_ns"].as_u64().unwrap() < 50_000_000, "{point}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn load_on_the_simulated_server() {
    use std::io::{BufRead, BufReader};
    let shell = Shell::new();
    let mut mock = shell
        .command(&["mock", "--port", "0", "--step-ms", "5", "--prefill-us", "0", "--decode-us", "0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(mock.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
    let (_, out, err) = load(
        &shell,
        url.trim(),
        &["--max-concurrency", "4", "--num-prompts", "40", "--json", "--random-output-len", "20"],
    );
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let run = &json["runs"][0];
    assert_eq!(
        (run["completed"].as_u64(), run["failed"].as_u64(), run["total_output_tokens"].as_u64()),
        (Some(40), Some(0), Some(800))
    );
    // The server's own counters say the same.
    let account = &run["llmbench"]["run"]["account"];
    let counted = |key: &str| account[key].as_u64().unwrap();
    assert_eq!(
        (account["counters"].as_str(), counted("requests_sent"), counted("requests_counted")),
        (Some("vllm"), 40, 40)
    );
    assert_eq!(counted("prompt_tokens_sent"), counted("prompt_tokens_counted"));
    assert_eq!((counted("output_tokens_received"), counted("output_tokens_counted")), (800, 800));
    let truth = &run["llmbench"]["run"]["truth"];
    assert_eq!(
        (truth["chunks"].as_u64(), run["llmbench"]["run"]["client_error"]["source"].as_str()),
        (Some(800), Some("measured"))
    );
    // A token a step: the gaps are those of the engine, whatever this machine is doing meanwhile.
    let tpot = run["median_tpot_ms"].as_f64().unwrap();
    assert!((4.0..=10.0).contains(&tpot), "{tpot}");
    let (_, out, _) = load(&shell, url.trim(), &["--max-concurrency", "2", "--num-prompts", "10"]);
    assert!(out.contains("by the server's stamps of this run"), "{out}");
    let pid = rustix::process::Pid::from_child(&mock);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(mock.wait().unwrap().code(), Some(0));
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let output =
        Shell::new().output(&["load", "--base-url", "http://me:hunter2@localhost:1", "--max-concurrency", "1"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(!err.contains("hunter2") && err.contains("--api-key-env"), "{err}");
}
