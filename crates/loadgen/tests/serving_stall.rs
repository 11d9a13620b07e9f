//! A server that stalls: users wait from when they wanted to ask, and a client that looks only from sending on does not see it.

#[path = "common/model.rs"]
#[allow(dead_code)]
mod model;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::Control;
use loadgen::serving::figures::{Distribution, Figures};
use loadgen::serving::record::From;
use loadgen::serving::run;
use loadgen::serving::session::Load;
use model::{Act, Model, options, sessions};

/// One request at a time is let through, so the system is one queue, and Lindley's recursion over the same arrivals and the recorded
/// service times says what each request waits: `start(i) = max(arrival(i), end(i − 1))`.
#[test]
fn latencies_from_scheduled_are_lindleys_and_those_from_sent_hide_the_stall() {
    let stall_ms = 400;
    let model = Model::start(move |number| Act::Stream {
        tokens: 1,
        first_ms: if number == 60 { stall_ms } else { 2 },
        gap_ms: 0,
    });
    let intensity = Intensity::Constant { rate: 100.0 };
    let schedule = Schedule::generate(&intensity, Spacing::Poisson, Extent::count(250), 11).unwrap();
    let load = Load::Open { schedule: &schedule, cap: Some(1) };
    let run = run(model.transport(), &sessions(), load, &options(1), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (250, 0), "{:?}", run.errors);
    let mut end = 0;
    let predicted: Vec<f64> = run
        .records
        .iter()
        .map(|record| {
            let start = record.scheduled_ns.max(end);
            end = start + (record.done_ns - record.began_ns);
            (end - record.scheduled_ns) as f64
        })
        .collect();
    let seen = run.records.iter().map(|record| (record.done_ns - record.scheduled_ns) as f64).collect();
    let percentiles = [50.0, 90.0, 95.0, 99.0];
    let (predicted, seen) =
        (Distribution::of(predicted, &percentiles).unwrap(), Distribution::of(seen, &percentiles).unwrap());
    for percentile in [90.0, 95.0, 99.0] {
        let (said, was) = (predicted.percentile(percentile).unwrap(), seen.percentile(percentile).unwrap());
        assert!(said > 50e6, "the stall must be felt at p{percentile}: {said}");
        // What the recursion does not know is the generator's own time between two requests: some tens of µs each.
        assert!((was / said - 1.0).abs() < 0.05, "p{percentile}: {was} instead of {said}");
    }
    let figures = Figures::of(&run, None, &percentiles);
    let at = |distribution: &Option<Distribution>| distribution.as_ref().unwrap().percentile(99.0).unwrap();
    assert!(at(&figures.ttft) > 5.0 * at(&figures.ttft_sent), "{figures:?}");
    let hidden = run.records.iter().filter(|record| record.ttft_ns(From::Sent).unwrap() > stall_ms * 1_000_000).count();
    assert_eq!(hidden, 1, "from sending on, one request alone sees the stall");
}
