//! What is asked: the requests of a workload as messages, as text or as ids, the same again and again or each with a beginning of
//! its own.

use std::path::Path;

use engines::Tokenizer;
use loadgen::serving::mark::{DIGITS, Mark};
use loadgen::serving::session::Session;
use record::plan::Op;
use record::protocol;
use serde_json::{Map, Value};
use server_api::{Api, Ask, Settings};

use crate::inputs::Inputs;
use loadgen::service_level::Level;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Messages,
    Text,
    Ids,
}

/// How much of the workload a gate asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub requests: u32,
    /// Output tokens of each.
    pub tokens: u32,
}

/// How a cell asks: the params of its op.
#[derive(Debug, Clone)]
pub struct Way {
    pub backend: Api,
    pub form: Form,
    /// Each request begins with text of its own, so that no server has a prefix of it in its cache.
    pub unique: bool,
    /// Messages go to our sidecar, which sends ids to the server.
    pub sidecar: bool,
    pub output_tokens: u32,
    /// How its answers are compared with those to ids before it is measured; none: they are not.
    pub gate: Option<Extent>,
    /// What must hold at a rate, where the largest is looked for.
    pub level: Option<Level>,
}

impl Way {
    /// # Errors
    /// A sentence about a parameter.
    pub fn of(op: &Op) -> Result<Self, String> {
        let word = |name: &str| op.params.get(name).and_then(Value::as_str);
        let form = match word("form") {
            Some("messages") | None => Form::Messages,
            Some("text") => Form::Text,
            Some("ids") => Form::Ids,
            Some(other) => return Err(format!("there is no form {other:?}; there are: messages, text, ids")),
        };
        let number = |name: &str| op.params.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let sidecar = op.params.get("sidecar") == Some(&Value::Bool(true));
        if sidecar && form != Form::Messages {
            return Err("the sidecar takes messages: a cell with it has the form messages".to_owned());
        }
        let gate = number("gate_requests").zip(number("gate_tokens"));
        let default = if form == Form::Messages { server_api::OPENAI_CHAT } else { server_api::OPENAI_COMPLETIONS };
        Ok(Self {
            backend: word("backend").map_or(Ok(default), str::parse)?,
            form,
            unique: op.params.get("unique") == Some(&Value::Bool(true)),
            sidecar,
            output_tokens: number("output_tokens").unwrap_or(1),
            gate: gate.map(|(requests, tokens)| Extent { requests, tokens }),
            level: word("level").map(str::parse).transpose()?,
        })
    }
}

impl Way {
    /// The same request as token ids, straight to the server.
    pub fn as_ids(&self) -> Self {
        Self { backend: self.backend.with_ids(), form: Form::Ids, sidecar: false, ..self.clone() }
    }

    /// A rendered prompt has its special tokens: servers that add them to text are told not to, where their API can say it.
    fn extra(&self) -> Map<String, Value> {
        let mut extra = Map::new();
        if let Some((name, value)) = self.backend.as_it_is().filter(|_| self.form == Form::Text) {
            extra.insert(name.to_owned(), value);
        }
        extra
    }
}

/// The requests of a workload.
pub struct Pool {
    requests: Vec<Value>,
    texts: Vec<String>,
    tokenizer: Tokenizer,
}

impl Pool {
    /// # Errors
    /// The files of the workload or the tokenizer cannot be read.
    pub fn read(wanted: &protocol::Inputs, model: &Path) -> Result<Self, String> {
        let inputs = Inputs::new(wanted).map_err(|error| error.to_string())?;
        let pool = inputs.extent.pool;
        let lines = inputs.lines().map_err(|error| error.to_string())?;
        let requests = lines.iter().take(pool).map(|line| {
            serde_json::from_slice(line)
                .map_err(|error| format!("a request of the workload is broken ({error}); measure again"))
        });
        let texts = inputs.prompts().map_err(|error| error.to_string())?;
        Ok(Self {
            requests: requests.collect::<Result<_, _>>()?,
            texts: texts.iter().take(pool).cloned().collect(),
            tokenizer: Tokenizer::load(&model.join("tokenizer.json")).map_err(|error| error.to_string())?,
        })
    }

    /// Of requests and their rendered prompts.
    #[cfg(test)]
    pub fn of(requests: Vec<Value>, texts: Vec<String>, tokenizer: Tokenizer) -> Self {
        Self { requests, texts, tokenizer }
    }

    /// Requests that there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Sessions of one request each, one for each request of the pool. Where each is to be unique, its number in the run is written into it as
    /// it is sent, before everything else that the prompt says: they come again and again, and never the same. `stretch` is a number that
    /// no other stretch of the run has.
    ///
    /// # Errors
    /// The backend does not take this form, or has no place for a number.
    pub fn sessions(&self, way: &Way, model: Option<&str>, stretch: u64) -> Result<Vec<Session>, String> {
        let settings = settings(way, model);
        let session = |index| match (way.unique, way.form) {
            (false, _) => Ok(Session::single(self.body(way, &settings, index, None)?)),
            (true, Form::Ids) => self.unique_ids(way, &settings, index, stretch),
            (true, Form::Messages | Form::Text) => {
                let zeros = format!("[{stretch:x}.{:0width$x}", 0, width = DIGITS);
                let body = self.body(way, &settings, index, Some(&format!("{zeros}] ")))?;
                let mark = Mark::in_text(&body, &zeros).ok_or_else(not_unique)?;
                Ok(Session::marked(body, mark))
            }
        };
        (0..self.requests.len()).map(session).collect()
    }

    /// A request of ids that begins with the digits of both numbers, each a token.
    fn unique_ids(&self, way: &Way, settings: &Settings, index: usize, stretch: u64) -> Result<Session, String> {
        let digit = |number: usize| {
            let ids = self.tokenizer.ids(&format!("{number:x}")).map_err(|error| error.to_string())?;
            ids.last().copied().ok_or_else(not_unique)
        };
        let digits: Vec<u32> = (0..16).map(digit).collect::<Result<_, _>>()?;
        let digits: [u32; 16] = digits.try_into().map_err(|_| not_unique())?;
        let lead: Vec<u32> = (0..16).rev().map(|place| digits[(stretch >> (4 * place)) as usize & 0xf]).collect();
        let own = self.tokenizer.ids(&self.texts[index]).map_err(|error| error.to_string())?;
        let ids = [&lead[..], &[digits[0]; DIGITS], &own].concat();
        let body = way.backend.body(&Ask::Ids(&ids), settings).map_err(|error| error.to_string())?;
        let (body, mark) = Mark::in_ids(&body, &lead, &digits).ok_or_else(not_unique)?;
        Ok(Session::marked(body, mark))
    }

    /// One request of the pool, at any index, whose answer ends when the model ends it and comes whole or as a stream.
    ///
    /// # Errors
    /// The backend does not take this form.
    pub fn one(
        &self,
        way: &Way,
        model: Option<&str>,
        index: usize,
        tokens: u32,
        stream: bool,
    ) -> Result<Vec<u8>, String> {
        let settings = Settings { max_tokens: Some(tokens), stream, ignore_eos: false, ..settings(way, model) };
        self.body(way, &settings, index % self.requests.len(), None)
    }

    fn body(&self, way: &Way, settings: &Settings, index: usize, mark: Option<&str>) -> Result<Vec<u8>, String> {
        let made = match way.form {
            Form::Messages => {
                let mut request = self.requests[index].clone();
                if let Some(mark) = mark {
                    begin_with(&mut request, mark)?;
                }
                way.backend.body(&Ask::Messages(&request), settings)
            }
            Form::Text | Form::Ids => {
                let text = match mark {
                    Some(mark) => format!("{mark}{}", self.texts[index]),
                    None => self.texts[index].clone(),
                };
                if way.form == Form::Text {
                    way.backend.body(&Ask::Text(&text), settings)
                } else {
                    let ids = self.tokenizer.ids(&text).map_err(|error| error.to_string())?;
                    way.backend.body(&Ask::Ids(&ids), settings)
                }
            }
        };
        made.map_err(|error| error.to_string())
    }
}

fn not_unique() -> String {
    "requests of this form cannot be made unique; ask with messages".to_owned()
}

fn settings(way: &Way, model: Option<&str>) -> Settings {
    Settings {
        model: model.map(str::to_owned),
        max_tokens: Some(way.output_tokens),
        ignore_eos: way.output_tokens > 1,
        extra: way.extra(),
        ..Settings::default()
    }
}

/// Puts `mark` before the first text of the conversation.
fn begin_with(request: &mut Value, mark: &str) -> Result<(), String> {
    let messages = request.get_mut("messages").and_then(Value::as_array_mut);
    let first = messages.into_iter().flatten().find_map(|message| match message.get_mut("content") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    });
    match first {
        Some(text) => {
            text.insert_str(0, mark);
            Ok(())
        }
        None => Err("a conversation without text cannot be made unique".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_stands_before_the_first_text() {
        let mut request = json!({"messages": [{"role": "system", "content": null}, {"role": "user", "content": "a"}]});
        begin_with(&mut request, "[1.2] ").unwrap();
        assert_eq!(request["messages"][1]["content"], "[1.2] a");
        assert!(begin_with(&mut json!({"messages": []}), "x").is_err());
    }

    #[test]
    fn params_say_how() {
        let op = |params: Value| Op {
            name: "ask".to_owned(),
            engine: "server".to_owned(),
            call_path: "chat".to_owned(),
            threads: 1,
            params: serde_json::from_value(params).unwrap(),
        };
        let way =
            Way::of(&op(json!({"form": "ids", "unique": true, "output_tokens": 7, "level": "ttft:p99:5ms"}))).unwrap();
        assert_eq!(
            (way.backend, way.form, way.unique, way.output_tokens),
            (server_api::OPENAI_COMPLETIONS, Form::Ids, true, 7)
        );
        assert!(way.level.is_some() && way.gate.is_none() && !way.sidecar);
        let gated = Way::of(&op(json!({"sidecar": true, "gate_requests": 4, "gate_tokens": 8}))).unwrap();
        assert!(gated.sidecar && gated.gate == Some(Extent { requests: 4, tokens: 8 }));
        assert!(Way::of(&op(json!({"sidecar": true, "form": "text"}))).unwrap_err().contains("takes messages"));
        let way = Way::of(&op(json!({}))).unwrap();
        assert_eq!((way.backend, way.form, way.output_tokens), (server_api::OPENAI_CHAT, Form::Messages, 1));
        assert!(Way::of(&op(json!({"form": "speech"}))).unwrap_err().contains("messages, text, ids"));
        assert!(Way::of(&op(json!({"backend": "tgi"}))).is_err());
    }
}
