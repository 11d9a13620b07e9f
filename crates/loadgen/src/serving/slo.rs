//! A service level for goodput: bounds that a request must meet, all of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::record::{From, Record};

/// Bounds in ns; latencies count from when the request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    pub ttft_ns: Option<f64>,
    pub tpot_ns: Option<f64>,
    pub e2e_ns: Option<f64>,
}

impl Slo {
    /// True if the request succeeded within all bounds. A request of one token has no TPOT and meets that bound.
    pub fn is_met(&self, record: &Record) -> bool {
        let within = |value: Option<f64>, bound: Option<f64>| match (value, bound) {
            (_, None) => true,
            (Some(value), Some(bound)) => value <= bound,
            (None, Some(_)) => false,
        };
        let ns = |value: Option<u64>| value.map(|ns| ns as f64);
        let tpot = record.tpot_ns().or((record.output_tokens <= 1).then_some(0.0));
        record.is_ok()
            && within(ns(record.ttft_ns(From::Scheduled)), self.ttft_ns)
            && within(tpot, self.tpot_ns)
            && within(ns(record.e2e_ns(From::Scheduled)), self.e2e_ns)
    }
}

impl FromStr for Slo {
    type Err = String;

    /// `ttft:200 tpot:50 e2el:5000`, in ms; separated by spaces or commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut slo = Self::default();
        let help = "write ttft:MS, tpot:MS or e2el:MS, for instance ttft:200 tpot:50";
        let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
        for part in parts.clone() {
            let (name, value) = part.split_once(':').ok_or_else(|| format!("`{part}` is no bound: {help}"))?;
            let ms: f64 = value
                .strip_suffix("ms")
                .unwrap_or(value)
                .parse()
                .map_err(|_| format!("`{part}` has no number of ms: {help}"))?;
            if !(ms.is_finite() && ms > 0.0) {
                return Err(format!("`{part}` cannot be met: give a bound above 0 ms"));
            }
            let bound = match name {
                "ttft" => &mut slo.ttft_ns,
                "tpot" => &mut slo.tpot_ns,
                "e2el" | "e2e" => &mut slo.e2e_ns,
                _ => return Err(format!("`{name}` has no bound: {help}")),
            };
            *bound = Some(ms * 1e6);
        }
        if parts.count() == 0 { Err(format!("no bound is given: {help}")) } else { Ok(slo) }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [("ttft", self.ttft_ns), ("tpot", self.tpot_ns), ("e2el", self.e2e_ns)];
        let shown: Vec<String> =
            bounds.iter().filter_map(|(name, ns)| ns.map(|ns| format!("{name}:{}", ns / 1e6))).collect();
        f.write_str(&shown.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn bounds_are_read_and_shown() {
        let slo: Slo = "ttft:200 tpot:50ms,e2el:5000".parse().unwrap();
        assert_eq!((slo.ttft_ns, slo.tpot_ns, slo.e2e_ns), (Some(2e8), Some(5e7), Some(5e9)));
        assert_eq!(slo.to_string(), "ttft:200 tpot:50 e2el:5000");
        for bad in ["", "ttft", "ttft:fast", "itl:5", "ttft:0", "ttft:inf"] {
            assert!(bad.parse::<Slo>().is_err(), "{bad}");
        }
    }

    #[test]
    fn all_bounds_must_hold() {
        let mut record = Record::due(0, 0, 1000, 1000);
        (record.first_token_ns, record.last_token_ns, record.output_tokens) = (101_000, 201_000, 11);
        record.outcome = Outcome::Ok;
        let slo = |ttft: f64, tpot: f64| Slo { ttft_ns: Some(ttft), tpot_ns: Some(tpot), e2e_ns: None };
        assert!(slo(1e5, 1e4).is_met(&record));
        assert!(!slo(99_999.0, 1e4).is_met(&record) && !slo(1e5, 9_999.0).is_met(&record));
        assert!(slo(1e5, 1.0).is_met(&Record { output_tokens: 1, ..record }), "one token has no gap");
        let failed = Record { outcome: Outcome::Failed(crate::outcome::ErrorClass::Reset), ..record };
        assert!(!Slo::default().is_met(&failed));
    }
}
