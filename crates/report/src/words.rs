//! Words that the terminal, the HTML and the Markdown share.

use record::results::{Finding, Row, Status, Support, Table};

use super::text;

/// A status, as in `results.json`.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Mismatch => "mismatch",
        Status::Unchecked => "unchecked",
        Status::Error => "error",
        Status::Timeout => "timeout",
        Status::Unavailable => "unavailable",
        Status::Skipped => "skipped",
        Status::Invalid => "invalid",
    }
}

/// `supported`, `not supported`, `inconclusive`.
pub fn support(support: Support) -> &'static str {
    match support {
        Support::Supported => "supported",
        Support::NotSupported => "not supported",
        Support::Inconclusive => "inconclusive",
    }
}

/// The sentence of a finding. Where the data do not carry the claim, that is said first, with the claim unless the
/// sentence begins like it; a sentence that says so itself is left alone.
pub fn finding_sentence(finding: &Finding) -> String {
    let sentence = text::one_line(&finding.sentence);
    let claim = text::one_line(&finding.claim);
    let word = support(finding.support);
    if finding.support == Support::Supported || sentence.to_lowercase().contains(word) {
        return sentence;
    }
    let shared = claim.chars().zip(sentence.chars()).take_while(|(a, b)| a == b).count();
    if claim.is_empty() || shared >= SAME_BEGINNING {
        format!("{}: {sentence}", capital(word))
    } else {
        format!("{} ({}): {sentence}", capital(word), claim.trim_end_matches('.'))
    }
}

/// Characters after which a sentence counts as beginning like its claim: about two words.
const SAME_BEGINNING: usize = 12;

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// The texts of a row, one a column (missing ones empty). A row that is not `ok` shows its status: a failed one in its
/// first missing figure, in a column that no width leaves out; one whose figures must not be used (a mismatch) behind its
/// first text, as all its figures may be there. An error text in the place of a figure gives way to the status: it is
/// too long for a column, and the list of problems has it in full.
pub fn row_texts(table: &Table, row: &Row) -> Vec<String> {
    let mut texts: Vec<String> =
        (0..table.columns.len()).map(|c| row.values.get(c).map_or_else(String::new, |v| text::cell(&v.text))).collect();
    if row.status == Status::Ok || texts.is_empty() {
        return texts;
    }
    let word = status(row.status);
    let has_figures = matches!(row.status, Status::Mismatch | Status::Unchecked | Status::Invalid);
    let mut said = texts.iter().any(|t| t.trim() == word);
    for c in (0..texts.len()).filter(|&c| table.columns[c].numeric) {
        let figure = row.values.get(c).is_some_and(|v| v.sort.is_some());
        let prose = !figure && is_prose(&texts[c]);
        if prose {
            texts[c].clear();
        }
        let missing = matches!(texts[c].trim(), "" | "-" | "–" | "—");
        if missing && !said && !has_figures && table.columns[c].drop == 0 {
            texts[c] = word.to_owned();
            said = true;
        }
    }
    if !said {
        let named =
            |c: &usize| !table.columns[*c].numeric && table.columns[*c].drop == 0 && !texts[*c].trim().is_empty();
        let c = (0..texts.len()).find(named).unwrap_or(0);
        texts[c] = format!("{} ({word})", texts[c]).trim_start().to_owned();
    }
    texts
}

/// Words instead of a figure: more than two of them that have no digit.
fn is_prose(text: &str) -> bool {
    text.split_whitespace()
        .filter(|w| w.chars().all(|c| !c.is_ascii_digit()) && w.chars().any(char::is_alphabetic))
        .count()
        > 2
}

#[cfg(test)]
mod tests {
    use record::results::{CellValue, Column};

    use super::*;

    fn shown(values: &[(&str, Option<f64>)], status: Status) -> Vec<String> {
        let table = Table {
            id: "t".into(),
            title: String::new(),
            columns: (0..values.len()).map(|c| Column { title: c.to_string(), numeric: c > 0, drop: 0 }).collect(),
            rows: vec![],
            notes: vec![],
        };
        let values = values.iter().map(|(text, sort)| CellValue { text: (*text).into(), sort: *sort }).collect();
        row_texts(&table, &Row { values, status, group: String::new() })
    }

    #[test]
    fn a_claim_is_told_once() {
        let said = |support, claim: &str, sentence: &str| {
            finding_sentence(&Finding {
                experiment: "e".into(),
                claim: claim.into(),
                support,
                sentence: sentence.into(),
                cells: vec![],
                headline: false,
            })
        };
        assert_eq!(said(Support::Supported, "a is faster", "It takes 1 ms."), "It takes 1 ms.");
        assert_eq!(
            said(Support::NotSupported, "a is faster.", "It takes 1 ms."),
            "Not supported (a is faster): It takes 1 ms."
        );
        assert_eq!(
            said(Support::NotSupported, "jinja2.render is faster", "jinja2.render is slower."),
            "Not supported: jinja2.render is slower."
        );
        assert_eq!(said(Support::Inconclusive, "a is faster", "a: inconclusive, 1.0x."), "a: inconclusive, 1.0x.");
    }

    #[test]
    fn a_row_without_a_usable_figure_says_so_once() {
        assert_eq!(shown(&[("a", None), ("1 ms", Some(1.0))], Status::Ok), ["a", "1 ms"]);
        assert_eq!(shown(&[("a", None), ("", None), ("–", None)], Status::Error), ["a", "error", "–"]);
        assert_eq!(shown(&[("a", None), ("8", Some(8.0)), ("", None)], Status::Timeout), ["a", "8", "timeout"]);
        assert_eq!(shown(&[("a", None), ("1 ms", Some(1.0))], Status::Mismatch), ["a (mismatch)", "1 ms"]);
        assert_eq!(
            shown(&[("a", None), ("1 ms", Some(1.0)), ("", None)], Status::Mismatch),
            ["a (mismatch)", "1 ms", ""]
        );
        let message = "No module named 'x'; install it with pip install x==1.0";
        assert_eq!(
            shown(&[("a", None), (message, None), (message, None)], Status::Unavailable),
            ["a", "unavailable", ""]
        );
        assert_eq!(shown(&[("a", None)], Status::Skipped), ["a (skipped)"]);
        assert_eq!(shown(&[], Status::Skipped), [""; 0]);
    }
}
