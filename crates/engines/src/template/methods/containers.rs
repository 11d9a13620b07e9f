//! Methods of `dict`, `list` and `tuple`.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use crate::template::args::Args;
use crate::template::error::invalid;
use crate::template::pyview::PyView;

/// Names that `d.name` resolves to a method before it looks for an entry.
pub(in crate::template) const DICT_METHODS: [&str; 11] =
    ["items", "keys", "values", "get", "pop", "copy", "update", "clear", "setdefault", "popitem", "fromkeys"];

/// The immutable sandbox refuses what would change a value.
fn immutable(kind: &str, method: &str) -> Error {
    invalid(format!("access to attribute '{method}' of '{kind}' object is unsafe"))
}

fn view(items: Vec<Value>) -> Value {
    Value::from_object(PyView(items))
}

fn pairs(dict: &Value) -> Vec<(Value, Value)> {
    dict.as_object().and_then(|object| object.try_iter_pairs()).map(Iterator::collect).unwrap_or_default()
}

pub(super) fn call_dict(dict: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "items" => {
            Args::parse(method, args, &[], 0)?;
            Ok(items_view(dict))
        }
        "keys" => {
            Args::parse(method, args, &[], 0)?;
            Ok(view(pairs(dict).into_iter().map(|(key, _)| key).collect()))
        }
        "values" => {
            Args::parse(method, args, &[], 0)?;
            Ok(view(pairs(dict).into_iter().map(|(_, value)| value).collect()))
        }
        "get" => {
            let args = Args::parse(method, args, &["key", "default"], 1)?;
            let key = args.get(0).cloned().unwrap_or_default();
            let found = dict.get_item(&key)?;
            Ok(if found.is_undefined() { args.get(1).cloned().unwrap_or_else(|| Value::from(())) } else { found })
        }
        "copy" => {
            Args::parse(method, args, &[], 0)?;
            Ok(Value::from_pairs(pairs(dict)))
        }
        "pop" | "update" | "clear" | "setdefault" | "popitem" => Err(immutable("dict", method)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// `dict.items()`.
pub(in crate::template) fn items_view(dict: &Value) -> Value {
    view(pairs(dict).into_iter().map(|(key, value)| Value::from(Tuple::from([key, value]))).collect())
}

pub(super) fn call_list(state: &State, list: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let args = Args::parse(method, args, &["value"], 1)?;
            let wanted = args.get(0).cloned().unwrap_or_default();
            let mut count = 0;
            for item in list.try_iter()?.checked() {
                state.consume_fuel(1)?;
                count += i64::from(item? == wanted);
            }
            Ok(Value::from(count))
        }
        "index" => {
            let args = Args::parse(method, args, &["value", "start", "stop"], 1)?;
            let wanted = args.get(0).cloned().unwrap_or_default();
            let len = list.len().unwrap_or(0) as i64;
            let bound = |at: Option<i64>, absent: i64| match at {
                None => absent,
                Some(at) if at < 0 => (at + len).max(0),
                Some(at) => at,
            };
            let start = bound(args.integer(method, 1)?, 0);
            let stop = bound(args.integer(method, 2)?, i64::MAX);
            for (at, item) in list.try_iter()?.checked().enumerate() {
                state.consume_fuel(1)?;
                let at = at as i64;
                if item? == wanted && (start..stop).contains(&at) {
                    return Ok(Value::from(at));
                }
            }
            Err(invalid("the value is not in the list"))
        }
        "copy" if list.kind() == ValueKind::Seq => {
            Args::parse(method, args, &[], 0)?;
            Ok(list.clone())
        }
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "reverse" | "sort" => {
            Err(immutable("list", method))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}
