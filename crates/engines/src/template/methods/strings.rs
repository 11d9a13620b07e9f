//! Methods of `str`. Positions and widths count characters, as in Python.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use crate::template::args::Args;
use crate::template::error::invalid;
use crate::template::format::str_format;
use crate::template::text::pay_bytes;
use crate::template::unicode::{is_decimal, is_digit, is_numeric, is_space};

pub(super) fn call(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let none = |args: &[Value]| Args::parse(method, args, &[], 0).map(drop);
    let all = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    Ok(match method {
        "strip" | "lstrip" | "rstrip" => {
            let args = Args::parse(method, args, &["chars"], 0)?;
            let chars = args.text(method, 0)?;
            Value::from(strip(text, chars, method != "rstrip", method != "lstrip"))
        }
        "split" | "rsplit" => {
            let args = Args::parse(method, args, &["sep", "maxsplit"], 0)?;
            let limit = args.integer(method, 1)?.and_then(|limit| usize::try_from(limit).ok());
            pay_bytes(state, text.len())?;
            split(text, args.text(method, 0)?, limit, method == "rsplit")?
        }
        "splitlines" => {
            let args = Args::parse(method, args, &["keepends"], 0)?;
            Value::from(split_lines(text, args.get(0).is_some_and(Value::is_true)))
        }
        "startswith" | "endswith" => {
            let args = Args::parse(method, args, &["prefix", "start", "end"], 1)?;
            let (part, _) = window(text, args.integer(method, 1)?, args.integer(method, 2)?);
            let test = |affix: &str| match (part, method) {
                (None, _) => false,
                (Some(part), "startswith") => part.starts_with(affix),
                (Some(part), _) => part.ends_with(affix),
            };
            match args.get(0) {
                Some(affixes) if matches!(affixes.kind(), ValueKind::Seq | ValueKind::Iterable) => {
                    let mut found = false;
                    for affix in affixes.try_iter()?.checked() {
                        found |= affix?.as_str().is_some_and(test);
                    }
                    Value::from(found)
                }
                _ => Value::from(test(args.required_text(method, 0)?)),
            }
        }
        "find" | "rfind" | "index" | "rindex" => {
            let args = Args::parse(method, args, &["sub", "start", "end"], 1)?;
            let wanted = args.required_text(method, 0)?;
            let (part, offset) = window(text, args.integer(method, 1)?, args.integer(method, 2)?);
            let found = part.and_then(|part| {
                let at = if method.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) };
                at.map(|at| part[..at].chars().count() + offset)
            });
            match found {
                Some(at) => Value::from(at),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(invalid("substring not found")),
            }
        }
        "count" => {
            let args = Args::parse(method, args, &["sub", "start", "end"], 1)?;
            let wanted = args.required_text(method, 0)?;
            let (part, _) = window(text, args.integer(method, 1)?, args.integer(method, 2)?);
            Value::from(match part {
                None => 0,
                Some(part) if wanted.is_empty() => part.chars().count() + 1,
                Some(part) => part.matches(wanted).count(),
            })
        }
        "replace" => {
            let args = Args::parse(method, args, &["old", "new", "count"], 2)?;
            let old = args.required_text(method, 0)?;
            let new = args.required_text(method, 1)?;
            let limit = args.integer(method, 2)?.and_then(|limit| usize::try_from(limit).ok());
            Value::from(replace(state, text, old, new, limit)?)
        }
        "join" => {
            let args = Args::parse(method, args, &["iterable"], 1)?;
            let items = args.get(0).cloned().unwrap_or_default();
            let mut out = String::new();
            for (at, item) in items.try_iter()?.checked().enumerate() {
                let item = item?;
                let item = match item.kind() {
                    ValueKind::String => item.as_str().unwrap_or_default(),
                    kind => return Err(invalid(format!("join() needs strings, item {at} is {kind}"))),
                };
                pay_bytes(state, text.len() + item.len())?;
                if at > 0 {
                    out.push_str(text);
                }
                out.push_str(item);
            }
            Value::from(out)
        }
        "partition" | "rpartition" => {
            let args = Args::parse(method, args, &["sep"], 1)?;
            let sep = args.required_text(method, 0)?;
            if sep.is_empty() {
                return Err(invalid("empty separator"));
            }
            let parts = if method == "partition" {
                text.split_once(sep).map_or([text, "", ""], |(a, b)| [a, sep, b])
            } else {
                text.rsplit_once(sep).map_or(["", "", text], |(a, b)| [a, sep, b])
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "removeprefix" | "removesuffix" => {
            let args = Args::parse(method, args, &["affix"], 1)?;
            let affix = args.required_text(method, 0)?;
            let rest = if method == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            Value::from(rest.unwrap_or(text))
        }
        "center" | "ljust" | "rjust" | "zfill" => pad(state, text, method, args)?,
        "expandtabs" => {
            let args = Args::parse(method, args, &["tabsize"], 0)?;
            let size = usize::try_from(args.integer(method, 0)?.unwrap_or(8)).unwrap_or(0);
            pay_bytes(state, text.matches('\t').count().saturating_mul(size))?;
            Value::from(expand_tabs(text, size))
        }
        "format" => Value::from(str_format(state, text, args)?),
        _ => {
            let result = match method {
                "upper" => Value::from(text.to_uppercase()),
                "lower" | "casefold" => Value::from(text.to_lowercase()),
                "title" => Value::from(title(text)),
                "capitalize" => Value::from(capitalize(text)),
                "swapcase" => Value::from(swap_case(text)),
                "isdigit" => all(is_digit),
                "isdecimal" => all(is_decimal),
                "isnumeric" => all(is_numeric),
                "isalpha" => all(char::is_alphabetic),
                "isalnum" => all(|ch| ch.is_alphabetic() || is_numeric(ch)),
                "isspace" => all(is_space),
                "isascii" => Value::from(text.is_ascii()),
                "isupper" => Value::from(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)),
                "islower" => Value::from(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)),
                "istitle" => Value::from(text.chars().any(cased) && title(text) == text),
                "isidentifier" => Value::from(is_identifier(text)),
                _ => return Err(Error::from(ErrorKind::UnknownMethod)),
            };
            none(args)?;
            result
        }
    })
}

/// `str.strip` on the chosen sides; without `chars`, of white space.
pub(in crate::template) fn strip<'t>(text: &'t str, chars: Option<&str>, left: bool, right: bool) -> &'t str {
    let drop = |ch: char| chars.map_or_else(|| is_space(ch), |chars| chars.contains(ch));
    let text = if left { text.trim_start_matches(drop) } else { text };
    if right { text.trim_end_matches(drop) } else { text }
}

fn split(text: &str, sep: Option<&str>, limit: Option<usize>, right: bool) -> Result<Value, Error> {
    let list = |parts: Vec<&str>| parts.into_iter().map(Value::from).collect::<Vec<Value>>();
    let Some(sep) = sep else {
        return Ok(Value::from(list(split_space(text, limit, right))));
    };
    if sep.is_empty() {
        return Err(invalid("empty separator"));
    }
    let parts: Vec<&str> = match limit {
        None => text.split(sep).collect(),
        Some(limit) if right => {
            let mut parts: Vec<&str> = text.rsplitn(limit.saturating_add(1), sep).collect();
            parts.reverse();
            parts
        }
        Some(limit) => text.splitn(limit.saturating_add(1), sep).collect(),
    };
    Ok(Value::from(list(parts)))
}

/// Words between white space; the rest after `limit` words keeps its inner white space.
fn split_space(text: &str, limit: Option<usize>, right: bool) -> Vec<&str> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut rest = if right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let cut = if parts.len() == limit {
            None
        } else if right {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        match cut {
            None => {
                // With a limit the rest keeps its far end: "a b " splits once into "a" and "b ".
                parts.push(rest);
                rest = "";
            }
            Some(at) if right => {
                let width = rest[at..].chars().next().map_or(1, char::len_utf8);
                parts.push(&rest[at + width..]);
                rest = rest[..at].trim_end_matches(is_space);
            }
            Some(at) => {
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start_matches(is_space);
            }
        }
    }
    if right {
        parts.reverse();
    }
    parts
}

/// `str.splitlines`: at \n, \r, \r\n, \v, \f, U+001C..U+001E, U+0085, U+2028 and U+2029.
fn split_lines(text: &str, keep: bool) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, ch)) = chars.next() {
        let ends =
            matches!(ch, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if !ends {
            continue;
        }
        let mut next = at + ch.len_utf8();
        if ch == '\r' && chars.next_if(|&(_, ch)| ch == '\n').is_some() {
            next += 1;
        }
        lines.push(Value::from(&text[start..if keep { next } else { at }]));
        start = next;
    }
    if start < text.len() {
        lines.push(Value::from(&text[start..]));
    }
    lines
}

/// The slice `text[start:end]` in characters and how many characters precede it; `None` if `start` lies
/// beyond the end, where Python finds nothing, not even the empty string.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> (Option<&str>, usize) {
    if start.is_none() && end.is_none() {
        return (Some(text), 0);
    }
    let len = text.chars().count() as i64;
    let bound = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let start = bound(start.unwrap_or(0));
    let end = bound(end.unwrap_or(len)).min(len);
    if start > end {
        return (None, 0);
    }
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    (Some(&text[byte(start)..byte(end)]), start as usize)
}

/// `str.replace`; pays for the growth before it allocates.
pub(in crate::template) fn replace(
    state: &State,
    text: &str,
    old: &str,
    new: &str,
    limit: Option<usize>,
) -> Result<String, Error> {
    if new.len() > old.len() {
        let matches = text.len() / old.len().max(1) + 1;
        let matches = limit.map_or(matches, |limit| limit.min(matches));
        pay_bytes(state, matches.saturating_mul(new.len() - old.len()))?;
    }
    Ok(match limit {
        None => text.replace(old, new),
        Some(limit) => text.replacen(old, new, limit),
    })
}

fn pad(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let names: &[&str] = if method == "zfill" { &["width"] } else { &["width", "fillchar"] };
    let args = Args::parse(method, args, names, 1)?;
    let width = usize::try_from(args.integer(method, 0)?.unwrap_or(0)).unwrap_or(0);
    let fill = match args.text(method, 1)? {
        None => ' ',
        Some(fill) => {
            let mut chars = fill.chars();
            match (chars.next(), chars.next()) {
                (Some(fill), None) => fill,
                _ => return Err(invalid("the fill character must be exactly one character long")),
            }
        }
    };
    let missing = width.saturating_sub(text.chars().count());
    pay_bytes(state, missing.saturating_mul(fill.len_utf8()))?;
    let run = |fill: char, count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(Value::from(match method {
        "ljust" => format!("{text}{}", run(fill, missing)),
        "rjust" => format!("{}{text}", run(fill, missing)),
        "zfill" => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            format!("{}{}{digits}", &text[..text.len() - digits.len()], run('0', missing))
        }
        _ => {
            // CPython puts the odd character to the left if the width is odd.
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", run(fill, left), run(fill, missing - left))
        }
    }))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for ch in text.chars() {
        match ch {
            '\t' if size > 0 => {
                let count = size - column % size;
                out.extend(std::iter::repeat_n(' ', count));
                column += count;
            }
            '\t' => {}
            _ => {
                out.push(ch);
                column = if matches!(ch, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    out
}

fn cased(ch: char) -> bool {
    ch.is_uppercase() || ch.is_lowercase()
}

/// `str.title`: a letter after a character without case starts a word, also after an apostrophe.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for ch in text.chars() {
        if inside {
            out.extend(ch.to_lowercase());
        } else {
            out.extend(to_title(ch));
        }
        inside = cased(ch);
    }
    out
}

/// `str.capitalize`.
pub(in crate::template) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        None => String::new(),
        Some(first) => to_title(first).chain(chars.as_str().to_lowercase().chars()).collect(),
    }
}

/// Title case, which is upper case with its second and later letters in lower case (ß becomes Ss).
fn to_title(ch: char) -> impl Iterator<Item = char> {
    let mut upper = ch.to_uppercase();
    let first = upper.next();
    first.into_iter().chain(upper.flat_map(char::to_lowercase))
}

fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        if ch.is_uppercase() {
            out.extend(ch.to_lowercase());
        } else if ch.is_lowercase() {
            out.extend(ch.to_uppercase());
        } else {
            out.push(ch);
        }
    }
    out
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|ch| ch == '_' || ch.is_alphabetic()) && chars.all(|ch| ch == '_' || ch.is_alphanumeric())
}
