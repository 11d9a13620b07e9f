//! The largest rate that holds a service level.

use std::time::Instant;

use loadgen::rate_search::{Bounds, Found, Search, Step};
use record::protocol::Sample;

use super::drive::{Drive, Stretch};
use crate::load_worker::Refusal;
use loadgen::service_level::{Level, holds};

/// Requests of a stretch, where their time allows so many: a percentile p needs some beyond it.
const LEAST: usize = 100;
/// A search begins at most at this multiple of what requests one after another would make: a server that needs seconds for one is not
/// offered a hundred times what it can do, to wait for it all.
const AHEAD: f64 = 16.0;

/// Offers one rate after another. Every stretch of a search has the same arrivals, scaled by its rate. Bounded in time as well as in requests:
/// a stretch has the arrivals of [`Patience::try_s`](record::protocol::target::Patience) at most, and when the time for all of them is over, what is known
/// is said.
pub fn search(drive: &Drive<'_>, bounds: Bounds, span_ns: u64, seed: u64) -> Result<Sample, Refusal> {
    let Bounds { lowest, highest, start, resolution } = bounds;
    let level = drive.way.level.as_ref().ok_or_else(|| Refusal::failed("a search for a rate needs a service level"))?;
    let alone_s = drive.found.response_ns as f64 / 1e9;
    let start = if alone_s > 0.0 { start.min(AHEAD / alone_s).max(lowest) } else { start };
    let mut search = Search::new(Bounds { lowest, highest, start, resolution }).map_err(Refusal::failed)?;
    let (mut invalid, mut last, mut best) = (0, None, None);
    let (began, patience) = (Instant::now(), drive.patience);
    let span_s = span_ns as f64 / 1e9;
    let mut fewest = usize::MAX;
    let (found, in_time) = loop {
        match search.step() {
            Step::Done(found) => break (found, true),
            Step::Try(_) if began.elapsed().as_secs_f64() > patience.search_s => {
                let found = search.so_far().ok_or_else(|| Refusal::failed("there was no time for a single rate"))?;
                break (found, false);
            }
            Step::Try(rate) => {
                let count = ((rate * span_s).round() as usize).max(LEAST);
                let stretch = drive.open(rate, count, patience.try_s.max(span_s), seed)?;
                fewest = fewest.min(stretch.run.records.len());
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
    read("fewest_requests", fewest as f64);
    read("out_of_time", f64::from(u8::from(!in_time)));
    read("invalid_tries", f64::from(invalid));
    Ok(sample)
}

fn keeps(level: &Level, stretch: &Stretch) -> bool {
    level.0.iter().all(|condition| {
        let (values, none) = stretch.values(condition.figure);
        holds(condition, &values, none, stretch.figures.failed)
    })
}
