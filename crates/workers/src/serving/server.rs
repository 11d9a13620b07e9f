//! The server that is asked: one that was named, or our mock, which is started here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use loadgen::serving::probe;
use loadgen::serving::target::Target;
use record::protocol::target::{Patience, TARGET_VAR, TargetCommand};

use crate::child::Listening;
use crate::driving::Refusal;

/// For the list of models.
const PROBE_NS: u64 = 10_000_000_000;

/// The server, once it is needed.
pub struct Servers {
    command: Option<TargetCommand>,
    running: Option<Running>,
}

/// A server that can be asked.
pub struct Running {
    pub target: Target,
    /// The server's name of the model.
    pub model: Option<String>,
    /// Never shown.
    key: Option<String>,
    mock: Option<Listening>,
}

impl Servers {
    pub fn from_env() -> Self {
        let command = std::env::var(TARGET_VAR).ok().and_then(|text| serde_json::from_str(&text).ok());
        Self { command, running: None }
    }

    /// How the server is reached, and this program.
    pub fn command(&self) -> Option<&TargetCommand> {
        self.command.as_ref()
    }

    /// How long things may take.
    pub fn patience(&self) -> Patience {
        self.command.as_ref().map_or_else(Patience::default, |command| command.patience)
    }

    /// The server; a mock that has ended is started again. `model` is the folder whose template and tokenizer the mock has.
    ///
    /// # Errors
    /// It cannot be reached or started; the sentence says why.
    pub fn get(&mut self, model: &Path) -> Result<&Running, Refusal> {
        let gone = self.running.as_mut().and_then(|running| running.mock.as_mut()).is_some_and(Listening::has_ended);
        if gone {
            self.stop();
        }
        if self.running.is_none() {
            let command = self.command.as_ref().ok_or_else(|| {
                Refusal::failed(format!("this worker asks servers of models and was not told which ({TARGET_VAR})"))
            })?;
            self.running = Some(Running::start(command, model)?);
        }
        self.running.as_ref().ok_or_else(|| Refusal::failed("the server is gone"))
    }

    /// Ends the mock, if there is one.
    pub fn stop(&mut self) {
        self.running = None;
    }
}

impl Running {
    /// # Errors
    /// It cannot be reached or started, has no such model, or its key is not in the environment.
    pub fn start(command: &TargetCommand, model: &Path) -> Result<Self, Refusal> {
        let (url, mock) = match &command.base_url {
            Some(url) => (url.clone(), None),
            None => {
                let mut args: Vec<OsString> = command.mock.iter().map(OsString::from).collect();
                args.extend(["--tokenizer".into(), model.as_os_str().to_owned()]);
                let (mock, url) = Listening::start("mock", &command.program, &args).map_err(Refusal::failed)?;
                (url, Some(mock))
            }
        };
        let target: Target = url.parse().map_err(Refusal::failed)?;
        let key = match &command.key_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                Refusal::failed(format!(
                    "the environment has no {name}, which is to hold the key; set it, or leave out --api-key-env"
                ))
            })?),
        };
        let models = probe::models(&target, key.as_deref(), PROBE_NS)
            .map_err(|error| Refusal::failed(format!("{target} cannot be asked: {error}")))?;
        let model = match (&command.model, models) {
            (Some(name), Some(known)) if !known.contains(name) && !known.is_empty() => {
                return Err(Refusal::failed(format!(
                    "the server {target} has no model {name:?}; it has: {}; name one of them with --model-name",
                    known.join(", ")
                )));
            }
            (Some(name), _) => Some(name.clone()),
            (None, known) => known.and_then(|known| known.into_iter().next()),
        };
        Ok(Self { target, model, key, mock })
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub fn is_mock(&self) -> bool {
        self.mock.is_some()
    }

    /// Root of the server's processes, where it was started here.
    pub fn pid(&self) -> Option<u32> {
        self.mock.as_ref().map(Listening::pid)
    }

    /// What a record says of it.
    pub fn described(&self) -> BTreeMap<String, String> {
        let shown = if self.is_mock() { "llmbench mock".to_owned() } else { self.target.to_string() };
        let model = self.model.clone().unwrap_or_else(|| "unnamed".to_owned());
        BTreeMap::from([("server".to_owned(), shown), ("server_model".to_owned(), model)])
    }
}
