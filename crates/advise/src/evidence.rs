//! What a run folder has measured, asked by call path and size of the request.

use std::collections::BTreeMap;

use benchstats::fit;
use record::measurements::Measurements;
use record::plan::{Cell, Timing};
use record::results::{Record, RunInfo, Status};
use serde::Serialize;

use record::format;
use suites::present::{number, word};

/// Size of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Size {
    pub tokens: u32,
    pub turns: u32,
}

impl Size {
    /// Messages of a conversation of that many turns that ends with the user's.
    pub fn messages(self) -> f64 {
        f64::from(2 * self.turns.max(1) - 1)
    }

    /// `2,000 tokens in 20 turns`
    pub fn words(self) -> String {
        let turns = if self.turns == 1 { "turn" } else { "turns" };
        format!("{} tokens in {} {turns}", format::count(u64::from(self.tokens)), self.turns)
    }
}

/// Where a number comes from, the firmest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// At this very size.
    Measured,
    /// `a + b·messages + c·tokens` through the sizes around it.
    Fitted,
    /// From another call path of the same stage or another size, in the ratio that both have where both were measured.
    Scaled,
    /// By the fit, beyond the sizes that were measured.
    Extrapolated,
    /// Not measured in this run: the documented default.
    Assumed,
}

impl Origin {
    /// For tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Fitted => "fitted",
            Self::Scaled => "scaled",
            Self::Extrapolated => "extrapolated",
            Self::Assumed => "assumed",
        }
    }
}

/// A time, ns, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    pub ns: f64,
    pub origin: Origin,
}

impl Cost {
    /// A default.
    pub fn assumed(ns: f64) -> Self {
        Self { ns, origin: Origin::Assumed }
    }

    /// The same origin, another time.
    pub fn times(self, factor: f64) -> Self {
        Self { ns: self.ns * factor, ..self }
    }
}

/// A run, read.
pub struct Evidence<'a> {
    pub info: &'a RunInfo,
    pub measurements: &'a Measurements,
    pub records: &'a [Record],
}

/// An API on an engine: operation, engine, call path.
pub type Path = (&'static str, &'static str, &'static str);

impl Evidence<'_> {
    /// Cores that the measured machine had.
    pub fn effective_cores(&self) -> u32 {
        let cores = self.info.plan.settings.get("effective_cores").and_then(serde_json::Value::as_u64);
        cores.and_then(|cores| u32::try_from(cores).ok()).unwrap_or(1).max(1)
    }

    /// The first subject of a kind, for Python with the GIL on or off.
    pub fn subject(&self, kind: &str, free_threaded: bool) -> Option<&str> {
        self.info
            .plan
            .subjects
            .iter()
            .filter(|subject| subject.kind == kind && subject.unavailable.is_none())
            .map(|subject| subject.id.as_str())
            .find(|id| self.info.subjects.get(*id).is_some_and(|ready| ready.gil == "disabled") == free_threaded)
    }

    /// Time of a stage's first path at a size. Where that path was measured at other sizes only and too few for a fit, it is taken
    /// in proportion to one of the other paths, which do the same work.
    pub fn time(&self, subject: &str, paths: &[Path], size: Size) -> Option<Cost> {
        let (wanted, others) = paths.split_first()?;
        let wanted = self.curve(subject, *wanted);
        wanted.at(size).or_else(|| {
            others.iter().find_map(|other| {
                let other = self.curve(subject, *other);
                let there = other.at(size)?;
                wanted.points.iter().find_map(|(point, ns)| {
                    let here = other.at(*point)?;
                    let origin = there.origin.max(here.origin).max(Origin::Scaled);
                    Some(Cost { ns: there.ns * ns / here.ns, origin })
                })
            })
        })
    }

    /// Time in proportion to the tokens, for stages that see nothing but ids.
    pub fn time_by_tokens(&self, subject: &str, path: Path, size: Size) -> Option<Cost> {
        let curve = self.curve(subject, path);
        curve.at(size).or_else(|| {
            let distance = |point: &Size| (f64::from(point.tokens) / f64::from(size.tokens)).ln().abs();
            let (point, ns) = curve.points.iter().min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)))?;
            Some(Cost { ns: ns * f64::from(size.tokens) / f64::from(point.tokens), origin: Origin::Scaled })
        })
    }

    fn curve(&self, subject: &str, path: Path) -> Curve {
        let mut sums: BTreeMap<Size, (f64, f64)> = BTreeMap::new();
        for cell in &self.info.plan.cells {
            if !is_stage(cell, subject, path) || !self.is_usable(&cell.id) {
                continue;
            }
            let (Ok(tokens), Ok(turns)) =
                (u32::try_from(number(&cell.axes, "tokens")), u32::try_from(number(&cell.axes, "turns")))
            else {
                continue;
            };
            if let Some(mean) = mean(self.measurements.run_values(&cell.id).into_values())
                && tokens > 0
                && turns > 0
            {
                let sum = sums.entry(Size { tokens, turns }).or_default();
                *sum = (sum.0 + mean, sum.1 + 1.0);
            }
        }
        Curve { points: sums.into_iter().map(|(size, (sum, count))| (size, sum / count)).collect() }
    }

    fn is_usable(&self, cell: &str) -> bool {
        matches!(self.measurements.status(cell), Status::Ok | Status::Unchecked)
    }

    /// The cells of a strategy as a server, those of its capacity first, with the fewest workers first.
    pub fn served(&self, strategy: &str) -> Vec<&Cell> {
        let mut cells: Vec<&Cell> = self
            .info
            .plan
            .cells
            .iter()
            .filter(|cell| cell.op.name == "serve" && cell.strategy == strategy && cell.twin_of.is_none())
            .filter(|cell| self.is_usable(&cell.id) && !self.measurements.run_values(&cell.id).is_empty())
            .collect();
        cells.sort_by_key(|cell| (word(&cell.axes, "load") != "capacity", cell.op.threads));
        cells
    }

    /// The largest rate at which a strategy was measured, requests a second.
    pub fn measured_rate(&self, strategy: &str) -> Option<f64> {
        let rates = self.served(strategy).into_iter().filter_map(|cell| self.per_call(cell)).map(|ns| 1e9 / ns);
        rates.reduce(f64::max)
    }

    /// Mean of a reading across runs.
    pub fn reading(&self, cell: &Cell, name: &str) -> Option<f64> {
        mean(self.measurements.reading_values(&cell.id, name).into_values())
    }

    /// Mean time a call across runs, ns; of a server's cell the inverse of its throughput.
    pub fn per_call(&self, cell: &Cell) -> Option<f64> {
        mean(self.measurements.run_values(&cell.id).into_values())
    }
}

/// Size on the axes of a cell.
pub fn size_of(cell: &Cell) -> Option<Size> {
    let axis = |name| u32::try_from(number(&cell.axes, name)).ok().filter(|value| *value > 0);
    Some(Size { tokens: axis("tokens")?, turns: axis("turns")? })
}

fn is_stage(cell: &Cell, subject: &str, (op, engine, call_path): Path) -> bool {
    cell.subject == subject
        && cell.op.name == op
        && cell.op.engine == engine
        && cell.op.call_path == call_path
        && cell.timing == Timing::Loop
        && cell.cache == "warm"
        && cell.twin_of.is_none()
}

/// Mean; none without values.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Mean times of one call path at the sizes at which it was measured.
struct Curve {
    points: BTreeMap<Size, f64>,
}

impl Curve {
    /// Measured, or by `a + b·messages + c·tokens` fitted by least squares on relative errors, as experiment 2 does.
    fn at(&self, size: Size) -> Option<Cost> {
        if let Some(ns) = self.points.get(&size) {
            return Some(Cost { ns: *ns, origin: Origin::Measured });
        }
        let rows: Vec<Vec<f64>> =
            self.points.keys().map(|size| vec![1.0, size.messages(), f64::from(size.tokens)]).collect();
        let times: Vec<f64> = self.points.values().copied().collect();
        let weights = fit::relative_weights(&times).ok()?;
        let fitted = fit::weighted(&rows, &times, &weights, 0.95).ok()?;
        let [a, b, c] = fitted.coefficients.as_slice() else { return None };
        let ns = a.point + b.point * size.messages() + c.point * f64::from(size.tokens);
        let range = |of: fn(&Size) -> u32| {
            let values = self.points.keys().map(of);
            values.clone().min().unwrap_or(0)..=values.max().unwrap_or(0)
        };
        let is_within =
            range(|size| size.tokens).contains(&size.tokens) && range(|size| size.turns).contains(&size.turns);
        let origin = if is_within { Origin::Fitted } else { Origin::Extrapolated };
        // A line that leaves the positive numbers says nothing here.
        (ns > 0.0).then_some(Cost { ns, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(law: impl Fn(f64, f64) -> f64, sizes: &[(u32, u32)]) -> Curve {
        let point = |&(tokens, turns): &(u32, u32)| {
            let size = Size { tokens, turns };
            (size, law(size.messages(), f64::from(tokens)))
        };
        Curve { points: sizes.iter().map(point).collect() }
    }

    #[test]
    fn a_law_is_recovered_between_and_beyond_its_points() {
        let law = |m: f64, t: f64| 50_000.0 + 20_000.0 * m + 400.0 * t;
        let curve = curve(law, &[(1000, 5), (1000, 40), (8000, 5), (8000, 40)]);
        let size = |tokens, turns| Size { tokens, turns };
        assert_eq!(curve.at(size(1000, 5)).unwrap().origin, Origin::Measured);
        let within = curve.at(size(2000, 20)).unwrap();
        assert_eq!(within.origin, Origin::Fitted);
        assert!((within.ns / law(39.0, 2000.0) - 1.0).abs() < 1e-6);
        assert_eq!(curve.at(size(2000, 80)).unwrap().origin, Origin::Extrapolated);
        assert_eq!(curve.at(size(20_000, 20)).unwrap().origin, Origin::Extrapolated);
    }

    #[test]
    fn too_few_points_say_nothing() {
        let law = |m: f64, t: f64| m + t;
        assert!(curve(law, &[(1000, 5), (1000, 40), (8000, 5)]).at(Size { tokens: 2000, turns: 5 }).is_none());
        // Tokens that never change cannot be told from the constant.
        assert!(
            curve(law, &[(1000, 5), (1000, 10), (1000, 20), (1000, 40)]).at(Size { tokens: 2000, turns: 5 }).is_none()
        );
    }
}
