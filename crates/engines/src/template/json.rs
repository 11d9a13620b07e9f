//! `json.dumps` of template values: the `tojson` of `transformers`.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value};

use super::args::Args;
use super::error::invalid;
use super::pynumber::{BigInt, as_float, float_repr};
use super::text::{Text, pay_bytes};

/// Deepest indentation text that a template may ask for, in bytes.
const MAX_INDENT: usize = 256;

/// How `json.dumps` was called.
struct Style {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// `tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let args = Args::parse("tojson", &args, &names, 0)?;
    let option = |at: usize| args.get(at).filter(|value| !value.is_none());
    let ascii = option(0).is_some_and(Value::is_true);
    let indent = option(1).map(indent_text).transpose()?;
    let separators = option(2);
    let sort = option(3).is_some_and(Value::is_true);
    let (item, key) = match separators {
        Some(pair) => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            match pair.as_slice() {
                [item, key] => match (item.as_str(), key.as_str()) {
                    (Some(item), Some(key)) => (item.to_owned(), key.to_owned()),
                    _ => return Err(invalid("tojson: separators must be two strings")),
                },
                _ => return Err(invalid("tojson: separators must be two strings")),
            }
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let style = Style { ascii, indent, item, key, sort };
    let mut text = Text::new(Some(state));
    write(&mut text, value, &style, 0)?;
    pay_bytes(state, text.buf.len())?;
    Ok(text.buf)
}

/// `indent` is a number of spaces or the text itself.
fn indent_text(value: &Value) -> Result<String, Error> {
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let count = if value.kind() == ValueKind::Bool {
                i64::from(value.is_true())
            } else {
                value.as_i64().ok_or_else(|| invalid("tojson: indent must be a number or a string"))?
            };
            let count = usize::try_from(count).unwrap_or(0);
            " ".repeat(count.min(MAX_INDENT + 1))
        }
    };
    if text.len() > MAX_INDENT {
        return Err(invalid(format!("tojson: indent is wider than {MAX_INDENT}")));
    }
    Ok(text)
}

fn write(text: &mut Text<'_>, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => write_string(&mut text.buf, value.as_str().unwrap_or_default(), style.ascii),
        ValueKind::None => text.buf.push_str("null"),
        ValueKind::Bool => text.buf.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Map => {
            let mut pairs: Vec<(Value, Value)> =
                value.as_object().and_then(|object| object.try_iter_pairs()).map(Iterator::collect).unwrap_or_default();
            if style.sort {
                pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            text.buf.push('{');
            for (index, (key, item)) in pairs.iter().enumerate() {
                text.item(depth)?;
                separate(text, style, index, depth + 1);
                write_key(text, key, style)?;
                text.buf.push_str(&style.key);
                write(text, item, style, depth + 1)?;
            }
            if !pairs.is_empty() {
                line(text, style, depth);
            }
            text.buf.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            text.buf.push('[');
            let mut count = 0;
            for item in value.try_iter()?.checked() {
                text.item(depth)?;
                separate(text, style, count, depth + 1);
                write(text, &item?, style, depth + 1)?;
                count += 1;
            }
            if count > 0 {
                line(text, style, depth);
            }
            text.buf.push(']');
        }
        _ => text.buf.push_str(&number(value)?),
    }
    Ok(())
}

/// The separator before item `index`, and the line break if there is indentation.
fn separate(text: &mut Text<'_>, style: &Style, index: usize, depth: usize) {
    if index > 0 {
        text.buf.push_str(&style.item);
    }
    line(text, style, depth);
}

fn line(text: &mut Text<'_>, style: &Style, depth: usize) {
    if let Some(indent) = &style.indent {
        text.buf.push('\n');
        for _ in 0..depth {
            text.buf.push_str(indent);
        }
    }
}

/// Keys that are no text become text as `json.dumps` does it.
fn write_key(text: &mut Text<'_>, key: &Value, style: &Style) -> Result<(), Error> {
    match key.kind() {
        ValueKind::String => {
            write_string(&mut text.buf, key.as_str().unwrap_or_default(), style.ascii);
        }
        ValueKind::None => text.buf.push_str("\"null\""),
        ValueKind::Bool => text.buf.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
        _ => {
            let digits = number(key)?;
            text.buf.push('"');
            text.buf.push_str(&digits);
            text.buf.push('"');
        }
    }
    Ok(())
}

fn number(value: &Value) -> Result<String, Error> {
    if let Some(float) = as_float(value) {
        return Ok(match float_repr(float).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            digits => digits.to_owned(),
        });
    }
    if let Some(big) = value.downcast_object_ref::<BigInt>() {
        return Ok(big.digits.clone());
    }
    if value.is_integer() {
        return Ok(value.to_string());
    }
    Err(invalid(format!("tojson: {} is not JSON serializable", value.kind())))
}

/// A JSON string; with `ascii`, everything else is escaped in UTF-16 units.
pub(super) fn write_string(out: &mut String, value: &str, ascii: bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    fn unit(out: &mut String, unit: u16) {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from(HEX[usize::from(unit >> shift & 15)]));
        }
    }
    out.push('"');
    let mut start = 0;
    for (at, ch) in value.char_indices() {
        let plain = match ch {
            '"' | '\\' => false,
            ' '..='~' => true,
            _ => ch >= ' ' && !ascii,
        };
        if plain {
            continue;
        }
        out.push_str(&value[start..at]);
        start = at + ch.len_utf8();
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ => {
                for &part in ch.encode_utf16(&mut [0; 2]).iter() {
                    unit(out, part);
                }
            }
        }
    }
    out.push_str(&value[start..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::write_string;

    #[test]
    fn strings_escape_as_json_dumps_does() {
        let mut plain = String::new();
        write_string(&mut plain, "<a&'> \"\\\n\u{1}\u{7f}é😀\u{2028}", false);
        assert_eq!(plain, "\"<a&'> \\\"\\\\\\n\\u0001\u{7f}é😀\u{2028}\"");
        let mut ascii = String::new();
        write_string(&mut ascii, "é😀\u{7f}", true);
        assert_eq!(ascii, "\"\\u00e9\\ud83d\\ude00\\u007f\"");
    }
}
