//! Source that jinja2 accepts, made into source that minijinja reads the same way.
//!
//! Five things differ in the syntax, none of which minijinja can be told: line ends (jinja2 turns all into
//! `\n`), the newline behind `{% raw %}` (jinja2 keeps it), the tags of the `generation` extension (a block of
//! its own scope, so it becomes `with`), string escapes (Python's), and the operators `%` behind a string and
//! unary `+`. The rewriting works on tokens, so text, strings, comments and raw blocks stay untouched, and so
//! do line numbers and whitespace control. Assignments to namespaces are wrapped as well, for the sake of the
//! sandbox; see `nesting`.

use std::borrow::Cow;

use super::nesting::{BOUNDED, BOUNDED_NOW, FEW};

/// The filter that stands for `%` behind a string literal.
pub(super) const PERCENT: &str = "__percent";

/// Assignments up to which those to plain names are not checked: so few cannot nest deeply.
const FEW_SETS: usize = 64;

/// Rewrites a template's source; what is not valid stays as it is, so that the parser reports it.
pub(super) fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() + 64);
    let mut sets = 0usize;
    let mut rest = source.as_str();
    while let Some(at) = next_tag(rest) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with("{#") {
            rest.find("#}").map(|end| {
                out.push_str(&rest[..end + 2]);
                end + 2
            })
        } else if let Some(begin) = raw_tag(rest, "raw") {
            raw_block(&mut out, rest, begin)
        } else {
            tag(&mut out, rest, &mut sets)
        };
        match taken {
            Some(taken) => rest = &rest[taken..],
            None => break,
        }
    }
    out.push_str(rest);
    out
}

/// The offset of the first `{{`, `{%` or `{#`.
fn next_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

/// The length of `{% name %}` at the start of `text`, with whitespace control.
fn raw_tag(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start();
    let rest = rest.strip_prefix(name)?.trim_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// Copies a raw block whose begin tag has the length `begin`; `None` if it has no end.
fn raw_block(out: &mut String, text: &str, begin: usize) -> Option<usize> {
    let mut end = begin;
    let length = loop {
        end += text[end..].find("{%")?;
        match raw_tag(&text[end..], "endraw") {
            Some(length) => break length,
            None => end += 2,
        }
    };
    out.push_str(&text[..begin]);
    // minijinja drops one newline behind every block tag, jinja2 none behind this one.
    if text[begin..].starts_with('\n') && !text[..begin].ends_with("-%}") {
        out.push('\n');
    }
    out.push_str(&text[begin..end + length]);
    Some(end + length)
}

/// Copies and rewrites a block or variable tag; `None` if it has no end.
fn tag(out: &mut String, text: &str, sets: &mut usize) -> Option<usize> {
    let block = text.starts_with("{%");
    let signed = text[2..].starts_with(['-', '+']);
    let start = 2 + usize::from(signed);
    let (tokens, end) = tokens(text, start, if block { "%}" } else { "}}" })?;
    out.push_str(&text[..start]);
    let mut from = start;
    let mut body = tokens.as_slice();
    if let Some((first, others)) = tokens.split_first().filter(|_| block) {
        let word = match &text[first.start..first.end] {
            "generation" => "with",
            "endgeneration" => "endwith",
            word => word,
        };
        out.push_str(&text[start..first.start]);
        out.push_str(word);
        from = first.end;
        body = others;
    }
    let until = tokens.last().map_or(from, |last| last.end);
    match assignment(text, &tokens).filter(|_| block) {
        Some(sign) => {
            let (target, value) = (&tokens[1..=sign], &tokens[sign + 1..]);
            let word = |token: &Token| &text[token.start..token.end];
            let adds = |token: &&Token| token.kind == Kind::Open || word(token) == "|";
            let few = value.iter().filter(adds).count() <= FEW;
            *sets += 1;
            // The value passes through a filter that bounds its nesting; see `nesting`.
            let wrap = !few || *sets > FEW_SETS || word(&tokens[2]) == ".";
            expression(out, text, target, from);
            out.push_str(if wrap { " (" } else { "" });
            expression(out, text, value, tokens[sign].end);
            if wrap {
                out.push_str(")|");
                out.push_str(if few { BOUNDED } else { BOUNDED_NOW });
            }
        }
        None => expression(out, text, body, from),
    }
    out.push_str(&text[until..end]);
    Some(end)
}

/// The index of the `=` of `set target = value`.
fn assignment(text: &str, tokens: &[Token]) -> Option<usize> {
    let word = |token: &Token| &text[token.start..token.end];
    let first = tokens.first().map(word)?;
    let sign = tokens.iter().position(|token| token.kind == Kind::Operator && word(token) == "=")?;
    let flat = tokens[..sign].iter().all(|token| token.kind != Kind::Open);
    (first == "set" && flat && (2..tokens.len() - 1).contains(&sign)).then_some(sign)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    String,
    Open,
    Close,
    Operator,
}

#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// The tokens of a tag's inside and the offset behind its closing delimiter.
fn tokens(text: &str, start: usize, close: &str) -> Option<(Vec<Token>, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut at = start;
    loop {
        let first = *bytes.get(at)?;
        let rest = &text[at..];
        if depth == 0 {
            let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if unsigned.starts_with(close) {
                return Some((found, text.len() - unsigned.len() + close.len()));
            }
        }
        let (kind, length) = match first {
            b' ' | b'\t' | b'\n' | 0xb | 0xc => {
                at += 1;
                continue;
            }
            b'\'' | b'"' => (Kind::String, string_length(bytes, at)?),
            b'(' | b'[' | b'{' => {
                depth += 1;
                (Kind::Open, 1)
            }
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                (Kind::Close, 1)
            }
            b'0'..=b'9' => {
                let digits = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
                (Kind::Number, bytes[at..].iter().take_while(digits).count())
            }
            _ if first == b'_' || first.is_ascii_alphabetic() || !first.is_ascii() => {
                let word = |ch: &char| *ch == '_' || ch.is_alphanumeric() || !ch.is_ascii();
                (Kind::Name, rest.chars().take_while(word).map(char::len_utf8).sum())
            }
            _ => {
                let double = ["**", "//", "==", "!=", "<=", ">="];
                (Kind::Operator, if double.iter().any(|op| rest.starts_with(op)) { 2 } else { 1 })
            }
        };
        found.push(Token { kind, start: at, end: at + length });
        at += length;
    }
}

/// The length of the string literal at `at`, with its quotes.
fn string_length(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let mut end = at + 1;
    loop {
        match *bytes.get(end)? {
            b'\\' => end += 2,
            byte if byte == quote => return Some(end + 1 - at),
            _ => end += 1,
        }
    }
}

/// Writes the tokens and what lies between them, from offset `from` on.
fn expression(out: &mut String, text: &str, tokens: &[Token], mut from: usize) {
    let is = |at: usize, wanted: &str| tokens.get(at).is_some_and(|token| &text[token.start..token.end] == wanted);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        out.push_str(&text[from..token.start]);
        from = token.end;
        let word = &text[token.start..token.end];
        at += 1;
        match token.kind {
            Kind::String => {
                out.push_str(&python_string(word));
                if !is(at, "%") {
                    continue;
                }
                if let Some(end) = operand_end(text, tokens, at + 1) {
                    out.push('|');
                    out.push_str(PERCENT);
                    out.push('(');
                    expression(out, text, &tokens[at + 1..end], tokens[at].end);
                    out.push(')');
                    from = tokens[end - 1].end;
                    at = end;
                }
            }
            Kind::Operator if word == "+" && !ends_operand(text, &tokens[..at - 1]) => out.push(' '),
            _ => out.push_str(word),
        }
    }
}

/// Whether an operand ends here, so that a `+` that follows has two sides.
fn ends_operand(text: &str, before: &[Token]) -> bool {
    const OPERATORS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "elif"];
    before.last().is_some_and(|token| match token.kind {
        Kind::Name => !OPERATORS.contains(&&text[token.start..token.end]),
        Kind::Number | Kind::String | Kind::Close => true,
        Kind::Open | Kind::Operator => false,
    })
}

/// The index behind the operand that starts at token `at`: signs, a primary, and what binds to it.
fn operand_end(text: &str, tokens: &[Token], mut at: usize) -> Option<usize> {
    let word = |at: usize| tokens.get(at).map_or("", |token| &text[token.start..token.end]);
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    while matches!(word(at), "-" | "+") {
        at += 1;
    }
    at = match kind(at)? {
        Kind::Open => group_end(tokens, at)?,
        Kind::String => {
            while kind(at) == Some(Kind::String) {
                at += 1;
            }
            at
        }
        Kind::Name | Kind::Number => at + 1,
        Kind::Close | Kind::Operator => return None,
    };
    loop {
        at = match word(at) {
            "." | "|" => at + 2,
            "(" | "[" => group_end(tokens, at)?,
            _ => return Some(at.min(tokens.len())),
        };
    }
}

/// The index behind the bracket that closes the one at `at`.
fn group_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A string literal with Python's escapes as one that minijinja reads as the same text.
fn python_string(literal: &str) -> Cow<'_, str> {
    const SHARED: &[u8] = b"\\'\"nrtbfxu01234567";
    let bytes = literal.as_bytes();
    let mut foreign = false;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            foreign |= !bytes.get(at + 1).is_some_and(|byte| SHARED.contains(byte));
            at += 1;
        }
        at += 1;
    }
    if !foreign {
        return Cow::Borrowed(literal);
    }
    let mut out = String::with_capacity(literal.len() + 8);
    let mut chars = literal.chars();
    while let Some(ch) = chars.next() {
        if ch != '\\' {
            out.push(ch);
            continue;
        }
        match chars.next() {
            // A backslash at the end of a line joins the lines.
            Some('\n') => {}
            Some('a') => out.push('\u{7}'),
            Some('v') => out.push('\u{b}'),
            Some('U') => {
                let digits: String = chars.as_str().chars().take(8).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(ch) if digits.len() == 8 => {
                        out.push(ch);
                        chars = chars.as_str()[8..].chars();
                    }
                    _ => out.push_str("\\\\U"),
                }
            }
            Some(other) if other.is_ascii() && SHARED.contains(&(other as u8)) => {
                out.push('\\');
                out.push(other);
            }
            // Python keeps the backslash of an escape that it does not know.
            Some(other) => {
                out.push_str("\\\\");
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn text_without_peculiarities_is_unchanged() {
        for source in [
            "",
            "plain { } % text",
            "{{ a + b % c }}{%- if x -%} {# + {% generation %} #} {%- endif +%}",
            "{{ {'a': {'b': 1}} }}{{ '}}' ~ \"%}\" }}",
            "{% raw %}{% generation %}{{ +x }}{% endraw %}",
            "{{ unfinished + 'x",
            "{% generation",
            "{{ 'generation' }}{% set generation = 1 %}{% set x %}y{% endset %}",
        ] {
            assert_eq!(prepare(source), source);
        }
    }

    #[test]
    fn each_peculiarity_is_rewritten() {
        for (source, want) in [
            ("a\r\nb\rc", "a\nb\nc"),
            ("{%- set ns.x = [ns.x] -%}", "{%- set ns.x = ( [ns.x])|__bounded -%}"),
            ("{% set ns.x = '%s' % a if b %}", "{% set ns.x = ( '%s'|__percent( a) if b)|__bounded %}"),
            ("{% set ns.x = [[[[[[[[[1]]]]]]]]] %}", "{% set ns.x = ( [[[[[[[[[1]]]]]]]]])|__bounded_now %}"),
            ("{%- generation -%}x{%endgeneration%}", "{%- with -%}x{%endwith%}"),
            ("{% raw %}\nx{% endraw %}", "{% raw %}\n\nx{% endraw %}"),
            ("{% raw -%}\nx{%- endraw %}", "{% raw -%}\nx{%- endraw %}"),
            ("{{ '%s' % x }}", "{{ '%s'|__percent( x) }}"),
            (
                "{{ '%s-%s' % (a.b, '%d' % c[0]|f) ~ d }}",
                "{{ '%s-%s'|__percent( (a.b, '%d'|__percent( c[0]|f))) ~ d }}",
            ),
            ("{{ +x + (+1) }}", "{{  x + ( 1) }}"),
            (r"{{ '\d\/\a' }}", "{{ '\\\\d\\\\/\u{7}' }}"),
            ("{{ 'a\\\nb' }}", "{{ 'ab' }}"),
            (r"{{ '\U0001f600\x41' }}", "{{ '😀\\x41' }}"),
        ] {
            assert_eq!(prepare(source), want, "{source}");
        }
    }
}
