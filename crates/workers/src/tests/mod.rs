//! The worker, driven in this process through the same bytes that the parent sends and reads.

mod engines;
mod protocol;
mod timings;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use record::plan::{Op, Timing};
use record::protocol::{Answer, Inputs, ModelPaths, Output, PROTOCOL, Request, Sample};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Fault, Setup, serve};

const BOS: &str = "<s>";
const BOS_ID: u32 = 300;
const POOL: u32 = 6;
const WARMUP: u32 = 3;

/// A model folder and a workload on it.
pub struct Bench {
    _home: TempDir,
    pub model: ModelPaths,
    pub inputs: Inputs,
    pub texts: Vec<String>,
    /// Of each request: `(role, content)` of its messages.
    pub said: Vec<Vec<(String, String)>>,
}

impl Bench {
    /// A byte-level tokenizer (id = byte) that adds a BOS when it is asked to add special tokens, and a template that writes
    /// one itself.
    pub fn tiny() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("tokenizer.json"), byte_tokenizer().to_string()).unwrap();
        std::fs::write(dir.join("tokenizer_config.json"), json!({"bos_token": BOS, "add_bos_token": true}).to_string())
            .unwrap();
        let template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
        std::fs::write(dir.join("chat_template.jinja"), template).unwrap();
        Self::on(home, &dir)
    }

    pub fn on(home: TempDir, dir: &Path) -> Self {
        let mut requests = String::new();
        let mut prompts = String::new();
        let mut texts = Vec::new();
        let mut said = Vec::new();
        let template = ::engines::Template::load(dir, 0).unwrap().call_path("render").unwrap();
        for index in 0..POOL + WARMUP {
            // Lengths differ, so that padding does something.
            let content = format!("Question {index}: {}", "why ü? ".repeat(1 + index as usize));
            let body = json!({"model": "m", "messages": [
                {"role": "user", "content": content}, {"role": "assistant", "content": "So."}, {"role": "user", "content": "Oh"}]});
            requests += &format!("{body}\n");
            let conversation = ::engines::template::Conversation::from_json(&body["messages"], None).unwrap();
            let text = template.run(&conversation).unwrap();
            prompts += &format!("{}\n", json!(text));
            texts.push(text);
            said.push(
                [("user", content.as_str()), ("assistant", "So."), ("user", "Oh")]
                    .map(|(role, text)| (role.to_owned(), text.to_owned()))
                    .to_vec(),
            );
        }
        let inputs = Inputs {
            requests: home.path().join("requests.jsonl"),
            texts: home.path().join("texts.jsonl"),
            pool: POOL,
            warmup: WARMUP,
        };
        std::fs::write(&inputs.requests, requests).unwrap();
        std::fs::write(&inputs.texts, prompts).unwrap();
        let model = ModelPaths { dir: dir.to_owned(), tiktoken: None };
        Self { _home: home, model, inputs, texts, said }
    }

    /// The ids of a prompt by the tiny tokenizer, computed here: the BOS, then a byte an id.
    pub fn ids(&self, index: usize) -> Vec<u32> {
        let text = self.texts[index].strip_prefix(BOS).unwrap();
        std::iter::once(BOS_ID).chain(text.bytes().map(u32::from)).collect()
    }

    pub fn hello(&self, engines: &[&str]) -> Request {
        Request::Hello {
            protocol: PROTOCOL,
            model: self.model.clone(),
            timestamp: 0,
            engines: engines.iter().map(|&pair| pair.to_owned()).collect(),
        }
    }

    pub fn prepare(&self, id: &str, op: Op, timing: Timing, check: u32) -> Request {
        let warmup_ns = u64::from(timing != Timing::First);
        Request::Prepare { cell_id: id.to_owned(), op, timing, inputs: self.inputs.clone(), check, warmup_ns }
    }

    /// `hello`, then the requests, then `bye`; the answers after `ready`.
    pub fn ask(&self, requests: Vec<Request>) -> Vec<Answer> {
        self.ask_with(None, requests)
    }

    pub fn ask_with(&self, fault: Option<&str>, requests: Vec<Request>) -> Vec<Answer> {
        let mut all = vec![self.hello(&[])];
        all.extend(requests);
        all.push(Request::Bye);
        let lines: Vec<String> = all.iter().map(|request| serde_json::to_string(request).unwrap()).collect();
        let mut answers = parsed(&raw(fault, lines.join("\n").as_bytes()));
        assert!(matches!(answers.remove(0), Answer::Ready(_)));
        answers
    }

    /// The checks and the full output of request 0 of an op.
    pub fn outcome(&self, op: Op) -> (Vec<String>, Output) {
        let answers = self
            .ask(vec![self.prepare("c", op, Timing::Loop, POOL), Request::Dump { cell_id: "c".to_owned(), index: 0 }]);
        match answers.as_slice() {
            [Answer::Check { hashes, .. }, Answer::Done { .. }, Answer::Dump { output, index: 0, .. }] => {
                (hashes.clone(), output.clone())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a worker writes when it is sent these bytes.
pub fn raw(fault: Option<&str>, requests: &[u8]) -> String {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let setup = Setup { fault: fault.map(|text| Fault::parse(text).unwrap()), started_ns: super::now() };
    serve(Cursor::new(requests.to_vec()), sink.clone(), setup).unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

pub fn parsed(text: &str) -> Vec<Answer> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub fn op(name: &str, pair: &str) -> Op {
    let (engine, call_path) = pair.split_once('/').unwrap_or((pair, ""));
    Op {
        name: name.to_owned(),
        engine: engine.to_owned(),
        call_path: call_path.to_owned(),
        threads: 1,
        params: BTreeMap::new(),
    }
}

pub fn total() -> Op {
    let params = json!({"parse": "serde/serde_json.from_slice", "template": "minijinja/render", "tokenize": "hf-tokenizers/encode",
        "collate": "native/pad", "handoff": "rmp/encode"});
    Op { params: serde_json::from_value(params).unwrap(), ..op("total", "stack/native") }
}

pub fn batch(mode: &str, size: u32, threads: u32) -> Op {
    let params = json!({"batch": size, "mode": mode, "template": "minijinja/render", "tokenize": "hf-tokenizers/encode_fast",
        "collate": "native/pad"});
    Op { params: serde_json::from_value(params).unwrap(), threads, ..op("batch", "stack/native") }
}

pub fn block(id: &str, loops: u64, offset: u64) -> Request {
    Request::Block { cell_id: id.to_owned(), block: 5, loops, offset, settle_ns: 0, stretch: None }
}

/// The samples among the answers, after a look at what every sample must be.
pub fn samples(answers: &[Answer]) -> Vec<Sample> {
    let samples: Vec<Sample> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Sample(sample) => Some(sample.clone()),
            Answer::Error { message, .. } | Answer::Fatal { message, .. } => panic!("{message}"),
            _ => None,
        })
        .collect();
    for sample in &samples {
        assert!(sample.end_ns > sample.start_ns && sample.calls > 0, "{sample:?}");
        assert_eq!((sample.cell_id.as_str(), sample.block, sample.gc), ("c", 5, 0));
    }
    samples
}

pub fn error(answers: &[Answer]) -> String {
    match answers {
        [Answer::Error { cell_id, message, .. }] if cell_id == "c" => message.clone(),
        other => panic!("{other:?}"),
    }
}

fn byte_tokenizer() -> Value {
    let mut vocabulary = serde_json::Map::new();
    let mut stand_in = 256;
    for byte in 0..=255u8 {
        let character = match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                stand_in += 1;
                char::from_u32(stand_in - 1).unwrap()
            }
        };
        vocabulary.insert(character.to_string(), byte.into());
    }
    // The added token needs an id that follows the vocabulary, or tokenizers renumbers it.
    for filler in 256..BOS_ID {
        vocabulary.insert(format!("<filler {filler}>"), filler.into());
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": BOS_ID, "content": BOS, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {BOS: {"id": BOS, "ids": [BOS_ID], "tokens": [BOS]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []}
    })
}
