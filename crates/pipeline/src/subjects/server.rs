//! The worker that asks a server of models: the one that was named, or the mock.

use std::collections::BTreeMap;

use provision::cache;
use runner::subject::INHERIT_VAR;

use super::{Failure, Found, planned, program, worker};
use crate::settings::Settings;
use record::protocol::target::{TARGET_VAR, TargetCommand};
use suites::settings::PlannedSubject;

/// The mock that is asked where no server is named: steps of 5 ms, 100,000 prompt tokens a second, and a front end with one worker that takes
/// 11 µs a message for the template and 1.9 µs a token for the tokenizer: what transformers 5.23 took of a chat of 100 turns and 10,000
/// tokens in the recorded run on 2 cores (2.2 and 19.1 ms). To that the worker adds `--tokenizer`, the plan's model.
const MOCK: [&str; 13] = [
    "mock",
    "--port",
    "0",
    "--step-ms",
    "5",
    "--prefill-us",
    "10",
    "--decode-us",
    "20",
    "--front-message-us",
    "11",
    "--front-token-us",
    "1.9",
];

/// The worker, with what it must know of the server.
///
/// # Errors
/// When this binary cannot be found.
pub fn asker(settings: &Settings) -> Result<Found, Failure> {
    let program = program()?;
    let server = &settings.server;
    let command = TargetCommand {
        base_url: server.base_url.clone(),
        model: server.model_name.clone(),
        key_env: server.key_env.clone(),
        program: program.clone(),
        mock: MOCK.map(str::to_owned).to_vec(),
        patience: Default::default(),
    };
    let command = serde_json::to_string(&command).map_err(Failure::bug)?;
    // The mock and the sidecar, which the worker starts, open the model by themselves.
    let cache = cache::root().map_err(Failure::usage)?.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([(TARGET_VAR.to_owned(), command), (cache::CACHE_VAR.to_owned(), cache)]);
    // The name of the variable with the key; its value stands in no plan.
    env.extend(server.key_env.iter().map(|name| (INHERIT_VAR.to_owned(), name.clone())));
    let args = vec!["worker".to_owned(), "serving".to_owned()];
    let id = if server.base_url.is_some() { "server" } else { "mock" };
    let spec = worker(id.to_owned(), "serving", program, args, env);
    Ok(Found { planned: PlannedSubject { serves: "model".to_owned(), ..planned(&spec, false) }, spec })
}
