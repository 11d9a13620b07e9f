//! A service level: percentiles of a run that must not exceed a bound.

use std::fmt;
use std::str::FromStr;

/// Whose percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// From the scheduled arrival to the first chunk with content.
    Ttft,
    /// Time of a token after the first.
    Tpot,
    /// From the scheduled arrival to the last chunk with content.
    E2e,
}

const FIGURES: [(Figure, &str); 3] = [(Figure::Ttft, "ttft"), (Figure::Tpot, "tpot"), (Figure::E2e, "e2e")];

impl Figure {
    pub fn name(self) -> &'static str {
        FIGURES.iter().find(|(figure, _)| *figure == self).map_or("", |(_, name)| name)
    }
}

/// One condition: `ttft:p99:500ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    pub figure: Figure,
    /// Share of the requests that must keep the bound, above 0 and below 1.
    pub share: f64,
    pub bound_ns: f64,
}

/// All of them must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Level(pub Vec<Condition>);

const HELP: &str = "give FIGURE:PERCENTILE:BOUND, as ttft:p99:500ms tpot:p95:50ms (figures: ttft, tpot, e2e)";

impl FromStr for Level {
    type Err = String;

    /// `ttft:p99:500ms tpot:p95:50ms`, separated by spaces or commas; bounds in `ms` or `s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let conditions: Vec<Condition> =
            text.split([' ', ',']).filter(|part| !part.is_empty()).map(condition).collect::<Result<_, _>>()?;
        if conditions.is_empty() {
            Err(format!("a service level without a condition holds always; {HELP}"))
        } else {
            Ok(Self(conditions))
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Condition { figure, share, bound_ns }) in self.0.iter().enumerate() {
            let gap = if index > 0 { " " } else { "" };
            // Shares come from percentiles of few digits.
            write!(f, "{gap}{}:p{}:{}ms", figure.name(), (share * 1e6).round() / 1e4, bound_ns / 1e6)?;
        }
        Ok(())
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let wrong = |what: &str| format!("{text:?} {what}; {HELP}");
    let parts: Vec<&str> = text.split(':').collect();
    let [figure, percentile, bound] = parts[..] else { return Err(wrong("is no condition")) };
    let figure = match figure {
        "e2el" => Figure::E2e,
        other => FIGURES.iter().find(|(_, name)| *name == other).ok_or_else(|| wrong("names no figure"))?.0,
    };
    let percentile = percentile.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
    let share =
        percentile.filter(|p| *p > 0.0 && *p < 100.0).ok_or_else(|| wrong("has no percentile below 100"))? / 100.0;
    let (digits, factor) = match (bound.strip_suffix("ms"), bound.strip_suffix('s')) {
        (Some(ms), _) => (ms, 1e6),
        (None, Some(s)) => (s, 1e9),
        (None, None) => (bound, 1e6),
    };
    let bound = digits.parse::<f64>().ok().filter(|bound| bound.is_finite() && *bound > 0.0);
    let bound_ns = bound.ok_or_else(|| wrong("has no bound above 0"))? * factor;
    Ok(Condition { figure, share, bound_ns })
}

/// Whether a condition holds for a run: of its requests, those that failed included, at most `1 − share` are above the bound.
/// `none` of the values are requests that have no such figure and keep every bound (one token has no TPOT).
pub fn holds(condition: &Condition, values_ns: &[f64], none: usize, failed: usize) -> bool {
    let all = values_ns.len() + none + failed;
    let above = values_ns.iter().filter(|value| **value > condition.bound_ns).count() + failed;
    all > 0 && above as f64 <= (1.0 - condition.share) * all as f64 + 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_shown() {
        let level: Level = "ttft:p99:500ms, tpot:p95:0.05s e2el:p99.9:2000".parse().unwrap();
        assert_eq!(level.to_string(), "ttft:p99:500ms tpot:p95:50ms e2e:p99.9:2000ms");
        assert_eq!(level.to_string().parse(), Ok(level));
        for (text, said) in [
            ("", "without a condition"),
            ("ttft:500ms", "no condition"),
            ("itl:p99:5ms", "no figure"),
            ("ttft:99:5ms", "percentile"),
            ("ttft:p100:5ms", "percentile"),
            ("ttft:p99:fast", "bound"),
            ("ttft:p99:0ms", "bound"),
        ] {
            let error = text.parse::<Level>().unwrap_err();
            assert!(error.contains(said) && error.contains("ttft:p99:500ms"), "{text}: {error}");
        }
    }

    #[test]
    fn a_failed_request_keeps_no_bound() {
        let condition = Condition { figure: Figure::Ttft, share: 0.9, bound_ns: 10.0 };
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        assert!(holds(&condition, &[&values[..], &[10.0]].concat(), 0, 0));
        assert!(holds(&condition, &[&values[..], &[11.0]].concat(), 0, 0));
        assert!(holds(&condition, &values, 0, 1));
        assert!(!holds(&condition, &[&values[..], &[11.0]].concat(), 0, 1));
        assert!(holds(&condition, &[], 5, 0));
        assert!(!holds(&condition, &[], 0, 0), "no request at all shows nothing");
    }
}
