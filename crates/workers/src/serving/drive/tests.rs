use engines::Tokenizer;
use loadgen::rate_search::Bounds;
use mock_openai::engine::EngineConfig;
use mock_openai::{Config, Listen, Server};
use record::plan::Op;
use record::protocol::target::TargetCommand;
use serde_json::json;

use super::super::limit;
use super::*;

const MS: u64 = 1_000_000;

fn mock(engine: EngineConfig) -> Server {
    let config = Config { engine, ..Config::default() };
    Server::start(config, &Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap()
}

fn running(server: &Server) -> Running {
    let command = TargetCommand {
        base_url: Some(format!("http://{}", server.endpoint().address().unwrap())),
        model: None,
        key_env: None,
        program: "llmbench".into(),
        mock: Vec::new(),
        patience: Patience::default(),
    };
    Running::start(&command, std::path::Path::new("")).map_err(|refusal| refusal.message).unwrap()
}

/// Two conversations, and a vocabulary of one token a byte.
fn pool() -> Pool {
    let words = ["one ".repeat(100), "two ".repeat(100)];
    let request = |text: &String| json!({"messages": [{"role": "user", "content": text}]});
    let vocab: serde_json::Map<String, serde_json::Value> = (b'!'..=b'~')
        .chain([b' '])
        .enumerate()
        .map(|(id, byte)| (if byte == b' ' { 'Ġ' } else { byte as char }.to_string(), json!(id + 5)))
        .collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let file = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null, "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []}
    });
    let tokenizer = Tokenizer::from_bytes("bytes", file.to_string().as_bytes()).unwrap();
    Pool::of(words.iter().map(request).collect(), words.to_vec(), tokenizer)
}

fn way(params: serde_json::Value) -> Way {
    let op = json!({"name": "ask", "engine": "server", "call_path": "stream", "threads": 1, "params": params});
    Way::of(&serde_json::from_value::<Op>(op).unwrap()).unwrap()
}

/// Everything that a slow server could stretch is short.
const IMPATIENT: Patience =
    Patience { request_s: 5.0, stretch_s: 1.0, warm_s: 0.5, try_s: 0.4, search_s: 1.0, gate_s: 1.0 };

fn drive<'a>(server: &'a Running, way: &'a Way, pool: &'a Pool, patience: &'a Patience) -> Drive<'a> {
    Drive { server, sidecar: None, way, pool, patience, found: Found::default(), offset: 0 }
}

fn read(sample: &Sample, name: &str) -> f64 {
    sample.readings.get(name).copied().unwrap_or_else(|| panic!("{name}: {:?}", sample.readings.keys()))
}

/// A stretch has many times more requests than the pool, on a server that keeps what it has met.
#[test]
fn a_unique_history_never_comes_again_however_many_there_are() {
    let server = mock(EngineConfig { step_ns: MS, prefill_token_ns: 10, ..EngineConfig::default() });
    let (running, pool) = (running(&server), pool());
    for form in ["messages", "text", "ids"] {
        let ask = |unique: bool| {
            let way = way(json!({"form": form, "unique": unique}));
            let order = LoadOrder::Closed { concurrency: 2, span_ns: 400 * MS };
            drive(&running, &way, &pool, &IMPATIENT).block(&order).map_err(|refusal| refusal.message).unwrap()
        };
        let shared = ask(false);
        assert!(read(&shared, "cached_tokens") > 0.5 * read(&shared, "prompt_tokens"), "the server keeps what it met");
        let unique = ask(true);
        assert!(read(&unique, "requests") > 60.0, "{form}: as many as once came again");
        let (cached, all) = (read(&unique, "cached_tokens"), read(&unique, "prompt_tokens"));
        assert!(cached < 0.1 * all, "{form}: {cached} of {all} tokens were met before");
        assert!(!unique.readings.contains_key("invalid_unique_hits") && all > 80.0, "{:?}", unique.readings);
    }
}

#[test]
fn a_server_that_has_met_what_is_unique_contradicts() {
    let server = mock(EngineConfig { step_ns: MS, ..EngineConfig::default() });
    let (running, pool) = (running(&server), pool());
    // Shared histories under the name of unique ones.
    let shared = way(json!({}));
    let drive = drive(&running, &shared, &pool, &IMPATIENT);
    let mut stretch = drive.closed(1, 200 * MS).map_err(|refusal| refusal.message).unwrap();
    assert!(unique_hits(&stretch.figures, &BTreeMap::new()).unwrap() > 0.5);
    stretch.contradicted = unique_hits(&stretch.figures, &stretch.accounts);
    let sample = stretch.sample(1.0);
    assert_eq!((read(&sample, "valid"), read(&sample, "invalid_unique_hits")), (0.0, 1.0));
    assert!(read(&sample, "unique_hit_share") > 0.5);
    // What answers do not say, counters may.
    stretch.figures.cached_tokens = 0;
    assert_eq!(unique_hits(&stretch.figures, &BTreeMap::new()), None);
    let counted = BTreeMap::from([("hit_rate".to_owned(), 0.9)]);
    assert_eq!(unique_hits(&stretch.figures, &counted), Some(0.9));
}

/// 5 requests a second, one at a time: as many answers as a stretch should have would take ten times what it may.
#[test]
fn a_slow_server_ends_with_figures_within_its_limits() {
    let server = mock(EngineConfig { step_ns: 200 * MS, max_sequences: 1, ..EngineConfig::default() });
    let (running, pool) = (running(&server), pool());
    let way = way(json!({"level": "ttft:p99:50ms"}));
    let drive = drive(&running, &way, &pool, &IMPATIENT);
    let closed = drive.block(&LoadOrder::Closed { concurrency: 1, span_ns: 300 * MS }).map_err(|r| r.message).unwrap();
    assert!(read(&closed, "requests") >= 2.0 && read(&closed, "ttft_p50_ns") > 150e6, "{:?}", closed.readings);
    let bounds = Bounds { lowest: 0.1, highest: 100.0, start: 2.0, resolution: 0.05 };
    let began = now();
    let sample = limit::search(&drive, bounds, 100 * MS, 1).map_err(|refusal| refusal.message).unwrap();
    // Nothing holds 50 ms; 100 requests at 0.1/s would be 1,000 s.
    assert!(now() - began < 60_000 * MS, "{:?}", sample.readings);
    assert!(!sample.readings.contains_key("holds_per_s") && read(&sample, "fails_per_s") <= 2.0);
    assert_eq!(read(&sample, "out_of_time"), 1.0, "{:?}", sample.readings);
    assert!(read(&sample, "fewest_requests") < 100.0);
}

#[test]
fn a_server_that_answers_nobody_twice_says_what_to_ask_for() {
    let server = mock(EngineConfig { step_ns: 200 * MS, max_sequences: 1, ..EngineConfig::default() });
    let (running, pool) = (running(&server), pool());
    let way = way(json!({}));
    let drive = drive(&running, &way, &pool, &IMPATIENT);
    let refusal = drive.block(&LoadOrder::Closed { concurrency: 12, span_ns: 300 * MS }).err().unwrap();
    assert!(refusal.message.contains("ask for fewer at once"), "{}", refusal.message);
    // Not even one answer within the limit of a request.
    let short = Patience { request_s: 0.05, ..IMPATIENT };
    let refusal = Drive { patience: &short, ..drive }
        .block(&LoadOrder::Closed { concurrency: 1, span_ns: 100 * MS })
        .err()
        .unwrap();
    assert!(refusal.message.contains("longer than 0.05 s: ask for fewer requests at once"), "{}", refusal.message);
}
