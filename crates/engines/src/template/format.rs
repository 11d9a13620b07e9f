//! `str.format` and `%` formatting.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::error::invalid;
use super::text::pay_bytes;

/// Widest field that a template may ask for, in characters.
const MAX_WIDTH: usize = 10_000;

/// Refuses a width or precision that would only serve to fill the memory.
fn check_widths(state: &State, template: &str, args: &[Value]) -> Result<(), Error> {
    let mut width = 0usize;
    for ch in template.chars() {
        width = match ch.to_digit(10) {
            Some(digit) => width.saturating_mul(10).saturating_add(digit as usize),
            None => 0,
        };
        if width > MAX_WIDTH {
            return Err(invalid(format!("a format asks for a field wider than {MAX_WIDTH} characters")));
        }
    }
    // `*` and `{:{}}` take the width from an argument.
    if template.contains('*') || template.contains(":{") {
        let wide = |value: &Value| value.as_i64().is_some_and(|width| width.unsigned_abs() > MAX_WIDTH as u64);
        if args.iter().any(wide) {
            return Err(invalid(format!("a format asks for a field wider than {MAX_WIDTH} characters")));
        }
    }
    pay_bytes(state, template.len())
}

/// `template.format(*args)`.
pub(super) fn str_format(state: &State, template: &str, args: &[Value]) -> Result<String, Error> {
    check_widths(state, template, args)?;
    format(FormatStyle::StrFormat, template, args)
}

/// `template % argument`: a tuple holds the arguments, a dict the named ones, anything else is the only one.
pub(super) fn percent_format(state: &State, template: &Value, argument: &Value) -> Result<Value, Error> {
    let Some(text) = template.as_str().filter(|_| template.kind() == ValueKind::String) else {
        return Err(invalid(format!("% formats a string, got {}", template.kind())));
    };
    let args: Vec<Value> = if argument.is_tuple() { argument.try_iter()?.collect() } else { vec![argument.clone()] };
    check_widths(state, text, &args)?;
    format(FormatStyle::Printf, text, &args).map(Value::from)
}
