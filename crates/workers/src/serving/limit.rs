//! The largest rate that holds a service level.

use loadgen::rate_search::{Bounds, Found, Search, Step};
use record::plan::RateSearch;
use record::protocol::Sample;

use super::drive::{Drive, Stretch};
use crate::driving::Refusal;
use loadgen::service_level::{Level, holds};

/// Least requests of a stretch: a percentile p needs some beyond it.
const LEAST: usize = 100;

/// Offers one rate after another. Every stretch of a search has the same arrivals, scaled by its rate.
pub fn search(drive: &Drive<'_>, bounds: RateSearch, span_ns: u64, seed: u64) -> Result<Sample, Refusal> {
    let RateSearch { lowest, highest, start, resolution } = bounds;
    let level = drive.way.level.as_ref().ok_or_else(|| Refusal::failed("a search for a rate needs a service level"))?;
    let mut search = Search::new(Bounds { lowest, highest, start, resolution }).map_err(Refusal::failed)?;
    let (mut invalid, mut last, mut best) = (0, None, None);
    let found = loop {
        match search.step() {
            Step::Done(found) => break found,
            Step::Try(rate) => {
                let count = ((rate * span_ns as f64 / 1e9).round() as usize).max(LEAST);
                let stretch = drive.open(rate, count, seed)?;
                let held = keeps(level, &stretch);
                // A client that was late makes latencies longer, never shorter: what holds all the same is believed.
                if !held && !stretch.verdict.is_valid() {
                    invalid += 1;
                }
                search.report(rate, held);
                if held {
                    best = Some(stretch);
                } else {
                    last = Some(stretch);
                }
            }
        }
    };
    let (holds_per_s, fails_per_s) = match found {
        Found::Between { holds, fails } => (Some(holds), Some(fails)),
        Found::AtLeast(rate) => (Some(rate), None),
        Found::Below(rate) => (None, Some(rate)),
    };
    let shown = best.or(last).ok_or_else(|| Refusal::failed("no rate was tried"))?;
    let mut sample = shown.sample(holds_per_s.or(fails_per_s).unwrap_or(start));
    let mut read = |name: &str, value: f64| {
        sample.readings.insert(name.to_owned(), value);
    };
    for (name, rate) in [("holds_per_s", holds_per_s), ("fails_per_s", fails_per_s)] {
        if let Some(rate) = rate {
            read(name, rate);
        }
    }
    read("tries", search.tried().len() as f64);
    read("invalid_tries", f64::from(invalid));
    Ok(sample)
}

fn keeps(level: &Level, stretch: &Stretch) -> bool {
    level.0.iter().all(|condition| {
        let (values, none) = stretch.values(condition.figure);
        holds(condition, &values, none, stretch.figures.failed)
    })
}
