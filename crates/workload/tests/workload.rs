//! Conversations from a seed, made with a prompt whose template and tokenizer are known exactly.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;
use workload::{Corpus, Prompt, WorkloadError, WorkloadFiles, WorkloadSpec, build, build_corpus, hash};

/// Roles and ends are control characters; a token is five letters of a word at most, a digit, or another character.
struct Fake;

impl Prompt for Fake {
    fn render(&self, request: &Value) -> Result<String, String> {
        let mut text = String::new();
        for message in request["messages"].as_array().ok_or("no messages")? {
            let content = message["content"].as_str().ok_or("no content")?;
            text += if message["role"] == "user" { "\u{1}user " } else { "\u{2}assistant " };
            text += content;
            text += "\u{3}";
        }
        Ok(text + "\u{2}assistant ")
    }

    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
        Ok(texts.iter().map(|text| count(text)).collect())
    }
}

fn count(text: &str) -> usize {
    let (mut tokens, mut letters) = (0, 0);
    for c in text.chars() {
        if c.is_alphabetic() {
            tokens += usize::from(letters % 5 == 0);
            letters += 1;
        } else {
            letters = 0;
            tokens += usize::from(!c.is_whitespace());
        }
    }
    tokens
}

fn spec(kind: &str, tokens: u32, turns: u32, pool: u32, warmup: u32) -> WorkloadSpec {
    WorkloadSpec { id: format!("{kind}-t{tokens}-n{turns}"), kind: kind.into(), tokens, turns, pool, warmup, bytes: 0 }
}

fn make(spec: &WorkloadSpec, seed: u64, dir: &Path) -> Result<WorkloadFiles, WorkloadError> {
    build(spec, seed, &Fake, dir, &mut |_, _| {})
}

fn requests(files: &WorkloadFiles) -> Vec<Value> {
    let text = std::fs::read_to_string(&files.requests).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(files: &WorkloadFiles) -> Vec<String> {
    let text = std::fs::read_to_string(&files.texts).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Blocks between blank lines; a fenced piece of code is one.
fn paragraphs(content: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut fenced = false;
    for line in content.split('\n') {
        fenced ^= line.starts_with("```");
        let last = found.last_mut().unwrap();
        if line.is_empty() && !fenced && !last.is_empty() {
            found.push(String::new());
        } else {
            last.push_str(line);
            last.push('\n');
        }
    }
    found.retain(|paragraph| !paragraph.trim().is_empty());
    found
}

fn paragraphs_of(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    messages.iter().flat_map(|message| paragraphs(message["content"].as_str().unwrap())).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut hashes = Vec::new();
    for spec in [spec("words", 1000, 10, 4, 2), spec("letters", 1000, 3, 4, 2), spec("words", 10_000, 1, 2, 1)] {
        let files = make(&spec, 7, dir.path()).unwrap();
        assert_eq!(files.sha256, hash(&files.requests, &files.texts).unwrap());
        hashes.push(files.sha256[..16].to_owned());
    }
    // These change only when the generator does, and then every recorded workload hash changes with them.
    assert_eq!(hashes, ["b4897341e913742e", "2406e76a53c56e2f", "0c7d0356afde8617"]);
    let other = make(&spec("words", 1000, 10, 4, 2), 8, dir.path()).unwrap();
    assert_ne!(other.sha256[..16], hashes[0]);
}

#[test]
fn a_request_does_not_depend_on_how_many_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let few = requests(&make(&spec("words", 1000, 5, 3, 1), 1, dir.path()).unwrap());
    let many = requests(&make(&spec("words", 1000, 5, 20, 5), 1, dir.path()).unwrap());
    assert_eq!(few[..3], many[..3]);
    assert_eq!(few[3], many[20]);
}

#[test]
fn tokens_are_met_within_one_percent_at_every_shape_or_the_error_says_what_could_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut impossible = Vec::new();
    for kind in ["words", "letters"] {
        for tokens in [1000, 3000, 10_000, 100_000] {
            for turns in [1, 10, 25, 50, 75, 100] {
                let spec = spec(kind, tokens, turns, 2, 1);
                let files = match make(&spec, 5, dir.path()) {
                    Ok(files) => files,
                    Err(error) => {
                        impossible.push((spec, error));
                        continue;
                    }
                };
                for text in texts(&files) {
                    let found = count(&text);
                    assert!(found.abs_diff(tokens as usize) * 100 <= tokens as usize, "{}: {found}", spec.id);
                }
                for request in requests(&files) {
                    let messages = request["messages"].as_array().unwrap();
                    assert_eq!(messages.len(), 2 * turns as usize - 1);
                    for (i, message) in messages.iter().enumerate() {
                        assert_eq!(message["role"], ["user", "assistant"][i % 2]);
                        assert!(!message["content"].as_str().unwrap().trim().is_empty());
                    }
                }
                assert!(files.tokens.min <= files.tokens.max && files.tokens.mean > 0.0);
            }
        }
    }
    assert!(!impossible.is_empty(), "100 turns do not fit into 1,000 tokens");
    for (mut spec, error) in impossible {
        let WorkloadError::TooFewTokens { smallest, turns, remedy, .. } = &error else {
            panic!("{}: {error}", spec.id)
        };
        assert_eq!(*turns, spec.turns);
        assert!(error.to_string().contains(&format!("at least {smallest} tokens")));
        // What the error offers works.
        let most: u32 = remedy.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(most < spec.turns);
        spec.turns = most;
        make(&spec, 5, dir.path()).unwrap();
        spec.turns = *turns;
        spec.tokens = *smallest;
        make(&spec, 5, dir.path()).unwrap();
    }
}

#[test]
fn requests_differ_and_no_paragraph_of_the_pool_is_in_the_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    // 40 turns in 1,000 tokens: messages of a word or two, the hardest case.
    for spec in [spec("words", 1000, 40, 16, 8), spec("letters", 1000, 40, 16, 8), spec("words", 10_000, 5, 8, 4)] {
        let all = requests(&make(&spec, 11, dir.path()).unwrap());
        assert_eq!(all.len(), (spec.pool + spec.warmup) as usize);
        let distinct: HashSet<String> = all.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), all.len());
        let (pool, warmup) = all.split_at(spec.pool as usize);
        let pool: HashSet<String> = pool.iter().flat_map(paragraphs_of).collect();
        for paragraph in warmup.iter().flat_map(paragraphs_of) {
            assert!(!pool.contains(&paragraph), "{}: {paragraph:?}", spec.id);
        }
    }
}

#[test]
fn every_line_is_a_request_body_and_its_text_is_the_rendered_prompt() {
    let dir = tempfile::tempdir().unwrap();
    let files = make(&spec("words", 1000, 3, 5, 2), 2, dir.path()).unwrap();
    let (requests, texts) = (requests(&files), texts(&files));
    assert_eq!(requests.len(), 7);
    for (request, text) in requests.iter().zip(&texts) {
        let keys: Vec<&str> = request.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["model", "messages", "max_tokens", "stream", "temperature"]);
        assert_eq!(request["stream"], true);
        assert_eq!(&Fake.render(request).unwrap(), text);
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn words_are_as_frequent_as_in_text_that_people_write() {
    let dir = tempfile::tempdir().unwrap();
    let files = make(&spec("words", 10_000, 4, 8, 1), 3, dir.path()).unwrap();
    let mut words: Vec<String> = Vec::new();
    for paragraph in requests(&files).iter().flat_map(paragraphs_of).filter(|paragraph| !paragraph.starts_with("```")) {
        let letters = paragraph.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        words.extend(letters.map(str::to_lowercase));
    }
    words.truncate(30_000);
    assert!(words.len() > 25_000, "{}", words.len());
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in &words {
        *counts.entry(word).or_default() += 1;
    }
    let mut ranked: Vec<(usize, &str)> = counts.iter().map(|(word, n)| (*n, *word)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(ranked[0].1, "the");
    let share = |n: usize| ranked[..n].iter().map(|(n, _)| n).sum::<usize>() as f64 / words.len() as f64;
    let once = ranked.iter().filter(|(n, _)| *n == 1).count() as f64 / ranked.len() as f64;
    // Documentation and prose: 5-7% the, about half the 100 most frequent words, a third and more of the types only once.
    assert!((0.04..0.09).contains(&share(1)), "the: {}", share(1));
    assert!((0.43..0.58).contains(&share(100)), "top 100: {}", share(100));
    assert!((0.28..0.55).contains(&once), "once: {once}");
    assert!((2500..5500).contains(&ranked.len()), "types: {}", ranked.len());
}

#[test]
fn letters_are_letters() {
    let dir = tempfile::tempdir().unwrap();
    let files = make(&spec("letters", 1000, 2, 2, 1), 3, dir.path()).unwrap();
    let mut words = HashSet::new();
    let mut all = 0;
    for request in requests(&files) {
        for message in request["messages"].as_array().unwrap() {
            let content = message["content"].as_str().unwrap();
            assert!(content.chars().all(|c| c.is_ascii_lowercase() || c.is_whitespace()), "{content}");
            all += content.split_whitespace().count();
            words.extend(content.split_whitespace().map(str::to_owned));
        }
    }
    assert!(words.len() * 10 > all * 7, "{} of {all} are distinct", words.len());
}

#[test]
fn a_wrong_specification_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (WorkloadSpec { kind: "poems".into(), ..spec("words", 1000, 1, 1, 1) }, "must be words or letters"),
        (spec("words", 0, 1, 1, 1), "tokens must be at least 1"),
        (spec("words", 1000, 0, 1, 1), "turns must be at least 1"),
        (spec("words", 1000, 1, 0, 1), "pool must be at least 1"),
        (WorkloadSpec { id: "../x".into(), ..spec("words", 1000, 1, 1, 1) }, "letters, digits"),
    ];
    for (spec, reason) in cases {
        let error = make(&spec, 1, dir.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = make(&spec("words", 3, 1, 1, 1), 1, dir.path()).unwrap_err().to_string();
    assert!(error.contains("ask for at least"), "{error}");
}

/// Raises after some requests, or counts wrongly.
struct Broken {
    render: bool,
}

impl Prompt for Broken {
    fn render(&self, request: &Value) -> Result<String, String> {
        match request["messages"][0]["content"].as_str() {
            Some("Yes.") => Fake.render(request),
            _ if self.render => Err("no system message".into()),
            _ => Fake.render(request),
        }
    }

    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
        if self.render || texts.len() != 3 { Fake.count(texts) } else { Err("broken vocabulary".into()) }
    }
}

#[test]
fn a_failing_model_is_named_and_leaves_no_files() {
    for (render, reason) in [
        (true, "the chat template failed on request 0: no system message"),
        (false, "the tokenizer failed on request 0: broken vocabulary"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error =
            build(&spec("words", 1000, 2, 2, 1), 1, &Broken { render }, dir.path(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let error = make(&spec("words", 1000, 1, 1, 1), 1, &file).unwrap_err();
    assert!(matches!(&error, WorkloadError::Write { .. }) && error.to_string().contains("taken"), "{error}");
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    build(&spec("words", 1000, 1, 70, 10), 1, &Fake, dir.path(), &mut |done, all| seen.push((done, all))).unwrap();
    assert_eq!(seen, [(0, 80), (64, 80), (80, 80)]);
}

/// Texts whose content says where they come from.
struct Counted;

impl Corpus for Counted {
    fn texts(&self, kind: &str, bytes: u32, count: u32, seed: u64) -> Result<Vec<String>, String> {
        if kind == "klingon" {
            return Err("there is no such kind of text; use english".to_owned());
        }
        Ok((0..count).map(|index| format!("{kind} {bytes} {seed} \"{index}\"\n")).collect())
    }
}

#[test]
fn a_corpus_is_written_as_bare_texts_and_as_chats_of_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let spec = WorkloadSpec {
        id: "corpus-english-b40".into(),
        kind: "corpus/english".into(),
        bytes: 40,
        ..spec("words", 0, 0, 3, 2)
    };
    let mut seen = Vec::new();
    let files = build_corpus(&spec, 9, &Counted, dir.path(), &mut |done, of| seen.push((done, of))).unwrap();
    let texts = texts(&files);
    assert_eq!(texts.len(), 5);
    assert_eq!(texts[4], "english 40 9 \"4\"\n");
    for (request, text) in requests(&files).iter().zip(&texts) {
        let messages = request["messages"].as_array().unwrap();
        assert_eq!((messages.len(), messages[0]["role"].as_str()), (1, Some("user")));
        assert_eq!(messages[0]["content"].as_str(), Some(text.as_str()));
    }
    assert_eq!(seen.last(), Some(&(5, 5)));
    assert_eq!(files.sha256, hash(&files.requests, &files.texts).unwrap());
    let again = build_corpus(&spec, 9, &Counted, &dir.path().join("again"), &mut |_, _| {}).unwrap();
    assert_eq!(again.sha256, files.sha256);
}

#[test]
fn a_wrong_corpus_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = WorkloadSpec { id: "c".into(), kind: "corpus/english".into(), bytes: 40, ..spec("words", 0, 0, 1, 1) };
    let cases = [
        (WorkloadSpec { kind: "words".into(), ..corpus.clone() }, "must be corpus/<kind>"),
        (WorkloadSpec { kind: "corpus/klingon".into(), ..corpus.clone() }, "no such kind of text"),
        (WorkloadSpec { bytes: 0, ..corpus.clone() }, "bytes must be at least 1"),
        (WorkloadSpec { pool: 0, ..corpus }, "pool must be at least 1"),
    ];
    for (spec, reason) in cases {
        let error = build_corpus(&spec, 1, &Counted, dir.path(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_size_in_bytes_is_written_only_of_a_corpus() {
    let words = serde_json::to_string(&spec("words", 1000, 1, 1, 1)).unwrap();
    assert!(!words.contains("bytes"), "{words}");
    assert_eq!(serde_json::from_str::<WorkloadSpec>(&words).unwrap().bytes, 0);
}
