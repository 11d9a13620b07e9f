//! What all kinds of figures share: title, legend, caption, axes, and the height that results.

use kuva::render::render::Scene;
use record::results::{Axis, Figure, Point, Series};

use super::super::text;
use super::canvas::{Anchor, Canvas};
use super::font;
use super::scale::Scale;
use super::theme::{self, Ink, Theme};
use record::format;

/// Width of every figure.
pub(super) const WIDTH: f64 = 760.0;
/// Free space at the sides.
pub(super) const MARGIN: f64 = 16.0;
/// Font size of ticks, labels and the legend.
pub(super) const SIZE: u32 = 12;
/// Font size of notes and the caption.
pub(super) const SMALL: u32 = 11;

const TITLE: u32 = 15;

/// A figure in the making; `y` is where the next part begins.
pub(super) struct Sheet {
    pub canvas: Canvas,
    pub y: f64,
    theme: Theme,
}

impl Sheet {
    /// Begins with the title, unless the page has it.
    pub fn new(figure: &Figure, theme: Theme) -> Self {
        let mut sheet = Self { canvas: Canvas::new(theme), y: MARGIN, theme };
        if theme == Theme::Light {
            for line in font::wrap(&text::one_line(&figure.title), TITLE, true, WIDTH - 2.0 * MARGIN, 3) {
                sheet.y += 14.0;
                sheet.canvas.bold(MARGIN, sheet.y, &line, TITLE, Ink::Text);
                sheet.y += 6.0;
            }
            sheet.y += 8.0;
        }
        sheet
    }

    /// Swatches and names in rows; `note` stands behind them.
    pub fn legend(&mut self, entries: &[(String, Ink, Swatch)], note: Option<&str>) {
        let mut x = MARGIN;
        let mut used = false;
        for (name, ink, swatch) in entries {
            let name = font::wrap(name, SIZE, false, WIDTH - 2.0 * MARGIN - 24.0, 1).concat();
            let needed = 18.0 + font::width(&name, SIZE, false);
            if used && x + needed > WIDTH - MARGIN {
                x = MARGIN;
                self.y += 20.0;
            }
            let middle = self.y + 7.0;
            match swatch {
                Swatch::Box => self.canvas.rect(x, middle - 6.0, 12.0, 12.0, *ink),
                Swatch::Marker(shape) => self.canvas.marker(x + 6.0, middle, *shape, *ink),
            }
            self.canvas.text(x + 18.0, middle + 4.25, &name, SIZE, Anchor::Start, Ink::Text);
            x += needed + 18.0;
            used = true;
        }
        if let Some(note) = note {
            let needed = font::width(note, SMALL, false);
            if used && x + needed > WIDTH - MARGIN {
                x = MARGIN;
                self.y += 20.0;
            }
            self.canvas.text(x, self.y + 11.0, note, SMALL, Anchor::Start, Ink::Muted);
            used = true;
        }
        if used {
            self.y += 26.0;
        }
    }

    /// What the vertical axis measures, above the plot: nobody has to turn their head.
    pub fn heading(&mut self, x: f64, label: &str) {
        let label = text::one_line(label);
        if label.is_empty() {
            return;
        }
        for line in font::wrap(&label, SIZE, false, WIDTH - MARGIN - x, 2) {
            self.canvas.text(x, self.y + 10.0, &line, SIZE, Anchor::Start, Ink::Muted);
            self.y += 15.0;
        }
        self.y += 7.0;
    }

    /// A horizontal value axis below the plot, with lines up through it; paint before the marks. Leaves `y` alone.
    pub fn horizontal_axis(&mut self, scale: &Scale, ticks: &[(f64, String)], top: f64, bottom: f64) {
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in ticks {
            let x = scale.at(*value);
            self.canvas.line((x, top), (x, bottom), Ink::Grid, 1.0);
            let half = font::width(label, SIZE, false) / 2.0;
            if x - half >= free_from && x + half <= WIDTH - 2.0 {
                self.canvas.line((x, bottom), (x, bottom + 4.0), Ink::Axis, 1.0);
                self.canvas.text(x, bottom + 17.0, label, SIZE, Anchor::Middle, Ink::Muted);
                free_from = x + half + 8.0;
            }
        }
        self.canvas.line((scale.from, bottom), (scale.to, bottom), Ink::Axis, 1.0);
    }

    /// The label below a horizontal axis, centred on it as far as the sheet allows.
    pub fn axis_label(&mut self, label: &str, from: f64, to: f64, bottom: f64) -> f64 {
        let lines = font::wrap(&text::one_line(label), SIZE, false, WIDTH - 2.0 * MARGIN, 2);
        let mut y = bottom + 22.0;
        for line in &lines {
            y += 15.0;
            let half = font::width(line, SIZE, false) / 2.0;
            let x = ((from + to) / 2.0).clamp(MARGIN + half, (WIDTH - MARGIN - half).max(MARGIN + half));
            self.canvas.text(x, y, line, SIZE, Anchor::Middle, Ink::Muted);
        }
        y + 8.0
    }

    /// A vertical value axis with lines across the plot.
    pub fn vertical_axis(&mut self, scale: &Scale, ticks: &[(f64, String)], left: f64, right: f64) {
        for (value, label) in ticks {
            let y = scale.at(*value);
            self.canvas.line((left, y), (right, y), Ink::Grid, 1.0);
            self.canvas.text(left - 8.0, y + 4.25, label, SIZE, Anchor::End, Ink::Muted);
        }
    }

    /// Instead of a plot when there is nothing to plot.
    pub fn nothing(&mut self) {
        self.canvas.text(
            MARGIN,
            self.y + 30.0,
            "No figure of this experiment could be measured.",
            SIZE,
            Anchor::Start,
            Ink::Muted,
        );
        self.y += 56.0;
    }

    /// Ends with the caption, unless the page has it.
    pub fn finish(mut self, figure: &Figure) -> Scene {
        if self.theme == Theme::Light && !figure.caption.is_empty() {
            self.y += 6.0;
            for line in font::wrap(&text::one_line(&figure.caption), SMALL, false, WIDTH - 2.0 * MARGIN, 6) {
                self.y += 15.0;
                self.canvas.text(MARGIN, self.y, &line, SMALL, Anchor::Start, Ink::Muted);
            }
        }
        let bottom = if self.theme == Theme::Light { MARGIN } else { 4.0 };
        let mut scene = Scene::new(WIDTH, (self.y + bottom).ceil());
        scene.background_color = match self.theme {
            Theme::Light => Some("#ffffff".to_owned()),
            Theme::Page => None,
        };
        scene.font_family = Some(match self.theme {
            Theme::Light => "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif".to_owned(),
            Theme::Page => "inherit".to_owned(),
        });
        scene.elements = self.canvas.elements;
        scene
    }
}

/// How a series stands in the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swatch {
    Box,
    Marker(usize),
}

/// Each series with its colour; references are grey.
pub(super) fn inks(series: &[Series]) -> Vec<Ink> {
    let names: Vec<&str> = series.iter().filter(|s| !s.reference).map(|s| s.name.as_str()).collect();
    let mut colors = theme::assign(&names).into_iter();
    series.iter().map(|s| if s.reference { Ink::Reference } else { Ink::Series(colors.next().unwrap_or(0)) }).collect()
}

/// Names of the categories; those that a point refers to without a name get its number.
pub(super) fn categories(axis: &Axis, series: &[Series]) -> Vec<String> {
    let mut names: Vec<String> = axis.categories.iter().map(|c| text::one_line(c)).collect();
    let most = series.iter().flat_map(|s| &s.points).filter_map(index).max().map_or(0, |i| i + 1);
    for i in names.len()..most {
        names.push(i.to_string());
    }
    names
}

/// Which category a point belongs to. More than a thousand categories are no figure but a mistake in the data.
pub(super) fn index(point: &Point) -> Option<usize> {
    let rounded = point.x.round();
    (0.0..1000.0).contains(&rounded).then_some(rounded as usize)
}

/// The point of a category, if it has a figure.
pub(super) fn point_at(series: &Series, category: usize) -> Option<Point> {
    series.points.iter().copied().find(|p| index(p) == Some(category) && p.y.is_finite())
}

/// The values that an axis must cover for this point.
pub(super) fn extent(point: &Point) -> impl Iterator<Item = f64> {
    [Some(point.y), point.lower, point.upper].into_iter().flatten().filter(|v| v.is_finite())
}

/// Both ends of a point's interval, with an absent one at the edge of the axis, and whether the upper is absent.
pub(super) fn bounds(point: &Point, scale: &Scale) -> Option<(f64, f64, bool)> {
    let finite = |bound: Option<f64>| bound.filter(|v| v.is_finite());
    match (finite(point.lower), finite(point.upper)) {
        (None, None) => None,
        (lower, upper) => Some((lower.unwrap_or(scale.low), upper.unwrap_or(scale.high), upper.is_none())),
    }
}

/// Ticks of a horizontal axis, as many as have room for their labels.
pub(super) fn fitting_ticks(scale: &Scale) -> Vec<(f64, String)> {
    let fits = |ticks: &[(f64, String)]| {
        ticks.windows(2).all(|pair| {
            let room = font::width(&pair[0].1, SIZE, false) / 2.0 + font::width(&pair[1].1, SIZE, false) / 2.0 + 10.0;
            scale.at(pair[1].0) - scale.at(pair[0].0) >= room
        })
    };
    (2..8).rev().map(|about| scale.ticks(about)).find(|ticks| fits(ticks)).unwrap_or_else(|| scale.ticks(1))
}

/// The unit in the parentheses that end an axis label: `ms` of `time per request (ms)`.
pub(super) fn unit(axis: &Axis) -> Option<&str> {
    let inside = axis.label.trim_end().strip_suffix(')')?;
    let (_, unit) = inside.rsplit_once('(')?;
    let word = unit.trim();
    (!word.is_empty() && word.len() <= 12 && !word.contains(' ')).then_some(word)
}

/// A value with its unit, as a direct label.
pub(super) fn labelled(value: f64, unit: Option<&str>) -> String {
    match unit {
        Some("%") => format!("{}%", format::significant(value, 3)),
        Some("x" | "times" | "ratio") => format::ratio(value),
        Some(unit) => format!("{} {unit}", format::significant(value, 3)),
        None => format::significant(value, 3),
    }
}

/// The gutter for names of categories at the left: their lines, and its width.
pub(super) fn gutter(names: &[String], limit: f64) -> (Vec<Vec<String>>, f64) {
    let lines: Vec<Vec<String>> = names.iter().map(|n| font::wrap(n, SIZE, false, limit, 3)).collect();
    let width = font::widest(lines.iter().flatten().map(String::as_str), SIZE, false);
    (lines, width)
}
