//! What a server is to be, read from its start request.

use engines::EngineError;
use record::protocol::PROTOCOL;
use record::protocol::serve::StartServer;
use serde_json::Value;

/// Requests that may wait in the channel to the threads, for each of them.
const QUEUE_A_WORKER: usize = 16;

/// A strategy by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Inline,
    PassThrough,
    SpawnBlocking,
    Rayon,
    Threads,
}

const KINDS: [(&str, Kind); 5] = [
    ("rust-inline", Kind::Inline),
    ("rust-spawn-blocking", Kind::SpawnBlocking),
    ("rust-rayon", Kind::Rayon),
    ("rust-threads", Kind::Threads),
    ("pass-through", Kind::PassThrough),
];

/// Strategy and parameters, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub kind: Kind,
    /// Threads beside the front end, where the strategy has any.
    pub workers: usize,
    /// `params.objects=per-thread`: each of the threads loads tokenizer and template for itself.
    pub per_thread: bool,
    /// `params.queue`: requests that may wait in the channel to the threads.
    pub queue: usize,
}

impl Settings {
    /// # Errors
    /// Another version of the protocol, a strategy or a parameter that is not known.
    pub fn of(start: &StartServer) -> Result<Self, EngineError> {
        if start.protocol != PROTOCOL {
            return Err(EngineError::Failed(format!(
                "this server speaks version {PROTOCOL} of the protocol and was asked for {}; use the worker that comes with this llmbench",
                start.protocol
            )));
        }
        let Some(&(_, kind)) = KINDS.iter().find(|(name, _)| *name == start.strategy) else {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            return Err(EngineError::Unavailable(format!(
                "the native worker has no strategy {}; it has: {}",
                start.strategy,
                names.join(", ")
            )));
        };
        let workers = usize::try_from(start.workers).ok().filter(|&workers| workers > 0).ok_or_else(|| {
            EngineError::Failed(format!("workers must be a positive whole number, not {}", start.workers))
        })?;
        let per_thread = match start.params.get("objects") {
            None => false,
            Some(Value::String(objects)) if objects == "shared" => false,
            Some(Value::String(objects)) if objects == "per-thread" && kind == Kind::Threads => true,
            Some(other) => {
                let known = if kind == Kind::Threads { "shared, per-thread" } else { "shared" };
                return Err(EngineError::Unavailable(format!(
                    "{} knows no objects {other}; it knows: {known}",
                    start.strategy
                )));
            }
        };
        let queue = match start.params.get("queue") {
            None => QUEUE_A_WORKER.saturating_mul(workers),
            Some(value) => value
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
                .filter(|&number| number > 0)
                .ok_or_else(|| EngineError::Failed(format!("queue must be a positive whole number, not {value}")))?
                as usize,
        };
        Ok(Self { kind, workers, per_thread, queue })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(strategy: &str, workers: u32, params: Value) -> Result<Settings, EngineError> {
        let start = json!({"protocol": PROTOCOL, "model": {"dir": "m", "tiktoken": null}, "timestamp": 0,
            "strategy": strategy, "workers": workers, "params": params, "pipeline": {}, "socket": "s",
            "inputs": {"requests": "r", "texts": "t", "pool": 1, "warmup": 1}});
        Settings::of(&serde_json::from_value(start).unwrap())
    }

    #[test]
    fn parameters_have_defaults_and_are_checked() {
        let settings = of("rust-threads", 3, json!({})).unwrap();
        assert_eq!(settings, Settings { kind: Kind::Threads, workers: 3, per_thread: false, queue: 48 });
        let settings = of("rust-threads", 2, json!({"objects": "per-thread", "queue": 5})).unwrap();
        assert!(settings.per_thread && settings.queue == 5);
        for (strategy, workers, params, kind, said) in [
            ("inline", 1, json!({}), "unavailable", "rust-inline"),
            ("rust-rayon", 0, json!({}), "failed", "workers"),
            ("rust-threads", 1, json!({"queue": 0}), "failed", "queue"),
            ("rust-threads", 1, json!({"objects": "global"}), "unavailable", "per-thread"),
            ("rust-rayon", 1, json!({"objects": "per-thread"}), "unavailable", "it knows: shared"),
        ] {
            let error = of(strategy, workers, params).unwrap_err();
            assert_eq!(matches!(error, EngineError::Unavailable(_)), kind == "unavailable", "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
