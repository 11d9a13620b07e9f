//! A point with its interval a category, and the line of no difference: how many times dearer.

use record::results::{Estimate, Figure, Point};

use super::super::text;
use super::canvas::Anchor;
use super::font;
use super::scale::Scale;
use super::sheet::{self, MARGIN, SIZE, SMALL, Sheet, Swatch, WIDTH};
use super::theme::Ink;
use record::format;

const PITCH: f64 = 20.0;

/// Draws the rows. The axis includes 1, and each figure stands at the right as a number too.
pub(super) fn draw(sheet: &mut Sheet, figure: &Figure) {
    let names = sheet::categories(&figure.x, &figure.series);
    let inks = sheet::inks(&figure.series);
    let points: Vec<Vec<Option<Point>>> =
        figure.series.iter().map(|s| (0..names.len()).map(|c| sheet::point_at(s, c)).collect()).collect();
    if points.iter().flatten().all(Option::is_none) {
        return sheet.nothing();
    }
    if figure.series.len() > 1 {
        let entries: Vec<_> = figure
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| (text::one_line(&s.name), inks[i], Swatch::Marker(i)))
            .collect();
        sheet.legend(&entries, None);
    }

    let (labels, width) = sheet::gutter(&names, 230.0);
    let left = MARGIN + width + 14.0;
    let numbers: Vec<Vec<String>> =
        points.iter().map(|row| row.iter().map(|p| p.as_ref().map_or_else(String::new, number)).collect()).collect();
    let column = font::widest(numbers.iter().flatten().map(String::as_str), SIZE, false);
    let right = WIDTH - MARGIN - column - 16.0;
    let values = points.iter().flatten().flatten().flat_map(sheet::extent).chain([1.0]);
    let scale = Scale::covering(values, figure.y.log, left, right);

    // A category takes as many lines as it has points, or as its name has.
    let heights: Vec<f64> = (0..names.len())
        .map(|c| {
            let rows = points.iter().filter(|s| s[c].is_some()).count().max(1) as f64;
            (rows * PITCH + 12.0).max(labels[c].len() as f64 * 14.5 + 10.0)
        })
        .collect();
    let top = sheet.y;
    let bottom = top + heights.iter().sum::<f64>() + 4.0;
    sheet.horizontal_axis(&scale, &sheet::fitting_ticks(&scale), top, bottom);
    let one = scale.at(1.0);
    sheet.canvas.dashed(&[(one, top), (one, bottom)], Ink::Reference, 1.5);

    let mut row_top = top + 2.0;
    for (c, height) in heights.iter().enumerate() {
        let middle = row_top + height / 2.0;
        row_top += height;
        sheet.canvas.block(left - 14.0, middle, &labels[c], SIZE, Anchor::End, Ink::Text);
        let present: Vec<usize> = (0..points.len()).filter(|&s| points[s][c].is_some()).collect();
        if present.is_empty() {
            sheet.canvas.label(left + 8.0, middle + 4.0, "not measured", SMALL, Ink::Muted);
        }
        let first = middle - PITCH * (present.len() as f64 - 1.0) / 2.0;
        for (k, s) in present.into_iter().enumerate() {
            let Some(point) = points[s][c] else { continue };
            let y = first + PITCH * k as f64;
            // The interval on top of the marker: a narrow one must not hide behind it.
            sheet.canvas.marker(scale.at(point.y), y, s, inks[s]);
            if let Some((lower, upper, open)) = sheet::bounds(&point, &scale) {
                sheet.canvas.line((scale.at(lower), y), (scale.at(upper), y), inks[s], 2.0);
                sheet.canvas.interval((scale.at(lower), y), (scale.at(upper), y), 6.0, open, inks[s]);
            }
            sheet.canvas.text(WIDTH - MARGIN, y + 4.25, &numbers[s][c], SIZE, Anchor::End, Ink::Text);
        }
    }
    sheet.y = sheet.axis_label(&figure.y.label, left, right, bottom);
}

fn number(point: &Point) -> String {
    format::ratio_ci(&Estimate {
        point: point.y,
        lower: point.lower,
        upper: point.upper,
        level: 0.95,
        method: String::new(),
        runs: 0,
        samples: 0,
    })
}
