//! jinja2's filters where minijinja's do otherwise or are missing.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::format::percent_format;
use super::json::tojson;
use super::methods::{capitalize, strip};
use super::pyrepr::py_str;
use super::source::PERCENT;

/// Replaces and adds the filters.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_filter("tojson", tojson);
    env.add_filter("string", string);
    env.add_filter("trim", trim);
    env.add_filter("capitalize", |state: &State, value: &Value| {
        py_str(state, value).map(|text| capitalize(&text))
    });
    env.add_filter(PERCENT, percent_format);
}

/// `str(value)`.
fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value.clone());
    }
    py_str(state, value).map(Value::from)
}

/// `str(value).strip(chars)`.
fn trim(state: &State, value: &Value, chars: Option<&str>) -> Result<Value, Error> {
    match value.as_str().filter(|_| value.kind() == ValueKind::String) {
        Some(text) => {
            let short = strip(text, chars, true, true);
            Ok(if short.len() == text.len() { value.clone() } else { Value::from(short) })
        }
        None => py_str(state, value).map(|text| Value::from(strip(&text, chars, true, true))),
    }
}
