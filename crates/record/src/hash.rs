//! The identity of a plan.
//!
//! The hash is SHA-256 over canonical JSON (keys sorted, no white space) of the plan, less what may differ between two
//! plans that measure the same thing: the timestamp, the program of a subject, absolute paths (and lists of them) in its
//! arguments and environment, the wording of why a subject is unavailable, and the locks (which a resume compares by
//! themselves, so that it can name the one that differs). Names and SHA-256 of the model, workloads, cells, runs, seed and
//! settings count in full.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plan::Plan;

/// Lower-case hex SHA-256 of bytes.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Stands where a path of the machine stood.
const PATH_MARK: &str = "<path>";

/// Lower-case hex SHA-256 that two plans share exactly when they measure the same thing in the same order.
pub fn plan_sha256(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).expect("a plan has string keys and finite numbers only");
    if let Some(map) = value.as_object_mut() {
        map.remove("timestamp");
    }
    let subjects = value.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        strip_machine(subject);
    }
    hex::encode(Sha256::digest(canonical_json(&value).as_bytes()))
}

/// The first eight digits of a plan's hash, as run folders are named.
pub fn plan8(plan_sha256: &str) -> &str {
    plan_sha256.get(..8).unwrap_or(plan_sha256)
}

fn strip_machine(subject: &mut Value) {
    let Some(map) = subject.as_object_mut() else { return };
    map.remove("program");
    map.remove("lock");
    for argument in map.get_mut("args").and_then(Value::as_array_mut).into_iter().flatten() {
        mark_path(argument);
    }
    for (_, value) in map.get_mut("env").and_then(Value::as_object_mut).into_iter().flatten() {
        mark_path(value);
    }
    if let Some(reason) = map.get_mut("unavailable").and_then(|u| u.get_mut("reason")) {
        *reason = Value::Null;
    }
}

fn mark_path(value: &mut Value) {
    if value.as_str().is_some_and(|text| text.split(':').all(|part| part.starts_with('/'))) {
        *value = Value::from(PATH_MARK);
    }
}

/// JSON with sorted keys and no white space.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
