//! `report.md`: GitHub-flavoured Markdown, for an issue, a pull request or a repository.

use record::command;
use record::results::{ExperimentResult, FactVerdict, Finding, Results, RunInfo, Support, Table};

use super::figures::NamedFigure;
use super::overview::{self, Item};
use super::{problems, text, words};

/// The report. `figures` are those that exist as `plots/FILE.svg` beside it; pass none to leave them out.
pub fn render(results: &Results, run: &RunInfo, figures: &[NamedFigure<'_>]) -> String {
    let mut out = format!("# llmbench: {}\n\n", inline(&results.suite));
    summary(results, &mut out);
    environment(results, run, &mut out);
    for experiment in &results.experiments {
        section(experiment, results, figures, &mut out);
    }
    out.push_str("## How to make this again\n\n");
    out.push_str(&code_block(&command::of_run(run)));
    out.push_str(&format!(
        "\nllmbench {} (binary sha256 {}), plan sha256 {}, started {}.\n",
        inline(&run.llmbench),
        code(&overview::short(&run.binary_sha256)),
        code(&overview::short(&run.plan_sha256)),
        inline(&run.started)
    ));
    out
}

fn summary(results: &Results, out: &mut String) {
    if results.experiments.is_empty() {
        out.push_str("No experiment has results.\n\n");
        return;
    }
    for e in &results.experiments {
        let name = format!("**{} {}**", e.id, inline(&e.name));
        match e.findings.iter().find(|f| f.headline).or_else(|| e.findings.first()) {
            Some(f) => out.push_str(&format!("- {name}: {}\n", finding(f))),
            None => out.push_str(&format!("- {name}: no finding.\n")),
        }
    }
    out.push('\n');
}

fn environment(results: &Results, run: &RunInfo, out: &mut String) {
    out.push_str("## Environment\n\n");
    let spoiling = overview::spoiling(run);
    for item in &spoiling {
        let word = if item.verdict == FactVerdict::Bad { "CAUTION" } else { "WARNING" };
        out.push_str(&format!("> [!{word}]\n> {}: {}", inline(&item.title), inline(&item.value)));
        if let Some(remedy) = &item.remedy {
            out.push_str(&format!("  \n> Remedy: {}", inline(remedy)));
        }
        out.push_str("\n\n");
    }
    for warning in &run.warnings {
        out.push_str(&format!("> [!WARNING]\n> {}\n\n", inline(warning)));
    }
    out.push_str("| | |\n|---|---|\n");
    for Item { title, value, .. } in overview::banner(results, run) {
        out.push_str(&format!("| {} | {} |\n", inline(&title), inline(&value)));
    }
    out.push('\n');
}

fn section(e: &ExperimentResult, results: &Results, figures: &[NamedFigure<'_>], out: &mut String) {
    out.push_str(&format!("## {} {} — {}\n\n", e.id, inline(&e.name), inline(&e.question)));
    let (headlines, others): (Vec<_>, Vec<_>) = e.findings.iter().partition(|f| f.headline);
    for f in headlines {
        out.push_str(&format!("{}\n\n", finding(f)));
    }
    for f in figures.iter().filter(|f| f.experiment == e.name) {
        out.push_str(&format!("![{}](plots/{}.svg)\n\n", inline(&f.figure.title), f.file));
        if !f.figure.caption.is_empty() {
            out.push_str(&format!("*{}*\n\n", inline(&f.figure.caption)));
        }
    }
    for t in &e.tables {
        table(t, out);
    }
    list("Findings", others.into_iter().map(finding), out);
    list(
        "Not measured or not ranked",
        problems::of(&results.records, Some(e.id))
            .iter()
            .map(|p| format!("{}: {} — {}", p.head(), inline(&p.message()), code(&p.cells_in_short(6)))),
        out,
    );
    list("Warnings", e.warnings.iter().map(|w| inline(w)), out);
    if !e.method.is_empty() {
        out.push_str("### Method\n\n");
        for paragraph in &e.method {
            out.push_str(&format!("{}\n\n", inline(paragraph)));
        }
    }
    list("What could make the answer wrong", e.threats.iter().map(|t| inline(t)), out);
    out.push_str("### Measure it again, alone\n\n");
    out.push_str(&code_block(&e.command));
    out.push('\n');
}

fn list(title: &str, items: impl Iterator<Item = String>, out: &mut String) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    out.push_str(&format!("### {title}\n\n"));
    for item in items {
        out.push_str(&format!("- {item}\n"));
    }
    out.push('\n');
}

fn finding(f: &Finding) -> String {
    let mark = match f.support {
        Support::Supported => "✅",
        Support::NotSupported => "❌",
        Support::Inconclusive => "❔",
    };
    format!("{mark} {}", inline(&words::finding_sentence(f)))
}

fn table(t: &Table, out: &mut String) {
    if t.columns.is_empty() {
        return;
    }
    out.push_str(&format!("### {}\n\n", inline(&t.title)));
    let titles: Vec<String> = t.columns.iter().map(|c| inline(&c.title)).collect();
    out.push_str(&format!("| {} |\n", titles.join(" | ")));
    let rules: Vec<&str> = t.columns.iter().map(|c| if c.numeric { "---:" } else { "---" }).collect();
    out.push_str(&format!("| {} |\n", rules.join(" | ")));
    for row in &t.rows {
        let texts: Vec<String> = words::row_texts(t, row).iter().map(|v| inline(v)).collect();
        out.push_str(&format!("| {} |\n", texts.join(" | ")));
    }
    out.push('\n');
    for note in &t.notes {
        out.push_str(&format!("{}\n\n", inline(note)));
    }
}

/// Text as text: whatever Markdown or HTML would read as markup is escaped, and there is one line of it.
fn inline(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let line = text::one_line(value);
    let chars: Vec<char> = line.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        let within_word = |k: usize| chars.get(k).is_some_and(|c| c.is_alphanumeric() || *c == '_');
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            // Within a word an underscore is no markup on GitHub, and names are easier to read without a backslash.
            '_' if i > 0 && within_word(i - 1) && within_word(i + 1) => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '#' | '+' | '-' if i == 0 => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn code(value: &str) -> String {
    let line = text::one_line(value).replace('|', "\\|");
    let fence = "`".repeat(longest_run_of_backticks(&line) + 1);
    let space = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{line}{space}{fence}")
}

fn code_block(value: &str) -> String {
    let lines = text::lines(value);
    let fence = "`".repeat((longest_run_of_backticks(&lines) + 1).max(3));
    format!("{fence}sh\n{lines}\n{fence}\n")
}

fn longest_run_of_backticks(value: &str) -> usize {
    value.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_data_stays_text() {
        assert_eq!(inline("<script>a|b</script> `x` *y*"), "&lt;script&gt;a\\|b&lt;/script&gt; \\`x\\` \\*y\\*");
        assert_eq!(inline("apply_chat_template _x_"), "apply_chat_template \\_x\\_");
        assert_eq!(inline("[a](javascript:x)"), "\\[a\\](javascript:x)");
        assert_eq!(inline("# a\n- b"), "\\# a - b");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code_block("x\n```\ny"), "````sh\nx\n```\ny\n````\n");
    }
}
