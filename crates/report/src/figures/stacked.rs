//! One horizontal bar a category, stacked over the series: where a whole goes.

use record::results::Figure;

use super::super::text;
use super::canvas::Anchor;
use super::font;
use super::scale::Scale;
use super::sheet::{self, MARGIN, SIZE, SMALL, Sheet, Swatch, WIDTH};
use super::theme::Ink;

const THICKNESS: f64 = 24.0;
const NOTE: &str = "% = share of the sum";

/// Draws the bars. The axis is linear whatever the figure says, as lengths on a logarithmic axis do not add up. A
/// reference series (the whole, measured as one) is a diamond below the bar. A part below zero lies left of zero, and the sum is less by it.
pub(super) fn draw(sheet: &mut Sheet, figure: &Figure) {
    let names = sheet::categories(&figure.x, &figure.series);
    let inks = sheet::inks(&figure.series);
    let parts: Vec<usize> = (0..figure.series.len()).filter(|&i| !figure.series[i].reference).collect();
    let wholes: Vec<usize> = (0..figure.series.len()).filter(|&i| figure.series[i].reference).collect();
    let unit = sheet::unit(&figure.y);

    // Sums, and how far the intervals of the parts reach beyond the ends of their segments.
    let mut sums = Vec::with_capacity(names.len());
    let mut reach = vec![0.0];
    for c in 0..names.len() {
        let mut ends = Ends::default();
        let mut any = false;
        for point in parts.iter().filter_map(|&i| sheet::point_at(&figure.series[i], c)) {
            any = true;
            let (start, end) = ends.add(point.y);
            reach.extend([end, start + point.upper.unwrap_or(point.y)]);
        }
        for point in wholes.iter().filter_map(|&i| sheet::point_at(&figure.series[i], c)) {
            reach.extend(sheet::extent(&point));
        }
        sums.push(any.then_some(ends.sum()));
    }
    if sums.iter().all(Option::is_none) {
        return sheet.nothing();
    }

    let mut entries: Vec<_> =
        parts.iter().map(|&i| (text::one_line(&figure.series[i].name), inks[i], Swatch::Box)).collect();
    entries.extend(wholes.iter().map(|&i| (text::one_line(&figure.series[i].name), inks[i], Swatch::Marker(3))));
    sheet.legend(&entries, (parts.len() > 1).then_some(NOTE));

    let (labels, width) = sheet::gutter(&names, 220.0);
    let left = MARGIN + width + 12.0;
    let totals: Vec<String> = sums.iter().map(|s| s.map_or_else(String::new, |s| sheet::labelled(s, unit))).collect();
    let right = WIDTH - MARGIN - font::widest(totals.iter().map(String::as_str), SIZE, true) - 12.0;
    let scale = Scale::covering(reach, false, left, right);

    let below = if wholes.is_empty() { 0.0 } else { 14.0 };
    let heights: Vec<f64> =
        labels.iter().map(|l| (l.len() as f64 * 14.5 + 8.0).max(THICKNESS + 14.0 + below)).collect();
    let top = sheet.y;
    let bottom = top + heights.iter().sum::<f64>() + 4.0;
    sheet.horizontal_axis(&scale, &sheet::fitting_ticks(&scale), top, bottom);

    let mut row_top = top + 2.0;
    for (c, height) in heights.iter().enumerate() {
        let middle = row_top + (height - below) / 2.0;
        row_top += height;
        sheet.canvas.block(left - 12.0, middle, &labels[c], SIZE, Anchor::End, Ink::Text);
        let Some(sum) = sums[c] else {
            sheet.canvas.label(left + 8.0, middle + 4.0, "not measured", SMALL, Ink::Muted);
            continue;
        };
        let bar = middle - THICKNESS / 2.0;
        let mut ends = Ends::default();
        let mut reached = 0.0_f64;
        // Painted after all segments, or the next one would cover half of each.
        let mut whiskers = Vec::new();
        for &i in &parts {
            let Some(point) = sheet::point_at(&figure.series[i], c) else { continue };
            let (start, end) = ends.add(point.y);
            reached = reached.max(end);
            let (x0, x1) = (scale.at(start.min(end)), scale.at(start.max(end)));
            sheet.canvas.rect(x0, bar, x1 - x0, THICKNESS, inks[i]);
            // A hair of background parts the segments also where colours are printed as greys.
            if start != 0.0 && x1 - x0 > 2.0 {
                let seam = scale.at(start);
                sheet.canvas.line((seam, bar), (seam, bar + THICKNESS), Ink::Background, 1.0);
            }
            let mut room = x1 - x0 - 8.0;
            if let Some((lower, upper, open)) = sheet::bounds(&point, &scale) {
                let (from, to) = (scale.at(start + lower), if open { scale.to } else { scale.at(start + upper) });
                // Narrower than its own caps an interval is a smudge.
                if to - from > 2.5 {
                    whiskers.push((from, to, open));
                    room = from - x0 - 6.0;
                }
                reached = reached.max(start + upper);
            }
            let share = format!("{:.0}%", if sum > 0.0 { point.y / sum * 100.0 } else { 0.0 });
            if let Ink::Series(color) = inks[i]
                && parts.len() > 1
                && font::width(&share, SMALL, false) <= room
            {
                let x = x0 + (room + 8.0) / 2.0;
                sheet.canvas.text(x, middle + 4.0, &share, SMALL, Anchor::Middle, Ink::OnSeries(color));
            }
        }
        for (from, to, open) in whiskers {
            sheet.canvas.interval((from, middle), (to, middle), 4.0, open, Ink::Interval);
        }
        for &i in &wholes {
            let Some(point) = sheet::point_at(&figure.series[i], c) else { continue };
            let y = bar + THICKNESS + 7.0;
            if let Some((lower, upper, open)) = sheet::bounds(&point, &scale) {
                sheet.canvas.interval((scale.at(lower), y), (scale.at(upper), y), 3.0, open, inks[i]);
            }
            sheet.canvas.marker(scale.at(point.y), y, 3, inks[i]);
        }
        let x = scale.at(reached.min(scale.high)) + 8.0;
        sheet.canvas.bold(x, middle + 4.25, &totals[c], SIZE, Ink::Text);
    }
    sheet.y = sheet.axis_label(&figure.y.label, left, right, bottom);
}

/// How far a bar reaches on either side of zero.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    right: f64,
    left: f64,
}

impl Ends {
    /// Puts a segment at the end of its side and gives where it begins and ends.
    fn add(&mut self, value: f64) -> (f64, f64) {
        let side = if value < 0.0 { &mut self.left } else { &mut self.right };
        let start = *side;
        *side += value;
        (start, *side)
    }

    fn sum(self) -> f64 {
        self.right + self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_below_zero_lies_on_the_other_side() {
        let mut ends = Ends::default();
        let placed: Vec<(f64, f64)> = [5.0, -2.0, 3.0, -1.0].into_iter().map(|value| ends.add(value)).collect();
        assert_eq!(placed, [(0.0, 5.0), (0.0, -2.0), (5.0, 8.0), (-2.0, -3.0)]);
        assert_eq!(ends.sum(), 5.0);
    }
}
