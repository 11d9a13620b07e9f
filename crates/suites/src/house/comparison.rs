//! What is compared, and in which quantity. Noise floor, family, stopping rule and table of a comparison use that quantity and no other.

use std::collections::BTreeMap;

use benchstats::{Contrast, Scale, StatsError};
use record::measurements::Measurements;

use super::estimate;

/// What of a cell is taken, one value a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The time of a call, ns. As a ratio it is paired round by round within a run.
    CallTime,
    /// A reading that the worker gives.
    Reading(&'static str),
    /// Of two readings between which a search has shut its answer in, the geometric mean. It is of the whole search, whatever the verdict on the
    /// stretch that is shown.
    Between(&'static str, &'static str),
}

/// In what two cells are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    pub measure: Measure,
    /// As a ratio or as a difference.
    pub scale: Scale,
    /// Of the measure; a floor of a difference is in it.
    pub unit: &'static str,
    /// For people: `time of a call`, `median TTFT`.
    pub name: &'static str,
    /// More of it is better: then more than the baseline is `faster`.
    pub more_is_better: bool,
}

impl Quantity {
    /// The ratio of the times of a call.
    pub const CALL_TIME: Self = Self {
        measure: Measure::CallTime,
        scale: Scale::Ratio,
        unit: "ns",
        name: "time of a call",
        more_is_better: false,
    };
    /// The ratio of median times to the first token.
    pub const TTFT: Self = Self {
        measure: Measure::Reading("ttft_p50_ns"),
        scale: Scale::Ratio,
        unit: "ns",
        name: "median TTFT",
        more_is_better: false,
    };
    /// The difference of median times to the first token, ns.
    pub const TTFT_DIFFERENCE: Self =
        Self { scale: Scale::Difference, name: "difference of median TTFT", ..Self::TTFT };
    /// The ratio of answers a second.
    pub const THROUGHPUT: Self = Self {
        measure: Measure::Reading("throughput_per_s"),
        scale: Scale::Ratio,
        unit: "requests/s",
        name: "throughput",
        more_is_better: true,
    };
    /// The ratio of the largest rates that hold a level.
    pub const RATE: Self = Self {
        measure: Measure::Between("holds_per_s", "fails_per_s"),
        scale: Scale::Ratio,
        unit: "requests/s",
        name: "largest rate",
        more_is_better: true,
    };

    /// The name that stands in a row of its noise floor.
    pub fn key(&self) -> &'static str {
        match self.measure {
            Measure::CallTime => "time",
            Measure::Reading(name) => name,
            Measure::Between(..) => "max_rate",
        }
    }

    /// The measure of a cell, one value a run.
    pub fn of(&self, measurements: &Measurements, cell: &str) -> BTreeMap<u32, f64> {
        match self.measure {
            Measure::CallTime => measurements.run_values(cell),
            Measure::Reading(name) => measurements.reading_values(cell, name),
            Measure::Between(below, above) => {
                let Some(cell) = measurements.cell(cell) else { return BTreeMap::new() };
                let above = cell.readings_of_all(above);
                let middle = |(run, below): (u32, f64)| Some((run, (below * above.get(&run)?).sqrt()));
                cell.readings_of_all(below).into_iter().filter_map(middle).collect()
            }
        }
    }

    /// Row against baseline within the runs that have both: ratios, or differences in the unit.
    pub fn between(&self, measurements: &Measurements, row: &str, baseline: &str) -> BTreeMap<u32, f64> {
        if (self.measure, self.scale) == (Measure::CallTime, Scale::Ratio) {
            return measurements.ratios(row, baseline);
        }
        let below = self.of(measurements, baseline);
        let pair = |(run, row): (u32, f64)| Some((run, self.set_against(row, *below.get(&run)?)));
        self.of(measurements, row).into_iter().filter_map(pair).collect()
    }

    fn set_against(&self, row: f64, baseline: f64) -> f64 {
        match self.scale {
            Scale::Ratio => row / baseline,
            Scale::Difference => row - baseline,
        }
    }
}

/// A row against a baseline in a quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub row: String,
    pub baseline: String,
    pub quantity: Quantity,
    /// The same comparison elsewhere (row, baseline), against which this one is set: what load makes of a benefit is the benefit at high load
    /// over, or less, that at low load.
    pub over: Option<(String, String)>,
    /// Comparisons of one name are judged as one family.
    pub family: String,
}

impl Comparison {
    /// Two cells, in the one family of their experiment.
    pub fn new(row: &str, baseline: &str, quantity: Quantity) -> Self {
        Self { row: row.to_owned(), baseline: baseline.to_owned(), quantity, over: None, family: String::new() }
    }

    /// The comparison set against the same one of two other cells.
    pub fn over(self, row: &str, baseline: &str) -> Self {
        Self { over: Some((row.to_owned(), baseline.to_owned())), ..self }
    }

    /// In a family of its own.
    pub fn in_family(self, family: &str) -> Self {
        Self { family: family.to_owned(), ..self }
    }

    /// All cells that it rests on.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        let over = self.over.iter().flat_map(|(row, baseline)| [row.as_str(), baseline.as_str()]);
        [self.row.as_str(), self.baseline.as_str()].into_iter().chain(over)
    }

    /// One value a run: a ratio, or a difference in the unit of the quantity.
    pub fn values(&self, measurements: &Measurements) -> BTreeMap<u32, f64> {
        let here = self.quantity.between(measurements, &self.row, &self.baseline);
        let Some((row, baseline)) = &self.over else { return here };
        let there = self.quantity.between(measurements, row, baseline);
        let pair = |(run, here): (u32, f64)| Some((run, self.quantity.set_against(here, *there.get(&run)?)));
        here.into_iter().filter_map(pair).collect()
    }

    /// Across the runs.
    ///
    /// # Errors
    /// As [`Contrast::of`].
    pub fn contrast(&self, measurements: &Measurements) -> Result<Contrast, StatsError> {
        Contrast::of(self.quantity.scale, &estimate::values(&self.values(measurements)))
    }

    /// The size against which a difference is small or large, in its unit: the mean of the baseline, of the larger one where there are two.
    /// 1 for ratios.
    pub fn size(&self, measurements: &Measurements) -> f64 {
        if self.quantity.scale == Scale::Ratio {
            return 1.0;
        }
        let baselines = [Some(&self.baseline), self.over.as_ref().map(|(_, baseline)| baseline)];
        let mean = |cell: &String| {
            let values = estimate::values(&self.quantity.of(measurements, cell));
            values.iter().sum::<f64>().abs() / values.len().max(1) as f64
        };
        baselines.into_iter().flatten().map(mean).fold(0.0, f64::max)
    }

    /// Half-width of the 95% interval for the stopping rule, as a fraction of [`Comparison::size`]; infinite where there is none yet.
    pub fn relative_half_width(&self, measurements: &Measurements) -> f64 {
        let Ok(contrast) = self.contrast(measurements) else { return f64::INFINITY };
        let half = contrast.half_width(estimate::LEVEL);
        match self.quantity.scale {
            Scale::Ratio => half.exp_m1(),
            Scale::Difference => half / self.size(measurements),
        }
    }
}
