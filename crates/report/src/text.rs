//! Text in columns: what is safe to print, how wide it is, where a line may be broken.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from outside (an error of a tokenizer, a name from a model's folder) as one printable line: control characters
/// become visible, so that they can neither move the cursor of a terminal nor break a table.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&visible(line));
    }
    out
}

/// The same for a cell of a table: spaces at its ends are kept, as they indent and align.
pub fn cell(text: &str) -> String {
    if text.contains(['\n', '\r']) { one_line(text) } else { visible(text) }
}

/// The same, with line breaks kept.
pub fn lines(text: &str) -> String {
    text.trim_end().lines().map(visible).collect::<Vec<_>>().join("\n")
}

fn visible(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            '\t' => ' ',
            // U+2400.. are the pictures of the control characters.
            c if c.is_ascii_control() => {
                char::from_u32(if c == '\u{7f}' { 0x2421 } else { 0x2400 + c as u32 }).unwrap_or('\u{fffd}')
            }
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters that reorder the text around them, and so can make it read as something else.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// Columns of a terminal that the text takes; wide characters take two.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Breaks a line into lines of at most `limit` columns, at spaces, or after `.`, `_`, `/`, `-`, `:` and `,` within a word,
/// or anywhere in a part that is longer than a line. Text that fits is left as it is, spaces and all.
pub fn wrap(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(2);
    if width(text) <= limit {
        return vec![text.to_owned()];
    }
    let mut out: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in words(text, limit) {
        let needed = width(word);
        let gap = usize::from(used > 0);
        if used + gap + needed <= limit {
            if gap == 1 {
                line.push(' ');
            }
            line.push_str(word);
            used += gap + needed;
            continue;
        }
        // A word that fits on a line of its own is not broken while the present line is reasonably full.
        if needed <= limit && (used * 3 >= limit || used == 0) {
            if used > 0 {
                out.push(std::mem::take(&mut line));
            }
            line.push_str(word);
            used = needed;
            continue;
        }
        let mut first = true;
        for part in parts(word, limit) {
            let needed = width(&part);
            let gap = usize::from(used > 0 && first);
            if used + gap + needed > limit {
                out.push(std::mem::take(&mut line));
                used = 0;
            } else if gap == 1 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&part);
            used += needed;
            first = false;
        }
    }
    if !line.is_empty() || out.is_empty() {
        out.push(line);
    }
    out
}

/// The words of a text. An interval `[1.20, 1.27]` and a figure with its unit `1.23 ms` are one word, as far as they fit
/// on a line.
fn words(text: &str, limit: usize) -> Vec<&str> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for end in text.match_indices(' ').map(|(at, _)| at).chain([text.len()]) {
        if end > start {
            match ranges.last_mut() {
                Some((first, last))
                    if *last + 1 == start
                        && belong(&text[*first..*last], &text[start..end])
                        && width(&text[*first..end]) <= limit =>
                {
                    *last = end;
                }
                _ => ranges.push((start, end)),
            }
        }
        start = end + 1;
    }
    ranges.into_iter().map(|(first, last)| &text[first..last]).collect()
}

fn belong(a: &str, b: &str) -> bool {
    let is_number = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_digit()) && s.chars().all(|c| c.is_ascii_digit() || ".,".contains(c))
    };
    let opens = a.starts_with('[') && a.ends_with(',') && !a.contains(']');
    let unit = b.trim_end_matches(['.', ',', ';', ':', ')']);
    (opens && b.contains(']')) || (is_number(a) && matches!(unit, "ns" | "µs" | "ms" | "s" | "min" | "h"))
}

/// A word cut after its separators, and parts that are still longer than `limit` cut anywhere.
fn parts(word: &str, limit: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut part = String::new();
    let mut used = 0;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let w = c.width().unwrap_or(0);
        if used + w > limit {
            out.push(std::mem::take(&mut part));
            used = 0;
        }
        part.push(c);
        used += w;
        // A separator between digits is part of a number.
        let ends = matches!(c, '.' | '_' | '/' | '-' | ':' | ',') && !chars.peek().is_some_and(char::is_ascii_digit);
        if ends {
            out.push(std::mem::take(&mut part));
            used = 0;
        }
    }
    if !part.is_empty() {
        out.push(part);
    }
    out
}

/// The width of the longest part that [`wrap`] does not break.
pub fn longest_part(text: &str) -> usize {
    text.split(' ').flat_map(|word| parts(word, usize::MAX)).map(|p| width(&p)).max().unwrap_or(0)
}

/// Pads to `columns`; longer text is left as it is.
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let fill = " ".repeat(columns.saturating_sub(width(text)));
    if right { format!("{fill}{text}") } else { format!("{text}{fill}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(one_line("\u{1b}[31mred\u{1b}[0m\nnext\t\u{7f}"), "␛[31mred␛[0m next ␡");
        assert_eq!(one_line("a\r\n\r\n  b "), "a b");
        assert_eq!(one_line("ab\u{202e}cd\u{85}"), "ab\u{fffd}cd");
        assert_eq!(lines("a\n\tb\n\n"), "a\n b");
    }

    #[test]
    fn wrapping_prefers_spaces_then_separators() {
        assert_eq!(wrap("encode then decode", 12), ["encode then", "decode"]);
        assert_eq!(wrap("transformers.apply_chat_template", 16), ["transformers.", "apply_chat_", "template"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
        // Two columns each, so that two fit into five.
        assert_eq!(wrap("分词分词", 5), ["分词", "分词"]);
    }

    #[test]
    fn an_interval_and_a_figure_with_its_unit_stay_together() {
        assert_eq!(wrap("it takes 163 ms [161, 166] now", 14), ["it takes", "163 ms", "[161, 166] now"]);
        assert_eq!(wrap("1,930 [1,910, 1,950]", 15), ["1,930", "[1,910, 1,950]"]);
        assert_eq!(wrap("[1,910, 1,950]", 8), ["[1,910,", "1,950]"]);
        assert_eq!(wrap("at 2.5x in v0.23.1", 8), ["at 2.5x", "in", "v0.23.1"]);
    }

    #[test]
    fn nothing_is_lost_and_no_line_is_too_long() {
        let text = "the quick/brown fox.jumps_over a-very-very-long-hyphenated-name 分词器 and ends";
        for limit in 2..60 {
            let lines = wrap(text, limit);
            assert!(lines.iter().all(|l| width(l) <= limit), "{limit}: {lines:?}");
            let strip = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(strip(&lines.concat()), strip(text), "{limit}");
        }
    }

    #[test]
    fn padding_counts_columns_not_characters() {
        assert_eq!(pad("分", 4, false), "分  ");
        assert_eq!(pad("分", 4, true), "  分");
        assert_eq!(pad("long", 2, true), "long");
    }
}
