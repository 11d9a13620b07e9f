//! The APIs of inference servers: one file and one line of [`ALL`](Api::ALL) each.

mod anthropic_messages;
mod llama_cpp;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod sglang;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::ask::{Ask, BodyError, Settings};
use super::chunk::{Chunk, Piece};
use super::json::Cursor;
use super::request::{BadBody, Wanted};
use super::write::{Choice, Ending, Tokens, Voice};

pub use anthropic_messages::API as ANTHROPIC_MESSAGES;
pub use llama_cpp::API as LLAMA_CPP;
pub use openai_chat::API as OPENAI_CHAT;
pub use openai_completions::API as OPENAI_COMPLETIONS;
pub use openai_responses::API as OPENAI_RESPONSES;
pub use sglang::{API as SGLANG, INCREMENTAL as SGLANG_INCREMENTAL};

/// An API of inference servers. Written and read by its name.
#[derive(Clone, Copy)]
pub struct Api(&'static dyn Dialect);

/// Header fields of a request.
pub type Headers = Vec<(&'static str, String)>;

/// How an API takes the work of a sidecar: token ids in place of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// The name on the sidecar's command line.
    pub name: &'static str,
    /// For help.
    pub about: &'static str,
    /// The member of a body that holds the ids.
    pub ids: &'static str,
}

impl Api {
    /// All, the default first.
    pub const ALL: [Self; 7] =
        [OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, SGLANG, SGLANG_INCREMENTAL, LLAMA_CPP];

    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        self.0
    }

    /// The name on command lines and in files.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all, for help and errors.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Where requests are posted, below the base URL.
    pub fn path(self) -> &'static str {
        self.0.paths()[0]
    }

    /// The API whose requests come to `path`.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.0.paths().contains(&path))
    }

    /// True if it takes messages, false if it takes text or ids.
    pub fn takes_messages(self) -> bool {
        self.0.takes_messages()
    }

    /// Whether a request names its model, so that a server with several needs the name.
    pub fn names_models(self) -> bool {
        self.0.names_models()
    }

    /// Whether a stream of it ends with a word of its own, beside the reason to finish.
    pub fn ends_with_word(self) -> bool {
        self.0.ends_with_word()
    }

    /// The API of the same servers that takes token ids: itself, if it does.
    pub fn with_ids(self) -> Self {
        if self.takes_messages() { OPENAI_COMPLETIONS } else { self }
    }

    /// The member that tells a server to leave a rendered prompt as it is, and not to add special tokens to it; None where there is none.
    pub fn as_it_is(self) -> Option<(&'static str, Value)> {
        self.0.as_it_is()
    }

    /// The header fields of a request beside those of its body; with the key where there is one.
    pub fn headers(self, key: Option<&str>) -> Headers {
        self.0.headers(key)
    }

    /// The key in the header of a request that a server gets: `field` looks a header field up.
    pub fn key<'h>(self, field: &dyn Fn(&str) -> Option<&'h str>) -> Option<&'h str> {
        self.0.key(field)
    }

    /// Reads the data of one event, or a whole answer; None if it is none of this API.
    pub fn read(self, data: &[u8]) -> Option<Chunk<'_>> {
        self.read_each(data, &mut |_| {})
    }

    /// Reads as [`Api::read`], and hands over each piece of the answers, in order.
    pub fn read_each<'a>(self, data: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        // All servers end event streams so, those of other companies' APIs too: vLLM writes it after `message_stop`.
        if data == b"[DONE]" {
            return Some(Chunk::end());
        }
        match data.first()? {
            b'{' => self.read_object(data, each),
            // Some servers answer a list where there may be several prompts.
            b'[' => {
                let mut all: Option<Chunk<'a>> = None;
                let mut cursor = Cursor::new(data);
                cursor.items(|cursor| {
                    let chunk = self.read_object(cursor.value()?, each)?;
                    let mut both = all.unwrap_or(chunk);
                    both.add(&chunk.piece);
                    both.usage.update(chunk.usage);
                    all = Some(both);
                    Some(())
                })?;
                all.filter(|_| cursor.is_at_end())
            }
            _ => None,
        }
    }

    fn read_object<'a>(self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        if json.first() != Some(&b'{') {
            return None;
        }
        let mut all = Chunk::default();
        let chunk = self.0.read(json, &mut |piece: &Piece<'a>| {
            all.add(piece);
            each(piece);
        })?;
        Some(Chunk { piece: all.piece, ..chunk })
    }

    /// How a sidecar can use it; None where it takes no ids.
    pub fn upstream(self) -> Option<Upstream> {
        self.0.upstream()
    }

    /// All that a sidecar can use.
    pub fn upstreams() -> impl Iterator<Item = (Self, Upstream)> {
        Self::ALL.into_iter().filter_map(|api| Some((api, api.upstream()?)))
    }

    /// By its name on the sidecar's command line.
    ///
    /// # Errors
    /// A sentence with the names that there are.
    pub fn parse_upstream(text: &str) -> Result<Self, String> {
        Self::upstreams().find(|(_, upstream)| upstream.name == text).map(|(api, _)| api).ok_or_else(|| {
            let names: Vec<&str> = Self::upstreams().map(|(_, upstream)| upstream.name).collect();
            format!("`{text}` is no API that takes token ids: give one of {}", names.join(", "))
        })
    }

    /// The members of a chat request, its conversation taken out, in the words of this API; the ids are put before them.
    ///
    /// # Errors
    /// A sentence: a member asks for what this API has no way to say.
    pub fn forward(self, rest: Map<String, Value>, stream: bool, choices: u32) -> Result<Map<String, Value>, String> {
        self.0.forward(rest, stream, choices)
    }
}

impl PartialEq for Api {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Api {}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Api {
    type Err = String;

    /// By its name, or as other load generators call it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|api| api.name() == text || api.0.aliases().contains(&text));
        found.ok_or_else(|| format!("`{text}` is no backend: give one of {}", Self::names()))
    }
}

impl Serialize for Api {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Api {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// What a file of an API says. What most servers do alike stands here.
pub(crate) trait Dialect: Sync {
    fn name(&self) -> &'static str;

    /// What other load generators call it.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where a client posts to, and where else a server listens.
    fn paths(&self) -> &'static [&'static str];

    fn takes_messages(&self) -> bool {
        false
    }

    fn names_models(&self) -> bool {
        true
    }

    fn ends_with_word(&self) -> bool {
        true
    }

    fn as_it_is(&self) -> Option<(&'static str, Value)> {
        None
    }

    fn headers(&self, key: Option<&str>) -> Headers {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn key<'h>(&self, field: &dyn Fn(&str) -> Option<&'h str>) -> Option<&'h str> {
        field("authorization")?.strip_prefix("Bearer ")
    }

    // ---- the client: a request, and what comes back

    /// The body for a chat request in the form of OpenAI, which has a list of messages.
    fn chat(&self, _request: &Map<String, Value>, _settings: &Settings) -> Result<Map<String, Value>, BodyError> {
        Err(BodyError::NoMessages)
    }

    /// The body for text or ids.
    fn prompt(&self, _ask: &Ask<'_>, _settings: &Settings) -> Map<String, Value> {
        Map::new()
    }

    /// Reads a JSON object. The pieces go to `each` alone.
    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>>;

    // ---- the server: what it reads and what it writes

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody>;

    /// The beginning of each event.
    fn prefix(&self, _voice: &Voice) -> Vec<u8> {
        Vec::new()
    }

    fn ends_apart(&self) -> bool {
        false
    }

    fn splits_reasoning(&self) -> bool {
        false
    }

    /// Whole events before the first content.
    fn begin(&self, _voice: &mut Voice, _choice: &Choice<'_>, _out: &mut Vec<u8>) {}

    /// An event with content. The end of its object is left to the caller, who puts the stamp there.
    fn content(
        &self,
        voice: &mut Voice,
        choice: &Choice<'_>,
        range: Range<u32>,
        ending: Option<Ending>,
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
    );

    /// An event that ends an answer; the end of its object is left to the caller.
    fn ending(&self, voice: &mut Voice, choice: &Choice<'_>, _usage: Option<&Tokens>, out: &mut Vec<u8>) {
        self.content(voice, choice, choice.sent..choice.sent, Some(choice.ending), None, out);
    }

    /// An event of the usage, its end left to the caller; false where there is none.
    fn usage(&self, _voice: &mut Voice, _usage: &Tokens, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn done(&self, _voice: &mut Voice, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn whole(
        &self,
        voice: &mut Voice,
        choices: &[Choice<'_>],
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    );

    /// The body of an error, as OpenAI and vLLM have it.
    fn error(&self, status: u16, message: &str) -> String {
        let kind = match status {
            401 => "AuthenticationError",
            404 => "NotFoundError",
            405 => "MethodNotAllowedError",
            429 => "RateLimitError",
            503 => "ServiceUnavailableError",
            400..500 => "BadRequestError",
            _ => "InternalServerError",
        };
        json!({"error": {"message": message, "type": kind, "param": null, "code": status}}).to_string()
    }

    fn error_event(&self, voice: &mut Voice, message: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(self.error(500, message).as_bytes());
        out.extend_from_slice(b"\n\n");
        self.done(voice, out);
    }

    // ---- the sidecar: messages became ids

    fn upstream(&self) -> Option<Upstream> {
        None
    }

    fn forward(&self, _rest: Map<String, Value>, _stream: bool, _choices: u32) -> Result<Map<String, Value>, String> {
        Err(format!("the API {} takes no token ids; choose another", self.name()))
    }
}

/// Takes a member out; null counts as not there.
fn take(rest: &mut Map<String, Value>, name: &str) -> Option<Value> {
    rest.remove(name).filter(|value| !value.is_null())
}

/// The most tokens of an answer: the newer name wins.
fn most_tokens(rest: &mut Map<String, Value>) -> Option<Value> {
    let newer = take(rest, "max_completion_tokens");
    let older = take(rest, "max_tokens");
    newer.or(older)
}

/// Refuses members that would change the answer and that an API has no way to say.
fn refuse(rest: &Map<String, Value>, names: &[&str], api: &str) -> Result<(), String> {
    match names.iter().find(|name| rest.get(**name).is_some_and(|value| !value.is_null())) {
        Some(name) => Err(format!("{name} cannot be passed on to {api}; leave it out")),
        None => Ok(()),
    }
}

/// The JSON schema that a `response_format` asks for.
fn schema(rest: &mut Map<String, Value>) -> Result<Option<Value>, String> {
    let Some(format) = take(rest, "response_format") else { return Ok(None) };
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({"type": "object"}))),
        Some("json_schema") => Ok(Some(format["json_schema"]["schema"].clone())),
        _ => Err("response_format has an unknown type; give text, json_object or json_schema".to_owned()),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
