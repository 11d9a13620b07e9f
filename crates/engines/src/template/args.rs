//! Arguments of a Python call.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::error::invalid;

/// Arguments of a call, matched to parameter names.
pub(super) struct Args {
    values: Vec<Option<Value>>,
}

impl Args {
    /// Matches positional and keyword arguments to `names`; `required` of them must be there.
    pub(super) fn parse(method: &str, args: &[Value], names: &[&str], required: usize) -> Result<Args, Error> {
        let (positional, keywords) = match args.split_last() {
            Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
            _ => (args, None),
        };
        if positional.len() > names.len() {
            return Err(invalid(format!(
                "{method}() takes at most {} arguments, got {}",
                names.len(),
                positional.len()
            )));
        }
        let mut values: Vec<Option<Value>> = positional.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        if let Some(keywords) = keywords {
            for key in keywords.try_iter()? {
                let key = key.as_str().unwrap_or_default();
                match names.iter().position(|name| *name == key) {
                    Some(at) if values[at].is_none() => values[at] = Some(keywords.get_attr(key)?),
                    _ => return Err(invalid(format!("{method}() does not take the argument {key}"))),
                }
            }
        }
        if values.iter().take(required).any(Option::is_none) {
            return Err(invalid(format!("{method}() takes at least {required} arguments")));
        }
        Ok(Args { values })
    }

    /// The argument at a position, if it was given.
    pub(super) fn get(&self, at: usize) -> Option<&Value> {
        self.values.get(at).and_then(Option::as_ref)
    }

    /// A string argument; `None` (the Python value) counts as absent.
    pub(super) fn text(&self, method: &str, at: usize) -> Result<Option<&str>, Error> {
        match self.get(at) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) if value.kind() == ValueKind::String => Ok(value.as_str()),
            Some(value) => Err(invalid(format!("{method}() needs a string, got {}", value.kind()))),
        }
    }

    /// A string argument that must be there.
    pub(super) fn required_text(&self, method: &str, at: usize) -> Result<&str, Error> {
        self.text(method, at)?.ok_or_else(|| invalid(format!("{method}() needs a string, got none")))
    }

    /// An integer argument; booleans are integers in Python.
    pub(super) fn integer(&self, method: &str, at: usize) -> Result<Option<i64>, Error> {
        match self.get(at) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) if value.kind() == ValueKind::Bool => Ok(Some(i64::from(value.is_true()))),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| invalid(format!("{method}() needs an integer, got {}", value.kind()))),
        }
    }
}
