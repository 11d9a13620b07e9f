//! Lines with markers and intervals over a numeric axis, named at their right ends.

use record::results::{Figure, Point};

use super::super::text;
use super::canvas::{Anchor, MARKER};
use super::font;
use super::scale::{self, Scale};
use super::sheet::{self, MARGIN, SIZE, Sheet, WIDTH};
use super::theme::Ink;

const HEIGHT: f64 = 330.0;
/// Between the names of two lines.
const PITCH: f64 = 15.0;
/// Letters of a value that somebody chose for an axis (`100,000`); a measured one has more.
const LONGEST_VALUE: usize = 7;
/// Between two series at one value, at most.
const STEP: f64 = 4.0;
/// The key before a name: the marker of its line.
const KEY: f64 = 16.0;

/// A line's name, where it wants to stand and where it stands.
struct Name {
    lines: Vec<String>,
    ink: Ink,
    /// Of its markers; a reference has none.
    shape: Option<usize>,
    wanted: f64,
    placed: f64,
    end_x: f64,
}

impl Name {
    fn height(&self) -> f64 {
        PITCH * self.lines.len() as f64 + 3.0
    }
}

/// Draws the lines. Ticks of the horizontal axis stand at the values that were measured.
pub(super) fn draw(sheet: &mut Sheet, figure: &Figure) {
    let usable = |p: &Point| p.x.is_finite() && p.y.is_finite() && (!figure.y.log || p.y > 0.0);
    let series: Vec<Vec<Point>> = figure
        .series
        .iter()
        .map(|s| {
            let mut points: Vec<Point> = s.points.iter().copied().filter(usable).collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            points
        })
        .collect();
    if series.iter().all(Vec::is_empty) {
        return sheet.nothing();
    }
    let inks = sheet::inks(&figure.series);

    let mut names: Vec<Name> = Vec::new();
    for (s, points) in series.iter().enumerate() {
        let lines = font::wrap(&text::one_line(&figure.series[s].name), SIZE, false, 180.0, 3);
        if points.is_empty() || lines.is_empty() {
            continue;
        }
        let shape = (!figure.series[s].reference).then_some(s);
        names.push(Name { lines, ink: inks[s], shape, wanted: 0.0, placed: 0.0, end_x: 0.0 });
    }
    let column = font::widest(names.iter().flat_map(|n| &n.lines).map(String::as_str), SIZE, false);
    let height = HEIGHT.max(names.iter().map(Name::height).sum::<f64>() + 10.0);

    sheet.heading(MARGIN, &figure.y.label);
    let (top, bottom) = (sheet.y + 6.0, sheet.y + 6.0 + height);
    let y = Scale::covering(series.iter().flatten().flat_map(sheet::extent), figure.y.log, bottom, top);
    let y_ticks = y.ticks(6);
    let left = MARGIN + font::widest(y_ticks.iter().map(|(_, l)| l.as_str()), SIZE, false) + 10.0;
    let right = WIDTH - MARGIN - column - KEY - 34.0;
    let mut xs: Vec<f64> = series.iter().flatten().map(|p| p.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    // Room for the series that stand beside the first and the last value.
    let aside = STEP * figure.series.len() as f64 / 2.0 + 2.0;
    let x = Scale::around(&xs, figure.x.log, left + aside, right - aside);
    // Many different values are a continuum, and so are measured ones: round ticks read better than the values.
    let values: Vec<(f64, String)> = xs.iter().map(|v| (*v, scale::plain(*v))).collect();
    let were_chosen = values.len() <= 12 && values.iter().all(|(_, label)| label.chars().count() <= LONGEST_VALUE);
    let x_ticks = if were_chosen { values } else { x.ticks(8) };
    sheet.vertical_axis(&y, &y_ticks, left, right);
    sheet.horizontal_axis(&x, &x_ticks, bottom - 1.0, bottom);
    sheet.canvas.line((left, bottom), (right, bottom), Ink::Axis, 1.0);

    let offsets = offsets(figure, &xs.iter().map(|v| x.at(*v)).collect::<Vec<_>>());
    let mut named = names.iter_mut();
    for (s, points) in series.iter().enumerate() {
        let Some(last) = points.last() else { continue };
        let reference = figure.series[s].reference;
        let aside = if reference { 0.0 } else { offsets[s] };
        let at = |p: &Point| (x.at(p.x) + aside, y.at(p.y));
        let path: Vec<(f64, f64)> = points.iter().map(at).collect();
        if reference {
            sheet.canvas.dashed(&path, inks[s], 1.5);
        } else {
            sheet.canvas.polyline(&path, inks[s], 2.0);
        }
        for point in points {
            if let Some((lower, upper, open)) = sheet::bounds(point, &y) {
                let px = x.at(point.x) + aside;
                // An interval that is smaller than the marker would only blur its outline.
                if !reference && (y.at(lower) - y.at(upper)).abs() <= 2.0 * MARKER {
                    continue;
                }
                sheet.canvas.interval((px, y.at(lower)), (px, y.at(upper)), 4.0, open, inks[s]);
            }
        }
        if !reference {
            for (px, py) in &path {
                sheet.canvas.marker(*px, *py, s, inks[s]);
            }
        }
        if !text::one_line(&figure.series[s].name).is_empty()
            && let Some(name) = named.next()
        {
            (name.end_x, name.wanted) = at(last);
        }
    }
    place(&mut names, top, bottom);
    for name in &names {
        let from = right + 26.0;
        // A leader where a name had to move away from its line, or the line ends early.
        if (name.placed - name.wanted).abs() > 4.0 || name.end_x < right - 20.0 {
            sheet.canvas.polyline(
                &[(name.end_x + 7.0, name.wanted), (right + 10.0, name.placed), (from - 4.0, name.placed)],
                Ink::Axis,
                0.75,
            );
        }
        match name.shape {
            Some(shape) => sheet.canvas.marker(from + 5.0, name.placed, shape, name.ink),
            None => {
                sheet.canvas.line((from, name.placed), (from + 10.0, name.placed), name.ink, 1.5);
            }
        }
        sheet.canvas.block(from + KEY, name.placed, &name.lines, SIZE, Anchor::Start, Ink::Text);
    }
    sheet.y = sheet.axis_label(&figure.x.label, left, right, bottom);
}

/// How far each series stands beside the value that it was measured at, so that intervals at one value do not hide each
/// other: at most [`STEP`] from the next series, and together at most a third of the way to the next value.
fn offsets(figure: &Figure, positions: &[f64]) -> Vec<f64> {
    let measured: Vec<usize> = (0..figure.series.len()).filter(|&s| !figure.series[s].reference).collect();
    let gap = positions.windows(2).map(|p| p[1] - p[0]).fold(f64::INFINITY, f64::min);
    let count = measured.len() as f64;
    let step = if gap.is_finite() && count > 1.0 { (gap / 3.0 / count).min(STEP) } else { 0.0 };
    let mut offsets = vec![0.0; figure.series.len()];
    for (k, s) in measured.into_iter().enumerate() {
        offsets[s] = (k as f64 - (count - 1.0) / 2.0) * step;
    }
    offsets
}

/// Moves the names apart, keeping their order, as little as possible: runs of names that touch are centred on where they
/// want to be, and all stay between `top` and `bottom`.
fn place(names: &mut [Name], top: f64, bottom: f64) {
    names.sort_by(|a, b| a.wanted.total_cmp(&b.wanted));
    // Clusters of touching names: (first, last, sum of heights, start).
    let mut clusters: Vec<(usize, usize, f64, f64)> = Vec::new();
    for i in 0..names.len() {
        let height = names[i].height();
        clusters.push((i, i, height, names[i].wanted - height / 2.0));
        while let [.., a, b] = clusters.as_slice() {
            let (a, b) = (*a, *b);
            if a.3 + a.2 <= b.3 {
                break;
            }
            let (first, last, total) = (a.0, b.1, a.2 + b.2);
            // The start at which the mean displacement is zero.
            let mut offset = 0.0;
            let mut sum = 0.0;
            for name in &names[first..=last] {
                sum += name.wanted - (offset + name.height() / 2.0);
                offset += name.height();
            }
            let start = sum / (last - first + 1) as f64;
            clusters.truncate(clusters.len() - 2);
            clusters.push((first, last, total, start));
        }
    }
    let mut free = top;
    for (first, last, _, start) in clusters {
        let rest: f64 = names[first..].iter().map(Name::height).sum();
        let mut at = start.min(bottom - rest).max(free);
        for name in &mut names[first..=last] {
            name.placed = at + name.height() / 2.0;
            at += name.height();
        }
        free = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_and_do_not_touch() {
        let name =
            |wanted| Name { lines: vec!["n".into()], ink: Ink::Text, shape: None, wanted, placed: 0.0, end_x: 0.0 };
        let mut names: Vec<Name> = [100.0, 101.0, 99.0, 100.5, 5.0, 299.0, 300.0].map(name).into_iter().collect();
        place(&mut names, 0.0, 300.0);
        for pair in names.windows(2) {
            assert!(pair[1].placed - pair[0].placed >= PITCH + 3.0 - 1e-9, "{} {}", pair[0].placed, pair[1].placed);
        }
        assert!(names.iter().all(|n| n.placed >= 9.0 - 1e-9 && n.placed <= 291.0 + 1e-9));
        // The four around 100 stay around 100.
        let middle = (names[1].placed + names[4].placed) / 2.0;
        assert!((middle - 100.125).abs() < 1.0, "{middle}");
    }
}
