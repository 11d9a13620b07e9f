//! Bars side by side, one colour a series, with intervals.
//!
//! Upright where the names of the categories fit below their bars, else lying, with the names at the left.

use record::results::{Figure, Point};

use super::super::text;
use super::canvas::Anchor;
use super::font;
use super::scale::Scale;
use super::sheet::{self, MARGIN, SIZE, SMALL, Sheet, Swatch, WIDTH};
use super::theme::Ink;
use record::format;

const HEIGHT: f64 = 300.0;
const LYING: f64 = 18.0;

struct Bars<'a> {
    figure: &'a Figure,
    names: Vec<String>,
    inks: Vec<Ink>,
    /// By series, then category.
    points: Vec<Vec<Option<Point>>>,
}

impl Bars<'_> {
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().flatten().flatten().flat_map(sheet::extent)
    }

    /// What the axis must hold: on a logarithmic one also half the least value, so that the shortest bar is still a bar.
    fn reach(&self) -> Vec<f64> {
        let mut reach: Vec<f64> = self.values().collect();
        if self.figure.y.log {
            let least = self.values().filter(|value| *value > 0.0).reduce(f64::min);
            reach.extend(least.map(|least| least / 2.0));
        }
        reach
    }

    /// The foot of the bars: zero, or the low end of a logarithmic axis.
    fn foot(scale: &Scale) -> f64 {
        if scale.log { scale.low } else { 0.0 }
    }
}

/// Draws the bars.
pub(super) fn draw(sheet: &mut Sheet, figure: &Figure) {
    let names = sheet::categories(&figure.x, &figure.series);
    let bars = Bars {
        inks: sheet::inks(&figure.series),
        points: figure.series.iter().map(|s| (0..names.len()).map(|c| sheet::point_at(s, c)).collect()).collect(),
        names,
        figure,
    };
    if bars.points.iter().flatten().all(Option::is_none) {
        return sheet.nothing();
    }
    if figure.series.len() > 1 {
        let entries: Vec<_> =
            figure.series.iter().zip(&bars.inks).map(|(s, ink)| (text::one_line(&s.name), *ink, Swatch::Box)).collect();
        sheet.legend(&entries, None);
    }
    let slot = (WIDTH - 2.0 * MARGIN - 60.0) / bars.names.len().max(1) as f64;
    let upright = bars.names.iter().all(|name| {
        let lines = font::wrap(name, SIZE, false, slot - 10.0, 99);
        // A name that must be cut within a word does not fit.
        lines.len() <= 2 && font::widest(name.split(' '), SIZE, false) <= slot - 10.0
    }) && slot / figure.series.len().max(1) as f64 >= 9.0;
    if upright { draw_upright(sheet, &bars, slot) } else { draw_lying(sheet, &bars) }
}

fn draw_upright(sheet: &mut Sheet, bars: &Bars<'_>, slot: f64) {
    let figure = bars.figure;
    sheet.heading(MARGIN, &figure.y.label);
    let (top, bottom) = (sheet.y + 8.0, sheet.y + 8.0 + HEIGHT);
    let scale = Scale::covering(bars.reach(), figure.y.log, bottom, top);
    let ticks = scale.ticks(6);
    let left = MARGIN + font::widest(ticks.iter().map(|(_, l)| l.as_str()), SIZE, false) + 10.0;
    let right = WIDTH - MARGIN;
    let slot = slot.min((right - left) / bars.names.len() as f64);
    // Few bars are not blown up to fill the sheet.
    let bar = ((slot * 0.8) / figure.series.len() as f64).min(56.0);
    let slot = slot.min(bar * figure.series.len() as f64 + 110.0);
    let right = right.min(left + slot * bars.names.len() as f64);
    sheet.vertical_axis(&scale, &ticks, left, right);

    let foot = scale.at(Bars::foot(&scale));
    let numbers_fit = bars
        .points
        .iter()
        .flatten()
        .flatten()
        .all(|p| font::width(&format::significant(p.y, 3), SMALL, false) <= bar - 2.0);
    for (c, name) in bars.names.iter().enumerate() {
        let centre = left + slot * (c as f64 + 0.5);
        let first = centre - bar * figure.series.len() as f64 / 2.0;
        let mut any = false;
        for (s, points) in bars.points.iter().enumerate() {
            let Some(point) = points[c] else { continue };
            any = true;
            let x = first + bar * s as f64;
            let y = scale.at(point.y);
            sheet.canvas.rect(x + 1.0, y.min(foot), bar - 2.0, (foot - y).abs(), bars.inks[s]);
            let mut above = y;
            let x = x + bar / 2.0;
            if let Some((lower, upper, open)) = sheet::bounds(&point, &scale) {
                above = above.min(scale.at(upper));
                sheet.canvas.interval(
                    (x, scale.at(lower)),
                    (x, scale.at(upper)),
                    4.0_f64.min(bar / 3.0),
                    open,
                    Ink::Interval,
                );
            }
            if numbers_fit {
                sheet.canvas.text(x, above - 5.0, &format::significant(point.y, 3), SMALL, Anchor::Middle, Ink::Text);
            }
        }
        if !any {
            sheet.canvas.text(centre, bottom - 8.0, "not measured", SMALL, Anchor::Middle, Ink::Muted);
        }
        for (i, line) in font::wrap(name, SIZE, false, slot - 10.0, 2).iter().enumerate() {
            sheet.canvas.text(centre, bottom + 17.0 + 14.5 * i as f64, line, SIZE, Anchor::Middle, Ink::Text);
        }
    }
    sheet.canvas.line((left, foot), (right, foot), Ink::Axis, 1.0);
    let rows = bars.names.iter().map(|n| font::wrap(n, SIZE, false, slot - 10.0, 2).len()).max().unwrap_or(1);
    sheet.y = sheet.axis_label(&figure.x.label, left, right, bottom + 14.5 * (rows as f64 - 1.0));
}

fn draw_lying(sheet: &mut Sheet, bars: &Bars<'_>) {
    let figure = bars.figure;
    let unit = sheet::unit(&figure.y);
    let (labels, width) = sheet::gutter(&bars.names, 220.0);
    let left = MARGIN + width + 12.0;
    let number = |p: &Point| sheet::labelled(p.y, unit);
    let numbers: Vec<String> = bars.points.iter().flatten().flatten().map(number).collect();
    let right = WIDTH - MARGIN - font::widest(numbers.iter().map(String::as_str), SMALL, false) - 10.0;
    let scale = Scale::covering(bars.reach(), figure.y.log, left, right);
    let heights: Vec<f64> = (0..bars.names.len())
        .map(|c| {
            let rows = bars.points.iter().filter(|s| s[c].is_some()).count().max(1) as f64;
            (rows * LYING + 14.0).max(labels[c].len() as f64 * 14.5 + 10.0)
        })
        .collect();
    let top = sheet.y;
    let bottom = top + heights.iter().sum::<f64>() + 4.0;
    sheet.horizontal_axis(&scale, &sheet::fitting_ticks(&scale), top, bottom);
    let foot = scale.at(Bars::foot(&scale));
    let mut row_top = top + 2.0;
    for (c, height) in heights.iter().enumerate() {
        let middle = row_top + height / 2.0;
        row_top += height;
        sheet.canvas.block(left - 12.0, middle, &labels[c], SIZE, Anchor::End, Ink::Text);
        let present: Vec<usize> = (0..bars.points.len()).filter(|&s| bars.points[s][c].is_some()).collect();
        if present.is_empty() {
            sheet.canvas.label(left + 8.0, middle + 4.0, "not measured", SMALL, Ink::Muted);
        }
        let first = middle - LYING * present.len() as f64 / 2.0;
        for (k, s) in present.into_iter().enumerate() {
            let Some(point) = bars.points[s][c] else { continue };
            let y = first + LYING * (k as f64 + 0.5);
            let x = scale.at(point.y);
            sheet.canvas.rect(x.min(foot), y - LYING / 2.0 + 1.0, (x - foot).abs(), LYING - 2.0, bars.inks[s]);
            let mut beyond = x.max(foot);
            if let Some((lower, upper, open)) = sheet::bounds(&point, &scale) {
                beyond = beyond.max(scale.at(upper));
                sheet.canvas.interval((scale.at(lower), y), (scale.at(upper), y), 4.0, open, Ink::Interval);
            }
            sheet.canvas.label(beyond + 7.0, y + 4.0, &number(&point), SMALL, Ink::Text);
        }
    }
    sheet.canvas.line((foot, top), (foot, bottom), Ink::Axis, 1.0);
    sheet.y = sheet.axis_label(&figure.y.label, left, right, bottom);
}
