//! Prompts of the mock as a real server makes them: by the template and the tokenizer of a model.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use engines::parse::ChatBody;
use engines::template::Now;
use engines::{Template, Tokenizer};
use mock_openai::tokens::{PromptText, Tokenizer as MockTokenizer};
use provision::cache;
use serde_json::json;

use crate::terminal::Terminal;
use pipeline::Failure;
use sidecar::conversation::{self, Parts};

/// Ids that are kept, so that a prompt that comes again costs this machine nothing and the time of the front end is the one that was
/// asked for: as many as all prompts of the suites' pools have.
const KEPT_IDS: usize = 8 << 20;

/// The tokenizer of the model that `--tokenizer` names.
///
/// # Errors
/// Usage: the model cannot be loaded.
pub fn of(model: &str) -> Result<MockTokenizer, Failure> {
    let cache = cache::root().map_err(Failure::usage)?;
    let dir = pipeline::model::open(Some(model), &cache, &Terminal)?.paths.dir;
    let template = Template::load(&dir, Now::Clock).map_err(Failure::usage)?;
    let tokenizer = Tokenizer::load(&dir.join("tokenizer.json")).map_err(Failure::usage)?;
    let prompts = Prompts { parts: Parts::of(&template), template, tokenizer, known: Mutex::default() };
    Ok(MockTokenizer::Custom(Arc::new(move |prompt| prompts.ids(prompt))))
}

struct Prompts {
    template: Template,
    parts: Parts,
    tokenizer: Tokenizer,
    known: Mutex<Known>,
}

/// Ids by the prompt that they are of.
#[derive(Default)]
struct Known {
    /// By a hash of the prompt, with the prompt itself.
    ids: HashMap<u64, (String, Vec<u32>)>,
    count: usize,
}

impl Prompts {
    fn ids(&self, prompt: PromptText<'_>) -> Result<Vec<u32>, String> {
        // A text never begins as a list of messages does: the two share the memory.
        let asked = match prompt {
            PromptText::Text(text) => format!("t{text}"),
            PromptText::Messages { messages, tools } => {
                format!("m{}", json!({"messages": messages, "tools": tools}))
            }
        };
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let key = hasher.finish();
        if let Some((known, ids)) = self.known().ids.get(&key)
            && *known == asked
        {
            return Ok(ids.clone());
        }
        let ids = match prompt {
            PromptText::Text(text) => self.tokenize(text)?,
            PromptText::Messages { .. } => self.tokenize(&self.render(&asked[1..])?)?,
        };
        self.known().keep(key, asked, ids.clone());
        Ok(ids)
    }

    /// A guard that a panic of another thread does not take away: what is kept is whole at any time.
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn render(&self, body: &str) -> Result<String, String> {
        let mut body = ChatBody::read(body.as_bytes()).map_err(|error| error.to_string())?;
        let (conversation, prompt) = conversation::build(&mut body, self.parts).map_err(|refusal| refusal.message)?;
        self.template.render_with(&conversation, prompt).map_err(|error| error.to_string())
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokenizer.ids(text).map_err(|error| error.to_string())
    }
}

impl Known {
    fn keep(&mut self, key: u64, asked: String, ids: Vec<u32>) {
        if self.count + ids.len() > KEPT_IDS {
            *self = Self::default();
        }
        self.count += ids.len();
        if let Some((_, before)) = self.ids.insert(key, (asked, ids)) {
            self.count -= before.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_counted() {
        let mut known = Known::default();
        known.keep(1, "a".to_owned(), vec![0; KEPT_IDS / 2]);
        known.keep(1, "b".to_owned(), vec![0; KEPT_IDS / 2]);
        assert_eq!((known.count, known.ids.len()), (KEPT_IDS / 2, 1), "two prompts of one hash");
        known.keep(2, "c".to_owned(), vec![0; KEPT_IDS / 2]);
        assert_eq!(known.count, KEPT_IDS);
        known.keep(3, "d".to_owned(), vec![0; 10]);
        assert_eq!((known.count, known.ids.len()), (10, 1), "full: it begins again");
    }
}
