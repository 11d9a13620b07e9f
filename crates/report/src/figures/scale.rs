//! From values to positions, and where the ticks stand.

use record::format;

/// A linear or logarithmic axis over `[low, high]`, drawn from `from` to `to`.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub log: bool,
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    /// Covers the values with round ends. A linear axis of values that are not negative begins at 0, as bars need it. A
    /// logarithmic axis ignores what is not positive; without any positive value the axis is linear.
    pub fn covering(values: impl IntoIterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite() && (!log || *v > 0.0)).collect();
        if values.is_empty() {
            return Self { log: false, low: 0.0, high: 1.0, from, to };
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if log { log_ends(least, most) } else { linear_ends(least.min(0.0), most.max(0.0)) };
        Self { log, low, high, from, to }
    }

    /// Covers exactly these values, with a margin; for an axis whose ticks are the values themselves.
    pub fn around(values: &[f64], log: bool, from: f64, to: f64) -> Self {
        let log = log && values.iter().all(|v| *v > 0.0);
        let least = values.iter().copied().filter(|v| v.is_finite()).fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        if least > most {
            return Self { log: false, low: 0.0, high: 1.0, from, to };
        }
        let (low, high) = if log {
            let margin = (most / least).powf(0.04).max(1.05);
            (least / margin, most * margin)
        } else {
            let margin = ((most - least) * 0.04).max(if most == least { 0.5 } else { 0.0 });
            (least - margin, most + margin)
        };
        Self { log, low, high, from, to }
    }

    /// The position of a value; what lies outside is put on the edge.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values within the axis, and their labels.
    pub fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks(about) } else { self.linear_ticks(about) }
    }

    fn linear_ticks(&self, about: usize) -> Vec<(f64, String)> {
        let step = nice_step((self.high - self.low) / about.max(1) as f64);
        let decimals = decimals_of(step);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| (i as f64 * step, format::fixed(i as f64 * step, decimals))).collect()
    }

    fn log_ticks(&self, about: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |v: f64| v >= self.low * (1.0 - 1e-9) && v <= self.high * (1.0 + 1e-9);
        // As many of the steps as fit: 1-1.5-2-3-5-7, 1-2-5, 1-3, decades, every other decade.
        const STEPS: [&[f64]; 4] = [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let mut ticks = Vec::new();
        for (steps, every) in STEPS.iter().map(|s| (*s, 1)).chain([(STEPS[3], 2), (STEPS[3], 3)]) {
            ticks = (first..=last)
                .step_by(every)
                .flat_map(|e| steps.iter().map(move |s| s * 10f64.powi(e)))
                .filter(|v| within(*v))
                .collect::<Vec<_>>();
            if ticks.len() <= about + 2 {
                break;
            }
        }
        ticks.into_iter().map(|v| (v, plain(v))).collect()
    }
}

/// A number with as many decimals as it needs, up to a width that can be read.
pub(super) fn plain(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (0..=9).find(|d| {
        let k = 10f64.powi(*d);
        ((value * k).round() / k - value).abs() <= value.abs() * 1e-9
    });
    match decimals {
        Some(decimals) => format::fixed(value, decimals),
        None => format::significant(value, 3),
    }
}

fn linear_ends(low: f64, high: f64) -> (f64, f64) {
    if low == high {
        return (0.0, 1.0);
    }
    let step = nice_step((high - low) / 6.0) / 2.0;
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step)
}

/// The next of 1, 1.5, 2, 3, 5, 7 in each decade, outwards.
fn log_ends(low: f64, high: f64) -> (f64, f64) {
    const STEPS: [f64; 7] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0];
    let decade = |v: f64| 10f64.powi(v.log10().floor() as i32);
    let (d, e) = (decade(low), decade(high));
    let below = STEPS.iter().rev().map(|s| s * d).find(|v| *v <= low * (1.0 + 1e-9)).unwrap_or(d);
    let above = STEPS.iter().map(|s| s * e).find(|v| *v >= high * (1.0 - 1e-9)).unwrap_or(10.0 * e);
    if below < above { (below, above) } else { (below / 2.0, above * 2.0) }
}

fn nice_step(raw: f64) -> f64 {
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let decade = 10f64.powi(raw.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * decade >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    step * decade
}

fn decimals_of(step: f64) -> i32 {
    (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, about: usize) -> Vec<String> {
        scale.ticks(about).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_axes_begin_at_zero_and_end_round() {
        let s = Scale::covering([3.2, 12.7], false, 0.0, 100.0);
        assert_eq!((s.low, s.high), (0.0, 15.0));
        assert_eq!(labels(&s, 6), ["0", "5", "10", "15"]);
        assert_eq!(labels(&s, 8), ["0", "2", "4", "6", "8", "10", "12", "14"]);
        assert_eq!(s.at(7.5), 50.0);
        assert_eq!(s.at(-3.0), 0.0);
        assert_eq!(labels(&Scale::covering([0.013], false, 0.0, 1.0), 6).first().unwrap(), "0.000");
    }

    #[test]
    fn logarithmic_axes_label_round_numbers() {
        let s = Scale::covering([0.8, 6.5], true, 0.0, 100.0);
        assert!((s.low - 0.7).abs() < 1e-9 && s.high == 7.0);
        assert_eq!(labels(&s, 6), ["0.7", "1", "1.5", "2", "3", "5", "7"]);
        let wide = Scale::covering([0.01, 90_000.0], true, 0.0, 100.0);
        assert_eq!(labels(&wide, 8), ["0.01", "0.1", "1", "10", "100", "1,000", "10,000", "100,000"]);
        assert!((wide.at(0.01) - 0.0).abs() < 1e-9 && (wide.at(1e5) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_to_show_is_no_panic() {
        for log in [false, true] {
            let s = Scale::covering([f64::NAN, f64::INFINITY, -1.0].into_iter().filter(|_| log), log, 0.0, 1.0);
            assert!(s.at(f64::NAN).is_nan() || s.at(1.0).is_finite());
            assert!(!s.ticks(5).is_empty());
        }
        assert!(Scale::around(&[], true, 0.0, 1.0).at(0.5).is_finite());
        assert!(Scale::around(&[4.0], true, 0.0, 1.0).at(4.0).is_finite());
        assert_eq!(plain(0.1 + 0.2), "0.3");
    }
}
