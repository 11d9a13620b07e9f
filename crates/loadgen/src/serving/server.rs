//! The server before the load: its models, and one request of the load itself, which shows whether it streams, counts and keeps its
//! connections. Whatever is wrong is said in a sentence with its remedy.

use server_api::{Api, Settings};

use super::probe::{self, Probe, ProbeError};
use super::target::Target;
use crate::outcome::ErrorClass;

/// How long fetching a list of models may take, ns.
const LIST_NS: u64 = 5_000_000_000;

/// Models that are named in a sentence.
const NAMED: usize = 8;

/// How requests reach a server. It has no `Debug`: the key is in it.
#[derive(Clone)]
pub struct Access {
    pub target: Target,
    pub backend: Api,
    /// From the environment; it is sent where the API looks for one and shown nowhere.
    pub key: Option<String>,
    /// The variable in which a key was looked for.
    pub key_var: String,
    /// For a request and its answer, ns.
    pub timeout_ns: u64,
}

/// What one request showed of a server; nothing of it holds where none was answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// It says how many tokens it made.
    pub counts_tokens: bool,
    /// It closes connections that it said it would keep (llama.cpp does so after streams): each request opens one of its own, since
    /// what is written into one that is about to close is lost.
    pub closes: bool,
    /// How long the one request took, ns: over so long the users of a closed loop begin.
    pub response_ns: u64,
    /// What a reader of figures has to know.
    pub notes: Vec<String>,
}

impl Access {
    /// The names of the server's models, in its order; empty where it has no such list.
    ///
    /// # Errors
    /// A sentence: the server cannot be reached.
    pub fn models(&self) -> Result<Vec<String>, String> {
        let models = probe::models(&self.target, self.key.as_deref(), LIST_NS.min(self.timeout_ns));
        Ok(models.map_err(|error| self.sentence(None, &[], &error))?.unwrap_or_default())
    }

    /// The name under which the model is asked for: as asked, else the server's only one.
    ///
    /// # Errors
    /// A sentence: the server has several models and none was named.
    pub fn model_name(&self, asked: Option<&str>, models: &[String]) -> Result<Option<String>, String> {
        match (asked, models) {
            (Some(name), _) => Ok(Some(name.to_owned())),
            (None, [one]) => Ok(Some(one.clone())),
            // Names of one model: vLLM lists its adapters behind it.
            (None, [_, _, ..]) if self.backend.names_models() => {
                Err(format!("{} has several models: name one with --model-name: {}", self.target, list(models)))
            }
            (None, _) => Ok(None),
        }
    }

    /// Sends one request of the load.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub fn examine(&self, settings: &Settings, models: &[String], body: &[u8]) -> Result<Found, String> {
        let key = self.key.as_deref();
        let Probe { reply, closes, took_ns } = probe::probe(&self.target, self.backend, key, body, self.timeout_ns)
            .map_err(|error| self.sentence(settings.model.as_deref(), models, &error))?;
        let counts_tokens = reply.usage.completion.is_some();
        let unknown = settings.model.as_ref().filter(|name| !models.is_empty() && !models.contains(name));
        let found = [
            (settings.stream && !reply.streamed).then_some(
                "the server answers whole although a stream was asked for: there is no TTFT, no gap and no TPOT",
            ),
            (!counts_tokens).then_some(
                "the server does not say how many tokens it made: they are counted with the model's tokenizer",
            ),
            (reply.streamed && !reply.done && self.backend.ends_with_word()).then_some(
                "the server ends its streams without the last word of its API; a reason to finish counts as the end",
            ),
            closes.then_some(
                "the server closes connections that it said it would keep: each request opens its own, within its latency",
            ),
        ];
        let mut notes: Vec<String> = found.into_iter().flatten().map(str::to_owned).collect();
        notes.extend(unknown.map(|name| {
            format!("the server answers as `{name}`, which is not in its list of models: {}", list(models))
        }));
        Ok(Found { counts_tokens, closes, response_ns: took_ns, notes })
    }

    fn sentence(&self, model: Option<&str>, models: &[String], error: &ProbeError) -> String {
        let (target, variable) = (&self.target, &self.key_var);
        let failure = match error {
            ProbeError::Open(error) => return error.to_string(),
            ProbeError::Failed(failure) => failure,
        };
        let said = &failure.message;
        let has = || if models.is_empty() { String::new() } else { format!("; the server has: {}", list(models)) };
        let missing = model.filter(|name| !models.is_empty() && !models.iter().any(|has| has == name));
        match (failure.class, missing) {
            (ErrorClass::Unauthorized, _) if self.key.is_none() => {
                format!("{target} wants a key ({said}): put one into the variable {variable} of the environment")
            }
            (ErrorClass::Unauthorized, _) => {
                format!("{target} refuses the key of the variable {variable} ({said}): check it")
            }
            (ErrorClass::NotFound, Some(name)) => {
                format!("{target} has no model `{name}` ({said}): name one with --model-name: {}", list(models))
            }
            (ErrorClass::NotFound, None) => format!(
                "{target} has nothing at {} ({said}): check --base-url and --backend{}",
                target.path(self.backend.path()),
                has()
            ),
            (ErrorClass::Status, _) => {
                format!(
                    "{target} refuses the request ({said}): check --model-name, the lengths and the backend{}",
                    has()
                )
            }
            (ErrorClass::Redirect, _) => format!("{target}: {said}"),
            (ErrorClass::Timeout, _) => {
                format!("{target} gave {said}: is it still loading? --timeout sets the limit")
            }
            (ErrorClass::Protocol, _) => {
                format!("{target} is no HTTP server of a model ({said}): check --base-url")
            }
            (ErrorClass::NoToken, _) => {
                format!("{target}: {said}; is --random-output-len above 0, and is this a model that generates text?")
            }
            _ => format!("{target} cannot serve the first request: {said}"),
        }
    }
}

/// Names of models for a sentence.
pub fn list(models: &[String]) -> String {
    let named: Vec<&str> = models.iter().take(NAMED).map(String::as_str).collect();
    let more = if models.len() > NAMED { format!(" and {} more", models.len() - NAMED) } else { String::new() };
    named.join(", ") + &more
}
