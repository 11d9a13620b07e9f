//! One horizontal bar a category, stacked over the series: where a whole goes.

use llmbench_core::record::Figure;

use super::super::text;
use super::canvas::Anchor;
use super::font;
use super::scale::Scale;
use super::sheet::{self, MARGIN, SIZE, SMALL, Sheet, Swatch, WIDTH};
use super::theme::Ink;

const THICKNESS: f64 = 24.0;
const NOTE: &str = "% = share of the sum";

/// Draws the bars. The axis is linear whatever the figure says, as lengths on a logarithmic axis do not add up. A
/// reference series (the whole, measured as one) is a diamond below the bar.
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
        let mut sum = 0.0;
        let mut any = false;
        for point in parts.iter().filter_map(|&i| sheet::point_at(&figure.series[i], c)) {
            any = true;
            reach.push(sum + point.upper.unwrap_or(point.y));
            sum += point.y.max(0.0);
            reach.push(sum);
        }
        for point in wholes.iter().filter_map(|&i| sheet::point_at(&figure.series[i], c)) {
            reach.extend(sheet::extent(&point));
        }
        sums.push(any.then_some(sum));
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
        let mut start = 0.0;
        let mut reached = sum;
        // Painted after all segments, or the next one would cover half of each.
        let mut whiskers = Vec::new();
        for &i in &parts {
            let Some(point) = sheet::point_at(&figure.series[i], c) else { continue };
            let end = start + point.y.max(0.0);
            let (x0, x1) = (scale.at(start), scale.at(end));
            sheet.canvas.rect(x0, bar, x1 - x0, THICKNESS, inks[i]);
            // A hair of background parts the segments also where colours are printed as greys.
            if start > 0.0 && x1 - x0 > 2.0 {
                sheet.canvas.line((x0, bar), (x0, bar + THICKNESS), Ink::Background, 1.0);
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
            start = end;
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
