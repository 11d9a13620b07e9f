use std::path::Path;

use loadgen::arrivals::Extent;
use loadgen::driver::{Control, Options};
use loadgen::serving::run;
use loadgen::serving::session::{Load, Session};
use loadgen::transport::{Protocol, Sockets};
use mock_openai::engine::EngineConfig;
use mock_openai::front::FrontConfig;
use mock_openai::{Config, Listen, Outcome, Server};

use super::*;
use record::protocol::target::TargetCommand;
use suites::serving::ttft_parts::{Part, Read, Split};

const MS: u64 = 1_000_000;

/// A mock whose every part takes long enough to be seen beside the noise of a busy machine.
fn mock() -> Server {
    let config = Config {
        engine: EngineConfig {
            step_ns: 10 * MS,
            prefill_token_ns: 20_000,
            max_sequences: 4,
            prefix_cache: false,
            ..EngineConfig::default()
        },
        front: FrontConfig { request_ns: 4 * MS, ..FrontConfig::default() },
        ..Config::default()
    };
    Server::start(config, &Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap()
}

fn running(server: &Server) -> Running {
    let command = TargetCommand {
        base_url: Some(format!("http://{}", server.endpoint().address().unwrap())),
        model: None,
        key_env: None,
        program: "llmbench".into(),
        mock: Vec::new(),
        patience: Default::default(),
    };
    Running::start(&command, Path::new("")).map_err(|refusal| refusal.message).unwrap()
}

fn drive(running: &Running, concurrency: usize, count: usize) -> Run {
    let prompt = "word ".repeat(300);
    let body = format!(
        r#"{{"model":"mock","prompt":"{prompt}","max_tokens":1,"stream":true,"stream_options":{{"include_usage":true}}}}"#
    );
    let sessions = [Session::single(body.into_bytes())];
    let protocol = Protocol::post(&running.access.target, server_api::OPENAI_COMPLETIONS, None);
    let sockets = Sockets::to_server(&running.access.target, protocol, 1_000 * MS).unwrap();
    let load = Load::Closed { concurrency, extent: Extent::count(count), stagger_ns: 0 };
    let options = Options { connections: concurrency, timeout_ns: 60_000 * MS, ..Options::default() };
    run(sockets, &sessions, load, &options, &Control::default(), None).unwrap()
}

/// The parts that are told from outside are those that the mock knows of each request.
#[test]
fn parts_are_the_truth_of_the_mock() {
    let server = mock();
    let running = running(&server);
    // What came before the stretch is no part of it.
    drive(&running, 2, 6);
    let accounts = Accounts::open(&running);
    let run = drive(&running, 12, 120);
    let readings = accounts.close(&run);
    assert_eq!((readings["all_requests"], readings["server_requests"]), (120.0, 120.0));
    assert_eq!((readings["server_agrees"], readings["knocks_failed"]), (1.0, 0.0), "{readings:?}");
    assert_eq!(readings["server_prompt_tokens"], readings["sent_prompt_tokens"]);

    let truths = server.truths();
    let truths: Vec<_> = truths.iter().filter(|truth| truth.received_ns >= run.start_ns).collect();
    assert_eq!(truths.iter().filter(|truth| truth.outcome == Outcome::Complete).count(), 120);
    let mean =
        |of: &dyn Fn(&mock_openai::Truth) -> u64| truths.iter().map(|truth| of(truth)).sum::<u64>() as f64 / 120.0;
    let front = mean(&|truth| truth.front_done_ns.unwrap() - truth.received_ns);
    let queue = mean(&|truth| truth.choices[0].admitted_ns.unwrap() - truth.choices[0].queued_ns.unwrap());
    let prefill = mean(&|truth| truth.choices[0].first_token_ns.unwrap() - truth.choices[0].admitted_ns.unwrap());
    let split = Split::of(&Read::of(&|name| readings.get(name).copied()).unwrap()).unwrap();
    let part = |part: Part| split.part(part).unwrap();
    let total = split.total_ns;
    let sum: f64 = Part::ALL.iter().filter_map(|part| split.part(*part)).sum();
    assert!((sum - total).abs() < 1.0, "the parts add up: {split:?}");
    // The engine's times are those of its schedule, so they agree but for the page's digits.
    assert!((part(Part::Queue) - queue).abs() < 0.01 * total, "queue {queue}: {split:?}");
    assert!((part(Part::Prefill) - prefill).abs() < 0.01 * total, "prefill {prefill}: {split:?}");
    // The front end holds what passed between the engine and the write as well, which a busy machine stretches.
    assert!(part(Part::Prepare) >= front - 0.01 * total, "front {front}: {split:?}");
    assert!((part(Part::Prepare) - front).abs() < 0.1 * total, "front {front}: {split:?}");
    assert!(part(Part::Unexplained).abs() < 0.1 * total, "{split:?}");
    assert!(queue > 0.1 * total && prefill > 0.05 * total && front > 0.1 * total, "the test shows nothing: {split:?}");
}

/// Somebody else's requests in the same stretch are noticed.
#[test]
fn a_server_that_is_shared_does_not_agree() {
    let server = mock();
    let running = running(&server);
    let accounts = Accounts::open(&running);
    let run = drive(&running, 2, 10);
    drive(&running, 1, 1);
    let readings = accounts.close(&run);
    assert_eq!((readings["server_agrees"], readings["sent_requests"], readings["server_requests"]), (0.0, 10.0, 11.0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_at_an_address_of_this_host_is_found_with_its_threads() {
    let server = mock();
    let running = running(&server);
    assert_eq!(running.pid(), None, "it was not started by the worker");
    let accounts = Accounts::open(&running);
    let run = drive(&running, 2, 40);
    let readings = accounts.close(&run);
    assert!(readings["server_cpu_ns_per_request"] > 0.0, "{readings:?}");
    let threads = readings.keys().filter(|name| name.starts_with("server_cpu_ns_per_request:") && name.contains('>'));
    assert!(threads.count() >= 2, "{readings:?}");
}

#[test]
fn names_hold_no_separator() {
    let mut readings = Readings::default();
    let thread = |cpu_ns| Used { cpu_ns, run_delay_ns: Some(cpu_ns / 2), ..Used::default() };
    let threads = BTreeMap::from([("a>b".to_owned(), thread(40)), ("c\n".to_owned(), thread(20))]);
    let process = Used { cpu_ns: 80, run_delay_ns: None, threads };
    readings.used(&BTreeMap::from([("VLLM::EngineCore".to_owned(), process), ("one".to_owned(), thread(20))]), 10.0);
    let read: Vec<(&str, f64)> = readings.0.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        read,
        [
            ("server_cpu_ns_per_request", 10.0),
            ("server_cpu_ns_per_request:VLLM::EngineCore", 8.0),
            ("server_cpu_ns_per_request:VLLM::EngineCore>a_b", 4.0),
            ("server_cpu_ns_per_request:VLLM::EngineCore>c_", 2.0),
            ("server_cpu_ns_per_request:one", 2.0),
            ("server_run_delay_ns_per_request:VLLM::EngineCore>a_b", 2.0),
            ("server_run_delay_ns_per_request:VLLM::EngineCore>c_", 1.0),
            ("server_run_delay_ns_per_request:one", 1.0),
        ]
    );
}

#[test]
fn hits_are_what_grew_between_two_pages() {
    let page = |hits: u32, queries: u32| {
        Page::parse(
            format!(
                "# TYPE vllm:prefix_cache_hits counter\nvllm:prefix_cache_hits_total{{engine=\"0\"}} {hits}\nvllm:prefix_cache_queries_total{{engine=\"0\"}} {queries}\n"
            )
            .as_bytes(),
        )
    };
    assert_eq!(metrics::hit_rate(&page(10, 100), &page(40, 140)), Some(0.75));
    assert_eq!(metrics::hit_rate(&page(10, 100), &page(10, 100)), None);
    assert_eq!(metrics::hit_rate(&Page::parse(b""), &Page::parse(b"x 1")), None);
}
