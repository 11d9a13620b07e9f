//! Marks, put into a `kuva` scene.

use kuva::render::render::{PathData, Primitive, TextAnchor, TextSpan};

use super::font;
use super::theme::{Ink, Theme};

/// Where text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl From<Anchor> for TextAnchor {
    fn from(anchor: Anchor) -> Self {
        match anchor {
            Anchor::Start => Self::Start,
            Anchor::Middle => Self::Middle,
            Anchor::End => Self::End,
        }
    }
}

/// Half the size of a marker.
pub(super) const MARKER: f64 = 4.0;

/// Lengths of a dash and of the gap after it.
const DASH: (f64, f64) = (6.0, 4.0);

/// A list of marks in the order in which they are painted.
pub(super) struct Canvas {
    pub theme: Theme,
    pub elements: Vec<Primitive>,
}

/// Positions in quarters: fine enough to see no step, and short as text.
fn snap(v: f64) -> f64 {
    if v.is_finite() { (v * 4.0).round() / 4.0 } else { 0.0 }
}

impl Canvas {
    pub fn new(theme: Theme) -> Self {
        Self { theme, elements: Vec::new() }
    }

    /// Text with its baseline at `y`.
    pub fn text(&mut self, x: f64, y: f64, content: &str, size: u32, anchor: Anchor, ink: Ink) {
        self.elements.push(Primitive::Text {
            x: snap(x),
            y: snap(y),
            content: literal(content),
            size,
            anchor: anchor.into(),
            rotate: None,
            bold: false,
            color: Some(self.theme.color(ink)),
        });
    }

    /// Text beside a mark, on a patch of background so that the lines of the grid do not cross it.
    pub fn label(&mut self, x: f64, y: f64, content: &str, size: u32, ink: Ink) {
        let height = f64::from(size);
        self.rect(x - 2.0, y - height * 0.85, font::width(content, size, false) + 4.0, height * 1.15, Ink::Background);
        self.text(x, y, content, size, Anchor::Start, ink);
    }

    /// Bold text. (The raster backend draws only spans of rich text in bold.)
    pub fn bold(&mut self, x: f64, y: f64, content: &str, size: u32, ink: Ink) {
        self.elements.push(Primitive::RichText {
            x: snap(x),
            y: snap(y),
            spans: vec![TextSpan {
                text: content.to_owned(),
                bold: true,
                italic: false,
                underline: false,
                code: false,
                math: false,
            }],
            size,
            anchor: TextAnchor::Start,
            color: Some(self.theme.color(ink)),
        });
    }

    /// Lines of text around the middle `y`.
    pub fn block(&mut self, x: f64, y: f64, lines: &[String], size: u32, anchor: Anchor, ink: Ink) {
        let pitch = f64::from(size) * 1.2;
        let first = y - pitch * (lines.len() as f64 - 1.0) / 2.0 + f64::from(size) * 0.36;
        for (i, line) in lines.iter().enumerate() {
            self.text(x, first + pitch * i as f64, line, size, anchor, ink);
        }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.elements.push(Primitive::Line {
            x1: snap(from.0),
            y1: snap(from.1),
            x2: snap(to.0),
            y2: snap(to.1),
            stroke: self.theme.color(ink),
            stroke_width: width,
            stroke_dasharray: None,
        });
    }

    pub fn polyline(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        self.elements.push(Primitive::PolyLine {
            points: points.iter().map(|(x, y)| (snap(*x), snap(*y))).collect(),
            stroke: self.theme.color(ink),
            stroke_width: width,
            stroke_dasharray: None,
        });
    }

    /// A dashed path, dash by dash: the raster backend does not scale the lengths of a dash pattern.
    pub fn dashed(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let (mut left, mut on) = (DASH.0, true);
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let at = |d: f64| (from.0 + (to.0 - from.0) * d / length, from.1 + (to.1 - from.1) * d / length);
            let mut done = 0.0;
            while done < length {
                let step = left.min(length - done);
                if on {
                    self.line(at(done), at(done + step), ink, width);
                }
                done += step;
                left -= step;
                if left <= 0.0 {
                    on = !on;
                    left = if on { DASH.0 } else { DASH.1 };
                }
            }
        }
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, ink: Ink) {
        let (left, top) = (snap(x), snap(y));
        self.elements.push(Primitive::Rect {
            x: left,
            y: top,
            width: snap(x + width) - left,
            height: snap(y + height) - top,
            fill: self.theme.color(ink),
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
    }

    /// A horizontal interval with caps; an open end has none and runs to the edge that is given as its bound.
    pub fn interval(&mut self, from: (f64, f64), to: (f64, f64), cap: f64, open_end: bool, ink: Ink) {
        self.line(from, to, ink, 1.25);
        let vertical = from.0 == to.0;
        let mut ends = vec![from];
        if !open_end {
            ends.push(to);
        }
        for (x, y) in ends {
            let (dx, dy) = if vertical { (cap, 0.0) } else { (0.0, cap) };
            self.line((x - dx, y - dy), (x + dx, y + dy), ink, 1.25);
        }
    }

    /// A marker whose shape goes with the series, so that colour is not the only difference.
    pub fn marker(&mut self, x: f64, y: f64, shape: usize, ink: Ink) {
        const R: f64 = MARKER;
        let polygon = |points: &[(f64, f64)]| {
            let path: Vec<String> =
                points.iter().map(|(dx, dy)| format!("{} {}", snap(x + dx * R), snap(y + dy * R))).collect();
            format!("M{}Z", path.join("L"))
        };
        let d = match shape % 6 {
            0 => {
                self.elements.push(Primitive::Circle {
                    cx: snap(x),
                    cy: snap(y),
                    r: R,
                    fill: self.theme.color(ink),
                    fill_opacity: None,
                    stroke: Some(self.theme.color(Ink::Background)),
                    stroke_width: Some(1.0),
                });
                return;
            }
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            4 => polygon(&[(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)]),
            _ => polygon(&[(-0.5, -1.1), (0.5, -1.1), (1.1, 0.0), (0.5, 1.1), (-0.5, 1.1), (-1.1, 0.0)]),
        };
        self.elements.push(Primitive::Path(Box::new(PathData {
            d,
            fill: Some(self.theme.color(ink)),
            stroke: self.theme.color(Ink::Background),
            stroke_width: 1.0,
            opacity: None,
            stroke_dasharray: None,
        })));
    }
}

/// `kuva` reads `$...$` as mathematics; a dollar sign in a name is only that.
fn literal(content: &str) -> String {
    content.replace('$', "\\$")
}
