//! The methods of Python's `str`, `list`, `tuple` and `dict` that a sandboxed template may call.

mod containers;
mod strings;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

pub(super) use containers::DICT_METHODS;
pub(super) use strings::{capitalize, strip};

/// Calls `receiver.name(*args)`; minijinja asks for what its own values lack.
///
/// # Errors
/// `UnknownMethod` if Python has no such method, an operation error for wrong arguments.
pub(super) fn call_method(state: &State, receiver: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match receiver.kind() {
        ValueKind::String => match receiver.as_str() {
            Some(text) => strings::call(state, text, name, args),
            None => Err(Error::from(ErrorKind::UnknownMethod)),
        },
        ValueKind::Map => containers::call_dict(receiver, name, args),
        ValueKind::Seq | ValueKind::Iterable => containers::call_list(state, receiver, name, args),
        ValueKind::Undefined => Err(Error::new(
            ErrorKind::UndefinedError,
            format!("the value has no method {name} because it is undefined"),
        )),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}
