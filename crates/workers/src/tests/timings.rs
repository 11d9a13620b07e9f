//! How blocks are timed: what is called, how often, by which threads. No test looks at how long anything took.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use engines::EngineError;
use record::plan::Timing;
use record::protocol::Answer;

use super::{Bench, POOL, WARMUP, batch, block, op, samples};
use crate::inputs::Extent;
use crate::ops::{Op, Produced};
use crate::timing;
use crate::window::WindowThreads;

const EXTENT: Extent = Extent { pool: POOL as usize, warmup: WARMUP as usize };

/// Notes which requests it is called on, and by which thread.
#[derive(Default)]
struct Notes(Mutex<Vec<(usize, ThreadId)>>);

impl Notes {
    fn indices(&self) -> Vec<usize> {
        self.0.lock().unwrap().iter().map(|(index, _)| *index).collect()
    }
}

impl Op for Notes {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        self.0.lock().unwrap().push((index, thread::current().id()));
        Ok(Produced::Nothing)
    }
}

#[test]
fn calls_go_cyclically_from_the_offset_on() {
    let notes = Notes::default();
    let sample = timing::time_loop(&notes, EXTENT.pool, 4, 5).unwrap();
    assert_eq!((notes.indices(), sample.calls), (vec![4, 5, 0, 1, 2], 5));

    let notes = Notes::default();
    let samples = timing::time_each(&notes, EXTENT.pool, 5, 8).unwrap();
    assert_eq!(notes.indices(), [5, 0, 1, 2, 3, 4, 5, 0]);
    assert!(samples.iter().all(|sample| sample.calls == 1) && samples.len() == 8);
    assert!(samples.windows(2).all(|pair| pair[0].end_ns <= pair[1].start_ns));
}

#[test]
fn warming_up_touches_warm_up_requests_alone_and_goes_on_where_it_stopped() {
    let (notes, turn) = (Notes::default(), AtomicUsize::new(0));
    for _ in 0..5 {
        timing::warm(&notes, EXTENT, &turn, 1).unwrap();
    }
    let indices = notes.indices();
    assert!(indices.len() >= 5);
    assert!(indices.iter().enumerate().all(|(at, &index)| index == 6 + at % 3), "{indices:?}");
}

#[test]
fn window_threads_start_apart_in_the_pool_and_live_on() {
    let threads = WindowThreads::start(3).unwrap();
    let notes = Arc::new(Notes::default());
    let op: Arc<dyn Op> = Arc::clone(&notes) as Arc<dyn Op>;
    let sample = threads.time(&op, EXTENT, 5, 1).unwrap();
    assert_eq!(sample.threads.len(), 3);
    let mut first: Vec<usize> = {
        let notes = notes.0.lock().unwrap();
        let ids: std::collections::HashSet<ThreadId> = notes.iter().map(|(_, id)| *id).collect();
        ids.iter().map(|of| notes.iter().find(|(_, id)| id == of).unwrap().0).collect()
    };
    first.sort_unstable();
    assert_eq!(first, [1, 3, 5], "offset 5 and then 2 further each, cyclically");
    let before = sample.calls;

    let sample = threads.time(&op, EXTENT, 0, 2_000_000).unwrap();
    assert_eq!(notes.0.lock().unwrap().len() as u64, before + sample.calls, "every call is counted");
    assert!(sample.threads.iter().map(|thread| thread.calls).sum::<f64>() <= sample.calls as f64);
    for thread in &sample.threads {
        assert!(thread.calls > 0.0 && thread.end_ns == thread.start_ns + 2_000_000);
        assert!(thread.start_ns >= sample.start_ns && thread.end_ns <= sample.end_ns, "all were at work throughout");
    }
    let ids: std::collections::HashSet<ThreadId> = notes.0.lock().unwrap().iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), 3, "the same three threads made both windows");
}

/// Calls by thread, in the order in which the threads began.
fn by_thread(calls: &[(usize, ThreadId)]) -> Vec<(ThreadId, usize)> {
    let mut counts: Vec<(ThreadId, usize)> = Vec::new();
    for (_, id) in calls {
        match counts.last_mut() {
            Some((last, count)) if last == id => *count += 1,
            _ => counts.push((*id, 1)),
        }
    }
    counts
}

/// A call of half a millisecond.
struct Slow(Notes);

impl Op for Slow {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        thread::sleep(std::time::Duration::from_micros(500));
        self.0.call(index)
    }
}

#[test]
fn window_threads_are_warmed_up_one_after_the_other_and_all_alike() {
    let threads = WindowThreads::start(3).unwrap();
    let slow = Arc::new(Slow(Notes::default()));
    let op: Arc<dyn Op> = Arc::clone(&slow) as Arc<dyn Op>;
    assert!(threads.warm(&op, EXTENT, &Arc::default(), 2_000_000).unwrap() >= 6_000_000);
    let calls = slow.0.0.lock().unwrap();
    let counts = by_thread(&calls);
    assert_eq!(counts.len(), 3, "each thread has one turn, undisturbed: {counts:?}");
    assert!(counts.iter().all(|(_, count)| (1..=4).contains(count)), "{counts:?}");
    assert!(calls.iter().all(|(index, _)| *index >= EXTENT.pool));

    let op: Arc<dyn Op> = Arc::new(Notes::default());
    threads.warm(&op, EXTENT, &Arc::default(), 1).unwrap();
}

#[test]
fn every_thread_of_a_batchs_pool_is_warmed_up() {
    let bench = Bench::tiny();
    let inputs = crate::inputs::Inputs::new(&bench.inputs).unwrap();
    let channel = crate::channel::Channel::new(std::io::sink());
    let model = crate::model::Model::new(bench.model.clone(), 0, None, channel);
    for threads in [1, 3] {
        let mut pools = crate::pools::Pools::default();
        let made = crate::ops::make(&batch("requests", 4, threads), &inputs, &model, &mut pools).unwrap();
        let turn = AtomicUsize::new(0);
        assert!(made.warm_pool(&turn, 1).unwrap() > 0);
        assert_eq!(
            turn.load(Ordering::SeqCst),
            threads as usize,
            "one call a thread where the time is next to nothing"
        );
    }
    // An op without a pool has nothing to warm up there.
    assert_eq!(Notes::default().warm_pool(&AtomicUsize::new(0), 1).unwrap(), 0);
}

#[test]
fn a_call_that_fails_in_one_thread_fails_the_window_and_the_threads_live_on() {
    struct Second(AtomicUsize);
    impl Op for Second {
        fn call(&self, _index: usize) -> Result<Produced, EngineError> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                1 => Err(EngineError::Failed("no".to_owned())),
                _ => Ok(Produced::Nothing),
            }
        }
    }
    let threads = WindowThreads::start(2).unwrap();
    let op: Arc<dyn Op> = Arc::new(Second(AtomicUsize::new(0)));
    assert_eq!(threads.time(&op, EXTENT, 0, 1_000_000).unwrap_err(), EngineError::Failed("no".to_owned()));
    assert!(threads.time(&op, EXTENT, 0, 1).unwrap().calls >= 2);
}

#[test]
fn each_timing_answers_as_the_protocol_says() {
    let bench = Bench::tiny();
    let encode = || op("tokenize", "hf-tokenizers/encode");
    let run = |timing: Timing, op| bench.ask(vec![bench.prepare("c", op, timing, 0), block("c", 7, 2)]);

    let answers = run(Timing::Loop, encode());
    assert_eq!(samples(&answers).iter().map(|sample| sample.calls).collect::<Vec<_>>(), [7]);
    let Answer::Done { warm_ns, .. } = answers[0] else { panic!("{answers:?}") };
    assert!(warm_ns > 0, "it was warmed up");
    let Some(Answer::Done { warm_ns: 0, .. }) = answers.last() else {
        panic!("it was not asked to settle: {answers:?}")
    };

    assert_eq!(samples(&run(Timing::Each, encode())).len(), 7);

    let mut wide = encode();
    wide.threads = 3;
    let window = samples(&run(Timing::Window { window_ns: 1_000 }, wide));
    assert_eq!((window.len(), window[0].threads.len()), (1, 3));

    let mut answers = run(Timing::First, encode());
    assert!(matches!(answers.remove(0), Answer::Done { warm_ns: 0, .. }));
    let [Answer::Sample(sample), Answer::Check { hashes, .. }, Answer::Done { warm_ns: 0, .. }] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(sample.calls, 1);
    let (checks, _) = bench.outcome(encode());
    assert_eq!(*hashes, [checks[2].clone()], "the check is of the request at the offset");
}

#[test]
fn settling_is_untimed_and_reported() {
    let bench = Bench::tiny();
    for timing in [Timing::Loop, Timing::Each, Timing::Window { window_ns: 1 }] {
        let mut settle = block("c", 2, 0);
        if let record::protocol::Request::Block { settle_ns, .. } = &mut settle {
            *settle_ns = 1;
        }
        let answers =
            bench.ask(vec![bench.prepare("c", op("parse", "serde/serde_json.from_slice"), timing, 0), settle]);
        assert!(matches!(answers.last(), Some(Answer::Done { warm_ns: 1.., .. })), "{answers:?}");
    }
}

#[test]
fn a_batch_says_how_long_its_stages_took() {
    let bench = Bench::tiny();
    for (mode, threads) in [("stages", 2), ("requests", 1)] {
        let answers = bench.ask(vec![bench.prepare("c", batch(mode, 4, threads), Timing::Each, 0), block("c", 3, 0)]);
        for sample in samples(&answers) {
            assert_eq!(sample.stages.keys().collect::<Vec<_>>(), ["collate", "template", "tokenize"]);
            assert!(sample.stages["template"] > 0 && sample.stages["tokenize"] > 0);
            // In one thread, and with a barrier after each stage, the stages are parts of the whole.
            assert!(sample.stages.values().sum::<u64>() <= sample.duration_ns(), "{mode}: {sample:?}");
        }
    }
}
