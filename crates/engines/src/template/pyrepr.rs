//! `str()` and `repr()` of template values as Python prints them.

use std::fmt::{self, Write};

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::pynumber::{BigInt, as_float, float_repr};
use super::text::Text;
use super::unicode::is_printable;

/// `repr` of a string.
pub(super) fn write_str_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for ch in text.chars() {
        match ch {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if ch == quote => {
                out.push('\\');
                out.push(ch);
            }
            _ if is_printable(ch) => out.push(ch),
            _ => {
                let code = ch as u32;
                // Writing to a String cannot fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Appends `repr(value)`.
pub(super) fn write_repr(text: &mut Text<'_>, value: &Value, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => match value.as_str() {
            // What `safe` and `escape` return.
            Some(string) if value.is_safe() => {
                text.buf.push_str("Markup(");
                write_str_repr(&mut text.buf, string);
                text.buf.push(')');
            }
            Some(string) => write_str_repr(&mut text.buf, string),
            None => text.buf.push_str(&value.to_string()),
        },
        ValueKind::Undefined => text.buf.push_str("Undefined"),
        ValueKind::Map => {
            let Some(pairs) = value.as_object().and_then(|object| object.try_iter_pairs()) else {
                text.buf.push_str(&value.to_string());
                return Ok(());
            };
            text.buf.push('{');
            for (index, (key, item)) in pairs.enumerate() {
                text.item(depth)?;
                if index > 0 {
                    text.buf.push_str(", ");
                }
                write_repr(text, &key, depth + 1)?;
                text.buf.push_str(": ");
                write_repr(text, &item, depth + 1)?;
            }
            text.buf.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            text.buf.push(open);
            let mut count = 0usize;
            for item in value.try_iter()?.checked() {
                text.item(depth)?;
                if count > 0 {
                    text.buf.push_str(", ");
                }
                count += 1;
                write_repr(text, &item?, depth + 1)?;
            }
            if count == 1 && value.is_tuple() {
                text.buf.push(',');
            }
            text.buf.push(close);
        }
        _ => write_scalar(text, value),
    }
    Ok(())
}

/// `repr` without a budget: values of a conversation are trees, so their text is as long as their JSON.
pub(super) fn render_repr(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Text::new(None);
    write_repr(&mut text, value, 0).map_err(|_| fmt::Error)?;
    f.write_str(&text.buf)
}

/// Numbers, booleans, None and objects that are no container.
fn write_scalar(text: &mut Text<'_>, value: &Value) {
    if let Some(float) = as_float(value) {
        text.buf.push_str(&float_repr(float));
    } else if let Some(big) = value.downcast_object_ref::<BigInt>() {
        text.buf.push_str(&big.digits);
    } else {
        let _ = write!(text.buf, "{value}");
    }
}

/// Appends `str(value)` as jinja2 prints it; an undefined value prints nothing.
pub(super) fn write_str(text: &mut Text<'_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::String => {
            text.buf.push_str(value.as_str().unwrap_or_default());
            Ok(())
        }
        _ => write_repr(text, value, 0),
    }
}

/// `str(value)` for a template: pays for its size.
pub(super) fn py_str(state: &State, value: &Value) -> Result<String, Error> {
    let mut text = Text::new(Some(state));
    write_str(&mut text, value)?;
    Ok(text.buf)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Tuple;

    use super::*;

    fn repr(value: &Value) -> String {
        let mut text = Text::new(None);
        write_repr(&mut text, value, 0).unwrap();
        text.buf
    }

    #[test]
    fn containers_and_strings_print_as_in_python() {
        let value = Value::from_pairs([
            ("a", Value::from(vec![Value::from(1), Value::from(()), Value::from(true)])),
            ("it's", Value::from("q\"'\u{a0}\n\u{1f600}\u{200b}")),
            ("t", Value::from(Tuple::from([Value::from(1.0)]))),
        ]);
        assert_eq!(repr(&value), r#"{'a': [1, None, True], "it's": 'q"\'\xa0\n😀\u200b', 't': (1.0,)}"#);
    }
}
