//! Every op gives what it should, by hashes and ids that are computed here.

use std::collections::HashSet;

use record::plan::{Op, Timing};
use record::protocol::{Answer, Output, Request};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{BOS_ID, Bench, POOL, WARMUP, batch, block, op, samples, total};

const TOKENIZE: [&str; 3] = ["hf-tokenizers/encode", "hf-tokenizers/encode_fast", "hf-tokenizers/encode_batch"];

fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn sha_ids(ids: &[u32]) -> String {
    sha(&ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>())
}

/// Ids and then the mask of a padded batch, and the ids alone.
fn padded(lists: &[Vec<u32>]) -> (String, Vec<u32>) {
    let length = lists.iter().map(Vec::len).max().unwrap().div_ceil(8) * 8;
    let row = |list: &Vec<u32>| [list.clone(), vec![0; length - list.len()]].concat();
    let mask = |list: &Vec<u32>| [vec![1; list.len()], vec![0; length - list.len()]].concat();
    let ids: Vec<u32> = lists.iter().flat_map(row).collect();
    let all = ids.iter().copied().chain(lists.iter().flat_map(mask));
    (sha(&all.flat_map(|value| i64::from(value).to_le_bytes()).collect::<Vec<u8>>()), ids)
}

#[test]
fn parse_says_roles_and_texts() {
    let bench = Bench::tiny();
    let (hashes, output) = bench.outcome(op("parse", "serde/serde_json.from_slice"));
    let said = |messages: &Vec<(String, String)>, separator: &str| {
        messages.iter().map(|(role, text)| format!("{role}{separator}{text}{separator}")).collect::<String>()
    };
    let wanted: Vec<String> =
        bench.said[..POOL as usize].iter().map(|messages| sha(said(messages, "\0").as_bytes())).collect();
    assert_eq!(hashes, wanted);
    assert_eq!(output, Output::Text(said(&bench.said[0], "\n")));
}

#[test]
fn template_gives_the_prompts() {
    let bench = Bench::tiny();
    let (hashes, output) = bench.outcome(op("template", "minijinja/render"));
    assert_eq!(hashes, bench.texts[..POOL as usize].iter().map(|text| sha(text.as_bytes())).collect::<Vec<_>>());
    assert_eq!(output, Output::Text(bench.texts[0].clone()));
    assert!(bench.texts[0].starts_with("<s>[user]Question 0") && bench.texts[0].ends_with("[user]Oh\n[assistant]"));
}

#[test]
fn no_call_path_adds_a_bos_to_the_one_of_the_template() {
    let bench = Bench::tiny();
    let wanted: Vec<Vec<u32>> = (0..POOL as usize).map(|index| bench.ids(index)).collect();
    let hashes: Vec<String> = wanted.iter().map(|ids| sha_ids(ids)).collect();
    let ops = TOKENIZE.map(|pair| op("tokenize", pair));
    for op in ops.into_iter().chain([total(), op("handoff", "rmp/encode")]) {
        let name = format!("{} {}", op.name, op.call_path);
        let (found, output) = bench.outcome(op);
        let Output::Ids(ids) = output else { panic!("{name}") };
        assert_eq!(ids.iter().filter(|&&id| id == BOS_ID).count(), 1, "{name}");
        assert_eq!((found, ids), (hashes.clone(), wanted[0].clone()), "{name}");
    }
    // The tokenizer is one that would add it: this test can fail.
    let tokenizer = engines::Tokenizer::load(&bench.model.dir.join("tokenizer.json")).unwrap();
    let twice = tokenizer.inner().encode(bench.texts[0].as_str(), true).unwrap();
    assert_eq!(twice.get_ids()[..2], [BOS_ID, BOS_ID]);
}

#[test]
fn collate_pads_the_batch_that_starts_at_the_request() {
    let bench = Bench::tiny();
    let pool = POOL as usize;
    for size in [1, 4, 8] {
        let mut op = op("collate", "native/pad");
        op.params.insert("batch".to_owned(), json!(size));
        let lists = |start: usize| (0..size).map(|step| bench.ids((start + step) % pool)).collect::<Vec<_>>();
        let (hashes, output) = bench.outcome(op);
        assert_eq!(hashes, (0..pool).map(|start| padded(&lists(start)).0).collect::<Vec<_>>(), "batch {size}");
        assert_eq!(output, Output::Ids(padded(&lists(0)).1));
    }
}

#[test]
fn both_modes_of_batch_give_the_same_tensors() {
    let bench = Bench::tiny();
    let pool = POOL as usize;
    let wanted: Vec<String> = (0..pool)
        .map(|start| padded(&(0..4).map(|step| bench.ids((start + step) % pool)).collect::<Vec<_>>()).0)
        .collect();
    for (mode, threads) in [("stages", 1), ("stages", 3), ("requests", 1), ("requests", 3)] {
        assert_eq!(bench.outcome(batch(mode, 4, threads)).0, wanted, "{mode} {threads}");
    }
}

/// All ops on the built-in model: the three call paths agree with each other and with the whole way.
#[test]
fn the_built_in_model_gives_one_answer_by_every_way() {
    let home = tempfile::tempdir().unwrap();
    let built_in = engines::builtin::ensure(home.path(), &|_| {}).unwrap();
    let bench = Bench::on(home, &built_in.dir);
    let (wanted, _) = bench.outcome(op("tokenize", TOKENIZE[0]));
    assert_eq!(wanted.iter().collect::<HashSet<_>>().len(), POOL as usize, "the requests differ");
    for op in [op("tokenize", TOKENIZE[1]), op("tokenize", TOKENIZE[2]), op("handoff", "rmp/encode"), total()] {
        assert_eq!(bench.outcome(op.clone()).0, wanted, "{op:?}");
    }
    let (_, Output::Ids(ids)) = bench.outcome(op("tokenize", TOKENIZE[1])) else { panic!("ids") };
    assert_eq!(ids[0], 200_000, "a prompt starts with <|im_start|>");
    assert_eq!(ids.iter().filter(|&&id| id == 200_001).count(), 3, "three turns end");
    let ops: Vec<Op> = vec![
        batch("stages", 4, 2),
        batch("requests", 4, 2),
        op("parse", "serde/serde_json.from_slice"),
        op("template", "minijinja/render"),
    ];
    for op in ops {
        let answers = bench.ask(vec![bench.prepare("c", op, Timing::Each, 1), block("c", 3, 1)]);
        assert_eq!(samples(&answers).len(), 3);
    }
}

#[test]
fn a_wrong_engine_gives_another_hash_and_the_dump_shows_where() {
    let bench = Bench::tiny();
    for (fault, op) in [
        ("ids:hf-tokenizers/encode_fast", op("tokenize", "hf-tokenizers/encode_fast")),
        ("ids:hf-tokenizers/encode", total()),
        ("ids:rmp/encode", total()),
        ("ids:native/pad", op("collate", "native/pad")),
    ] {
        let (right, Output::Ids(wanted)) = bench.outcome(op.clone()) else { panic!("ids") };
        let answers = bench.ask_with(
            Some(fault),
            vec![bench.prepare("c", op, Timing::Loop, POOL), Request::Dump { cell_id: "c".to_owned(), index: 0 }],
        );
        let [Answer::Check { hashes, .. }, Answer::Done { .. }, Answer::Dump { output: Output::Ids(ids), .. }] =
            answers.as_slice()
        else {
            panic!("{fault}: {answers:?}")
        };
        assert!(hashes.iter().zip(&right).all(|(one, other)| one != other), "{fault}");
        let differing: Vec<usize> = (0..ids.len()).filter(|&at| ids[at] != wanted[at]).collect();
        assert_eq!((differing, ids.len()), (vec![3], wanted.len()), "{fault}");
    }
    let answers = bench.ask_with(
        Some("text:minijinja/render"),
        vec![
            bench.prepare("c", op("template", "minijinja/render"), Timing::Loop, 0),
            Request::Dump { cell_id: "c".to_owned(), index: 0 },
        ],
    );
    let Some(Answer::Dump { output: Output::Text(text), .. }) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(text.as_bytes().last(), Some(&b'?'));
}

#[test]
fn a_fault_of_another_pair_changes_nothing() {
    let bench = Bench::tiny();
    let op = op("tokenize", "hf-tokenizers/encode");
    let prepare = || vec![bench.prepare("c", op.clone(), Timing::Loop, POOL + WARMUP)];
    let hashes = |answers: Vec<Answer>| match answers.into_iter().next() {
        Some(Answer::Check { hashes, .. }) => hashes,
        other => panic!("{other:?}"),
    };
    let right = hashes(bench.ask(prepare()));
    assert_eq!(right.len(), POOL as usize, "there are no more checks than requests in the pool");
    assert_eq!(hashes(bench.ask_with(Some("ids:hf-tokenizers/encode_fast"), prepare())), right);
}

#[test]
fn every_tokenizer_engine_gives_the_ids_and_loads_to_give_them() {
    let bench = Bench::tiny();
    let wanted: Vec<String> = (0..POOL as usize).map(|index| sha_ids(&bench.ids(index))).collect();
    for info in engines::catalog::catalog() {
        for path in info.call_paths.iter().filter(|_| ["tokenize", "load"].contains(&info.op)) {
            let pair = format!("{}/{path}", info.engine);
            let (hashes, output) = bench.outcome(op(info.op, &pair));
            assert_eq!(hashes, wanted, "{} {pair}", info.op);
            assert_eq!(output, Output::Ids(bench.ids(0)), "{} {pair}", info.op);
        }
    }
    let message = super::error(&bench.ask(vec![bench.prepare("c", op("tokenize", "bpe/load"), Timing::Loop, 1)]));
    assert!(message.contains("the native worker has no bpe/load"), "{message}");
}

#[test]
fn the_first_load_of_a_process_says_what_memory_it_took() {
    let bench = Bench::tiny();
    let answers =
        bench.ask(vec![bench.prepare("c", op("load", "hf-tokenizers/load"), Timing::First, 0), block("c", 1, 2)]);
    let [sample] = samples(&answers).try_into().unwrap();
    if cfg!(target_os = "linux") {
        assert!(sample.stages.contains_key("rss_bytes"), "{sample:?}");
    }
    let hashes = answers.iter().find_map(|answer| match answer {
        Answer::Check { hashes, .. } => Some(hashes.clone()),
        _ => None,
    });
    assert_eq!(hashes, Some(vec![sha_ids(&bench.ids(2))]), "the check is what the loaded tokenizer gives");
}
