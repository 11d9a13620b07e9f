//! The KV cache: full, shared, reused.

use super::{Bench, EngineConfig, config};

#[test]
fn a_prompt_waits_for_blocks_and_holds_up_who_comes_after() {
    // 5 blocks of 4.
    let mut bench = Bench::new(EngineConfig { kv_blocks: 5, ..config() });
    bench.submit('A', 0, 10, 2);
    bench.submit('B', 0, 10, 1);
    bench.submit('C', 0, 1, 1);
    bench.until(0);
    assert_eq!((bench.counts().blocks_used, bench.counts().waiting), (3, 2));
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 queued C",
        "0 admitted A cached 0",
        "110 token A0",
        "220 token A1 last",
        "220 admitted B cached 0",
        "220 admitted C cached 0",
        "331 token B0 last",
        "331 token C0 last",
    ]);
}

#[test]
fn output_that_finds_no_block_puts_back_who_came_last() {
    // 4 blocks: two prompts of 2 blocks each, and the first needs a third for its second output token.
    let mut bench = Bench::new(EngineConfig { kv_blocks: 4, prefix_cache: false, ..config() });
    bench.submit('A', 0, 8, 3);
    bench.submit('B', 0, 8, 2);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 admitted A cached 0",
        "0 admitted B cached 0",
        "116 token A0",
        "116 token B0",
        "116 preempted B",
        "226 token A1",
        // B's prompt and the token it gave need 3 blocks, and A holds 3 of 4.
        "336 token A2 last",
        // 9 tokens computed again.
        "445 token B1 last",
    ]);
    assert_eq!((bench.counts().preemptions, bench.counts().blocks_used), (1, 0));
}

#[test]
fn the_last_of_all_puts_itself_back() {
    // A has room to grow within its block; B has none.
    let mut bench = Bench::new(EngineConfig { kv_blocks: 4, prefix_cache: false, ..config() });
    bench.submit('A', 0, 5, 3);
    bench.submit('B', 0, 8, 2);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 admitted A cached 0",
        "0 admitted B cached 0",
        "113 token A0",
        "113 token B0",
        "113 preempted B",
        "223 token A1",
        "333 token A2 last",
        "442 token B1 last",
    ]);
}

#[test]
fn a_repeated_prompt_costs_its_last_block_at_most() {
    let mut bench = Bench::new(config());
    let ids: Vec<u32> = (1..=10).collect();
    bench.submit_ids('A', 0, &ids, 1);
    bench.submit_ids('B', 1000, &ids, 1);
    // Eight tokens are two full blocks, but one token has to be computed.
    bench.submit_ids('C', 2000, &ids[..8], 1);
    bench.submit_ids('D', 3000, &[&ids[..4], &[77; 4], &ids[..]].concat(), 1);
    bench.finish();
    bench.expect(&[
        "0 queued A",
        "0 admitted A cached 0",
        "110 token A0 last",
        "1000 queued B",
        "1000 admitted B cached 8",
        "1102 token B0 last",
        "2000 queued C",
        "2000 admitted C cached 4",
        "2104 token C0 last",
        "3000 queued D",
        "3000 admitted D cached 4",
        "3114 token D0 last",
    ]);
    assert_eq!((bench.counts().prefix_queries, bench.counts().prefix_hits), (10 + 10 + 8 + 18, 8 + 4 + 4));
}

#[test]
fn the_next_turn_finds_prompt_and_answer() {
    let mut bench = Bench::new(config());
    let mut ids: Vec<u32> = (1..=6).collect();
    bench.submit_ids('A', 0, &ids, 7);
    bench.finish();
    bench.log.clear();
    ids.extend(bench.reply(&ids, 7));
    ids.extend([90, 91, 92]);
    bench.submit_ids('B', 2000, &ids, 1);
    bench.finish();
    // 13 tokens, of which the last was given out and never computed: three full blocks.
    bench.expect(&["2000 queued B", "2000 admitted B cached 12", "2104 token B0 last"]);
}

#[test]
fn two_of_one_prompt_in_one_step_are_both_computed() {
    let mut bench = Bench::new(EngineConfig { max_batched_tokens: 100, ..config() });
    let ids: Vec<u32> = (1..=10).collect();
    bench.submit_ids('A', 0, &ids, 2);
    bench.submit_ids('B', 0, &ids, 1);
    bench.submit_ids('C', 1, &ids, 1);
    bench.until(120);
    bench.expect(&[
        "0 queued A",
        "0 queued B",
        "0 admitted A cached 0",
        "0 admitted B cached 0",
        "1 queued C",
        "120 token A0",
        "120 token B0 last",
        "120 admitted C cached 8",
    ]);
    // A's three blocks, of which C shares two, and one of C's own.
    assert_eq!(bench.counts().blocks_used, 4);
    bench.finish();
    bench.expect(&["232 token A1 last", "232 token C0 last"]);
    assert_eq!(bench.counts().blocks_used, 0);
}

#[test]
fn what_was_unused_for_longest_is_forgotten_first() {
    // Room for two prompts of 2 blocks and an output.
    let mut bench = Bench::new(EngineConfig { kv_blocks: 5, ..config() });
    let prompt = |first: u32| (first..first + 9).collect::<Vec<u32>>();
    for (turn, (name, first)) in
        [('A', 100), ('B', 200), ('A', 100), ('C', 300), ('A', 100), ('B', 200)].iter().enumerate()
    {
        bench.submit_ids(*name, 1000 * turn as u64, &prompt(*first), 1);
    }
    bench.finish();
    let cached: Vec<&str> =
        bench.log.iter().filter_map(|line| line.split_once("admitted ").map(|(_, rest)| rest)).collect();
    // B's two blocks were given to A's third and to C.
    assert_eq!(cached, ["A cached 0", "B cached 0", "A cached 8", "C cached 0", "A cached 8", "B cached 0"]);
}

#[test]
fn without_a_cache_nothing_is_found() {
    let mut bench = Bench::new(EngineConfig { prefix_cache: false, ..config() });
    bench.submit_ids('A', 0, &[1; 10], 1);
    bench.submit_ids('B', 1000, &[1; 10], 1);
    bench.finish();
    assert!(bench.log.contains(&"1000 admitted B cached 0".to_owned()), "{:?}", bench.log);
}
