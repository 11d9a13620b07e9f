//! HTTP/2 of a server that others wrote: hypercorn (with hyper-h2 inside), which serves a small chat application.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::environment;
use super::shell::{Shell, code};

/// What stands in the environment of the server.
const LOCK: &str = include_str!("../../../../python/http2.lock");
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../loadgen/tests/tls");
/// A prompt of more than the 65,535 bytes that a connection starts with, so that requests wait for WINDOW_UPDATE.
const LONG: [&str; 6] = ["--dataset-name", "random", "--random-input-len", "20000", "--random-output-len", "5"];

struct Hypercorn {
    child: Child,
    /// `127.0.0.1:port`
    address: String,
}

impl Hypercorn {
    /// Starts it on a port that is free, with further options; it notes what it is asked in the file `asked`. None, with a
    /// line on stderr, where its environment cannot be had.
    fn start(asked: &Path, options: &[&str]) -> Option<Self> {
        let python = environment::with_lock(LOCK)?;
        let mut child = Command::new(python)
            // Without workers of its own it serves in this process, and nothing outlives the test.
            .args(["-m", "hypercorn", "--workers", "0", "--bind", "127.0.0.1:0"])
            .args(options)
            .arg("chat_app:app")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/load"))
            .env("ASKED", asked)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("://")?.1.split(' ').next()?.to_owned()));
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address: address.expect("hypercorn says where it listens") })
    }
}

impl Drop for Hypercorn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks it by `llmbench load` and returns what the run says and what the server was asked, a line a request.
fn measured(scheme: &str, options: &[&str]) -> Option<(Value, Vec<String>)> {
    let shell = Shell::new();
    let asked = shell.path("asked");
    let server = Hypercorn::start(&asked, options)?;
    let url = format!("{scheme}://{}", server.address);
    let args =
        ["load", "--base-url", &url, "--http-version", "2", "--max-concurrency", "6", "--num-prompts", "30", "--json"];
    let mut command = shell.command(&[&args[..], &LONG[..]].concat());
    let output = command.env("SSL_CERT_FILE", format!("{TLS}/authority.pem")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {} {err}", code(&output)));
    let asked = std::fs::read_to_string(asked).unwrap().lines().map(str::to_owned).collect();
    Some((json["runs"][0].clone(), asked))
}

/// Thirty streams of five tokens arrived whole, and every request of the program came over HTTP/2.
fn assert_whole(run: &Value, asked: &[String], scheme: &str) {
    assert_eq!((run["completed"].as_u64(), run["total_output_tokens"].as_u64()), (Some(30), Some(150)), "{run}");
    assert_eq!(run["llmbench"]["http_version"], "2");
    let connections = &run["llmbench"]["run"]["connections"];
    assert_eq!((&connections["http_version"], connections["before"].as_u64()), (&Value::from("2"), Some(1)));
    assert!(asked.iter().all(|line| line.starts_with(&format!("2 {scheme} "))), "{asked:?}");
    // One request looks at the server before those that are measured.
    assert_eq!(asked.iter().filter(|line| line.ends_with("/v1/chat/completions")).count(), 31, "{asked:?}");
}

#[test]
fn it_is_measured_with_prior_knowledge() {
    let Some((run, asked)) = measured("http", &[]) else { return };
    assert_whole(&run, &asked, "http");
}

#[test]
fn it_is_measured_by_alpn() {
    let (certificate, key) = (format!("{TLS}/server.pem"), format!("{TLS}/server.key"));
    let Some((run, asked)) = measured("https", &["--certfile", &certificate, "--keyfile", &key]) else { return };
    assert_whole(&run, &asked, "https");
}
