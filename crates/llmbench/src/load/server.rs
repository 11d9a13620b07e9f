//! The server before the load: one request of the load itself, its models, whether it keeps connections. Whatever is wrong is said in a
//! sentence with its remedy.

use loadgen::outcome::ErrorClass;
use loadgen::serving::probe::{self, Probe, ProbeError};
use loadgen::serving::target::Target;
use serde::{Deserialize, Serialize};
use server_api::{Api, Settings};

use super::account::Counts;
use crate::{Exit, Failure};

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
    pub timeout_ns: u64,
}

/// What was found out of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The name under which the model is asked for.
    pub model: Option<String>,
    /// It streams as it was asked to.
    pub streams: bool,
    /// It says how many tokens it made.
    pub counts_tokens: bool,
    /// It closes connections that it said it would keep.
    pub closes: bool,
    /// How long the one request took, ns: over so long the users of a closed loop begin.
    pub response_ns: u64,
    /// It has a page of counters that are known.
    pub has_counters: bool,
    pub notes: Vec<String>,
}

/// Finds the name of the model: as asked for, else the server's only one.
///
/// # Errors
/// Usage: the server cannot be reached, or has several models and none was named.
pub fn model_name(access: &Access, asked: Option<&str>) -> Result<(Option<String>, Vec<String>), Failure> {
    let models = probe::models(&access.target, access.key.as_deref(), LIST_NS.min(access.timeout_ns));
    let models = models.map_err(|error| sentence(access, None, &[], &error))?.unwrap_or_default();
    let name = match (asked, models.as_slice()) {
        (Some(name), _) => Some(name.to_owned()),
        (None, []) => None,
        (None, [one]) => Some(one.clone()),
        // Names of one model: vLLM lists its adapters behind it.
        (None, several) if access.backend.names_models() => {
            return Err(Failure::usage(format!(
                "{} has several models: name one with --model-name: {}",
                access.target,
                list(several)
            )));
        }
        (None, _) => None,
    };
    Ok((name, models))
}

/// Sends one request of the load.
///
/// # Errors
/// Usage, with what is wrong and what to do.
pub fn examine(access: &Access, settings: &Settings, models: &[String], body: &[u8]) -> Result<Found, Failure> {
    let key = access.key.as_deref();
    let Probe { reply, closes, took_ns } =
        probe::probe(&access.target, access.backend, key, body, access.timeout_ns)
            .map_err(|error| sentence(access, settings.model.as_deref(), models, &error))?;
    let mut notes = Vec::new();
    if settings.stream && !reply.streamed {
        notes.push(
            "the server answers whole although a stream was asked for: there is no TTFT, no gap and no TPOT".to_owned(),
        );
    }
    let counts_tokens = reply.usage.completion.is_some();
    if !counts_tokens {
        notes.push(
            "the server does not say how many tokens it made: they are counted with the model's tokenizer".to_owned(),
        );
    }
    if reply.streamed && !reply.done && access.backend.ends_with_word() {
        notes.push(
            "the server ends its streams without the last word of its API; a reason to finish counts as the end"
                .to_owned(),
        );
    }
    if closes {
        notes.push(
            "the server closes connections that it said it would keep: each request opens its own, within its latency"
                .to_owned(),
        );
    }
    if let Some(name) = settings.model.as_ref().filter(|name| !models.is_empty() && !models.contains(name)) {
        notes.push(format!("the server answers as `{name}`, which is not in its list of models: {}", list(models)));
    }
    Ok(Found {
        model: settings.model.clone(),
        streams: reply.streamed,
        counts_tokens,
        closes,
        response_ns: took_ns,
        has_counters: Counts::fetch(access).is_some(),
        notes,
    })
}

fn sentence(access: &Access, model: Option<&str>, models: &[String], error: &ProbeError) -> Failure {
    let target = &access.target;
    let failure = match error {
        ProbeError::Open(error) => return Failure::usage(error),
        ProbeError::Failed(failure) => failure,
    };
    let said = &failure.message;
    let has = || if models.is_empty() { String::new() } else { format!("; the server has: {}", list(models)) };
    let text = match failure.class {
        ErrorClass::Unauthorized if access.key.is_none() => {
            format!("{target} wants a key ({said}): put one into the variable {} of the environment", access.key_var)
        }
        ErrorClass::Unauthorized => {
            format!("{target} refuses the key of the variable {} ({said}): check it", access.key_var)
        }
        ErrorClass::NotFound
            if model.is_some_and(|name| !models.iter().any(|has| has == name)) && !models.is_empty() =>
        {
            format!(
                "{target} has no model `{}` ({said}): name one with --model-name: {}",
                model.unwrap_or_default(),
                list(models)
            )
        }
        ErrorClass::NotFound => format!(
            "{target} has nothing at {} ({said}): check --base-url and --backend{}",
            target.path(access.backend.path()),
            has()
        ),
        ErrorClass::Status => {
            format!("{target} refuses the request ({said}): check --model-name, the lengths and the backend{}", has())
        }
        ErrorClass::Redirect => format!("{target}: {said}"),
        ErrorClass::Timeout => format!("{target} gave {said}: is it still loading? --timeout sets the limit"),
        ErrorClass::Protocol => format!("{target} is no HTTP server of a model ({said}): check --base-url"),
        ErrorClass::NoToken => {
            format!("{target}: {said}; is --random-output-len above 0, and is this a model that generates text?")
        }
        _ => format!("{target} cannot serve the first request: {said}"),
    };
    Failure::new(Exit::Usage, text)
}

fn list(models: &[String]) -> String {
    let named: Vec<&str> = models.iter().take(NAMED).map(String::as_str).collect();
    let more = if models.len() > NAMED { format!(" and {} more", models.len() - NAMED) } else { String::new() };
    named.join(", ") + &more
}
