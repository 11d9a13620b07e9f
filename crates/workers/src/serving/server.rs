//! The server that is asked: one that was named, or our mock, which is started here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use loadgen::serving::server::{Access, list};
use record::protocol::target::{Patience, TARGET_VAR, TargetCommand};

use crate::child::Listening;
use crate::load_worker::Refusal;

/// For what is asked of the server besides requests, ns.
const ASIDE_NS: u64 = 10_000_000_000;

/// The server, once it is needed.
pub struct Servers {
    command: Option<TargetCommand>,
    running: Option<Running>,
}

/// A server that can be asked.
pub struct Running {
    /// In the API of a server's list of models; each way to ask has its own.
    pub access: Access,
    /// The server's name of the model.
    pub model: Option<String>,
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
        let key = match &command.key_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                Refusal::failed(format!(
                    "the environment has no {name}, which is to hold the key; set it, or leave out --api-key-env"
                ))
            })?),
        };
        let access = Access {
            target: url.parse().map_err(Refusal::failed)?,
            backend: server_api::OPENAI_CHAT,
            key,
            key_var: command.key_env.clone().unwrap_or_default(),
            timeout_ns: ASIDE_NS,
        };
        let models = access.models().map_err(Refusal::failed)?;
        let model = match &command.model {
            Some(name) if !models.contains(name) && !models.is_empty() => {
                return Err(Refusal::failed(format!(
                    "the server {} has no model {name:?}; it has: {}; name one of them with --model-name",
                    access.target,
                    list(&models)
                )));
            }
            Some(name) => Some(name.clone()),
            None => models.into_iter().next(),
        };
        Ok(Self { access, model, mock })
    }

    pub fn key(&self) -> Option<&str> {
        self.access.key.as_deref()
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
        let shown = if self.is_mock() { "llmbench mock".to_owned() } else { self.access.target.to_string() };
        let model = self.model.clone().unwrap_or_else(|| "unnamed".to_owned());
        BTreeMap::from([("server".to_owned(), shown), ("server_model".to_owned(), model)])
    }
}
