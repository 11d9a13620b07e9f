//! Figures and verdicts of runs, and what is found out of a server beforehand.

#[path = "common/model.rs"]
mod model;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::Control;
use loadgen::lateness::Reason;
use loadgen::outcome::ErrorClass;
use loadgen::serving::figures::{Figures, PERCENTILES};
use loadgen::serving::probe::{self, ProbeError};
use loadgen::serving::record::Counted;
use loadgen::serving::session::Load;
use loadgen::serving::verdict::{ClientError, ErrorSource, judge, lateness, measured_error};
use loadgen::serving::{Run, run};
use model::{Act, Model, options, sessions};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn closed(model: &Model, concurrency: usize, count: usize) -> Run {
    let load = Load::Closed { concurrency, extent: Extent::count(count), stagger_ns: 0 };
    run(model.transport(), &sessions(), load, &options(concurrency), &Control::default(), None).unwrap()
}

#[test]
fn figures_of_a_known_stream() {
    let model = Model::start(|number| match number {
        3 => Act::Cut { tokens: 1 },
        _ => Act::Stream { tokens: 6, first_ms: 20, gap_ms: 10 },
    });
    let run = closed(&model, 2, 10);
    let slo = "ttft:1000 tpot:1000".parse().unwrap();
    let figures = Figures::of(&run, Some(&slo), &PERCENTILES);
    assert_eq!((figures.sent, figures.completed, figures.failed), (10, 9, 1));
    assert_eq!((figures.input_tokens, figures.output_tokens, figures.counted), (63, 54, Counted::Server));
    assert_eq!(figures.goodput, Some(figures.request_throughput));
    assert!((figures.output_throughput / figures.request_throughput - 6.0).abs() < 1e-9);
    let [ttft, sent, tpot, gap, e2e] = [&figures.ttft, &figures.ttft_sent, &figures.tpot, &figures.gap, &figures.e2e]
        .map(|distribution| distribution.as_ref().unwrap());
    assert_eq!((ttft.count, tpot.count, gap.count), (9, 9, 45));
    assert!(ttft.mean >= sent.mean && sent.mean >= 20e6 && e2e.mean >= ttft.mean + 50e6);
    assert!(tpot.median() >= 10e6 && (tpot.mean / gap.mean - 1.0).abs() < 0.05, "{} {}", tpot.mean, gap.mean);
    let speed = figures.speed.as_ref().unwrap();
    assert!(speed.max <= 100.0 && speed.mean > 10.0, "{speed:?}");
    // Two users who always wait for something.
    assert!(figures.concurrency > 1.0 && figures.concurrency <= 2.0, "{}", figures.concurrency);
    let strict = Figures::of(&run, Some(&"ttft:1".parse().unwrap()), &[99.0]);
    assert_eq!((strict.goodput, strict.ttft.unwrap().percentiles.len()), (Some(0.0), 2));
}

#[test]
fn a_client_that_cannot_keep_up_says_so() {
    let model = Model::start(|_| Act::Bare { tokens: 1 });
    let schedule =
        Schedule::generate(&Intensity::Constant { rate: 1e7 }, Spacing::Even, Extent::count(3_000), 1).unwrap();
    let load = Load::Open { schedule: &schedule, cap: None };
    let run = run(model.transport(), &sessions(), load, &options(4), &Control::default(), None).unwrap();
    assert_eq!(run.records.len(), 3_000);
    let late = lateness(&run);
    let reasons = judge(&run, &late, Some(1e6), None).reasons;
    assert!(reasons.iter().any(|reason| matches!(reason, Reason::Late { .. })), "{reasons:?}");
}

/// A client that is late makes its users wait, whichever loop they are in. The records are those of a real run, moved by hand.
#[test]
fn a_closed_loop_that_leaves_late_is_no_measurement() {
    let mut run = closed(&Model::start(|_| Act::Stream { tokens: 2, first_ms: 1, gap_ms: 1 }), 2, 40);
    let leave = |run: &mut Run, late_ns: u64, count: usize| {
        for (index, record) in run.records.iter_mut().enumerate() {
            record.began_ns = record.released_ns + if index < count { late_ns } else { 20_000 };
            (record.sent_ns, record.held_back) = (record.began_ns, false);
        }
    };
    let late = |run: &Run, median_ns: f64| {
        let reasons = judge(run, &lateness(run), Some(median_ns), None).reasons;
        reasons.into_iter().any(|reason| matches!(reason, Reason::Late { p99_ns, .. } if p99_ns == 4_400_000))
    };
    leave(&mut run, 4_400_000, 2);
    assert!(late(&run, 51.7e6), "4.4 ms at p99 of a median of 51.7 ms");
    assert!(!late(&run, 600e6), "less than 1% of the median does no harm");
    leave(&mut run, 4_400_000, 0);
    assert!(!late(&run, 51.7e6));
}

#[test]
fn the_error_of_the_client_is_part_of_the_verdict() {
    let run = closed(&Model::start(|_| Act::Stream { tokens: 3, first_ms: 1, gap_ms: 1 }), 1, 5);
    let late = lateness(&run);
    let error = measured_error(&run).unwrap();
    assert_eq!(error.source, ErrorSource::Measured);
    assert!(error.p99_ns > 0 && error.p99_ns < 100 * MS);
    let with = |p99_ns, median| {
        let error = ClientError { p99_ns, source: ErrorSource::Calibrated };
        judge(&run, &late, Some(median), Some(error)).reasons
    };
    let is_error = |reason: &Reason| matches!(reason, Reason::ClientError { .. });
    assert!(with(2 * MS, 50e6).iter().any(is_error));
    assert!(!with(2 * MS, 500e6).iter().any(is_error), "1% of the median does no harm");
    let none = closed(&Model::start(|_| Act::Cut { tokens: 0 }), 1, 3);
    assert!(judge(&none, &lateness(&none), None, None).reasons.contains(&Reason::NoAnswer));
    let bare = closed(&Model::start(|_| Act::Bare { tokens: 3 }), 1, 5);
    let seen = measured_error(&bare);
    assert!(
        !cfg!(target_os = "linux")
            || seen.is_some_and(|error| error.source == ErrorSource::Kernel && error.p99_ns < 100 * MS)
    );
}

#[test]
fn a_probe_finds_out_what_a_server_does() {
    let look = |model: &Model| probe::probe(&model.target(), server_api::OPENAI_CHAT, Some("sk-test"), b"{}", SECOND);
    let model = Model::start(|_| Act::Stream { tokens: 2, first_ms: 1, gap_ms: 1 });
    let good = look(&model).unwrap();
    assert!(good.reply.streamed && good.reply.usage.completion == Some(2) && !good.closes);
    assert!(model.asked.lock().unwrap()[0].contains("authorization: Bearer sk-test\r\n"));
    assert!(look(&Model::start(|_| Act::Liar { tokens: 2 })).unwrap().closes);
    assert!(!look(&Model::start(|_| Act::Whole { ms: 1 })).unwrap().reply.streamed);
    let refused = Model::start(|_| Act::Bytes(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
    assert!(matches!(look(&refused), Err(ProbeError::Failed(failure)) if failure.class == ErrorClass::Unauthorized));
    let silent = Model::start(|_| Act::Silence);
    let waited = probe::probe(&silent.target(), server_api::OPENAI_COMPLETIONS, None, b"{}", 50 * MS);
    assert!(matches!(waited, Err(ProbeError::Failed(failure)) if failure.class == ErrorClass::Timeout));
}

#[test]
fn pages_and_models() {
    let list = r#"{"object":"list","data":[{"id":"tiny"},{"id":"other"}]}"#;
    let page = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len());
    let model = Model::start(move |_| Act::Bytes(page.clone().into_bytes()));
    let target = model.target();
    assert_eq!(probe::models(&target, None, SECOND).unwrap(), Some(vec!["tiny".to_owned(), "other".to_owned()]));
    assert!(model.asked.lock().unwrap()[0].starts_with("GET /v1/models HTTP/1.1\r\n"));
    let broken = Model::start(|_| Act::Bytes(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
    assert_eq!(probe::models(&broken.target(), None, SECOND).unwrap(), None);
    assert_eq!(probe::fetch(&broken.target(), "/metrics", None, SECOND).unwrap().status, 500);
    let gone = "http://127.0.0.1:1".parse().unwrap();
    assert!(probe::models(&gone, None, SECOND).unwrap_err().to_string().contains("is the server running"));
}
