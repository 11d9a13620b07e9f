//! Colours: what a mark is, and how it looks in a file or on a page.

use kuva::render::color::Color;

/// Where the figure will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// A file of its own: dark on white, printable, with title and caption.
    Light,
    /// Inside an HTML page: colours are the page's CSS variables (`--fig-text`, `--fig-0`, …), so that dark mode and print
    /// change them; the page shows title and caption.
    Page,
}

/// What a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Muted,
    Axis,
    Grid,
    Background,
    /// A series by its colour.
    Series(usize),
    /// Text on that colour.
    OnSeries(usize),
    /// An ideal or a control.
    Reference,
    /// Intervals on bars.
    Interval,
}

/// Colours of series: eight hues after Okabe and Ito (2008), told apart with the common colour-vision deficiencies, some a
/// little darker so that a line of each has a contrast of about 3 to white. The second is that of text on it.
const SERIES: [(&str, &str); 8] = [
    ("#0072b2", "#ffffff"),
    ("#e08e00", "#1a1200"),
    ("#009070", "#ffffff"),
    ("#c06699", "#1f0714"),
    ("#449fd8", "#06141f"),
    ("#c44e00", "#ffffff"),
    ("#6b7480", "#ffffff"),
    ("#8a6d2f", "#ffffff"),
];

/// Number of colours before they repeat.
pub(super) const COLORS: usize = SERIES.len();

impl Theme {
    pub(super) fn color(self, ink: Ink) -> Color {
        let (variable, light) = match ink {
            Ink::Text => ("text".to_owned(), "#1f2328"),
            Ink::Muted => ("muted".to_owned(), "#59636e"),
            Ink::Axis => ("axis".to_owned(), "#8c959f"),
            Ink::Grid => ("grid".to_owned(), "#e4e8ec"),
            Ink::Background => ("background".to_owned(), "#ffffff"),
            Ink::Series(i) => ((i % COLORS).to_string(), SERIES[i % COLORS].0),
            Ink::OnSeries(i) => (format!("on-{}", i % COLORS), SERIES[i % COLORS].1),
            Ink::Reference => ("reference".to_owned(), "#6e7781"),
            Ink::Interval => ("interval".to_owned(), "#1f2328"),
        };
        match self {
            Self::Light => Color::from(light),
            Self::Page => Color::Css(format!("var(--fig-{variable}, {light})").into_boxed_str()),
        }
    }

    /// The variables that [`Theme::Page`] refers to, as CSS declarations of the light theme.
    #[cfg(test)]
    pub(super) fn variables() -> Vec<String> {
        let mut names: Vec<String> =
            ["text", "muted", "axis", "grid", "background", "reference", "interval"].map(str::to_owned).to_vec();
        for i in 0..COLORS {
            names.push(i.to_string());
            names.push(format!("on-{i}"));
        }
        names
    }
}

/// Stages of a request have one colour in every figure in which each of them is a series.
const STAGES: [(&str, usize); 5] = [("template", 0), ("tokenize", 1), ("collate", 2), ("parse", 4), ("handoff", 3)];

/// Parts of a time to first token likewise. Their colours are those of no stage beside them: the two are never in one figure.
const PARTS: [(&str, usize); 7] = [
    ("client wait", 3),
    ("network", 4),
    ("HTTP wait", 7),
    ("front end", 1),
    ("queue", 2),
    ("prefill", 0),
    ("unexplained", 6),
];

/// A colour for each series by its name.
pub(super) fn assign(names: &[&str]) -> Vec<usize> {
    let stage = |name: &str| STAGES.iter().chain(&PARTS).find(|(s, _)| s.eq_ignore_ascii_case(name)).map(|(_, c)| *c);
    let fixed: Vec<Option<usize>> = names.iter().map(|n| stage(n)).collect();
    let mut free = (0..COLORS).filter(|c| !fixed.contains(&Some(*c))).cycle();
    fixed.iter().map(|c| c.or_else(|| free.next()).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of WCAG 2.1 between two colours `#rrggbb`.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |hex: &str| {
            let channel = |i: usize| {
                let v = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
                if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_on_bars_and_bars_on_white_can_be_read() {
        for (fill, on) in SERIES {
            assert!(contrast(fill, on) >= 3.9, "{on} on {fill}: {:.2}", contrast(fill, on));
            assert!(contrast(fill, "#ffffff") >= 2.5, "{fill} on white: {:.2}", contrast(fill, "#ffffff"));
        }
    }

    #[test]
    fn the_page_defines_every_variable_in_light_and_dark() {
        let css = include_str!("../templates/report.css");
        for name in Theme::variables() {
            let definitions = css.matches(&format!("--fig-{name}:")).count();
            assert_eq!(definitions, 2, "--fig-{name}");
        }
    }

    #[test]
    fn stages_keep_their_colour_and_others_take_what_is_free() {
        assert_eq!(assign(&["parse", "template", "tokenize"]), [4, 0, 1]);
        assert_eq!(assign(&["template", "other", "tokenize"]), [0, 2, 1]);
        assert_eq!(assign(&["a", "b"]), [0, 1]);
    }
}
