//! What is printed: tables, findings and warnings that fit the terminal, plain when nobody looks at it.

mod layout;

use std::io::IsTerminal;

use record::results::{ExperimentResult, Fact, FactVerdict, Finding, Record, RunInfo, Support, Table};

use super::problems::{self, Problem};
use super::text;
use super::words;

/// Width when the terminal does not say its own.
pub const DEFAULT_WIDTH: usize = 80;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Rules and marks beyond ASCII. Text that is data is printed as it is.
    pub unicode: bool,
}

impl Style {
    /// No colour, and rules in ASCII: for a pipe or a file.
    pub const PLAIN: Self = Self { color: false, unicode: false };

    /// What standard output can show: colour when it is a terminal and neither `NO_COLOR` nor `TERM=dumb` says otherwise,
    /// Unicode when the locale is UTF-8.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|v| v == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self {
            color: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
            unicode: !dumb && (locale.contains("utf-8") || locale.contains("utf8")),
        }
    }

    fn paint(self, ink: Ink, text: &str) -> String {
        match (self.color, ink.code()) {
            (true, Some(code)) if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }

    fn rule(self) -> &'static str {
        if self.unicode { "─" } else { "-" }
    }

    fn bullet(self) -> &'static str {
        if self.unicode { "•" } else { "*" }
    }

    fn dash(self) -> &'static str {
        if self.unicode { "—" } else { "-" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
    Accent,
}

impl Ink {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Accent => Some("1;36"),
        }
    }
}

/// An aligned table of at most `width` columns. Columns with a higher `drop` go first where it is too narrow; then the
/// first column of text is wrapped, then the others. Rows that are not `ok` show their status and are dimmed.
pub fn table(table: &Table, width: usize, style: Style) -> String {
    let mut out = String::new();
    if !table.title.is_empty() {
        for line in text::wrap(&text::one_line(&table.title), width) {
            out.push_str(&style.paint(Ink::Bold, &line));
            out.push('\n');
        }
    }
    let laid_out = layout::Layout::of(table, width, style);
    laid_out.print(&mut out);
    let mut notes: Vec<String> = table.notes.iter().map(|n| text::one_line(n)).collect();
    if !laid_out.dropped.is_empty() {
        notes.push(format!("Left out at this width: {}; the report has them.", laid_out.dropped.join(", ")));
    }
    for note in notes {
        for line in text::wrap(&note, width) {
            out.push_str(&style.paint(Ink::Dim, &line));
            out.push('\n');
        }
    }
    out
}

/// A finding with a mark for supported, not supported or inconclusive, wrapped under itself.
pub fn finding(finding: &Finding, width: usize, style: Style) -> String {
    let (unicode, ascii, ink) = match finding.support {
        Support::Supported => ("✓", "+", Ink::Good),
        Support::NotSupported => ("✗", "x", Ink::Warn),
        Support::Inconclusive => ("?", "?", Ink::Dim),
    };
    let mark = style.paint(ink, if style.unicode { unicode } else { ascii });
    let body = if finding.headline { Ink::Bold } else { Ink::Plain };
    hanging(&mark, 2, &words::finding_sentence(finding), width, style, body)
}

/// The title line, the headline finding, the tables, the other findings, what could not be measured, and the warnings.
/// `records` are those of the whole run; the experiment's own are picked out.
pub fn experiment(result: &ExperimentResult, records: &[Record], width: usize, style: Style) -> String {
    let mut out = String::new();
    out.push_str(&title(result, width, style));
    let (headlines, others): (Vec<_>, Vec<_>) = result.findings.iter().partition(|f| f.headline);
    for f in headlines {
        out.push_str(&finding(f, width, style));
    }
    for t in &result.tables {
        out.push('\n');
        out.push_str(&table(t, width, style));
    }
    if !others.is_empty() {
        out.push('\n');
    }
    for f in others {
        out.push_str(&finding(f, width, style));
    }
    let problems = problems::of(records, Some(result.id));
    if !problems.is_empty() {
        out.push('\n');
    }
    for p in &problems {
        out.push_str(&problem(p, width, style));
    }
    if !result.warnings.is_empty() {
        out.push('\n');
    }
    for w in &result.warnings {
        out.push_str(&warning(w, width, style));
    }
    out
}

/// One warning: what was seen and what to do.
pub fn warning(warning: &str, width: usize, style: Style) -> String {
    let mark = style.paint(Ink::Warn, "!");
    hanging(&mark, 2, &text::one_line(warning), width, style, Ink::Plain)
}

/// Facts of the machine that spoil figures, with their remedies, and the warnings of the run. Empty on a quiet machine.
pub fn environment(run: &RunInfo, width: usize, style: Style) -> String {
    let mut out = String::new();
    for fact in run.machine.iter().filter(|f| matches!(f.verdict, FactVerdict::Warn | FactVerdict::Bad)) {
        let ink = if fact.verdict == FactVerdict::Bad { Ink::Bad } else { Ink::Warn };
        out.push_str(&hanging(&style.paint(ink, "!"), 2, &fact_sentence(fact), width, style, Ink::Plain));
    }
    for w in &run.warnings {
        out.push_str(&warning(w, width, style));
    }
    out
}

fn fact_sentence(fact: &Fact) -> String {
    let head = format!("{}: {}", text::one_line(&fact.title), text::one_line(&fact.value));
    match &fact.remedy {
        Some(remedy) => format!("{head}. Remedy: {}", text::one_line(remedy)),
        None => head,
    }
}

fn title(result: &ExperimentResult, width: usize, style: Style) -> String {
    let name = format!("{} {}", result.id, text::one_line(&result.name));
    let head = format!("{name} {} {}", style.dash(), text::one_line(&result.question));
    let mut out = String::new();
    for (i, line) in text::wrap(&head, width).into_iter().enumerate() {
        match line.strip_prefix(&name).filter(|_| i == 0) {
            Some(rest) => out.push_str(&format!("{}{rest}", style.paint(Ink::Accent, &name))),
            None => out.push_str(&line),
        }
        out.push('\n');
    }
    out
}

fn problem(problem: &Problem, width: usize, style: Style) -> String {
    let ink = if problem.is_failure() { Ink::Bad } else { Ink::Dim };
    let sentence = format!("{}: {}", problem.head(), problem.message());
    let mut out = hanging(&style.paint(ink, style.bullet()), 2, &sentence, width, style, Ink::Plain);
    let cells = problem.cells_in_short(4);
    for line in text::wrap(&cells, width.saturating_sub(4)) {
        out.push_str("    ");
        out.push_str(&style.paint(Ink::Dim, &line));
        out.push('\n');
    }
    out
}

/// A mark, then the text wrapped beside it.
fn hanging(mark: &str, indent: usize, body: &str, width: usize, style: Style, ink: Ink) -> String {
    let mut out = String::new();
    for (i, line) in text::wrap(body, width.saturating_sub(indent)).iter().enumerate() {
        if i == 0 {
            out.push_str(mark);
            out.push_str(&" ".repeat(indent.saturating_sub(1)));
        } else {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&style.paint(ink, line));
        out.push('\n');
    }
    out
}
