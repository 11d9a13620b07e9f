//! Whatever comes: every token once, in order, and every block back.

use std::collections::BTreeMap;

use super::{Bench, Engine, EngineConfig, Event, Key, config};
use crate::tokens::mix;

#[test]
fn every_sequence_gets_what_it_asked_for() {
    for seed in 0..40u64 {
        let random = |what: u64| mix(mix(seed + 1) ^ mix(what + 77));
        let config = EngineConfig {
            kv_blocks: 12 + (random(0) % 20) as usize,
            max_sequences: 1 + (random(1) % 8) as usize,
            prefix_cache: random(2).is_multiple_of(2),
            chunked_prefill: random(3).is_multiple_of(2),
            ..config()
        };
        let mut bench = Bench::new(config.clone());
        let mut wanted = BTreeMap::new();
        for index in 0..60u32 {
            let (prompt, output) = (1 + random(100 + u64::from(index)) % 30, 1 + random(200 + u64::from(index)) % 12);
            assert!(config.fits(prompt as usize, output as usize));
            let name = char::from_u32(0x4e00 + index).unwrap();
            // A third of the prompts begin alike.
            let family = if index % 3 == 0 { 1 } else { 1000 * index };
            let ids: Vec<u32> = (0..prompt as u32).map(|place| place + family).collect();
            bench.submit_ids(name, 37 * u64::from(index), &ids, output as u32);
            wanted.insert(u64::from(name), output as u32);
        }
        let mut events = Vec::new();
        while let Some(next) = bench.engine.next_ns() {
            bench.engine.advance(next, &mut events);
            assert!(bench.engine.counts().blocks_used <= config.kv_blocks);
            assert!(bench.engine.counts().running <= config.max_sequences);
        }
        let mut got: BTreeMap<u64, u32> = BTreeMap::new();
        let mut times: BTreeMap<Key, u64> = BTreeMap::new();
        for event in events {
            if let Event::Token { key, at_ns, index, last } = event {
                let count = got.entry(key.request).or_default();
                assert_eq!(index, *count);
                *count += 1;
                assert_eq!(last, *count == wanted[&key.request]);
                assert!(times.insert(key, at_ns).is_none_or(|before| before < at_ns));
            }
        }
        assert_eq!(got, wanted, "seed {seed}");
        assert_eq!((bench.counts().blocks_used, bench.counts().waiting, bench.counts().running), (0, 0, 0));
    }
}

#[test]
fn settings_with_which_nothing_could_run_are_refused() {
    for bad in [
        EngineConfig { max_batched_tokens: 0, ..config() },
        EngineConfig { max_sequences: 0, ..config() },
        EngineConfig { kv_blocks: 0, ..config() },
        EngineConfig { block_size: 0, ..config() },
        EngineConfig { kv_blocks: usize::MAX, ..config() },
    ] {
        assert!(Engine::new(bad).is_err());
    }
    let config = EngineConfig { kv_blocks: 2, ..config() };
    assert!(config.fits(5, 4) && !config.fits(5, 5) && !config.fits(usize::MAX, usize::MAX));
}
