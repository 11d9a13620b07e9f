//! jinja2's filters where minijinja's do otherwise or are missing.

use minijinja::value::{Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value};

use super::args::Args;
use super::error::invalid;
use super::format::percent_format;
use super::json::tojson;
use super::methods::{call_method, capitalize, strip};
use super::pynumber::{BigInt, PyFloat, as_float};
use super::pyrepr::py_str;
use super::source::PERCENT;
use super::text::pay_bytes;

/// Replaces and adds the filters.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_filter("tojson", tojson);
    env.add_filter("string", string);
    env.add_filter("trim", trim);
    env.add_filter("capitalize", |state: &State, value: &Value| py_str(state, value).map(|text| capitalize(&text)));
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("indent", indent);
    env.add_filter("dictsort", dictsort);
    env.add_filter("escape", escape);
    env.add_filter("e", escape);
    env.add_filter("wordcount", wordcount);
    env.add_filter("center", |state: &State, value: &Value, width: Option<Value>| {
        let text = Value::from(py_str(state, value)?);
        call_method(state, &text, "center", &[width.unwrap_or_else(|| Value::from(80))])
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

/// `default(value, default_value='', boolean=False)`.
fn default(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let args = Args::parse("default", &args, &["default_value", "boolean"], 0)?;
    let falsy = args.get(1).is_some_and(Value::is_true) && !value.is_true();
    if value.is_undefined() || falsy {
        return Ok(args.get(0).cloned().unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

/// `int(value, default=0, base=10)`: the default where Python's `int()` and `int(float())` both fail.
fn int(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let args = Args::parse("int", &args, &["default", "base"], 0)?;
    let absent = args.get(0).cloned().unwrap_or_else(|| Value::from(0));
    if value.is_undefined() {
        return Err(invalid("int: the value is undefined"));
    }
    if value.is_integer() || value.downcast_object_ref::<BigInt>().is_some() {
        return Ok(value.clone());
    }
    if value.kind() == ValueKind::Bool {
        return Ok(Value::from(i64::from(value.is_true())));
    }
    let whole = |float: f64| {
        // The cast is exact for whole numbers within the range of i128.
        (float.abs() < 1e38).then(|| Value::from(float.trunc() as i128))
    };
    if let Some(number) = as_float(value) {
        return Ok(whole(number).unwrap_or(absent));
    }
    let Some(text) = value.as_str() else { return Ok(absent) };
    let base = args.integer("int", 1)?.unwrap_or(10);
    let text = strip(text, None, true, true).replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let lower = digits.to_lowercase();
    let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
    if let Some(radix) = u32::try_from(base).ok().filter(|radix| (2..=36).contains(radix))
        && let Ok(number) = i128::from_str_radix(&format!("{sign}{digits}"), radix)
    {
        return Ok(Value::from(number));
    }
    if base == 10 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let digits = digits.trim_start_matches('0');
        return Ok(BigInt::value(&format!("{sign}{digits}")));
    }
    Ok(text.parse::<f64>().ok().and_then(whole).unwrap_or(absent))
}

/// `float(value, default=0.0)`.
fn float(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let args = Args::parse("float", &args, &["default"], 0)?;
    let absent = args.get(0).cloned().unwrap_or_else(|| Value::from(0.0));
    if value.is_undefined() {
        return Err(invalid("float: the value is undefined"));
    }
    let number = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::String => {
            value.as_str().and_then(|text| strip(text, None, true, true).replace('_', "").parse().ok())
        }
        _ => as_float(value).or_else(|| f64::try_from(value.clone()).ok()),
    };
    Ok(number.map_or(absent, PyFloat::value))
}

/// `indent(s, width=4, first=False, blank=False)`; `width` is a number of spaces or the text itself.
fn indent(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let args = Args::parse("indent", &args, &["width", "first", "blank"], 0)?;
    let margin = match args.get(0).and_then(|width| width.as_str()) {
        Some(text) => text.to_owned(),
        None => {
            let width = usize::try_from(args.integer("indent", 0)?.unwrap_or(4)).unwrap_or(0);
            pay_bytes(state, width)?;
            " ".repeat(width)
        }
    };
    let flag = |at: usize| args.get(at).is_some_and(Value::is_true);
    let text = py_str(state, value)? + "\n";
    let text = Value::from(text);
    let lines = call_method(state, &text, "splitlines", &[])?;
    let mut out = String::new();
    for (at, line) in lines.try_iter()?.checked().enumerate() {
        let line = line?;
        let line = line.as_str().unwrap_or_default();
        pay_bytes(state, margin.len() + line.len() + 1)?;
        if at > 0 {
            out.push('\n');
        }
        if if at == 0 { flag(1) } else { flag(2) || !line.is_empty() } {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `markupsafe.escape`.
fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = py_str(state, value)?;
    pay_bytes(state, text.len().saturating_mul(5))?;
    let mut out = String::with_capacity(text.len() + 16);
    for ch in text.chars() {
        match ch {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(ch),
        }
    }
    Ok(Value::from_safe_string(out))
}

/// Runs of word characters, as `re` finds `\w+`.
fn wordcount(state: &State, value: &Value) -> Result<usize, Error> {
    let text = py_str(state, value)?;
    let word = |ch: char| ch == '_' || ch.is_alphanumeric();
    Ok(text.split(|ch| !word(ch)).filter(|run| !run.is_empty()).count())
}

/// `dictsort(value, case_sensitive=False, by='key', reverse=False)`: a list of pairs.
fn dictsort(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let args = Args::parse("dictsort", &args, &["case_sensitive", "by", "reverse"], 0)?;
    let by_value = match args.text("dictsort", 1)? {
        None | Some("key") => false,
        Some("value") => true,
        Some(other) => return Err(invalid(format!("dictsort: by is key or value, not {other}"))),
    };
    let case_sensitive = args.get(0).is_some_and(Value::is_true);
    let pairs = value.as_object().filter(|_| value.kind() == ValueKind::Map);
    let Some(pairs) = pairs.and_then(|object| object.try_iter_pairs()) else {
        return Err(invalid(format!("dictsort needs a dictionary, got {}", value.kind())));
    };
    let mut keyed: Vec<(Value, Value)> = Vec::new();
    for (key, item) in pairs {
        state.consume_fuel(2)?;
        let by = if by_value { &item } else { &key };
        let by = match by.as_str() {
            Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
            _ => by.clone(),
        };
        keyed.push((by, Value::from(Tuple::from([key, item]))));
    }
    if args.get(2).is_some_and(Value::is_true) {
        keyed.sort_by(|(a, _), (b, _)| b.cmp(a));
    } else {
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(keyed.into_iter().map(|(_, pair)| pair).collect())
}
