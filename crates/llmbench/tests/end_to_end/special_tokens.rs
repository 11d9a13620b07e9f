//! A model whose tokenizer adds BOS and whose template writes it: what is tokenized has it once, in every engine.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::model;
use super::world::World;

const SETTINGS: &str = "quick = true\nexp = [1, 4]\nruns = [1]\nblocks = 2\n\
    [experiment.anatomy.axes]\ntokens = [4000]\nturns = [2]\n\
    [experiment.gil-scaling.axes]\ntokens = [4000]\nturns = [2]\nthreads = [1]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

#[test]
fn bos_stands_once_in_what_every_engine_makes() {
    let Some(world) = World::with_settings(SETTINGS) else { return };
    model::write_with_bos(&world.path("model"));
    world.measure(&["--model", "model"]).expect(0);
    let run = world.latest();
    run.all_ok_but(|_| false);

    let tokenizer = Tokenizer::from_file(world.path("model/tokenizer.json")).unwrap();
    let bos = tokenizer.token_to_id("<s>").unwrap();
    let count = |ids: &[u32]| ids.iter().filter(|id| **id == bos).count();
    let texts: Vec<String> =
        run.workload("words-t4000-n2", "texts").iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let encode = |text: &str, special: bool| tokenizer.encode(text, special).unwrap().get_ids().to_vec();
    assert_eq!(count(&encode(&texts[0], true)), 2, "the model does not have the trap");
    let wanted: Vec<Wanted> = texts
        .iter()
        .map(|text| {
            let ids = encode(text, false);
            assert!(ids[0] == bos && count(&ids) == 1, "{ids:?}");
            Wanted::of(text, &ids)
        })
        .collect();

    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    for event in run.events("calibration") {
        let cell = run.cells().iter().find(|cell| cell["id"] == event["cell_id"]).unwrap();
        let op = cell["op"]["name"].as_str().unwrap();
        for (request, hash) in event["hashes"].as_array().unwrap().iter().enumerate() {
            let wanted = match op {
                "template" => &wanted[request].text,
                "tokenize" | "handoff" | "total" => &wanted[request].ids,
                "collate" => &wanted[request].arrays,
                _ => continue,
            };
            assert_eq!(hash, wanted, "{} request {request}", cell["id"]);
            let key = format!("{} {op} {}", cell["subject"].as_str().unwrap(), cell["op"]["call_path"]);
            *checked.entry(key).or_default() += 1;
        }
    }
    // 64,000 tokens are checked of each cell: 16 requests of 4,000.
    assert!(checked.values().all(|requests| *requests >= 15), "{checked:#?}");
    let cells_of = |op: &str| checked.keys().filter(|key| key.contains(op)).count();
    let counts = ["template", "tokenize", "collate", "handoff", "total"].map(cells_of);
    assert_eq!(counts, [3, 6, 2, 3, 3], "{checked:#?}");
}

/// SHA-256 of what the operations make of a request, as the workers are to give it.
struct Wanted {
    text: Value,
    ids: Value,
    arrays: Value,
}

impl Wanted {
    fn of(text: &str, ids: &[u32]) -> Self {
        let little_endian: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let padded = ids.len().next_multiple_of(8);
        let id = |at: usize| ids.get(at).map_or(0, |id| i64::from(*id));
        let mask = |at: usize| i64::from(at < ids.len());
        let arrays: Vec<u8> = (0..padded).map(id).chain((0..padded).map(mask)).flat_map(i64::to_le_bytes).collect();
        Self { text: sha256(text.as_bytes()), ids: sha256(&little_endian), arrays: sha256(&arrays) }
    }
}

fn sha256(bytes: &[u8]) -> Value {
    hex::encode(Sha256::digest(bytes)).into()
}
