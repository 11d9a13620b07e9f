//! Requests whose right answers are known: conversations about the licence, on a small model.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::model;

const TEXT: &str = include_str!("../../../../LICENSE");
pub const POOL: usize = 12;
pub const WARM_UP: usize = 3;
/// Lines of the licence in a message.
const LINES: usize = 12;

/// A model folder, the files of a workload on it, and what must be answered.
pub struct Workload {
    pub model: PathBuf,
    pub requests: PathBuf,
    pub texts: PathBuf,
    pub bodies: Vec<Vec<u8>>,
    /// Ids of each prompt, as an answer carries them.
    pub answers: Vec<Vec<u8>>,
}

impl Workload {
    pub fn write(dir: &Path) -> Self {
        let (model, requests, texts) = (dir.join("model"), dir.join("requests.jsonl"), dir.join("texts.jsonl"));
        static TOKENIZER: OnceLock<String> = OnceLock::new();
        let tokenizer = TOKENIZER.get_or_init(|| model::tokenizer(false).to_string());
        model::write_files(&model, tokenizer, model::CHATML);
        let tokenizer = Tokenizer::from_bytes(tokenizer).unwrap();
        let conversations: Vec<Vec<(&str, String)>> = (0..POOL + WARM_UP).map(conversation).collect();
        let prompts: Vec<String> = conversations.iter().map(|conversation| prompt(conversation)).collect();
        let bodies: Vec<Vec<u8>> = conversations.iter().map(|conversation| body(conversation)).collect();
        let lines = |values: Vec<String>| values.join("\n") + "\n";
        let text = |body: &Vec<u8>| String::from_utf8(body.clone()).unwrap();
        std::fs::write(&requests, lines(bodies.iter().map(text).collect())).unwrap();
        std::fs::write(&texts, lines(prompts.iter().map(|prompt| json!(prompt).to_string()).collect())).unwrap();
        let ids = |prompt: &String| tokenizer.encode(prompt.as_str(), false).unwrap().get_ids().to_vec();
        let answers =
            prompts.iter().map(|prompt| ids(prompt).into_iter().flat_map(u32::to_le_bytes).collect()).collect();
        Self { model, requests, texts, bodies, answers }
    }

    /// The same requests with their ids in them, for a pass-through.
    pub fn with_ids(&self) -> Vec<Vec<u8>> {
        let ids = |answer: &Vec<u8>| -> Vec<u32> {
            answer.chunks_exact(4).map(|id| u32::from_le_bytes(id.try_into().unwrap())).collect()
        };
        self.answers.iter().map(|answer| json!({"prompt_token_ids": ids(answer)}).to_string().into_bytes()).collect()
    }
}

fn conversation(index: usize) -> Vec<(&'static str, String)> {
    let lines: Vec<&str> = TEXT.lines().skip(index * LINES).take(LINES).collect();
    vec![
        ("system", format!("You answer question {index}. Ça va? 🎈")),
        ("user", lines.join("\n")),
        ("assistant", format!("<{index}>")),
        ("user", "And \"why\"?".to_owned()),
    ]
}

fn prompt(conversation: &[(&str, String)]) -> String {
    let messages = conversation.iter().map(|(role, content)| format!("<|im_start|>{role}\n{content}<|im_end|>\n"));
    messages.collect::<String>() + "<|im_start|>assistant\n"
}

fn body(conversation: &[(&str, String)]) -> Vec<u8> {
    let messages: Vec<Value> =
        conversation.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    json!({"model": "small", "messages": messages, "stream": true}).to_string().into_bytes()
}
