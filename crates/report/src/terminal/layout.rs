//! Fits a table into a width: which columns stay, how wide each is, where its text is broken.

use record::results::{Row, Status, Table};

use super::{Ink, Style};
use crate::{text, words};

/// Columns between two columns.
const GAP: usize = 2;
/// A column of text is not wrapped below this while another can still give way.
const COMFORTABLE: usize = 16;

pub(super) struct Layout<'a> {
    columns: Vec<LaidColumn>,
    rows: Vec<LaidRow<'a>>,
    /// Titles of the columns that did not fit.
    pub(super) dropped: Vec<String>,
    style: Style,
}

struct LaidColumn {
    title: String,
    numeric: bool,
    width: usize,
}

struct LaidRow<'a> {
    row: &'a Row,
    /// One a column that stayed.
    texts: Vec<String>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(table: &'a Table, limit: usize, style: Style) -> Self {
        let texts: Vec<Vec<String>> = table.rows.iter().map(|row| words::row_texts(table, row)).collect();
        let natural: Vec<usize> = (0..table.columns.len())
            .map(|c| {
                let title = text::width(&text::one_line(&table.columns[c].title));
                texts.iter().map(|row| text::width(&row[c])).chain([title]).max().unwrap_or(0)
            })
            .collect();

        let mut kept: Vec<usize> = (0..table.columns.len()).collect();
        let total = |kept: &[usize], widths: &[usize]| {
            kept.iter().map(|&c| widths[c]).sum::<usize>() + GAP * kept.len().saturating_sub(1)
        };
        while total(&kept, &natural) > limit {
            // The highest number goes first; of equals the rightmost.
            let Some(&worst) =
                kept.iter().filter(|&&c| table.columns[c].drop > 0).max_by_key(|&&c| (table.columns[c].drop, c))
            else {
                break;
            };
            kept.retain(|&c| c != worst);
        }

        let mut widths = natural.clone();
        let excess = |widths: &[usize]| total(&kept, widths).saturating_sub(limit);
        let part = |c: usize| {
            let title = text::longest_part(&text::one_line(&table.columns[c].title));
            texts.iter().map(|row| text::longest_part(&row[c])).chain([title]).max().unwrap_or(1).max(2)
        };
        let is_text = |c: &usize| !table.columns[*c].numeric;
        let first_text = kept.iter().copied().find(is_text);
        let other_texts: Vec<usize> = kept.iter().copied().filter(is_text).skip(1).collect();
        let numbers: Vec<usize> = kept.iter().copied().filter(|c| !is_text(c)).collect();
        // Who gives way, and how far, in this order: text at its separators, figures at their spaces, then anything.
        let floors = first_text
            .iter()
            .map(|&c| (c, part(c).max(COMFORTABLE)))
            .chain(other_texts.iter().map(|&c| (c, part(c).max(COMFORTABLE))))
            .chain(numbers.iter().map(|&c| (c, part(c))))
            .chain(first_text.iter().chain(&other_texts).map(|&c| (c, part(c).min(COMFORTABLE))))
            .chain(kept.iter().map(|&c| (c, 6)))
            .chain(kept.iter().map(|&c| (c, 2)))
            .collect::<Vec<_>>();
        for (c, floor) in floors {
            let over = excess(&widths);
            if over == 0 {
                break;
            }
            widths[c] = widths[c].saturating_sub(over).max(floor.min(widths[c]));
        }
        // Wrapping at separators often leaves a column narrower than it was allowed to be; what is left over goes to the
        // columns that could use it, figures first, as a broken figure is harder to read than a broken name.
        let wrapped = |c: usize, limit: usize| {
            let title = text::one_line(&table.columns[c].title);
            texts
                .iter()
                .map(|row| row[c].as_str())
                .chain([title.as_str()])
                .flat_map(|t| text::wrap(t, limit))
                .map(|line| text::width(&line))
                .max()
                .unwrap_or(0)
        };
        for &c in &kept {
            widths[c] = wrapped(c, widths[c]);
        }
        for &c in numbers.iter().chain(&other_texts).chain(&first_text) {
            let spare = limit.saturating_sub(total(&kept, &widths));
            widths[c] = wrapped(c, (widths[c] + spare).min(natural[c]));
        }

        Self {
            columns: kept
                .iter()
                .map(|&c| LaidColumn {
                    title: text::one_line(&table.columns[c].title),
                    numeric: table.columns[c].numeric,
                    width: widths[c],
                })
                .collect(),
            rows: table
                .rows
                .iter()
                .zip(texts)
                .map(|(row, mut texts)| LaidRow {
                    row,
                    texts: kept.iter().map(|&c| std::mem::take(&mut texts[c])).collect(),
                })
                .collect(),
            dropped: (0..table.columns.len())
                .filter(|c| !kept.contains(c))
                .map(|c| text::one_line(&table.columns[c].title))
                .collect(),
            style,
        }
    }

    pub(super) fn print(&self, out: &mut String) {
        if self.columns.is_empty() {
            return;
        }
        let titles: Vec<&str> = self.columns.iter().map(|c| c.title.as_str()).collect();
        self.print_row(&titles, Ink::Dim, true, out);
        self.print_rule(out);
        let mut group: Option<&str> = None;
        for laid in &self.rows {
            if group.is_some_and(|g| g != laid.row.group) {
                self.print_rule(out);
            }
            group = Some(&laid.row.group);
            let ink = match laid.row.status {
                Status::Ok => Ink::Plain,
                Status::Mismatch | Status::Error | Status::Timeout => Ink::Bad,
                Status::Invalid => Ink::Warn,
                Status::Unchecked | Status::Unavailable | Status::Skipped => Ink::Dim,
            };
            let texts: Vec<&str> = laid.texts.iter().map(String::as_str).collect();
            self.print_row(&texts, ink, false, out);
        }
    }

    fn print_rule(&self, out: &mut String) {
        let width = self.columns.iter().map(|c| c.width).sum::<usize>() + GAP * (self.columns.len() - 1);
        out.push_str(&self.style.paint(Ink::Dim, &self.style.rule().repeat(width)));
        out.push('\n');
    }

    /// `bottom`: short cells stand at the bottom of a wrapped row (titles), else at its top.
    fn print_row(&self, texts: &[&str], ink: Ink, bottom: bool, out: &mut String) {
        let cells: Vec<Vec<String>> = texts.iter().zip(&self.columns).map(|(t, c)| text::wrap(t, c.width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let mut printed = String::new();
            for (i, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
                let index = if bottom { (line + cell.len()).checked_sub(height) } else { Some(line) };
                let part = index.and_then(|k| cell.get(k)).map_or("", String::as_str);
                if i > 0 {
                    printed.push_str(&" ".repeat(GAP));
                }
                printed.push_str(&text::pad(part, column.width, column.numeric));
            }
            out.push_str(&self.style.paint(ink, printed.trim_end()));
            out.push('\n');
        }
    }
}
