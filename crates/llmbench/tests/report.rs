//! The report as a whole: what people see, on a made-up run that has something of everything.

#[path = "report/fixture.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::path::Path;

use record::results::{Figure, FigureKind, Results, RunInfo, Status};
use report::figures::{self, Theme};
use report::terminal::{self, Style};
use report::{html, markdown};

fn page(results: &Results, run: &RunInfo) -> String {
    html::render(results, run, &figures::inline(results).unwrap()).unwrap()
}

fn printed(width: usize, style: Style) -> String {
    let results = fixture::results();
    let mut out = terminal::environment(&fixture::run_info(), width, style);
    for e in &results.experiments {
        out.push('\n');
        out.push_str(&terminal::experiment(e, &results.records, width, style));
    }
    out
}

const UNICODE: Style = Style { color: false, unicode: true };

#[test]
fn terminal_at_80_columns() {
    insta::assert_snapshot!(printed(80, UNICODE));
}

#[test]
fn terminal_at_140_columns() {
    insta::assert_snapshot!(printed(140, UNICODE));
}

#[test]
fn markdown_of_the_run() {
    let results = fixture::results();
    insta::assert_snapshot!(markdown::render(&results, &fixture::run_info(), &figures::file_names(&results)));
}

#[test]
fn csv_of_the_run() {
    insta::assert_snapshot!(report::csv(&fixture::results()).unwrap());
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [40, 60, 72, 80, 100, 140, 200] {
        for line in printed(width, UNICODE).lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn a_plain_terminal_gets_plain_text() {
    let plain = printed(80, Style::PLAIN);
    assert!(!plain.contains('\u{1b}'));
    assert!(!plain.contains(['─', '✓', '✗', '•', '—']));
    let colored = printed(80, Style { color: true, unicode: true });
    assert!(colored.contains("\u{1b}[31m"), "failures are red");
    // Colour changes no character.
    let mut stripped = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, printed(80, UNICODE));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    // Through JSON, as `llmbench report` reads it.
    let results = fixture::results();
    let run = fixture::run_info();
    let again: Results = serde_json::from_str(&serde_json::to_string(&results).unwrap()).unwrap();
    let run_again: RunInfo = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = report::write_all(a.path(), &results, &run, true).unwrap();
    let second = report::write_all(b.path(), &again, &run_again, true).unwrap();
    let names = |root: &Path, paths: &[std::path::PathBuf]| -> Vec<_> {
        paths.iter().map(|p| p.strip_prefix(root).unwrap().to_owned()).collect()
    };
    assert_eq!(names(a.path(), &first), names(b.path(), &second));
    assert_eq!(first.len(), 4 + 2 * 6);
    for (x, y) in first.iter().zip(&second) {
        let (x_bytes, y_bytes) = (std::fs::read(x).unwrap(), std::fs::read(y).unwrap());
        assert!(!x_bytes.is_empty());
        assert!(x_bytes == y_bytes, "{}", x.display());
        let folder = a.path().to_str().unwrap().as_bytes();
        assert!(!x_bytes.windows(folder.len()).any(|w| w == folder), "{} names its folder", x.display());
    }
    let read: Results = serde_json::from_slice(&std::fs::read(a.path().join("results.json")).unwrap()).unwrap();
    assert_eq!(read, results);
    let left: BTreeSet<_> = walk(a.path());
    assert!(left.iter().all(|n| !n.ends_with(".tmp")), "{left:?}");
    // Writing over an older report replaces it.
    assert_eq!(report::write_all(a.path(), &results, &run, true).unwrap(), first);
}

fn walk(folder: &Path) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(walk(&path));
        } else {
            out.insert(path.to_str().unwrap().to_owned());
        }
    }
    out
}

#[test]
fn without_plots_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let written = report::write_all(folder.path(), &fixture::results(), &fixture::run_info(), false).unwrap();
    assert_eq!(written.len(), 4);
    let html = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!html.contains("<svg") && !html.contains("<figure"));
    assert!(!std::fs::read_to_string(folder.path().join("report.md")).unwrap().contains("plots/"));
}

#[test]
fn the_page_asks_the_network_for_nothing() {
    let html = page(&fixture::results(), &fixture::run_info());
    let lower = html.to_lowercase();
    for attribute in ["src=", "srcset=", "href=", "action=", "poster=", "data=", "url(", "@import", "xlink:"] {
        for (at, _) in lower.match_indices(attribute) {
            let value = lower[at + attribute.len()..].trim_start_matches(['"', '\'']);
            assert!(attribute == "href=" && value.starts_with('#'), "{}", &lower[at..(at + 80).min(lower.len())]);
        }
    }
    assert!(!lower.contains("<link") && !lower.contains("<iframe") && !lower.contains("<img"));
    // The only address is the text of an error.
    assert_eq!(lower.matches("http://").count(), 0);
    assert_eq!(lower.matches("https://").count(), lower.matches("https://example.invalid").count());
    assert!(lower.contains("content-security-policy"));
}

#[test]
fn text_from_outside_stays_text() {
    const EVIL: &str =
        "\"><img src=x onerror=alert(1)>'</script><svg onload=alert(2)>{{ 7 * 7 }}\u{1b}]0;title\u{7}\u{202e}";
    let mut results = fixture::results();
    let mut run = fixture::run_info();
    results.suite = EVIL.into();
    for e in &mut results.experiments {
        for text in [&mut e.name, &mut e.question, &mut e.command] {
            text.push_str(EVIL);
        }
        for list in [&mut e.method, &mut e.threats, &mut e.warnings] {
            list.push(EVIL.into());
        }
        for f in &mut e.findings {
            f.claim = EVIL.into();
            f.sentence = EVIL.into();
        }
        for t in &mut e.tables {
            t.title = EVIL.into();
            t.notes.push(EVIL.into());
            t.columns[0].title = EVIL.into();
            t.rows[0].values[0].text = EVIL.into();
        }
        for f in &mut e.figures {
            f.title = EVIL.into();
            f.caption = EVIL.into();
            f.y.label = EVIL.into();
            f.id = format!("../{}", f.id);
            for s in &mut f.series {
                s.name = EVIL.into();
            }
            for c in &mut f.x.categories {
                *c = EVIL.into();
            }
        }
    }
    for r in &mut results.records {
        r.cell_id.push_str(EVIL);
        if r.status != Status::Ok {
            r.error = Some(EVIL.into());
        }
    }
    for f in &mut run.machine {
        f.title = EVIL.into();
        f.value = EVIL.into();
        f.remedy = Some(EVIL.into());
    }
    run.warnings.push(EVIL.into());
    run.command.push(EVIL.into());

    let html = page(&results, &run);
    let markdown = markdown::render(&results, &run, &figures::file_names(&results));
    for (name, text) in [("html", &html), ("markdown", &markdown)] {
        assert!(!text.contains("\u{1b}") && !text.contains('\u{202e}') && !text.contains('\u{7}'), "{name}");
    }
    assert!(!html.contains("<img") && !html.contains("<svg onload"));
    assert_eq!(html.matches("<script>").count(), 1);
    assert_eq!(html.matches("</script>").count(), 1);
    assert!(html.contains("{{ 7 * 7 }}"), "data are no template");
    // Outside fences there is no tag in the Markdown.
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside: String = line.split('`').step_by(2).collect();
            assert!(!outside.contains("<img") && !outside.contains("<svg"), "{line}");
        }
    }
    let mut style_printed = String::new();
    for e in &results.experiments {
        style_printed.push_str(&terminal::experiment(e, &results.records, 80, Style::PLAIN));
    }
    assert!(
        !style_printed.contains('\u{1b}') && !style_printed.contains('\u{7}') && !style_printed.contains('\u{202e}')
    );
    for named in figures::file_names(&results) {
        assert!(!named.file.contains('/') && !named.file.starts_with('.'), "{}", named.file);
        let svg = figures::svg(named.figure, Theme::Light).unwrap();
        assert!(!svg.contains("<img") && !svg.contains("<svg onload"), "{svg}");
        well_formed(&svg);
    }
    let folder = tempfile::tempdir().unwrap();
    for path in report::write_all(folder.path(), &results, &run, true).unwrap() {
        assert!(path.canonicalize().unwrap().starts_with(folder.path().canonicalize().unwrap()));
    }
}

/// Tags are closed in order and attributes are quoted; enough to notice text that broke out of its place.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, remaining) = after.split_once('>').expect("a tag ends");
        rest = remaining;
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => open.push(tag.split_whitespace().next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn every_part_of_an_experiment_is_on_the_page() {
    let results = fixture::results();
    let run = fixture::run_info();
    let html = page(&results, &run);
    for e in &results.experiments {
        for text in [&e.name, &e.question, &e.command, &e.method[0], &e.threats[0], &e.findings[0].sentence] {
            let escaped = text.replace('&', "&amp;").replace('\'', "&#x27;");
            assert!(html.contains(&escaped), "{text}");
        }
    }
    assert_eq!(html.matches("<svg ").count(), 6);
    assert_eq!(html.matches("role=\"img\" aria-label=").count(), 6);
    assert_eq!(html.matches("<table class=\"data\">").count(), html.matches("<caption>").count());
    assert!(html.contains("cpupower frequency-set"));
    assert!(html.contains("anatomy ±2.3%"), "noise floor");
    // The banner comes before the results, the summary before the experiments.
    let at = |what: &str| html.find(what).unwrap_or_else(|| panic!("{what}"));
    assert!(at("class=\"banner\"") < at("id=\"summary\""));
    assert!(at("id=\"summary\"") < at("id=\"experiment-1\""));
}

#[test]
fn an_empty_run_is_rendered_too() {
    let results = Results { experiments: vec![], records: vec![], ..fixture::results() };
    let mut run = fixture::run_info();
    run.machine.clear();
    run.subjects.clear();
    run.stopped = None;
    assert!(page(&results, &run).contains("No experiment has results."));
    assert!(markdown::render(&results, &run, &[]).contains("No experiment has results."));
}

fn all_figures() -> Vec<Figure> {
    fixture::results().experiments.into_iter().flat_map(|e| e.figures).collect()
}

#[test]
fn figures_show_each_value_interval_and_name() {
    let figures = all_figures();
    for figure in &figures {
        let svg = figures::svg(figure, Theme::Light).unwrap();
        well_formed(&svg);
        assert!(svg.starts_with("<svg xmlns="), "{}", &svg[..40]);
        let png = figures::png(figure).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        assert_eq!(svg, figures::svg(figure, Theme::Light).unwrap());
    }
    // A line at the point of each measured value, named at its end.
    let lines = figures.iter().find(|f| f.id == "gil-scaling-tokenize").unwrap();
    let svg = figures::svg(lines, Theme::Light).unwrap();
    for s in &lines.series {
        let shown = svg.matches("<text").count();
        assert!(shown > 10, "{shown}");
        // Long names are wrapped at separators; their first part is a line of its own.
        let first: String = s.name.chars().take_while(|c| !matches!(c, '.' | '_' | ' ')).collect();
        assert!(svg.contains(&first), "{first}");
    }
}

#[test]
fn a_ratio_that_has_no_upper_bound_runs_to_the_edge() {
    let mut figure = all_figures().into_iter().find(|f| f.kind == FigureKind::Ratios).unwrap();
    figure.series[0].points[0].upper = None;
    let svg = figures::svg(&figure, Theme::Light).unwrap();
    assert!(svg.contains("6.81x [6.49, ∞]"), "{svg}");
}

#[test]
fn text_of_figures_stays_within_the_sheet() {
    for figure in all_figures() {
        for theme in [Theme::Light, Theme::Page] {
            let svg = figures::svg(&figure, theme).unwrap();
            let size = |name: &str, tag: &str| -> f64 {
                tag.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
            };
            let view: Vec<f64> = svg
                .split_once("viewBox=\"0 0 ")
                .unwrap()
                .1
                .split_once('"')
                .unwrap()
                .0
                .split(' ')
                .map(|v| v.parse().unwrap())
                .collect();
            for part in svg.split("<text").skip(1) {
                let (tag, rest) = part.split_once('>').unwrap();
                // A bold part stands in a tag of its own.
                let content: String =
                    rest.split_once("</text>").unwrap().0.split('<').map(|p| p.rsplit('>').next().unwrap()).collect();
                let (x, y) = (size("x", tag), size("y", tag));
                assert!(y > 0.0 && y <= view[1], "{content} at y={y} of {}", view[1]);
                // A narrow bound on the width: nothing in the font is narrower than a quarter of its size on average.
                let width = content.chars().count() as f64 * size("font-size", tag) * 0.4;
                let (from, to) = match tag.split_once("text-anchor=\"").unwrap().1.split_once('"').unwrap().0 {
                    "start" => (x, x + width),
                    "middle" => (x - width / 2.0, x + width / 2.0),
                    _ => (x - width, x),
                };
                assert!(from >= 0.0 && to <= view[0], "{content} from {from} to {to} in {}", figure.id);
            }
        }
    }
}

#[test]
fn nothing_measured_is_a_sentence_and_no_panic() {
    for kind in [FigureKind::StackedBars, FigureKind::GroupedBars, FigureKind::Lines, FigureKind::Ratios] {
        for log in [false, true] {
            let mut figure = all_figures().remove(0);
            figure.kind = kind;
            figure.y.log = log;
            figure.x.log = log;
            for s in &mut figure.series {
                s.points.clear();
            }
            assert!(figures::svg(&figure, Theme::Page).unwrap().contains("could be measured"));
            figure.series.clear();
            figures::png(&figure).unwrap();
            // Values that no axis can hold.
            let mut figure = all_figures().remove(0);
            figure.kind = kind;
            figure.y.log = log;
            for (i, s) in figure.series.iter_mut().enumerate() {
                for p in &mut s.points {
                    p.y = [f64::NAN, 0.0, -1.0, f64::INFINITY, 1e300, 1e-300][i % 6];
                    p.lower = Some(f64::NEG_INFINITY);
                    p.x = if i == 5 { 1e18 } else { p.x };
                }
            }
            figures::svg(&figure, Theme::Light).unwrap();
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not-there");
    let error = report::write_all(&missing, &fixture::results(), &fixture::run_info(), false).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("results.json") && text.contains("check that the folder exists"), "{text}");
    assert!(!text.contains('\n'));
    // What cannot be replaced stays, and no half-written file is left beside it.
    std::fs::create_dir(folder.path().join("results.csv")).unwrap();
    let error = report::write_all(folder.path(), &fixture::results(), &fixture::run_info(), false).unwrap_err();
    assert!(error.to_string().contains("results.csv"), "{error}");
    let left: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.iter().filter(|name| name.ends_with(".tmp")).count(), 0, "{left:?}");
    assert!(left.contains(&"results.json".to_owned()), "the data come first: {left:?}");
}
