//! The listing for people.

use std::path::{Path, PathBuf};

use unicode_width::UnicodeWidthStr;

use super::Listing;
use super::outlook::{Outlook, Way};
use super::rows::{Place, Row, Where};
use crate::cli::console::{self, hanging};

/// Width of a row's number and the space behind it.
const NUMBER: usize = 4;
/// Width of a block's labels and the space behind them.
const LABEL: usize = 13;

/// `width`: columns, none to leave lines as long as they are.
pub fn text(listing: &Listing, width: Option<usize>) -> String {
    let page = Page { width, home: std::env::var_os("HOME").map(PathBuf::from) };
    let mut out = String::new();
    for warning in listing.interpreters.iter().flat_map(|row| &row.warnings) {
        out.push_str(&page.line("WARNING: ", &page.tilde(warning)));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if !listing.interpreters.is_empty() {
        out.push_str(&table(&listing.interpreters));
    }
    for (index, row) in listing.interpreters.iter().enumerate() {
        out.push('\n');
        out.push_str(&block(index + 1, row, &page));
    }
    if !listing.missing.is_empty() {
        out.push_str(if out.is_empty() { "" } else { "\n" });
        out.push_str("how to get what is missing\n");
        for remedy in &listing.missing {
            out.push_str(&page.line("  ", &format!("{}:", remedy.what)));
            for how in &remedy.how {
                out.push_str(&page.line("    ", how));
            }
        }
    }
    out
}

/// Lines of the width, and paths without the home folder.
struct Page {
    width: Option<usize>,
    home: Option<PathBuf>,
}

impl Page {
    /// A line behind a label; what does not fit hangs under its first word.
    fn line(&self, label: &str, text: &str) -> String {
        let indent = label.width();
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        // What an interpreter said may hold what moves the cursor.
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{label}{}\n", hanging(&clean, room, indent))
    }

    fn entry(&self, label: &str, text: &str) -> String {
        self.line(&format!("{:NUMBER$}{label:<LABEL$}", ""), text)
    }

    fn short(&self, path: &str) -> String {
        console::short(Path::new(path), self.home.as_deref())
    }

    /// A sentence with paths in it.
    fn tilde(&self, sentence: &str) -> String {
        let home = self.home.as_ref().filter(|home| home.parent().is_some());
        match home {
            Some(home) => sentence.replace(&format!("{}/", home.display()), "~/"),
            None => sentence.to_owned(),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["#", "version", "build", "GIL after imports", "PGO", "LTO", "engines", ""].map(str::to_owned);
    let mut cells = vec![head];
    for (index, row) in rows.iter().enumerate() {
        let version = row.version.clone().unwrap_or_else(|| "-".to_owned());
        let number = (index + 1).to_string();
        cells.push(if row.problem.is_some() {
            let broken = ["-"; 5].map(str::to_owned);
            let [build, gil, pgo, lto, engines] = broken;
            [number, version, build, gil, pgo, lto, engines, "not usable".to_owned()]
        } else {
            [
                number,
                version,
                build_name(row).to_owned(),
                gil_word(row).to_owned(),
                row.flag("pgo").to_owned(),
                row.flag("lto").to_owned(),
                format!("{} of {}", row.engines(), row.outlook.len()),
                if row.default { "default" } else { "" }.to_owned(),
            ]
        });
    }
    let mut out = String::new();
    let width = |column: usize| cells.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = if column == 0 { NUMBER } else { widths[column] + 2 };
            line.push_str(cell);
            line.push_str(&" ".repeat(gap.saturating_sub(cell.width())));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn build_name(row: &Row) -> &'static str {
    if row.free_threaded_build == Some(true) { "free-threaded" } else { "GIL" }
}

fn gil_word(row: &Row) -> &'static str {
    match (row.gil_after_imports(), row.free_threaded_build) {
        (Some(true), Some(true)) => "BACK ON",
        (Some(true), _) => "on",
        (Some(false), _) => "off",
        (None, _) => "?",
    }
}

fn block(number: usize, row: &Row, page: &Page) -> String {
    let mut out = String::new();
    let label = format!("{number:<NUMBER$}");
    let Some(version) = &row.version else {
        out.push_str(&page.line(&label, &format!("{} ({})", page.short(&row.path), row.found)));
        out.push_str(&page.entry("not usable", row.problem.as_deref().unwrap_or_default()));
        return out;
    };
    let default = if row.default { ", used unless --python names another" } else { "" };
    out.push_str(&page.line(&label, &format!("Python {version}, {} build{default}", build_name(row))));
    out.push_str(&page.entry("path", &format!("{} ({})", page.short(&row.path), row.found)));
    if let Some(problem) = &row.problem {
        out.push_str(&page.entry("not usable", problem));
        return out;
    }
    let build = format!(
        "PGO {}, LTO {}, {}, {}{}",
        row.flag("pgo"),
        row.flag("lto"),
        row.flag("optimization"),
        row.flag("compiler"),
        if row.flag("debug") == "yes" { ", a DEBUG build: it is slow" } else { "" }
    );
    out.push_str(&page.entry("build", &build));
    for place in &row.places {
        out.push_str(&of_place(place, row, page));
    }
    let lacking: Vec<&Outlook> = row.lacking().collect();
    let of = |way: Way, optional: bool| -> Vec<&Outlook> {
        lacking.iter().copied().filter(|each| each.way == way && each.optional == optional).collect()
    };
    let names =
        |all: &[&Outlook]| all.iter().map(|each| format!("{} {}", each.package, each.version)).collect::<Vec<_>>();
    let installs = [(of(Way::Wheel, false), ""), (of(Way::Wheel, true), "optional: ")];
    let installs: Vec<String> = installs
        .iter()
        .filter(|(all, _)| !all.is_empty())
        .map(|(all, what)| format!("{what}{}", names(all).join(", ")))
        .collect();
    if !installs.is_empty() {
        out.push_str(&page.entry("installs", &installs.join("; ")));
    }
    for (label, way) in [("from source", Way::Source), ("unavailable", Way::No)] {
        let all: Vec<&Outlook> = lacking.iter().copied().filter(|each| each.way == way).collect();
        let said = by_note(&all);
        if !said.is_empty() {
            out.push_str(&page.entry(label, &said.join("; ")));
        }
    }
    if let Some(gil_cost) = &row.gil_cost {
        let argument = page.short(&gil_cost.python);
        out.push_str(&page.entry("for gil-cost", &format!("--python {argument}")));
        if gil_cost.beside.is_some() {
            out.push_str(&page.entry("", &page.tilde(&gil_cost.command())));
        }
        if let Some(note) = &gil_cost.note {
            out.push_str(&page.entry("", &page.tilde(note)));
        }
    }
    out
}

/// The GIL and the packages of one place.
fn of_place(place: &Place, row: &Row, page: &Page) -> String {
    let (gil, has) = match place.place {
        Where::Interpreter => ("GIL", "installed"),
        Where::Environment => ("GIL in env", "environment"),
    };
    if let Some(problem) = &place.problem {
        return page.entry(has, &format!("llmbench's environment does not answer: {problem}"));
    }
    let mut out = String::new();
    let installed: Vec<String> = place.installed().map(|(name, version)| format!("{name} {version}")).collect();
    let state = match (place.gil_enabled, place.gil_enabled_after_imports) {
        (Some(false), Some(true)) => format!(
            "off at the start, SWITCHED BACK ON by {}: see the warning above",
            if place.gil_switched_on_by.is_empty() {
                "an extension".into()
            } else {
                place.gil_switched_on_by.join(", ")
            }
        ),
        (Some(true), _) if row.free_threaded_build == Some(true) => "ON from the start: see the warning above".into(),
        (Some(true), _) => "on".into(),
        (Some(false), Some(false)) if installed.is_empty() => "off (there is no engine to import)".into(),
        (Some(false), Some(false)) => "off, and off after the imports".into(),
        _ => "not known".into(),
    };
    out.push_str(&page.entry(gil, &state));
    let list = if installed.is_empty() { "no engine".to_owned() } else { installed.join(", ") };
    out.push_str(&page.entry(has, &list));
    for (name, package) in place.packages.iter().filter(|(_, package)| package.imports == Some(false)) {
        let why = package.error.as_deref().unwrap_or("no reason given");
        out.push_str(&page.entry("", &format!("{name} does not import: {why}")));
    }
    out
}

/// Packages with the same note together: `kitoken, tokie (no wheel)`.
fn by_note(all: &[&Outlook]) -> Vec<String> {
    let mut notes: Vec<&str> = Vec::new();
    for each in all {
        let note = each.note.as_deref().unwrap_or_default();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let names = |note: &str| {
        let of_note = all.iter().filter(|each| each.note.as_deref().unwrap_or_default() == note);
        of_note.map(|each| format!("{} {}", each.package, each.version)).collect::<Vec<_>>().join(", ")
    };
    notes.into_iter().map(|note| format!("{} ({note})", names(note))).collect()
}
