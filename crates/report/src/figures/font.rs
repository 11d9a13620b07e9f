//! How wide text is in the font that the figures are drawn in, DejaVu Sans: the raster backend draws with it, and SVG
//! viewers that lack it take a narrower one, so that what fits here fits there.

/// Advance widths of U+0020..=U+007E in thousandths of the font size, from the `hmtx` table of DejaVu Sans 2.37.
const REGULAR: [u16; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
];

/// The same of DejaVu Sans Bold.
const BOLD: [u16; 95] = [
    348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696, 696, 696, 696, 696, 696,
    696, 696, 696, 400, 400, 838, 838, 838, 580, 1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995,
    837, 850, 733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500, 500, 675, 716, 593, 716,
    678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712,
    365, 712, 838,
];

/// Width of the text at this font size, in the units of the size.
pub(super) fn width(text: &str, size: u32, bold: bool) -> f64 {
    let table = if bold { &BOLD } else { &REGULAR };
    let thousandths: f64 = text
        .chars()
        .map(|c| match (c as u32).checked_sub(0x20).and_then(|i| table.get(i as usize)) {
            Some(advance) => f64::from(*advance),
            // Latin letters with marks, Greek and signs are at most as wide as an `m`; ideographs take a whole em.
            None if (c as u32) < 0x2e80 => 838.0,
            None => 1000.0,
        })
        .sum();
    thousandths * f64::from(size) / 1000.0
}

/// Breaks text into lines of at most `limit` units and at most `most` lines; the last ends with `…` when text is left.
pub(super) fn wrap(text: &str, size: u32, bold: bool, limit: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for (atom, spaced) in atoms(text) {
        let joined = if spaced && !line.is_empty() { format!("{line} {atom}") } else { format!("{line}{atom}") };
        if line.is_empty() || width(&joined, size, bold) <= limit {
            line = joined;
        } else {
            lines.push(std::mem::replace(&mut line, atom.to_owned()));
        }
        // An atom that is wider than a line by itself is cut anywhere.
        while width(&line, size, bold) > limit && line.chars().count() > 1 {
            let mut head = String::new();
            for c in line.chars() {
                head.push(c);
                if width(&head, size, bold) > limit {
                    head.pop();
                    break;
                }
            }
            if head.is_empty() {
                break;
            }
            let rest = line[head.len()..].to_owned();
            lines.push(head);
            line = rest;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            while width(&format!("{last}…"), size, bold) > limit && last.pop().is_some() {}
            last.push('…');
        }
    }
    lines
}

/// Pieces between which a line may end, and whether a space stands before each.
fn atoms(text: &str) -> Vec<(&str, bool)> {
    let mut out = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let mut spaced = true;
        for piece in word.split_inclusive(['.', '_', '/', '-', ':']) {
            out.push((piece, spaced));
            spaced = false;
        }
    }
    out
}

/// The widest of the lines.
pub(super) fn widest<'a>(lines: impl IntoIterator<Item = &'a str>, size: u32, bold: bool) -> f64 {
    lines.into_iter().map(|l| width(l, size, bold)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "transformers.apply_chat_template with tools 分词器";
        for limit in [20.0, 60.0, 100.0, 180.0, 400.0] {
            let lines = wrap(text, 12, false, limit, 99);
            assert!(lines.iter().all(|l| width(l, 12, false) <= limit), "{limit}: {lines:?}");
            let strip = |s: &str| s.replace(' ', "");
            assert_eq!(strip(&lines.concat()), strip(text));
        }
        assert_eq!(
            wrap("transformers.apply_chat_template", 12, false, 110.0, 9),
            ["transformers.", "apply_chat_", "template"]
        );
    }

    #[test]
    fn too_many_lines_end_with_an_ellipsis() {
        let lines = wrap("one two three four five six seven", 12, false, 60.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert!(width(&lines[1], 12, false) <= 60.0);
    }
}
