//! Words that the terminal, the HTML and the Markdown share.

use llmbench_core::record::{Finding, Row, Status, Support, Table};

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

/// The sentence of a finding. Where the data do not carry the claim, that is said first, together with the claim.
pub fn finding_sentence(finding: &Finding) -> String {
    let sentence = text::one_line(&finding.sentence);
    let claim = text::one_line(&finding.claim);
    match finding.support {
        Support::Supported => sentence,
        _ if claim.is_empty() => format!("{}: {sentence}", capital(support(finding.support))),
        _ => format!("{} ({}): {sentence}", capital(support(finding.support)), claim.trim_end_matches('.')),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// The texts of a row, one a column (missing ones empty). A row that is not `ok` shows its status: in its first figure
/// that is empty or a dash, else behind its first text.
pub fn row_texts(table: &Table, row: &Row) -> Vec<String> {
    let mut texts: Vec<String> = (0..table.columns.len())
        .map(|c| row.values.get(c).map_or_else(String::new, |v| text::one_line(&v.text)))
        .collect();
    if row.status == Status::Ok || texts.is_empty() {
        return texts;
    }
    let word = status(row.status);
    if texts.iter().any(|t| t.contains(word)) {
        return texts;
    }
    let empty = |t: &str| matches!(t.trim(), "" | "-" | "–" | "—");
    let place = (0..texts.len()).find(|&c| table.columns[c].numeric && empty(&texts[c]));
    match place {
        Some(c) => texts[c] = word.to_owned(),
        None => {
            let c = table.columns.iter().position(|c| !c.numeric).unwrap_or(0);
            texts[c] = format!("{} ({word})", texts[c]).trim_start().to_owned();
        }
    }
    texts
}
