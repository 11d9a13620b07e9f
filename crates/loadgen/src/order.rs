//! What decides the load of a stretch, as a plan states it, and the load that follows from it once the calibration is known.
//!
//! Pure: who measures (`record`, `runner`) carries both through without reading them; suites state a [`Drive`], workers follow the [`LoadOrder`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rate_search::Bounds;

/// Reading of a search: the number of requests at once from which the rate grows no more.
pub const CONCURRENCY: &str = "concurrency";
/// Reading of a search: the rate there, requests a second.
pub const CAPACITY: &str = "throughput_per_s";

/// What decides the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Drive {
    /// Closed loop, at the concurrency beyond which the rate grows no more. The calibration looks for it.
    Capacity,
    /// Open loop with Poisson arrivals at this share of the least capacity that the calibration found for the cells that this one needs: of one,
    /// or one rate for several.
    Share { share: f64 },
    /// Closed loop at this concurrency.
    Closed { concurrency: u32 },
    /// Open loop with Poisson arrivals at this rate, requests a second.
    Open { per_s: f64 },
    /// Open loop at one rate after another, until the largest is found at which what the cell's op demands holds.
    Limit(Bounds),
}

/// How a server is driven in a block.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadOrder {
    /// Closed loop over concurrency 1, 2, 4, … until the rate grows no more. The sample's rate is the plateau's, its readings [`CONCURRENCY`] and
    /// [`CAPACITY`] are where that was and what it was.
    Search { span_ns: u64 },
    /// Closed loop at a fixed concurrency.
    Closed { concurrency: u64, span_ns: u64 },
    /// Open loop with Poisson arrivals; the same seed gives the same schedule, scaled by the rate.
    Open { per_s: f64, requests: u64, seed: u64 },
    /// Open loop at one rate after another, each for about `span_ns`, until the largest is found at which the op's demand holds. The
    /// readings `holds_per_s` and `fails_per_s` are the two rates that it lies between; one of them is missing where only a bound was found.
    Limit { search: Bounds, span_ns: u64, seed: u64 },
}

/// What a worker is told of a stretch.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The cell that is measured.
    pub cell: &'a str,
    /// Seed of the run; none in the calibration.
    pub seed: Option<u64>,
    /// Readings of the calibration by cell: of the cell itself, and of those that it needs.
    pub found: &'a BTreeMap<String, BTreeMap<String, f64>>,
}

impl Drive {
    /// As a plan states it.
    ///
    /// # Errors
    /// A sentence about what is no drive.
    pub fn of(order: &Value) -> Result<Self, String> {
        serde_json::from_value(order.clone())
            .map_err(|error| format!("{order} is no load that a server could be driven with ({error})"))
    }

    /// What it comes to in a stretch of about `span_ns`. All cells of a run get the same schedule of arrivals, scaled by their rate.
    ///
    /// # Errors
    /// A sentence about what the calibration should have found and did not.
    pub fn order(&self, span_ns: u64, told: Told<'_>) -> Result<LoadOrder, String> {
        let seed = || {
            told.seed.ok_or_else(|| {
                format!("{} is driven in runs alone, and this is the calibration; this is a bug", told.cell)
            })
        };
        let open = |per_s: f64| -> Result<LoadOrder, String> {
            let requests = ((per_s * span_ns as f64 / 1e9).round() as u64).max(1);
            Ok(LoadOrder::Open { per_s, requests, seed: seed()? })
        };
        match self {
            Self::Capacity if told.seed.is_none() => Ok(LoadOrder::Search { span_ns }),
            Self::Capacity => {
                let found = told.found.get(told.cell).and_then(|found| found.get(CONCURRENCY)).copied();
                Ok(LoadOrder::Closed { concurrency: found.unwrap_or(1.0).max(1.0) as u64, span_ns })
            }
            Self::Share { share } => {
                let others = told.found.iter().filter(|(id, _)| *id != told.cell);
                let capacities =
                    others.filter_map(|(_, found)| found.get(CAPACITY).copied()).filter(|rate| *rate > 0.0);
                let least = capacities.reduce(f64::min);
                let least = least.ok_or("the capacity that its load is a share of could not be measured")?;
                open(least * share)
            }
            Self::Closed { concurrency } => {
                Ok(LoadOrder::Closed { concurrency: u64::from((*concurrency).max(1)), span_ns })
            }
            Self::Open { per_s } => open(*per_s),
            Self::Limit(search) => Ok(LoadOrder::Limit { search: *search, span_ns, seed: seed()? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SPAN_NS: u64 = 2_000_000_000;

    fn found(cells: &[(&str, f64, f64)]) -> BTreeMap<String, BTreeMap<String, f64>> {
        let figures =
            |concurrency, rate| BTreeMap::from([(CONCURRENCY.to_owned(), concurrency), (CAPACITY.to_owned(), rate)]);
        cells.iter().map(|(id, concurrency, rate)| ((*id).to_owned(), figures(*concurrency, *rate))).collect()
    }

    fn ordered(drive: &Drive, seed: Option<u64>, cells: &[(&str, f64, f64)]) -> Result<LoadOrder, String> {
        drive.order(SPAN_NS, Told { cell: "own", seed, found: &found(cells) })
    }

    #[test]
    fn given_loads_need_no_calibration() {
        let of = |drive: &Drive, seed| ordered(drive, Some(seed), &[]).unwrap();
        assert_eq!(of(&Drive::Closed { concurrency: 20 }, 1), LoadOrder::Closed { concurrency: 20, span_ns: SPAN_NS });
        assert_eq!(of(&Drive::Open { per_s: 2.5 }, 3), LoadOrder::Open { per_s: 2.5, requests: 5, seed: 3 });
        let search = Bounds { lowest: 1.0, highest: 8.0, start: 2.0, resolution: 0.1 };
        assert_eq!(of(&Drive::Limit(search), 3), LoadOrder::Limit { search, span_ns: SPAN_NS, seed: 3 });
        assert!(ordered(&Drive::Open { per_s: 2.5 }, None, &[]).is_err());
    }

    #[test]
    fn a_capacity_is_looked_for_in_the_calibration_and_measured_where_it_was_found() {
        assert_eq!(ordered(&Drive::Capacity, None, &[]), Ok(LoadOrder::Search { span_ns: SPAN_NS }));
        let run = ordered(&Drive::Capacity, Some(1), &[("own", 4.0, 1000.0), ("other", 9.0, 1.0)]);
        assert_eq!(run, Ok(LoadOrder::Closed { concurrency: 4, span_ns: SPAN_NS }));
    }

    #[test]
    fn a_share_is_of_the_least_capacity_that_was_found() {
        let rate = |share, cells: &[(&str, f64, f64)]| ordered(&Drive::Share { share }, Some(7), cells);
        assert_eq!(rate(0.7, &[("fast", 4.0, 1000.0)]), Ok(LoadOrder::Open { per_s: 700.0, requests: 1400, seed: 7 }));
        let both = [("fast", 4.0, 1000.0), ("slow", 4.0, 250.0), ("own", 1.0, 1.0)];
        assert_eq!(rate(0.5, &both), Ok(LoadOrder::Open { per_s: 125.0, requests: 250, seed: 7 }));
        let none = rate(0.5, &[]).unwrap_err();
        assert_eq!(none, "the capacity that its load is a share of could not be measured");
    }

    #[test]
    fn a_plan_states_it_as_data() {
        let drives = [Drive::Capacity, Drive::Share { share: 0.7 }, Drive::Closed { concurrency: 3 }];
        for drive in drives {
            assert_eq!(Drive::of(&serde_json::to_value(&drive).unwrap()), Ok(drive));
        }
        let error = Drive::of(&json!({"kind": "sideways"})).unwrap_err();
        assert!(error.starts_with(r#"{"kind":"sideways"} is no load"#), "{error}");
    }
}
