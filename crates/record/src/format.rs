//! Figures for people: a point, its unit and its interval, with as many digits as the interval carries.
//!
//! Rules, the same everywhere:
//! - three significant digits, one more when the interval would otherwise collapse onto the point, fewer (but at least
//!   two) when the interval is so wide that the last digit says nothing;
//! - point and bounds have the same number of decimals and the unit of the point, written once: `1.23 ms [1.20, 1.27]`;
//! - a bound that does not exist although the other does is written as `∞` (an order-statistic interval of a small
//!   sample has no upper bound); without both bounds nothing is written in brackets, as nothing is claimed.

use crate::results::Estimate;

/// Units in which a time is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl TimeUnit {
    const ALL: [Self; 6] =
        [Self::Nanoseconds, Self::Microseconds, Self::Milliseconds, Self::Seconds, Self::Minutes, Self::Hours];

    /// Nanoseconds in one of this unit.
    pub fn nanoseconds(self) -> f64 {
        match self {
            Self::Nanoseconds => 1.0,
            Self::Microseconds => 1e3,
            Self::Milliseconds => 1e6,
            Self::Seconds => 1e9,
            Self::Minutes => 60e9,
            Self::Hours => 3600e9,
        }
    }

    /// `ns`, `µs`, `ms`, `s`, `min`, `h`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }

    /// The unit in which this time has one to three digits before the point. Seconds go on to two minutes and minutes
    /// to two hours, as people say `90 s`.
    pub fn of(ns: f64) -> Self {
        let ns = ns.abs();
        // 999.5 of a unit would be printed as 1000 of it.
        if ns < 999.5 {
            Self::Nanoseconds
        } else if ns < 999.5e3 {
            Self::Microseconds
        } else if ns < 999.5e6 {
            Self::Milliseconds
        } else if ns < 120e9 {
            Self::Seconds
        } else if ns < 7200e9 {
            Self::Minutes
        } else {
            Self::Hours
        }
    }

    /// One unit for a column or an axis: that of the geometric mean of the positive values, so that neither the large
    /// nor the small ones get long. Milliseconds when there is no positive value.
    pub fn common(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut sum, mut count) = (0.0, 0u32);
        for value in values {
            if value.is_finite() && value > 0.0 {
                sum += value.ln();
                count += 1;
            }
        }
        if count == 0 { Self::Milliseconds } else { Self::of((sum / f64::from(count)).exp()) }
    }

    /// The unit with this symbol (also `us`).
    pub fn parse(symbol: &str) -> Option<Self> {
        if symbol == "us" {
            return Some(Self::Microseconds);
        }
        Self::ALL.into_iter().find(|unit| unit.symbol() == symbol)
    }
}

/// A time in nanoseconds: `1.23 ms`.
pub fn duration(ns: f64) -> String {
    duration_in(ns, TimeUnit::of(ns))
}

/// A time in nanoseconds in the given unit: `0.123 ms`.
pub fn duration_in(ns: f64, unit: TimeUnit) -> String {
    format!("{} {}", significant(ns / unit.nanoseconds(), 3), unit.symbol())
}

/// A time in nanoseconds with its interval: `1.23 ms [1.20, 1.27]`.
pub fn duration_ci(estimate: &Estimate) -> String {
    duration_ci_in(estimate, TimeUnit::of(estimate.point))
}

/// The same in one unit for a whole column.
pub fn duration_ci_in(estimate: &Estimate, unit: TimeUnit) -> String {
    with_interval(estimate, 1.0 / unit.nanoseconds(), &format!(" {}", unit.symbol()))
}

/// A ratio: `3.42x`.
pub fn ratio(value: f64) -> String {
    format!("{}x", significant(value, 3))
}

/// A ratio with its interval: `3.42x [3.31, 3.54]`.
pub fn ratio_ci(estimate: &Estimate) -> String {
    with_interval(estimate, 1.0, "x")
}

/// A share of one (0.421) as a percentage: `42.1%`.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    // A tenth of a per cent is the finest that is worth reading of a large share; small shares keep two digits.
    let decimals = if percent == 0.0 { 0 } else { decimals_for(percent, 2).clamp(1, 4) };
    format!("{}%", fixed(percent, decimals))
}

/// A share of one with its interval, as percentages: `42.1% [40.9, 43.3]`.
pub fn percent_ci(estimate: &Estimate) -> String {
    with_interval(estimate, 100.0, "%")
}

/// A rate per second with its interval: `1,230 requests/s [1,190, 1,280]`. `what` is the plural of what is counted.
pub fn rate_ci(estimate: &Estimate, what: &str) -> String {
    with_interval(estimate, 1.0, &format!(" {what}/s"))
}

/// A rate per second: `1,230 requests/s`.
pub fn rate(per_second: f64, what: &str) -> String {
    format!("{} {what}/s", significant(per_second, 3))
}

/// Any other quantity with its interval and unit (`""` for none): `12.3 tokens [12.1, 12.6]`.
pub fn quantity_ci(estimate: &Estimate, unit: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    with_interval(estimate, 1.0, &unit)
}

/// An estimate by the unit of its record: `ns` (and the other times), `ratio`/`x`, `fraction`/`share`, `N/s`, or any other word.
pub fn estimate(estimate: &Estimate, unit: &str) -> String {
    if let Some(time) = TimeUnit::parse(unit) {
        let k = time.nanoseconds();
        let in_ns = Estimate {
            point: estimate.point * k,
            lower: estimate.lower.map(|v| v * k),
            upper: estimate.upper.map(|v| v * k),
            ..estimate.clone()
        };
        return duration_ci(&in_ns);
    }
    match unit {
        "ratio" | "x" => ratio_ci(estimate),
        "fraction" | "share" => percent_ci(estimate),
        _ => match unit.strip_suffix("/s") {
            Some(what) => rate_ci(estimate, what),
            None => quantity_ci(estimate, unit),
        },
    }
}

/// A count with thousands separated: `100,000`.
pub fn count(value: u64) -> String {
    group_thousands(&value.to_string())
}

/// A number of bytes in decimal units: `7.52 MB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{} {}", significant(scaled, 3), UNITS[unit]) }
}

/// A number with this many significant digits, thousands separated; digits before the point are never dropped.
pub fn significant(value: f64, digits: i32) -> String {
    fixed(value, decimals_for(value, digits).max(0))
}

/// A number with exactly this many decimals, thousands separated; `–` for what is not a number.
pub fn fixed(value: f64, decimals: i32) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let text = format!("{value:.*}", decimals.max(0) as usize);
    // -0.00 is a rounding of a small negative number and reads as a mistake.
    let text = match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
        _ => text,
    };
    group_thousands(&text)
}

/// Decimals that show `digits` significant digits of `value` after rounding; negative for large values.
fn decimals_for(value: f64, digits: i32) -> i32 {
    let value = value.abs();
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    let exponent = value.log10().floor() as i32;
    let decimals = digits - 1 - exponent;
    // 9.996 rounds up to 10.0 at three digits, and then has one decimal too many.
    let rounded = (value * 10f64.powi(decimals)).round();
    if rounded >= 10f64.powi(digits) { decimals - 1 } else { decimals }
}

fn with_interval(estimate: &Estimate, scale: f64, unit: &str) -> String {
    let point = estimate.point * scale;
    let finite = |bound: Option<f64>| bound.filter(|v| v.is_finite()).map(|v| v * scale);
    let (lower, upper) = (finite(estimate.lower), finite(estimate.upper));
    let half_width = match (lower, upper) {
        (Some(lower), Some(upper)) => Some((upper - lower).abs() / 2.0),
        (Some(lower), None) => Some((point - lower).abs()),
        (None, Some(upper)) => Some((upper - point).abs()),
        (None, None) => None,
    };
    let decimals = decimals_by_interval(point, half_width);
    let mut text = format!("{}{unit}", fixed(point, decimals));
    if half_width.is_some() {
        let bound = |value: Option<f64>, absent: f64| fixed(value.unwrap_or(absent), decimals);
        let (lower, upper) = (bound(lower, f64::NEG_INFINITY), bound(upper, f64::INFINITY));
        text.push_str(&format!(" [{lower}, {upper}]"));
    }
    text
}

fn decimals_by_interval(point: f64, half_width: Option<f64>) -> i32 {
    let reference = if point == 0.0 { half_width.unwrap_or(0.0) } else { point };
    let usual = decimals_for(reference, 3);
    let decimals = match half_width {
        Some(half) if half > 0.0 && half.is_finite() => {
            let least = decimals_for(reference, 2);
            let unit_of_last_digit = 10f64.powi(-usual);
            if half < unit_of_last_digit { usual + 1 } else { decimals_for(half, 2).clamp(least.min(usual), usual) }
        }
        _ => usual,
    };
    decimals.clamp(0, 9)
}

fn group_thousands(number: &str) -> String {
    let (sign, rest) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    let mut out = String::with_capacity(number.len() + whole.len() / 3 + 1);
    out.push_str(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate_of(point: f64, lower: f64, upper: f64) -> Estimate {
        Estimate {
            point,
            lower: Some(lower),
            upper: Some(upper),
            level: 0.95,
            method: "log-t".into(),
            runs: 5,
            samples: 15,
        }
    }

    fn point_only(point: f64) -> Estimate {
        Estimate { lower: None, upper: None, ..estimate_of(point, 0.0, 0.0) }
    }

    #[test]
    fn durations_take_the_unit_with_one_to_three_digits() {
        let cases = [
            (0.0, "0 ns"),
            (3.456, "3.46 ns"),
            (80.0, "80.0 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (1234.0, "1.23 µs"),
            (1.234e6, "1.23 ms"),
            (999.6e6, "1.00 s"),
            (1.5e9, "1.50 s"),
            (90e9, "90.0 s"),
            (300e9, "5.00 min"),
            (9000e9, "2.50 h"),
            (-1.5e6, "-1.50 ms"),
        ];
        for (ns, expected) in cases {
            assert_eq!(duration(ns), expected, "{ns}");
        }
    }

    #[test]
    fn intervals_have_the_unit_and_the_decimals_of_the_point() {
        assert_eq!(duration_ci(&estimate_of(1.234e6, 1.198e6, 1.271e6)), "1.23 ms [1.20, 1.27]");
        assert_eq!(ratio_ci(&estimate_of(3.42, 3.31, 3.54)), "3.42x [3.31, 3.54]");
        assert_eq!(percent_ci(&estimate_of(0.421, 0.409, 0.433)), "42.1% [40.9, 43.3]");
        assert_eq!(rate_ci(&estimate_of(1234.0, 1190.0, 1280.0), "requests"), "1,234 requests/s [1,190, 1,280]");
        // The upper bound keeps the unit of the point, also beyond its range.
        assert_eq!(duration_ci(&estimate_of(990e3, 950e3, 1040e3)), "990 µs [950, 1,040]");
    }

    #[test]
    fn digits_follow_the_width_of_the_interval() {
        // So narrow that three digits would collapse it.
        assert_eq!(ratio_ci(&estimate_of(3.4213, 3.4201, 3.4226)), "3.421x [3.420, 3.423]");
        // So wide that the third digit says nothing.
        assert_eq!(duration_ci(&estimate_of(1.5e6, 0.3e6, 7.2e6)), "1.5 ms [0.3, 7.2]");
        assert_eq!(ratio_ci(&estimate_of(120.0, 35.0, 410.0)), "120x [35, 410]");
        // No width at all is no reason for more digits.
        assert_eq!(ratio_ci(&estimate_of(2.0, 2.0, 2.0)), "2.00x [2.00, 2.00]");
        assert_eq!(percent_ci(&estimate_of(0.0, 0.0, 0.0)), "0% [0, 0]");
    }

    #[test]
    fn one_run_has_no_interval_and_a_small_sample_no_upper_bound() {
        assert_eq!(duration_ci(&point_only(2.5e6)), "2.50 ms");
        let p99 = Estimate { upper: None, ..estimate_of(4.0e6, 3.5e6, 0.0) };
        assert_eq!(duration_ci(&p99), "4.00 ms [3.50, ∞]");
        assert_eq!(ratio_ci(&estimate_of(f64::NAN, f64::NAN, f64::NAN)), "–x");
    }

    #[test]
    fn a_column_has_one_unit() {
        let values = [0.8e6, 12e6, 150e6];
        let unit = TimeUnit::common(values);
        assert_eq!(unit, TimeUnit::Milliseconds);
        assert_eq!(values.map(|v| duration_in(v, unit)), ["0.800 ms", "12.0 ms", "150 ms"]);
        assert_eq!(TimeUnit::common([f64::NAN, 0.0, -1.0]), TimeUnit::Milliseconds);
        assert_eq!(
            duration_ci_in(&estimate_of(12.3e6, 12.0e6, 12.6e6), TimeUnit::Seconds),
            "0.0123 s [0.0120, 0.0126]"
        );
    }

    #[test]
    fn rounding_up_to_the_next_power_of_ten_keeps_three_digits() {
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(0.099_96, 3), "0.100");
        assert_eq!(significant(123_456.7, 3), "123,457");
        assert_eq!(significant(-0.0, 3), "0");
        assert_eq!(fixed(-0.001, 2), "0.00");
    }

    #[test]
    fn counts_bytes_and_percentages() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(999_600), "1.00 MB");
        assert_eq!(bytes(7_520_000), "7.52 MB");
        assert_eq!(percent(0.421), "42.1%");
        assert_eq!(percent(1.0), "100.0%");
        assert_eq!(percent(0.000_12), "0.012%");
        assert_eq!(percent(0.0), "0%");
    }

    #[test]
    fn the_unit_of_a_record_chooses_the_form() {
        let e = estimate_of(1.5, 1.4, 1.6);
        assert_eq!(estimate(&e, "s"), "1.50 s [1.40, 1.60]");
        assert_eq!(estimate(&e, "ratio"), "1.50x [1.40, 1.60]");
        assert_eq!(estimate(&e, "requests/s"), "1.50 requests/s [1.40, 1.60]");
        assert_eq!(estimate(&e, "tokens"), "1.50 tokens [1.40, 1.60]");
        assert_eq!(estimate(&e, ""), "1.50 [1.40, 1.60]");
        assert_eq!(estimate(&estimate_of(0.5, 0.4, 0.6), "fraction"), "50% [40, 60]");
        assert_eq!(estimate(&estimate_of(1500.0, 1400.0, 1600.0), "us"), "1.50 ms [1.40, 1.60]");
    }
}
