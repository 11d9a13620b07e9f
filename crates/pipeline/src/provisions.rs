//! What must be there before a plan can be made and measured.

use std::path::PathBuf;

use host::Machine;
use provision::cache;
use provision::model::Model;
use record::plan::ModelIdentity;
use runner::interrupt::Interrupt;

use super::exit::Failure;
use super::model::{self, BUILT_IN, ModelPrompt};
use super::observer::Observer;
use super::settings::Settings;
use super::subjects::{self, Found, Workshop};

/// All that a run needs, ready to use.
pub struct Provisions {
    pub machine: Machine,
    pub cache: PathBuf,
    pub model: Model,
    pub prompt: ModelPrompt,
    pub subjects: Vec<Found>,
    /// The one time that templates see, Unix seconds.
    pub timestamp: i64,
}

/// What planning knows of the provisions.
pub struct Expected {
    pub model: ModelIdentity,
    /// The model's vocabulary is one that tiktoken has.
    pub tiktoken: bool,
    pub subjects: Vec<Found>,
    /// Affinity ∩ cgroup quota.
    pub cores: u32,
    /// Unix seconds.
    pub timestamp: i64,
}

impl Provisions {
    /// Fetches and makes what is not there yet.
    ///
    /// # Errors
    /// Usage: the model cannot be opened or the cache cannot be written. An interpreter that cannot be had is none.
    pub fn make(
        settings: &Settings,
        machine: Machine,
        timestamp: i64,
        interrupt: &Interrupt,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let cache = cache::root().map_err(Failure::usage)?;
        let model = model::open(settings.model.as_deref(), &cache, observer)?;
        let prompt = ModelPrompt::load(&model, settings.model.as_deref(), timestamp)?;
        let workshop = Workshop { cache: &cache, observer, cancelled: &|| interrupt.is_set() };
        let subjects = subjects::find(settings, Some(workshop))?;
        Ok(Self { machine, model, prompt, subjects, timestamp, cache })
    }

    /// What planning needs to know of them.
    pub fn known(&self) -> Expected {
        Expected {
            model: self.model.identity.clone(),
            tiktoken: self.model.paths.tiktoken.is_some(),
            subjects: self.subjects.clone(),
            cores: self.machine.effective_cores,
            timestamp: self.timestamp,
        }
    }
}

impl Expected {
    /// What a run would have; nothing is fetched or made.
    ///
    /// # Errors
    /// This binary cannot be found.
    pub fn of(settings: &Settings, machine: &Machine) -> Result<Self, Failure> {
        let name = settings.model.clone().unwrap_or_else(|| BUILT_IN.to_owned());
        Ok(Self {
            tiktoken: name == BUILT_IN,
            model: ModelIdentity { name, sha256: String::new() },
            subjects: subjects::find(settings, None)?,
            cores: machine.effective_cores,
            timestamp: 0,
        })
    }
}
