//! Steps, budgets, chunks, stalls.

use super::{Bench, EngineConfig, config};

#[test]
fn a_sequence_alone() {
    let mut bench = Bench::new(config());
    bench.submit('A', 1000, 5, 3);
    assert_eq!(bench.engine.next_ns(), Some(1000));
    bench.finish();
    bench.expect(&[
        "1000 queued A",
        "1000 admitted A cached 0",
        // 100 + 5 prompt tokens, then 100 + 1 decoding sequence.
        "1105 token A0",
        "1215 token A1",
        "1325 token A2 last",
    ]);
    assert_eq!((bench.counts().steps, bench.counts().blocks_used, bench.counts().running), (3, 0, 0));
}

#[test]
fn who_comes_during_a_step_joins_the_next() {
    let mut bench = Bench::new(config());
    bench.submit('A', 0, 5, 3);
    bench.submit('B', 50, 3, 1);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 admitted A cached 0",
        "50 queued B",
        "105 token A0",
        "105 admitted B cached 0",
        // 100 + 3 + 10.
        "218 token A1",
        "218 token B0 last",
        "328 token A2 last",
    ]);
}

#[test]
fn a_caller_that_is_late_gets_the_same_schedule() {
    let run = |late: bool| {
        let mut bench = Bench::new(config());
        bench.submit('A', 0, 5, 30);
        bench.submit('B', 50, 30, 4);
        bench.submit('C', 700, 3, 2);
        if late {
            bench.until(1_000_000);
        }
        bench.finish();
        bench.log
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn nothing_happens_before_its_time() {
    let mut bench = Bench::new(config());
    bench.submit('A', 10, 5, 1);
    bench.until(9);
    bench.expect(&[]);
    bench.until(114);
    bench.expect(&["10 queued A", "10 admitted A cached 0"]);
    assert_eq!(bench.engine.next_ns(), Some(115));
    bench.until(115);
    bench.expect(&["115 token A0 last"]);
    assert_eq!(bench.engine.next_ns(), None);
}

#[test]
fn a_long_prompt_is_computed_in_chunks_beside_decoding() {
    let mut bench = Bench::new(config());
    bench.submit('A', 0, 4, 4);
    bench.submit('B', 1, 40, 2);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 admitted A cached 0",
        "1 queued B",
        "104 token A0",
        "104 admitted B cached 0",
        // A takes 1 of the 16 tokens: 15, 15 and 10 of B's 40.
        "229 token A1",
        "354 token A2",
        "474 token A3 last",
        "474 token B0",
        "584 token B1 last",
    ]);
}

#[test]
fn without_chunks_a_prompt_waits_for_a_step_that_holds_it() {
    let mut bench = Bench::new(EngineConfig { chunked_prefill: false, ..config() });
    bench.submit('A', 0, 10, 2);
    bench.submit('B', 0, 10, 1);
    // Longer than any step: the only prompt of its step, which takes as long as it takes.
    bench.submit('C', 0, 40, 1);
    bench.submit('D', 0, 1, 1);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 queued C",
        "0 queued D",
        "0 admitted A cached 0",
        "110 token A0",
        "110 admitted B cached 0",
        "230 token A1 last",
        "230 token B0 last",
        "230 admitted C cached 0",
        "370 token C0 last",
        "370 admitted D cached 0",
        "471 token D0 last",
    ]);
}

#[test]
fn the_budget_of_a_step_is_shared_in_order() {
    let mut bench = Bench::new(config());
    for name in ['A', 'B', 'C'] {
        bench.submit(name, 0, 7, 1);
    }
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 queued C",
        "0 admitted A cached 0",
        "0 admitted B cached 0",
        // 2 of its 7.
        "0 admitted C cached 0",
        "116 token A0 last",
        "116 token B0 last",
        "221 token C0 last",
    ]);
}

#[test]
fn places_are_limited() {
    let mut bench = Bench::new(EngineConfig { max_sequences: 2, ..config() });
    bench.submit('A', 0, 1, 1);
    bench.submit('B', 0, 1, 2);
    bench.submit('C', 0, 1, 1);
    bench.until(0);
    assert_eq!((bench.counts().running, bench.counts().waiting), (2, 1));
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 queued C",
        "0 admitted A cached 0",
        "0 admitted B cached 0",
        "102 token A0 last",
        "102 token B0",
        "102 admitted C cached 0",
        "213 token B1 last",
        "213 token C0 last",
    ]);
}

#[test]
fn more_decoding_sequences_than_tokens_take_turns_by_age() {
    let mut bench = Bench::new(EngineConfig { max_batched_tokens: 1, ..config() });
    bench.submit('A', 0, 1, 3);
    bench.submit('B', 0, 1, 1);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 admitted A cached 0",
        "101 token A0",
        "211 token A1",
        "321 token A2 last",
        "321 admitted B cached 0",
        "422 token B0 last",
    ]);
}

#[test]
fn a_stall_moves_the_step_under_way_and_all_after_it() {
    let mut bench = Bench::new(config());
    bench.submit('A', 0, 5, 2);
    bench.until(50);
    bench.engine.stall(60, 1000);
    bench.finish();
    bench.expect(&["0 queued A", "0 admitted A cached 0", "1105 token A0", "1215 token A1 last"]);

    // Nobody runs: who becomes ready in the meantime waits for the end of the stall.
    bench.engine.stall(2000, 1000);
    bench.submit('B', 2500, 5, 1);
    bench.until(2600);
    assert_eq!((bench.engine.next_ns(), bench.counts().waiting), (Some(3000), 1));
    bench.finish();
    bench.expect(&["2500 queued B", "3000 admitted B cached 0", "3105 token B0 last"]);
}

#[test]
fn who_gives_up_is_gone_where_it_stands() {
    let mut bench = Bench::new(EngineConfig { max_sequences: 2, ..config() });
    bench.submit('A', 0, 5, 9);
    bench.submit('B', 0, 5, 2);
    bench.submit('C', 0, 5, 1);
    bench.submit('D', 5000, 5, 1);
    bench.until(50);
    bench.log.clear();
    bench.abort('C', 60);
    bench.abort('D', 60);
    bench.expect(&["60 aborted C", "60 aborted D"]);
    // Within a step: its length stays, its token does not come.
    bench.abort('A', 60);
    bench.finish();
    bench.expect(&["110 aborted A", "110 token B0", "220 token B1 last"]);
    assert_eq!((bench.counts().blocks_used, bench.engine.next_ns()), (0, None));
}
