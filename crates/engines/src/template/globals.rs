//! Functions that `transformers` gives to a template.

use std::collections::BTreeMap;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value};

use super::error::{TemplateError, carry, invalid};
use super::now::Now;
use super::pyrepr::py_str;
use super::strftime::strftime_utc;

/// Adds `raise_exception`, `strftime_now`, `dict` and `namespace`.
pub(super) fn add(env: &mut Environment<'static>, now: Now) {
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", move |format: &str| strftime_utc(now.timestamp(), format));
    env.add_function("dict", dict);
    env.remove_global("debug");
    let namespace = env.globals().find(|(name, _)| *name == "namespace").map(|(_, function)| function);
    if let Some(namespace) = namespace {
        env.add_function("namespace", move |state: &mut State, args: Rest<ValueOrKwargs>| -> Result<Value, Error> {
            let args = args.into_values();
            for argument in args.iter().filter(|value| value.kind() == ValueKind::Map) {
                for key in argument.try_iter()? {
                    if key.as_str().is_some_and(|key| key.starts_with('_')) {
                        return Err(invalid(format!(
                            "chat templates cannot store underscore-prefixed attributes on a namespace: {key}"
                        )));
                    }
                }
            }
            // Python merges a dictionary and keywords; minijinja takes one of them.
            match args.as_slice() {
                [base, more] if more.is_kwargs() => {
                    let merged = dict(state, Some(base.clone()), Kwargs::try_from(more.clone())?)?;
                    namespace.call(state, &[merged])
                }
                _ => namespace.call(state, &args),
            }
        });
    }
}

fn raise_exception(state: &State, message: Value) -> Result<Value, Error> {
    Err(carry(TemplateError::Raised { line: 0, message: py_str(state, &message)? }))
}

/// `dict(mapping or pairs, **more)`.
fn dict(state: &State, base: Option<Value>, more: Kwargs) -> Result<Value, Error> {
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    let mut places: BTreeMap<Value, usize> = BTreeMap::new();
    let mut put = |key: Value, value: Value| match places.get(&key) {
        Some(&at) => pairs[at].1 = value,
        None => {
            places.insert(key.clone(), pairs.len());
            pairs.push((key, value));
        }
    };
    if let Some(base) = base {
        match base.as_object().filter(|_| base.kind() == ValueKind::Map) {
            Some(object) => {
                for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                    state.consume_fuel(1)?;
                    put(key, value);
                }
            }
            None => {
                for pair in base.try_iter()?.checked() {
                    state.consume_fuel(1)?;
                    let pair: Vec<Value> = pair?.try_iter()?.take(3).collect();
                    match <[Value; 2]>::try_from(pair) {
                        Ok([key, value]) => put(key, value),
                        Err(_) => return Err(invalid("dict() needs pairs of a key and a value")),
                    }
                }
            }
        }
    }
    for name in more.args() {
        put(Value::from(name), more.get(name)?);
    }
    Ok(Value::from_pairs(pairs))
}
