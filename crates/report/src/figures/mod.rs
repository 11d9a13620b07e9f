//! Figures, drawn from data as SVG and PNG.
//!
//! The layout is our own and the drawing is `kuva`'s: every kind of figure puts its marks into one [`kuva`] scene, which
//! its SVG and its raster backend turn into files, so that both show the same. `kuva`'s ready-made plots are not used:
//! they put no interval on stacked or grouped bars, rotate or clip long category names, cannot label lines at their ends,
//! and fix their colours as literals, which a page in dark mode cannot change.

mod canvas;
mod font;
mod grouped;
mod lines;
mod raster;
mod ratios;
mod scale;
mod sheet;
mod stacked;
mod theme;

use std::collections::BTreeSet;

use kuva::backend::svg::SvgBackend;
use kuva::render::render::Scene;
use record::results::{Figure, FigureKind, Results};

use super::{Error, Result, text};
pub use theme::Theme;

/// A figure of a run, and the file name (without extension) that it goes by.
#[derive(Debug, Clone)]
pub struct NamedFigure<'a> {
    /// Name of its experiment.
    pub experiment: &'a str,
    pub figure: &'a Figure,
    pub file: String,
}

/// A figure drawn for a page: SVG that takes its colours from the page.
#[derive(Debug, Clone)]
pub struct InlineFigure<'a> {
    pub named: NamedFigure<'a>,
    pub svg: String,
}

/// The figures of all experiments with a file name each. A name has only letters, digits, `-`, `_` and `.`, whatever the
/// id says, and no name is given twice.
pub fn file_names(results: &Results) -> Vec<NamedFigure<'_>> {
    let mut taken = BTreeSet::new();
    let mut out = Vec::new();
    for experiment in &results.experiments {
        for figure in &experiment.figures {
            let base = safe_name(&figure.id);
            let mut file = base.clone();
            let mut n = 2;
            while !taken.insert(file.clone()) {
                file = format!("{base}-{n}");
                n += 1;
            }
            out.push(NamedFigure { experiment: &experiment.name, figure, file });
        }
    }
    out
}

/// All figures drawn for the page.
pub fn inline(results: &Results) -> Result<Vec<InlineFigure<'_>>> {
    file_names(results)
        .into_iter()
        .map(|named| Ok(InlineFigure { svg: svg(named.figure, Theme::Page)?, named }))
        .collect()
}

/// The figure as SVG. [`Theme::Light`] gives a file that stands alone, with title and caption; [`Theme::Page`] gives an
/// element for an HTML page, which has its title and caption beside it.
pub fn svg(figure: &Figure, theme: Theme) -> Result<String> {
    let scene = scene(figure, theme);
    let svg = SvgBackend::new().render_scene(&scene);
    // The backend gives a fixed size and no name; a page needs one that scales, and a reader that cannot see a name.
    let body = svg.split_once('>').map(|(_, body)| body).ok_or_else(|| Error::Figure {
        figure: text::one_line(&figure.id),
        message: "the SVG backend returned no element".to_owned(),
    })?;
    let (w, h) = (scene.width, scene.height);
    let title = escape(&text::one_line(&figure.title));
    let description = escape(&text::one_line(&figure.caption));
    let font = scene.font_family.as_deref().map(escape).unwrap_or_default();
    Ok(match theme {
        Theme::Light => format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
             font-family=\"{font}\"><title>{title}</title><desc>{description}</desc>{body}\n"
        ),
        Theme::Page => format!(
            "<svg viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{title}. {description}\" font-family=\"{font}\">{body}"
        ),
    })
}

/// The figure as PNG, on white.
pub fn png(figure: &Figure) -> Result<Vec<u8>> {
    raster::render(&scene(figure, Theme::Light))
        .map_err(|message| Error::Figure { figure: text::one_line(&figure.id), message })
}

fn scene(figure: &Figure, theme: Theme) -> Scene {
    let mut sheet = sheet::Sheet::new(figure, theme);
    match figure.kind {
        FigureKind::StackedBars => stacked::draw(&mut sheet, figure),
        FigureKind::GroupedBars => grouped::draw(&mut sheet, figure),
        FigureKind::Lines => lines::draw(&mut sheet, figure),
        FigureKind::Ratios => ratios::draw(&mut sheet, figure),
    }
    sheet.finish(figure)
}

fn safe_name(id: &str) -> String {
    let name: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(100)
        .collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "figure".to_owned() } else { name.to_owned() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_folder() {
        assert_eq!(safe_name("anatomy-stages"), "anatomy-stages");
        assert_eq!(safe_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(safe_name("..."), "figure");
        assert_eq!(safe_name("分词"), "figure");
    }
}
