//! What is asked: sessions of requests as bodies for a backend, made before the clock starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engines::Tokenizer;
use loadgen::serving::session::{Session, Turn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use server_api::{Api, Ask, Settings};
use workload::{Prompt, WorkloadSpec};

use super::random::{RandomPrompts, RandomSpec};

/// Conversations of a file that are kept for each that is needed.
const KEEP_FACTOR: usize = 4;

/// Where requests come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Conversations of the preprocessing suite: `words` or `letters`.
    Conversations { kind: String, tokens: u32, turns: u32 },
    /// Random tokens of given lengths, with shared prefixes.
    Random(RandomSpec),
    /// ShareGPT JSON, JSON Lines of messages, or text.
    File(PathBuf),
}

/// How a prompt is handed to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The server applies its template and tokenizes.
    Messages,
    /// The server tokenizes.
    Text,
    /// Token ids: the server does neither.
    Ids,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub source: Source,
    pub form: Form,
    /// Each conversation is asked turn by turn, with the replies of the conversation itself as history.
    pub by_turns: bool,
    /// Between an answer and the next turn, ns.
    pub think_ns: u64,
    /// Different sessions.
    pub pool: usize,
    pub seed: u64,
}

/// Sessions, and how long their prompts are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    pub sessions: Vec<Session>,
    /// Prompt tokens by the model's tokenizer, a list for each session; 0 where they were not counted.
    pub prompt_tokens: Vec<Vec<u32>>,
    /// For people: `words, 1,000 tokens in 3 turns`.
    pub name: String,
    pub notes: Vec<String>,
}

/// The model's template and tokenizer.
pub struct Model<'a> {
    pub prompt: &'a dyn Prompt,
    pub tokenizer: &'a Tokenizer,
}

/// Makes the bodies.
///
/// # Errors
/// A sentence: of the workload, the template, the tokenizer or the backend.
pub fn make(wanted: &Wanted, backend: Api, settings: &Settings, model: &Model<'_>) -> Result<Requests, String> {
    let maker = Maker { wanted, backend, settings, model };
    match &wanted.source {
        Source::Random(spec) => maker.random(*spec),
        Source::Conversations { kind, tokens, turns } => maker.conversations(kind, *tokens, *turns),
        Source::File(path) => maker.file(path),
    }
}

struct Maker<'a> {
    wanted: &'a Wanted,
    backend: Api,
    settings: &'a Settings,
    model: &'a Model<'a>,
}

impl Maker<'_> {
    fn random(&self, spec: RandomSpec) -> Result<Requests, String> {
        let prompts = RandomPrompts::new(spec, self.wanted.seed, self.model.tokenizer)?;
        let mut requests = Requests { name: spec.describe(), ..Requests::default() };
        let mut inexact = 0;
        for number in 0..self.wanted.pool as u64 {
            let prompt = prompts.prompt(number);
            let settings = Settings { max_tokens: Some(prompt.output), ..self.settings.clone() };
            let asked = prompt.ids.len() as u32;
            let (body, tokens) = match self.wanted.form {
                Form::Ids => (self.body(&Ask::Ids(&prompt.ids), &settings)?, asked),
                form => {
                    let (text, tokens) = prompts.text(&prompt, number)?;
                    let messages = json!({"messages": [{"role": "user", "content": &text}]});
                    let ask = if form == Form::Text { Ask::Text(&text) } else { Ask::Messages(&messages) };
                    (self.body(&ask, &settings)?, tokens)
                }
            };
            inexact += usize::from(tokens != asked);
            requests.push(vec![(body, tokens)], 0);
        }
        if inexact > 0 {
            let of = self.wanted.pool;
            requests.notes.push(format!("{inexact} of {of} random prompts are some tokens longer or shorter than asked for: not every list of ids has a text"));
        }
        Ok(requests)
    }

    fn conversations(&self, kind: &str, tokens: u32, turns: u32) -> Result<Requests, String> {
        let dir = tempfile::Builder::new()
            .prefix("llmbench-")
            .tempdir()
            .map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        let pool = u32::try_from(self.wanted.pool).unwrap_or(u32::MAX);
        let id = format!("{kind}-t{tokens}-n{turns}");
        let spec = WorkloadSpec { id, kind: kind.to_owned(), tokens, turns, pool, warmup: 1, bytes: 0 };
        let files = workload::build(&spec, self.wanted.seed, self.model.prompt, dir.path(), &mut |_, _| {})
            .map_err(|error| error.to_string())?;
        let text =
            std::fs::read_to_string(&files.requests).map_err(|error| format!("cannot read the workload: {error}"))?;
        let plural = if turns == 1 { "turn" } else { "turns" };
        let name = format!("{kind}, {} tokens in {turns} {plural}", record::format::count(u64::from(tokens)));
        let mut requests = Requests { name, ..Requests::default() };
        for line in text.lines().take(self.wanted.pool) {
            let body = serde_json::from_str(line).map_err(|error| format!("the workload is broken: {error}"))?;
            self.add(&mut requests, &body)?;
        }
        Ok(requests)
    }

    fn file(&self, path: &Path) -> Result<Requests, String> {
        let keep = KEEP_FACTOR.saturating_mul(self.wanted.pool);
        let dataset = workload::dataset_sample(path, self.wanted.seed, keep).map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut requests = Requests { name, ..Requests::default() };
        let mut refused = 0;
        for sample in &dataset.samples {
            if requests.sessions.len() == self.wanted.pool {
                break;
            }
            // What the model's template refuses, its server would refuse too.
            if self.add(&mut requests, &sample.body).is_err() {
                refused += 1;
            }
        }
        if requests.sessions.is_empty() {
            return Err(format!(
                "no conversation of {} can be asked: the chat template refuses all of them",
                path.display()
            ));
        }
        if refused > 0 {
            requests
                .notes
                .push(format!("{refused} conversations of the file were left out: the chat template refuses them"));
        }
        if requests.sessions.len() < self.wanted.pool {
            requests.notes.push(format!(
                "the file has {} usable conversations for {} requests: they repeat, and a prefix cache sees them again",
                requests.sessions.len(),
                self.wanted.pool
            ));
        }
        Ok(requests)
    }

    /// Adds a conversation as one session.
    fn add(&self, requests: &mut Requests, request: &Value) -> Result<(), String> {
        let mut turns = Vec::new();
        for body in self.turns(request) {
            turns.push(self.turn(&body)?);
        }
        requests.push(turns, self.wanted.think_ns);
        Ok(())
    }

    /// The requests of a conversation: all turns up to each question, or the last alone.
    fn turns(&self, request: &Value) -> Vec<Value> {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !self.wanted.by_turns {
            return vec![request.clone()];
        }
        let asks = |message: &Value| matches!(message["role"].as_str(), Some("user" | "tool"));
        (0..messages.len())
            .filter(|&last| asks(&messages[last]) && !messages.get(last + 1).is_some_and(asks))
            .map(|last| {
                let mut turn = request.clone();
                turn["messages"] = Value::Array(messages[..=last].to_vec());
                turn
            })
            .collect()
    }

    fn turn(&self, request: &Value) -> Result<(Vec<u8>, u32), String> {
        let text = self.model.prompt.render(request)?;
        let ids = self.model.tokenizer.ids(&text).map_err(|error| error.to_string())?;
        let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let ask = match self.wanted.form {
            Form::Messages => Ask::Messages(request),
            Form::Text => Ask::Text(&text),
            Form::Ids => Ask::Ids(&ids),
        };
        Ok((self.body(&ask, self.settings)?, tokens))
    }

    fn body(&self, ask: &Ask<'_>, settings: &Settings) -> Result<Vec<u8>, String> {
        self.backend.body(ask, settings).map_err(|error| error.to_string())
    }
}

impl Requests {
    fn push(&mut self, turns: Vec<(Vec<u8>, u32)>, think_ns: u64) {
        self.prompt_tokens.push(turns.iter().map(|(_, tokens)| *tokens).collect());
        let turns = turns.into_iter().map(|(body, _)| Turn { body: Arc::from(body), think_ns, mark: None }).collect();
        self.sessions.push(Session { turns });
    }

    /// The body of the first request.
    pub fn first(&self) -> &[u8] {
        self.sessions.first().and_then(|session| session.turns.first()).map_or(&[], |turn| &turn.body)
    }

    /// Most turns of a session.
    pub fn most_turns(&self) -> usize {
        self.sessions.iter().map(|session| session.turns.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Prompt for Plain {
        fn render(&self, request: &Value) -> Result<String, String> {
            let messages = request["messages"].as_array().ok_or("no messages")?;
            Ok(messages.iter().map(|message| format!("<{}>", message["content"].as_str().unwrap_or(""))).collect())
        }

        fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
            Ok(texts.iter().map(|text| text.split_whitespace().count()).collect())
        }
    }

    /// A vocabulary of bytes: a token a byte.
    fn tokenizer() -> Tokenizer {
        // Bytes that are no printable character of Latin-1 stand as characters from U+0100 on.
        let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let mut next = 0xff;
        let alphabet = (0..=255_u32).map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                next += 1;
                next
            };
            char::from_u32(code).unwrap()
        });
        let vocab: serde_json::Map<String, Value> =
            alphabet.enumerate().map(|(byte, c)| (c.to_string(), json!(byte))).collect();
        let file = json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            "model": {"type": "BPE", "vocab": vocab, "merges": []}
        });
        Tokenizer::from_bytes("bytes", file.to_string().as_bytes()).unwrap()
    }

    fn wanted(source: Source, form: Form) -> Wanted {
        Wanted { source, form, by_turns: false, think_ns: 5, pool: 6, seed: 1 }
    }

    fn made(wanted: &Wanted, backend: Api) -> Requests {
        let tokenizer = tokenizer();
        let model = Model { prompt: &Plain, tokenizer: &tokenizer };
        make(wanted, backend, &Settings::default(), &model).unwrap()
    }

    fn body(requests: &Requests, session: usize, turn: usize) -> Value {
        serde_json::from_slice(&requests.sessions[session].turns[turn].body).unwrap()
    }

    #[test]
    fn random_prompts_share_prefixes_and_have_their_lengths() {
        let spec = RandomSpec { input: 20, output: 7, range_ratio: 0.0, prefix: 10, prefixes: 2 };
        let requests = made(&wanted(Source::Random(spec), Form::Ids), server_api::OPENAI_COMPLETIONS);
        let ids = |session| body(&requests, session, 0)["prompt"].as_array().unwrap().clone();
        assert_eq!((ids(0).len(), &body(&requests, 0, 0)["max_tokens"]), (30, &json!(7)));
        assert_eq!((&ids(0)[..10], &ids(1)[..10]), (&ids(2)[..10], &ids(3)[..10]));
        assert!(ids(0)[..10] != ids(1)[..10] && ids(0)[10..] != ids(2)[10..]);
        assert_eq!(requests, made(&wanted(Source::Random(spec), Form::Ids), server_api::OPENAI_COMPLETIONS));
        let ranged = RandomSpec { range_ratio: 0.5, ..spec };
        let requests = made(&wanted(Source::Random(ranged), Form::Ids), server_api::OPENAI_COMPLETIONS);
        let lengths: Vec<u32> = requests.prompt_tokens.iter().map(|turns| turns[0]).collect();
        assert!(
            lengths.iter().all(|length| (20..=40).contains(length))
                && lengths.iter().any(|length| *length != lengths[0])
        );
    }

    #[test]
    fn a_file_is_asked_whole_or_turn_by_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chats.json");
        let chat = json!([{"id": "a", "conversations": [
            {"from": "human", "value": "one"}, {"from": "gpt", "value": "two"}, {"from": "human", "value": "three"},
            {"from": "gpt", "value": "four"}
        ]}]);
        std::fs::write(&path, chat.to_string()).unwrap();
        let whole = wanted(Source::File(path.clone()), Form::Messages);
        let requests = made(&whole, server_api::OPENAI_CHAT);
        assert_eq!((requests.sessions.len(), requests.most_turns()), (1, 1));
        assert_eq!(body(&requests, 0, 0)["messages"].as_array().unwrap().len(), 3);
        assert!(requests.notes[0].contains("they repeat"), "{:?}", requests.notes);
        let turns = made(&Wanted { by_turns: true, form: Form::Text, ..whole }, server_api::OPENAI_COMPLETIONS);
        let prompts: Vec<Value> = (0..2).map(|turn| body(&turns, 0, turn)["prompt"].clone()).collect();
        assert_eq!(prompts, [json!("<one>"), json!("<one><two><three>")]);
        assert_eq!((turns.prompt_tokens[0].as_slice(), turns.sessions[0].turns[1].think_ns), (&[5, 17][..], 5));
    }

    #[test]
    fn a_backend_that_does_not_take_the_form_says_so() {
        let tokenizer = tokenizer();
        let model = Model { prompt: &Plain, tokenizer: &tokenizer };
        let spec = RandomSpec { input: 5, output: 1, range_ratio: 0.0, prefix: 0, prefixes: 0 };
        let wanted = wanted(Source::Random(spec), Form::Ids);
        let error = make(&wanted, server_api::OPENAI_CHAT, &Settings::default(), &model).unwrap_err();
        assert!(error.contains("openai-chat takes no token ids"), "{error}");
    }
}
