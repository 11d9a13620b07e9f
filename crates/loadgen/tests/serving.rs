//! Streams of servers whose timing is known, servers that lie, and what is left of each.

#[path = "common/model.rs"]
mod model;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::Control;
use loadgen::outcome::{ErrorClass, Outcome};
use loadgen::serving::record::{Counted, From};
use loadgen::serving::samples_file::{self, SamplesFile};
use loadgen::serving::session::{Load, Session, Turn};
use loadgen::serving::{Run, run};
use model::{Act, HEAD, Model, chunk, options, sessions, token};

const MS: u64 = 1_000_000;

fn closed(model: &Model, concurrency: usize, count: usize) -> Run {
    let load = Load::Closed { concurrency, extent: Extent::count(count), stagger_ns: 0 };
    let run = run(model.transport(), &sessions(), load, &options(concurrency), &Control::default(), None).unwrap();
    // Whatever happens: one record a request, each with an end, and an error for each that failed.
    assert!(run.records.iter().all(|record| record.outcome != Outcome::Pending && record.done_ns > 0));
    let failed = run.records.iter().filter(|record| !record.is_ok()).count();
    assert_eq!(run.errors.total(), failed as u64);
    run
}

fn class(act: impl Fn(u64) -> Act + Send + Sync + 'static, wanted: ErrorClass) -> Run {
    let run = closed(&Model::start(act), 1, 3);
    assert_eq!(run.errors.count(wanted), 3, "{:?}", run.errors);
    run
}

#[test]
fn stamps_follow_the_server() {
    let model = Model::start(|_| Act::Stream { tokens: 5, first_ms: 30, gap_ms: 10 });
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("samples");
    let load = Load::Closed { concurrency: 3, extent: Extent::count(12), stagger_ns: 0 };
    let samples_file = Some(SamplesFile::create(&samples).unwrap());
    let run = run(model.transport(), &sessions(), load, &options(3), &Control::default(), samples_file).unwrap();
    assert_eq!((run.records.len(), run.errors.total(), run.most_in_flight), (12, 0, 3));
    for record in &run.records {
        let stamps = [
            record.scheduled_ns,
            record.began_ns,
            record.sent_ns,
            record.first_byte_ns,
            record.first_token_ns,
            record.last_token_ns,
            record.done_ns,
        ];
        assert!(stamps.is_sorted(), "{stamps:?}");
        assert!(record.first_byte_ns + 20 * MS < record.first_token_ns, "the head came before the first token");
        assert!(record.ttft_ns(From::Sent).unwrap() >= 30 * MS && record.tpot_ns().unwrap() >= 9e6);
        assert_eq!((record.output_tokens, record.prompt_tokens, record.chunks), (5, 7, 5));
        assert_eq!((record.counted, record.status), (Counted::Server, 200));
    }
    assert_eq!(run.gaps.count(), 12 * 4);
    assert!(run.gaps.quantile(0.5).unwrap() >= 9 * MS);
    // The server's stamps are of the same clock: what was received is never before it was written.
    let truth = run.truth.unwrap();
    assert_eq!((truth.error.count(), truth.first_error.count(), truth.gaps.count()), (60, 12, 48));
    assert!(truth.error.quantile(0.5).unwrap() < 10 * MS, "{:?}", truth.error.quantile(0.5));
    let mut entries = 0;
    samples_file::read(&samples, |entry| {
        assert_eq!((entry.gaps_ns.len(), entry.written_ns.len()), (4, 5));
        assert!(entry.written_ns.is_sorted());
        entries += 1;
    })
    .unwrap();
    assert_eq!(entries, 12);
    assert_eq!(model.connections.load(std::sync::atomic::Ordering::Relaxed), 3, "connections are kept");
}

#[test]
fn an_open_loop_keeps_its_times() {
    let model = Model::start(|_| Act::Stream { tokens: 2, first_ms: 5, gap_ms: 1 });
    let intensity = Intensity::Constant { rate: 200.0 };
    let schedule = Schedule::generate(&intensity, Spacing::Poisson, Extent::count(100), 7).unwrap();
    let load = Load::Open { schedule: &schedule, cap: None };
    let run = run(model.transport(), &sessions(), load, &options(8), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total(), run.unsent), (100, 0, 0));
    let times: Vec<u64> = run.records.iter().map(|record| record.scheduled_ns - run.start_ns).collect();
    assert_eq!(times, schedule.times_ns());
    assert_eq!((run.client_limited.waited, run.ended_early), (0, false));
    let connected = run.records.iter().filter(|record| record.connected_ns > 0).count();
    assert!(connected <= run.opened_late.connect_ns.len());
}

#[test]
fn a_cap_holds_requests_and_counts_their_wait() {
    let model = Model::start(|_| Act::Stream { tokens: 1, first_ms: 10, gap_ms: 0 });
    let intensity = Intensity::Constant { rate: 1000.0 };
    let schedule = Schedule::generate(&intensity, Spacing::Poisson, Extent::count(30), 7).unwrap();
    let load = Load::Open { schedule: &schedule, cap: Some(2) };
    let run = run(model.transport(), &sessions(), load, &options(2), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total(), run.most_in_flight), (30, 0, 2));
    let waits: u64 = run.records.iter().map(|record| record.released_ns - record.scheduled_ns).sum();
    assert!(run.client_limited.waited > 15 && run.client_limited.total_ns == waits, "{:?}", run.client_limited);
    let last = run.records.last().unwrap();
    assert!(last.ttft_ns(From::Scheduled).unwrap() > last.ttft_ns(From::Sent).unwrap() + 30 * MS);
}

#[test]
fn users_of_a_closed_loop_begin_one_after_another() {
    let model = Model::start(|_| Act::Stream { tokens: 2, first_ms: 60, gap_ms: 1 });
    let load = Load::Closed { concurrency: 6, extent: Extent::count(24), stagger_ns: 60 * MS };
    let run = run(model.transport(), &sessions(), load, &options(6), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total(), run.most_in_flight), (24, 0, 6));
    let mut first: Vec<u64> =
        run.records.iter().filter(|record| record.session < 6).map(|record| record.scheduled_ns).collect();
    first.sort_unstable();
    assert!(first.iter().zip(0..).all(|(&at, user)| at == run.start_ns + user * 10 * MS), "{first:?}");
    assert!(run.records.iter().all(|record| record.sent_ns >= record.scheduled_ns), "nobody begins before it is due");
}

#[test]
fn turns_wait_for_their_answers_and_their_user() {
    let model = Model::start(|_| Act::Stream { tokens: 2, first_ms: 1, gap_ms: 1 });
    let turn = |number: u32| Turn {
        body: format!("{{\"turn\":{number}}}").into_bytes().into(),
        think_ns: 20 * MS,
        mark: None,
    };
    let sessions = vec![Session { turns: (0..3).map(turn).collect() }];
    let load = Load::Closed { concurrency: 2, extent: Extent::count(4), stagger_ns: 0 };
    let run = run(model.transport(), &sessions, load, &options(2), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (12, 0));
    for session in 0..4 {
        let of: Vec<_> = run.records.iter().filter(|record| record.session == session).collect();
        assert_eq!(of.iter().map(|record| record.turn).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(of.windows(2).all(|pair| pair[1].scheduled_ns == pair[0].done_ns + 20 * MS), "{of:?}");
    }
    // A failed turn ends its session.
    let model = Model::start(|number| if number == 1 { Act::Cut { tokens: 1 } } else { Act::Bare { tokens: 2 } });
    let load = Load::Closed { concurrency: 1, extent: Extent::count(2), stagger_ns: 0 };
    let run =
        loadgen::serving::run(model.transport(), &sessions, load, &options(1), &Control::default(), None).unwrap();
    let turns: Vec<(u32, u16)> = run.records.iter().map(|record| (record.session, record.turn)).collect();
    assert_eq!(turns, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]);
}

#[test]
fn a_server_that_closes_what_it_said_to_keep_loses_no_request() {
    let model = Model::start(|_| Act::Liar { tokens: 2 });
    let turn = Turn { body: b"{}".to_vec().into(), think_ns: 10 * MS, mark: None };
    let sessions = vec![Session { turns: vec![turn; 10] }];
    let load = Load::Closed { concurrency: 1, extent: Extent::count(1), stagger_ns: 0 };
    let run = run(model.transport(), &sessions, load, &options(1), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (10, 0), "{:?}", run.errors);
    assert_eq!((run.opened_late.connect_ns.len(), model.asked.lock().unwrap().len()), (9, 10));
}

#[test]
fn servers_without_usage_or_an_end_mark() {
    let run = closed(&Model::start(|_| Act::Bare { tokens: 4 }), 2, 6);
    assert_eq!(run.errors.total(), 0, "{:?}", run.errors);
    assert!(run.records.iter().all(|record| (record.output_tokens, record.counted) == (4, Counted::Chunks)));
    assert!(run.truth.is_none());
}

#[test]
fn answers_that_are_no_stream_have_no_first_token() {
    let run = closed(&Model::start(|_| Act::Whole { ms: 5 }), 1, 3);
    let record = run.records[0];
    assert_eq!((record.ttft_ns(From::Sent), record.tpot_ns(), record.output_tokens), (None, None, 2));
    assert!(record.e2e_ns(From::Sent).unwrap() >= 5 * MS);
}

#[test]
fn each_lie_has_its_class() {
    let cut = class(|_| Act::Cut { tokens: 3 }, ErrorClass::ShortBody);
    assert!(cut.records.iter().all(|record| record.chunks == 3 && record.first_token_ns > 0), "what came is kept");
    let answer = |text: String| move |_| Act::Bytes(text.clone().into_bytes());
    class(answer(format!("{HEAD}{}0\r\n\r\n", chunk("data: [DONE]\n\n"))), ErrorClass::NoToken);
    class(answer(format!("{HEAD}{}0\r\n\r\n", chunk(&token("x", "")))), ErrorClass::ShortBody);
    let error = "data: {\"error\":{\"message\":\"CUDA out of memory\"}}\n\ndata: [DONE]\n\n";
    let run = class(answer(format!("{HEAD}{}0\r\n\r\n", chunk(&(token("x", "") + error)))), ErrorClass::StreamError);
    assert!(run.errors.0[&ErrorClass::StreamError].first.contains("CUDA out of memory"));
    class(answer(format!("{HEAD}zz\r\n")), ErrorClass::Protocol);
    class(answer("SSH-2.0\r\n\r\n".into()), ErrorClass::Protocol);
    class(|_| Act::Last(Vec::new()), ErrorClass::Reset);
    class(|_| Act::Last(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), ErrorClass::ShortBody);
    for (status, wanted) in [
        (302, ErrorClass::Redirect),
        (401, ErrorClass::Unauthorized),
        (404, ErrorClass::NotFound),
        (429, ErrorClass::RateLimited),
        (503, ErrorClass::ServerError),
        (400, ErrorClass::Status),
    ] {
        let head = format!("HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 2\r\n\r\nno");
        let run = class(answer(head), wanted);
        assert!(run.records.iter().all(|record| record.status == status));
    }
}

#[test]
fn endless_and_silent_servers_run_into_the_limit() {
    for act in [Act::Endless, Act::Silence] {
        let is_endless = matches!(act, Act::Endless);
        let model = Model::start(move |_| act.clone());
        let load = Load::Closed { concurrency: 2, extent: Extent::count(4), stagger_ns: 0 };
        let limits = loadgen::driver::Options { timeout_ns: 100 * MS, ..options(2) };
        let run = run(model.transport(), &sessions(), load, &limits, &Control::default(), None).unwrap();
        assert_eq!((run.records.len(), run.errors.count(ErrorClass::Timeout)), (4, 4), "{:?}", run.errors);
        assert!(run.records.iter().all(|record| (record.chunks > 5) == is_endless), "what came is kept");
    }
}

#[test]
fn a_stopped_run_drains() {
    let model = Model::start(|_| Act::Stream { tokens: 3, first_ms: 20, gap_ms: 5 });
    let control = Control::default();
    let schedule =
        Schedule::generate(&Intensity::Constant { rate: 100.0 }, Spacing::Even, Extent::count(5_000), 1).unwrap();
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            while control.progress().answered < 5 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            control.stop();
        });
        let load = Load::Open { schedule: &schedule, cap: None };
        run(model.transport(), &sessions(), load, &options(4), &control, None).unwrap()
    });
    assert!(run.ended_early && run.errors.total() == 0, "{:?}", run.errors);
    assert_eq!(run.records.len() + run.unsent, 5_000);
    assert!(control.progress().tokens >= 15);
}

#[test]
fn a_closed_loop_gives_up_a_server_that_is_gone() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target: loadgen::serving::target::Target = format!("http://127.0.0.1:{port}").parse().unwrap();
    let protocol = loadgen::transport::Protocol::post(&target, server_api::OPENAI_COMPLETIONS, None);
    let transport = loadgen::transport::Sockets::to_server(&target, protocol, 1_000_000_000).unwrap();
    let load = Load::Closed { concurrency: 3, extent: Extent::duration(60_000 * MS), stagger_ns: 0 };
    let run = run(transport, &sessions(), load, &options(0), &Control::default(), None).unwrap();
    assert!(run.ended_early);
    assert_eq!((run.records.len(), run.errors.count(ErrorClass::Connect)), (3, 3));
}
