//! The most that a server answers: the plateau of the closed loop over concurrency 1, 2, 4, …

use serde::{Deserialize, Serialize};

use crate::driver::{Mode, Run};
use crate::lateness::{Lateness, Verdict};
use crate::summary::{Summary, Window};

/// A doubling of concurrency that gains less than this over the best point so far has reached the plateau.
pub const LEAST_GAIN: f64 = 0.05;

/// So many doublings in a row must gain too little.
pub const FLAT_DOUBLINGS: usize = 2;

/// A point with a larger share of failed requests ends the search: what it answers is no capacity.
pub const MOST_FAILED: f64 = 0.01;

/// One closed-loop measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub concurrency: usize,
    /// Answered requests per second.
    pub throughput: f64,
    /// Share of failed requests.
    pub failed: f64,
    /// The generator's verdict.
    pub valid: bool,
}

impl Point {
    /// Of a closed-loop run, over a window of it. Valid or not is the generator's own verdict.
    pub fn of(run: &Run, window: Window) -> Self {
        let summary = Summary::of(run, window);
        let verdict = Verdict::of(run, &Lateness::of(run), summary.from_scheduled.quantile_ns(0.5));
        let concurrency = match run.mode {
            Mode::Closed { concurrency } => concurrency,
            Mode::Open { .. } => run.most_in_flight,
        };
        Self {
            concurrency,
            throughput: summary.throughput,
            // A window without any request due has nothing that could fail.
            failed: summary.failed as f64 / summary.due.max(1) as f64,
            valid: verdict.is_valid(),
        }
    }
}

/// Why the search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The throughput grew by less than 5% in two doublings: the plateau was seen.
    Flat,
    /// The largest concurrency was reached while it still grew: the capacity may be larger.
    Cap,
    /// Too many requests failed at the last point, which is left out of the plateau.
    Failing,
    /// The generator was the limit at the last two points, which are left out of the plateau: the capacity may be larger.
    Generator,
    /// Time was up while it still grew: the capacity may be larger.
    Time,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// All points, by concurrency.
    pub points: Vec<Point>,
    /// The plateau, requests/s: the mean over all points within 5% of the best. The best alone would be high by its noise. None
    /// without a usable point.
    pub plateau: Option<f64>,
    /// The smallest concurrency on the plateau.
    pub knee: Option<usize>,
    pub stop: Stop,
}

/// Measures at concurrency 1, 2, 4, … up to `most`, until the plateau.
///
/// `measure` says None where there is no time left for another point.
///
/// # Errors
/// That of `measure`, with the points until then lost.
pub fn search<E>(most: usize, mut measure: impl FnMut(usize) -> Result<Option<Point>, E>) -> Result<Capacity, E> {
    let mut points: Vec<Point> = Vec::new();
    let (mut concurrency, mut flat, mut best, mut late) = (1, 0, 0.0_f64, false);
    let stop = loop {
        let Some(point) = measure(concurrency)? else { break Stop::Time };
        points.push(point);
        if point.failed > MOST_FAILED {
            break Stop::Failing;
        }
        // One point at which the client was late may be the machine's moment; the next one tells. It is left out.
        if !point.valid {
            if late {
                break Stop::Generator;
            }
            late = true;
            if concurrency >= most {
                break Stop::Cap;
            }
            concurrency = (concurrency * 2).min(most);
            continue;
        }
        late = false;
        // Against the best so far: what only makes up for a bad point is no gain.
        let gained = point.throughput >= best * (1.0 + LEAST_GAIN);
        best = best.max(point.throughput);
        flat = if gained { 0 } else { flat + 1 };
        if flat == FLAT_DOUBLINGS {
            break Stop::Flat;
        }
        if concurrency >= most {
            break Stop::Cap;
        }
        concurrency = (concurrency * 2).min(most);
    };
    let usable: Vec<Point> =
        points.iter().copied().filter(|point| point.valid && point.failed <= MOST_FAILED).collect();
    let best = usable.iter().map(|point| point.throughput).fold(0.0, f64::max);
    let flat: Vec<Point> = usable.into_iter().filter(|point| point.throughput >= best * (1.0 - LEAST_GAIN)).collect();
    let sum: f64 = flat.iter().map(|point| point.throughput).sum();
    Ok(Capacity {
        points,
        plateau: (!flat.is_empty()).then(|| sum / flat.len() as f64),
        knee: flat.first().map(|point| point.concurrency),
        stop,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn found(most: usize, throughput: impl Fn(usize) -> f64) -> Capacity {
        let point = |concurrency| {
            Ok::<_, Infallible>(Some(Point {
                concurrency,
                throughput: throughput(concurrency),
                failed: 0.0,
                valid: true,
            }))
        };
        search(most, point).unwrap()
    }

    fn visited(capacity: &Capacity) -> Vec<usize> {
        capacity.points.iter().map(|point| point.concurrency).collect()
    }

    #[test]
    fn two_flat_doublings_end_it() {
        let capacity = found(1024, |concurrency| concurrency.min(4) as f64 * 100.0);
        assert_eq!((visited(&capacity), capacity.stop), (vec![1, 2, 4, 8, 16], Stop::Flat));
        assert_eq!((capacity.plateau, capacity.knee), (Some(400.0), Some(4)));
    }

    #[test]
    fn one_flat_doubling_is_no_plateau() {
        let capacity = found(64, |concurrency| [100.0, 102.0, 200.0, 201.0, 199.0][concurrency.ilog2() as usize]);
        assert_eq!((visited(&capacity), capacity.stop), (vec![1, 2, 4, 8, 16], Stop::Flat));
        assert_eq!((capacity.plateau, capacity.knee), (Some(200.0), Some(4)));
    }

    #[test]
    fn a_bad_point_does_not_make_the_next_one_a_gain() {
        let capacity = found(64, |concurrency| [100.0, 200.0, 150.0, 190.0, 500.0][concurrency.ilog2() as usize]);
        assert_eq!((visited(&capacity), capacity.stop), (vec![1, 2, 4, 8], Stop::Flat));
        assert_eq!(capacity.plateau, Some(195.0));
    }

    #[test]
    fn a_server_that_collapses_has_its_capacity_before() {
        let capacity = found(64, |concurrency| if concurrency <= 2 { 100.0 * concurrency as f64 } else { 50.0 });
        assert_eq!((capacity.plateau, capacity.knee), (Some(200.0), Some(2)));
        assert_eq!(visited(&capacity), [1, 2, 4, 8]);
    }

    #[test]
    fn other_ends() {
        let growing = found(12, |concurrency| concurrency as f64);
        assert_eq!((visited(&growing), growing.stop, growing.plateau), (vec![1, 2, 4, 8, 12], Stop::Cap, Some(12.0)));
        let ending = |failed: f64, valid: bool| {
            search(64, |concurrency| {
                let last = concurrency >= 4;
                let failed = if last { failed } else { 0.0 };
                Ok::<_, Infallible>(Some(Point {
                    concurrency,
                    throughput: concurrency as f64,
                    failed,
                    valid: valid || !last,
                }))
            })
            .unwrap()
        };
        assert_eq!((ending(0.5, true).stop, ending(0.5, true).plateau), (Stop::Failing, Some(2.0)));
        assert_eq!((ending(0.0, false).stop, ending(0.0, false).knee), (Stop::Generator, Some(2)));
        let late_once = search(8, |concurrency| {
            let valid = concurrency != 1;
            Ok::<_, Infallible>(Some(Point { concurrency, throughput: concurrency as f64, failed: 0.0, valid }))
        });
        assert_eq!(late_once.map(|found| (found.stop, found.plateau)), Ok((Stop::Cap, Some(8.0))));
        let slow = search(64, |concurrency| {
            let point = Point { concurrency, throughput: concurrency as f64, failed: 0.0, valid: true };
            Ok::<_, Infallible>((concurrency <= 4).then_some(point))
        });
        assert_eq!(slow.map(|found| (found.stop, found.plateau)), Ok((Stop::Time, Some(4.0))));
        let dead = search(8, |concurrency| {
            Ok::<_, Infallible>(Some(Point { concurrency, throughput: 0.0, failed: 1.0, valid: false }))
        });
        assert_eq!(dead.unwrap().plateau, None);
        assert_eq!(search(8, |_| Err::<Option<Point>, _>("no server")), Err("no server"));
    }
}
